"""The inspector in a real Chromium. Run with: make test-browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cgd.reviews import rejected
from cgd.store import Store
from tests.browser.conftest import Serve, watched
from tests.inspector.made_run import ATTACKS, fill_run, fill_with_attacks


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must end without a complaint in its console."""
    with watched(browser) as (opened, complaints):
        yield opened
        assert complaints == []


def reviews(folder: Path) -> list[tuple[str | None, str]]:
    store = Store(folder / "run.sqlite")
    found = [tuple(row) for row in store.query("SELECT verdict, note FROM reviews ORDER BY reviewed_at")]
    store.close()
    return found


def test_the_list_loads_and_leads_to_a_record_and_back(serve: Serve, page: Any) -> None:
    page.goto(serve(fill_run))
    assert page.locator(".records li").count() == 3
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/record/**")
    assert page.locator("h2").inner_text().startswith("2. train-1#")
    page.keyboard.press("k")
    page.wait_for_function("document.querySelector('h2').innerText.startsWith('1. train-0#')")
    assert page.locator("mark").all_inner_texts() == ["2 + 2 = 5", "2 + 2 = 4", "Marked"]
    page.keyboard.press("Escape")
    page.wait_for_selector(".records")


def test_entropies_are_colours(serve: Serve, page: Any) -> None:
    """Entropies 4 and 1.5 nats are the last and the fifth shade."""
    page.goto(serve(fill_run))
    page.locator(".records a").first.click()
    page.wait_for_selector(".tokens")
    colour = "e => getComputedStyle(e).backgroundColor"
    dark = page.locator(".tokens .e8").first.evaluate(colour)
    light = page.locator(".tokens .e5").first.evaluate(colour)
    assert dark != light
    assert "rgba(0, 0, 0, 0)" not in (dark, light)


def test_filters_and_search_choose_records_and_keep_when_moving(serve: Serve, page: Any) -> None:
    page.goto(serve(lambda store: fill_run(store, 9)))
    page.locator("select[name=draft]").select_option("right")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**draft=right**")
    assert page.locator(".count").inner_text() == "3 records"
    page.locator(".records a").first.click()
    page.wait_for_url("**/record/**")
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('h2').innerText.startsWith('5. train-4#')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".records")
    page.keyboard.press("/")
    page.keyboard.type('"question 7"')
    page.keyboard.press("Enter")
    page.wait_for_url("**q=**")
    assert page.locator(".count").inner_text() == "1 record"


def test_pages_follow_one_another(serve: Serve, page: Any) -> None:
    page.goto(serve(lambda store: fill_run(store, 120)))
    for first in ("51", "101"):
        page.get_by_role("link", name="Later").click()
        page.wait_for_function(f"document.querySelector('.number').innerText === '{first}'")
    assert page.locator(".records li").count() == 20
    assert page.get_by_role("link", name="Later").count() == 0
    page.get_by_role("link", name="Earlier").click()
    page.wait_for_function("document.querySelector('.number').innerText === '51'")


def test_keys_accept_reject_annotate_and_take_back(serve: Serve, page: Any, tmp_path: Path) -> None:
    page.goto(serve(fill_run))
    page.locator(".records a").first.click()
    page.wait_for_selector(".reviewing")
    status = page.locator("#status")
    for key, text, kept in (("a", "accepted", ["accept"]), ("r", "rejected", ["reject"]), ("r", "taken back", [])):
        page.keyboard.press(key)
        status.filter(has_text=text).wait_for()
        assert [verdict for verdict, _ in reviews(tmp_path)] == kept
    page.keyboard.press("n")
    page.keyboard.type("a jar, <b>really</b>")
    assert reviews(tmp_path) == [], "keys write a note while one is written"
    page.keyboard.press("Escape")
    status.filter(has_text="note kept").wait_for()
    page.keyboard.press("r")
    status.filter(has_text="rejected").wait_for()
    assert reviews(tmp_path) == [("reject", "a jar, <b>really</b>")]
    store = Store(tmp_path / "run.sqlite")
    assert list(rejected(store).values()) == ["rejected in review"]
    store.close()
    page.reload()
    assert page.locator("textarea").input_value() == "a jar, <b>really</b>"
    assert page.get_by_role("button", name="Reject").get_attribute("aria-pressed") == "true"


def test_the_list_is_reviewed_by_key_too(serve: Serve, page: Any, tmp_path: Path) -> None:
    page.goto(serve(fill_run))
    page.keyboard.press("a")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.locator("#status").filter(has_text="accepted").wait_for()
    assert page.locator(".badge.review").all_inner_texts() == ["accepted", "", ""]
    assert reviews(tmp_path) == [("accept", "")]


def test_no_text_of_a_run_runs_in_the_browser(serve: Serve, page: Any) -> None:
    """Every text column of every table holds an attack; a script that ran would change the title or complain."""
    address = serve(fill_with_attacks)
    page.goto(address)
    assert page.locator(".records li").count() == len(ATTACKS)
    links = [link.get_attribute("href") for link in page.locator(".records a").all()]
    for link, attack in zip(links, ATTACKS, strict=True):
        page.goto(f"{address}{link}")
        assert page.title().endswith("cgd inspect")
        assert page.locator("pre").first.text_content() == attack
        assert page.locator("textarea").input_value() == attack
        assert page.locator("main img, main svg, main script").count() == 0


@pytest.mark.parametrize("table", ["prompts", "replies", "records", "predictions", "scores", "reviews", "drops"])
def test_datasettes_own_pages_show_texts_as_texts(table: str, serve: Serve, browser: Any) -> None:
    with watched(browser) as (page, complaints):
        page.goto(f"{serve(fill_with_attacks)}/run/{table}")
        assert page.locator("table.rows-and-columns").count() == 1
        assert "owned" not in page.title()
        assert page.evaluate("document.title") == page.title()
        assert not [text for text in complaints if "dialog" in text]


class _Attacker(BaseHTTPRequestHandler):
    """A page of another origin that posts a review in every way a page can."""

    def do_GET(self) -> None:
        target = self.path.partition("?")[2]
        body = '{"record_id": "a", "verdict": "reject", "note": ""}'
        script = f"""
        const review = {{method: 'POST', body: '{body}'}};
        const post = (options) => fetch('{target}/review', {{...review, ...options}}).catch(() => 0);
        Promise.all([post({{mode: 'no-cors'}}), post({{}}), post({{credentials: 'include', mode: 'no-cors'}}),
          post({{headers: {{'x-csrftoken': 'x'}}}})]).then(() => {{ document.title = 'tried'; }});
        """
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(f"<!doctype html><title>waits</title><script>{script}</script>".encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_another_site_can_not_post_a_review(serve: Serve, browser: Any, tmp_path: Path) -> None:
    address = serve(fill_run)
    attacker = HTTPServer(("127.0.0.1", 0), _Attacker)
    threading.Thread(target=attacker.serve_forever, daemon=True).start()
    with watched(browser) as (page, _):
        page.goto(address)  # the browser holds our cookie now
        page.goto(f"http://localhost:{attacker.server_port}/?{address}")
        page.wait_for_function("document.title === 'tried'")
        page.goto(f"http://127.0.0.1:{attacker.server_port}/?{address}")
        page.wait_for_function("document.title === 'tried'")
    attacker.shutdown()
    attacker.server_close()
    assert reviews(tmp_path) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_window(width: int, serve: Serve, browser: Any) -> None:
    address = serve(fill_with_attacks)
    with watched(browser, viewport={"width": width, "height": 800}) as (page, complaints):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".records a").first.click()
        page.wait_for_selector(".reviewing")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert complaints == []
