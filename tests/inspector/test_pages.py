"""The pages as Datasette answers them. Run with: pytest tests/inspector/test_pages.py."""

from __future__ import annotations

import asyncio
import html
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.inspector.models import ScoringModel
from cgd.inspector.server import listen, make_app
from cgd.reviews import rejected
from cgd.store import Store
from tests.inspector.made_run import ATTACKS, fill_run, fill_with_attacks, index_run, refinement_keys

Get = Callable[..., Any]


@pytest.fixture
def app(tmp_path: Path, store: Store, student: Path) -> Iterator[Any]:
    fill_run(store)
    index_run(tmp_path)
    made = make_app(tmp_path, {"m" * 64: ScoringModel("student before training", str(student))})
    yield made
    close(made)


def close(app: Any) -> None:
    for database in app.databases.values():
        database.close()
    app.executor.shutdown()


def ask(app: Any, path: str, method: str = "get", **options: Any) -> Any:
    return asyncio.run(getattr(app.client, method)(path, **options))


def test_the_list_shows_the_runs_records_and_its_name(app: Any, tmp_path: Path) -> None:
    page = ask(app, "/")
    assert page.status_code == 200
    assert tmp_path.name in page.text
    assert page.text.count('<li data-record="') == 3
    assert "3 records" in page.text


def test_a_filter_and_a_search_stay_in_the_links(app: Any) -> None:
    page = ask(app, "/?draft=right&q=sound")
    assert "1 record<" in page.text
    assert re.search(r'href="/record/[0-9a-f]{64}\?draft=right&amp;q=sound"', page.text)


def test_a_record_shows_its_texts_marks_verdicts_entropies_and_answers(app: Any, store: Store) -> None:
    page = ask(app, f"/record/{refinement_keys(store)[0]}").text
    assert "<mark>2 + 2 = 5</mark>" in page
    assert "<mark>2 + 2 = 4</mark>" in page
    assert "student before training" in page
    assert [float(mean) for mean in re.findall(r"mean (\d\.\d+)", page)] == [2.0, 1.5, 0.5]
    assert re.findall(r"−log p (\d\.\d+)", page) == ["0.500"] * 3
    assert page.count("strict wrong") == page.count("strict right") == 1


def test_a_model_that_is_not_on_this_machine_has_tokens_without_texts(tmp_path: Path, store: Store) -> None:
    fill_run(store)
    index_run(tmp_path)
    app = make_app(tmp_path, {})
    page = ask(app, f"/record/{refinement_keys(store)[0]}").text
    close(app)
    assert "model mmmmmmmmmmmm" in page
    assert "·28" in page


def test_an_unknown_record_is_not_found(app: Any) -> None:
    assert ask(app, f"/record/{'0' * 64}").status_code == 404


@pytest.mark.parametrize("path", ["/?after=x", "/?before=-1", "/?after=99999999999999999999", "/?draft=nonsense"])
def test_a_faulty_address_is_the_first_page(path: str, app: Any) -> None:
    page = ask(app, path)
    assert (page.status_code, "3 records" in page.text) == (200, True)


# Who may read and write


def with_token(app: Any) -> dict[str, Any]:
    page = ask(app, "/")
    token = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert token
    return {"headers": {"x-csrftoken": html.unescape(token[1])}, "cookies": {"ds_csrftoken": token[1]}}


def test_a_review_is_kept_in_the_store_of_the_run(app: Any, store: Store) -> None:
    posted = {"record_id": "a", "verdict": "reject", "note": "why"}
    answer = ask(app, "/review", "post", json=posted, **with_token(app))
    assert (answer.status_code, answer.json()) == (200, posted)
    assert rejected(store) == {"a": "rejected in review"}


@pytest.mark.parametrize("left_out", ["headers", "cookies", "both"])
def test_a_post_without_the_pages_token_changes_nothing(left_out: str, app: Any, store: Store) -> None:
    options = {name: value for name, value in with_token(app).items() if left_out not in (name, "both")}
    posted = {"record_id": "a", "verdict": "reject", "note": ""}
    assert ask(app, "/review", "post", json=posted, **options).status_code == 403
    assert rejected(store) == {}


@pytest.mark.parametrize("skips", [{"authorization": "Bearer x"}, {"content-type": "text/plain"}])
def test_no_header_takes_the_place_of_the_token(skips: dict[str, str], app: Any, store: Store) -> None:
    body = '{"record_id": "a", "verdict": "reject", "note": ""}'
    assert ask(app, "/review", "post", content=body, headers=skips).status_code == 403
    assert rejected(store) == {}


@pytest.mark.parametrize("posted", [[], {}, {"record_id": "a", "verdict": "maybe", "note": ""}])
def test_a_faulty_review_is_refused(posted: Any, app: Any) -> None:
    answer = ask(app, "/review", "post", json=posted, **with_token(app))
    assert (answer.status_code, "error" in answer.json()) == (400, True)


def test_reviews_are_posted(app: Any) -> None:
    assert ask(app, "/review").status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_for_this_machine_is_refused(host: str, app: Any) -> None:
    assert ask(app, "/", headers={"host": host}).status_code == 403
    assert ask(app, "/run.json", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost:8001", "localhost"])
def test_this_machine_is_served(host: str, app: Any) -> None:
    assert ask(app, "/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/run", "/inspector/inspector.js", "/nothing"])
def test_every_answer_lets_the_browser_run_our_own_files_alone(path: str, app: Any) -> None:
    headers = ask(app, path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_datasette_reads_the_store_and_writes_nothing(app: Any) -> None:
    def write(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM prompts")

    assert ask(app, "/run.json?sql=select+count(*)+from+records").json()["rows"] == [[3]]
    assert ask(app, "/run.json?sql=delete+from+prompts").status_code == 400
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(app.get_database("run").execute_fn(write))


def test_a_taken_port_is_said_so() -> None:
    with listen(0) as first, pytest.raises(UserError, match="give another --port"):
        listen(first.getsockname()[1])


def test_the_address_is_of_this_machine_alone() -> None:
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


# Text that tries to be more


def test_no_text_of_a_run_becomes_markup(tmp_path: Path, store: Store) -> None:
    fill_with_attacks(store)
    index_run(tmp_path)
    app = make_app(tmp_path, {})
    pages = [ask(app, path).text for path in ("/", *(f"/record/{key}" for key in refinement_keys(store)))]
    close(app)
    for page in pages:
        assert not re.search(r"<(?:img|svg)", page)
        assert re.findall(r"<script[^>]*>", page) == ['<script src="/inspector/inspector.js" defer>']
    assert sum(page.count(html.escape(ATTACKS[0]).replace("&#x27;", "&#39;")) for page in pages) > 9
