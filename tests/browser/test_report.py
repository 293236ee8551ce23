"""The run report in a real Chromium. Run with: make test-browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgd.report.html import write_html
from cgd.store import Store
from tests.browser.conftest import watched
from tests.inspector.made_run import ATTACKS
from tests.report.contrast import contrast
from tests.report.made_run import fill_run

WIDTHS = (1280, 420, 390)


def write_report(folder: Path, **texts: str) -> str:
    """The address of the report of a run with everything in it."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "run.sqlite")
    made = fill_run(store, **texts)
    page = write_html(folder, made.summary, made.manifest, store, 3, made.analysis)
    store.close()
    return page.as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The report, which must end without a complaint in the console."""
    with watched(browser, viewport={"width": 1280, "height": 800}, accept_downloads=True) as (opened, complaints):
        opened.goto(address)
        yield opened
        assert complaints == []


def column(page: Any, caption: str, number: int) -> list[str]:
    cells: list[str] = page.locator(
        f"table:has(caption span:text-is('{caption}')) tbody tr > :nth-child({number})"
    ).evaluate_all("cells => cells.map(cell => cell.textContent)")
    return cells


def until(page: Any, condition: str) -> None:
    """Wait for a condition; Playwright's own waiting evaluates strings in the page, which its policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def hex_of(page: Any, selector: str, of: str) -> str:
    """A colour of the page as `#rrggbb`."""
    script = """([selector, of]) => {
      const colour = getComputedStyle(document.querySelector(selector)).getPropertyValue(of);
      return '#' + colour.match(/\\d+/g).slice(0, 3).map(part => Number(part).toString(16).padStart(2, '0')).join('');
    }"""
    found: str = page.evaluate(script, [selector, of])
    return found


def test_every_figure_is_drawn(page: Any) -> None:
    assert page.locator(".plot").count() == 15
    assert page.locator(".plot:has(svg.main-svg)").count() == 15
    assert page.locator(".plot .sankey-link").count() == 3
    assert page.locator(".plot").evaluate_all("plots => plots.every(plot => plot.ariaLabel && plot.role === 'img')")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(width: int, browser: Any, address: str) -> None:
    with watched(browser, viewport={"width": width, "height": 800}) as (page, complaints):
        page.goto(address)
        assert beyond(page, width) == []
        assert complaints == []


def test_figures_follow_a_window_that_becomes_narrow(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    until(page, "[...document.querySelectorAll('.main-svg')].every(svg => svg.clientWidth < 390)")
    page.wait_for_timeout(1000)  # the flow's nodes glide
    assert beyond(page, 390) == []


def beyond(page: Any, width: int) -> list[str]:
    """What stands beyond the window's edge: the page itself, or a plot, a name or a number in one."""
    found: list[str] = page.evaluate(
        """width => [document.documentElement, ...document.querySelectorAll('.plot, .plot svg, .plot text')]
          .filter(one => Math.max(one.getBoundingClientRect().right, one.scrollWidth ?? 0) > width + 1)
          .map(one => `${one.tagName} ${one.textContent.slice(0, 40)}`)""",
        width,
    )
    return found


def test_a_click_sorts_by_value_and_the_third_restores(page: Any) -> None:
    """Output tokens: text would put 100.98 before 12.98 before 20.98."""
    head = page.locator("table:has(caption span:text-is('Accuracy on sums')) thead th").nth(6)
    before = column(page, "Accuracy on sums", 7)
    assert [round(float(tokens)) for tokens in before] == [101, 21, 13]
    in_order = before[::-1]
    for direction, wanted in (("ascending", in_order), ("descending", in_order[::-1]), (None, before)):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        assert column(page, "Accuracy on sums", 7) == wanted


def test_a_table_sorts_by_keyboard_and_by_one_column_at_a_time(page: Any) -> None:
    heads = page.locator("table:has(caption span:text-is('Differences in strict accuracy on sums')) thead th")
    assert [row[:4] for row in column(page, "Differences in strict accuracy on sums", 2)] == ["+25.", "+80.", "+55."]
    heads.nth(1).get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert [row[:4] for row in column(page, "Differences in strict accuracy on sums", 2)] == ["+25.", "+55.", "+80."]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert [head.get_attribute("aria-sort") for head in heads.all()][:3] == [None, None, "ascending"]


def test_absent_values_stand_last_either_way(page: Any) -> None:
    """How far samples agree is said for the largest k alone."""
    caption = "Several answers to a prompt on sums"
    button = page.locator(f"table:has(caption span:text-is('{caption}')) thead button").last
    page.locator("details.fold").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
    for _ in range(2):
        button.click()
        cells = column(page, caption, 8)
        absent = [cell == "–" for cell in cells]
        assert absent == sorted(absent) and any(absent) and not all(absent)


def test_the_numbers_of_every_figure_can_be_saved(page: Any, address: str, tmp_path: Path) -> None:
    links = page.get_by_role("link", name="Numbers as CSV")
    written = {path.name: path.read_text("utf-8") for path in Path(address[7:]).parent.glob("figures/*.csv")}
    assert links.count() == len(written) == 15
    for link in links.all():
        page.wait_for_timeout(150)  # Chromium lets a page save ten files a second
        with page.expect_download() as download:
            link.click()
        download.value.save_as(tmp_path / "saved.csv")
        assert (tmp_path / "saved.csv").read_text("utf-8") == written[download.value.suggested_filename]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_of_a_run_runs_in_the_browser(attack: str, browser: Any, tmp_path: Path) -> None:
    """The attack is an arm's and a benchmark's name, and every text; a script that ran would change the title."""
    address = write_report(tmp_path, task=attack, arm=attack, text=attack)
    with watched(browser, viewport={"width": 390, "height": 800}) as (page, complaints):
        page.goto(address)
        assert page.title() == "quickstart · cgd report"
        assert page.locator("main img, main iframe, main script, figcaption *, td *, main pre *").count() == 0
        assert page.locator("pre").filter(has_text=attack).count() > 3
        assert page.locator(".plot a").count() == 0
        assert attack.replace(" ", "") in page.locator(".plot").first.inner_text().replace(" ", "").replace("\n", "")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_figures_can_be_read_in_both_themes(scheme: str, browser: Any, address: str) -> None:
    with watched(browser, color_scheme=scheme) as (page, complaints):
        page.goto(address)
        paper = hex_of(page, "section", "background-color")
        assert (contrast(paper, "#000000") > 10) == (scheme == "light")
        for selector, of in (
            (".lead", "color"),
            ("thead button", "color"),
            (".plot text", "fill"),
            (".numbers a", "color"),
        ):
            assert contrast(hex_of(page, selector, of), paper) >= 4.5, selector
        assert complaints == []


def test_figures_change_with_the_theme(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    until(page, "getComputedStyle(document.querySelector('.plot text')).fill === 'rgb(230, 233, 239)'")


def test_the_report_prints_unfolded_and_to_the_papers_width(page: Any, tmp_path: Path) -> None:
    """What is on paper is looked at from within: as printing begins, figures fit and nothing is folded."""
    page.evaluate(
        """() => addEventListener('beforeprint', () => {
          window.printed = {
            folded: document.querySelectorAll('details:not([open])').length,
            widest: Math.max(...[...document.querySelectorAll('.main-svg')].map(svg => svg.clientWidth)),
          };
        })"""
    )
    folded = page.locator("details:not([open])").count()
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert page.evaluate("window.printed") == {"folded": 0, "widest": 660}
    assert page.locator("details:not([open])").count() == folded > 0
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and len(pdf) > 50_000
    until(
        page,
        "[...document.querySelectorAll('.plot')].every(plot => "
        "[...plot.querySelectorAll('.main-svg')].every(svg => svg.clientWidth === plot.clientWidth))",
    )
    page.emulate_media(media="print")
    assert page.locator("thead button").evaluate_all(
        "buttons => buttons.every(button => getComputedStyle(button).display === 'contents')"
    ), "a head that holds a control is not repeated on the next sheet"


def test_small_figures_stand_two_abreast_and_a_lone_one_takes_the_width(page: Any) -> None:
    boxes = {
        name: page.locator(f"figure:has(a[download='{name}.csv'])").bounding_box()
        for name in ("training-loss", "training-entropy", "training-grad-norm", "text-lengths", "accuracy-sums")
    }
    loss, entropy, third, lone, full = boxes.values()
    assert loss["y"] == entropy["y"] and loss["x"] + loss["width"] < entropy["x"]
    assert third["y"] > loss["y"]
    assert lone["width"] == full["width"] > 2 * loss["width"]
    page.set_viewport_size({"width": 390, "height": 800})
    until(page, "document.querySelectorAll('figure.half').length > 3 && innerWidth === 390")
    assert (
        page.locator("figure").evaluate_all("all => new Set(all.map(one => one.getBoundingClientRect().x)).size") == 1
    )
