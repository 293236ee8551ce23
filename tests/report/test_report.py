from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgd.analysis.summary import summarise
from cgd.report.content import gather, spans
from cgd.report.html import write_html
from cgd.report.markdown import escape, fence, write_markdown
from cgd.report.tables import points
from cgd.store import Drop, Store
from tests.builders import (
    FAILED,
    RIGHT,
    UNSCORED,
    WRONG,
    Verdict,
    add_comparison,
    add_predictions,
    add_records,
    make_manifest,
    make_prompts,
)
from tests.report.contrast import contrast

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</pre></details><iframe srcdoc=x>",
    "{{ 7 * 7 }}{% raw %}",
    "```\n# heading\n<b>bold</b>\n````",
)
TUTOR: dict[str, Any] = {"backend": "tutor", "model": None, "options": {}}


class Page(HTMLParser):
    """Collects what a browser would make of the page: tags with attributes, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def summary_of(store: Store) -> dict[str, Any]:
    return summarise(store, "sums", ["base", "sft", "cgd"])


def write(folder: Path, store: Store, manifest: Mapping[str, Any] | None = None, examples: int = 4) -> tuple[str, str]:
    """The HTML and the Markdown report of a store."""
    manifest = manifest or make_manifest(TUTOR)
    html = write_html(folder, summary_of(store), manifest, store, examples)
    markdown = write_markdown(folder, summary_of(store), manifest, store, examples)
    assert (html, markdown) == (folder / "report" / "index.html", folder / "report" / "report.md")
    return html.read_text("utf-8"), markdown.read_text("utf-8")


def without_plotly(html: str) -> str:
    """The page but for the longest script, which is plotly.js."""
    return html.replace(max(re.findall(r"<script>.*?</script>", html, re.DOTALL), key=len), "")


# ── words ──


def test_the_summary_says_what_the_numbers_say(store: Store) -> None:
    """Strict: cgd 7 of 9, base 2 of 10. On the 9 paired items six are fixed and one is broken: + 5/9.

    Interval: p = 7/11, q = 2/11, .4545 ± 1.96 √((.8182 − .2066) / 11) = .4545 ± .4621.
    """
    add_comparison(store)
    text = " ".join(gather(summary_of(store), make_manifest(TUTOR), store, 0).summary)
    assert "On 9 held-out `sums` prompts `cgd` reached 77.8% strict accuracy" in text
    assert "the untrained `base` 20.0%" in text
    assert "The difference is +55.6 points (95% interval −0.8 to +91.7, 9 paired prompts): not" in text
    assert "Against the other arms: `sft` +22.2 points" in text
    assert "0 unscored and 1 failed predictions" in text
    assert "a deterministic worked-solution program (`tutor`), not a language model." in text


def test_several_seeds_are_named(store: Store, tmp_path: Path) -> None:
    add_comparison(store, seeds=2)
    html, markdown = write(tmp_path, store)
    assert "mean of 2 training seeds" in html
    assert "mean of 2 training seeds" in markdown


def test_the_last_arm_speaks_where_none_is_called_cgd(store: Store) -> None:
    """It stands last, so the summary holds its comparisons its own way round."""
    items = make_prompts(["a", "b"])
    for arm, verdicts in (("base", [WRONG, WRONG]), ("sft", [RIGHT, WRONG]), ("mine", [RIGHT, RIGHT])):
        add_predictions(store, "sums", arm, items, verdicts)
    summary = summarise(store, "sums", ["base", "sft", "mine"])
    content = gather(summary, make_manifest(), store, 1)
    assert content.trained_arm == "mine"
    assert "`sft` +50.0 points" in " ".join(content.summary)


def test_an_arm_named_cgd_that_does_not_stand_last_is_compared_the_right_way_round(store: Store) -> None:
    items = make_prompts(["a", "b"])
    for arm, verdicts in (("base", [WRONG, WRONG]), ("cgd", [RIGHT, WRONG]), ("sft", [RIGHT, RIGHT])):
        add_predictions(store, "sums", arm, items, verdicts)
    summary = summarise(store, "sums", ["base", "cgd", "sft"])
    assert "`sft` −50.0 points" in " ".join(gather(summary, make_manifest(), store, 0).summary)


@pytest.mark.parametrize(
    "teacher, sentence",
    [
        (None, "No teacher took part in this run."),
        ({"backend": "scripted"}, "The teacher is the backend `scripted`."),
        ({"backend": "vllm", "model": "big"}, "The teacher is the model `big`, run by the backend `vllm`."),
    ],
)
def test_the_teacher_is_named_for_what_it_is(store: Store, teacher: Mapping[str, Any] | None, sentence: str) -> None:
    assert gather(summary_of(store), make_manifest(teacher), store, 0).summary[-1] == sentence


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert [points(value) for value in (0.395, -0.01, -0.0001, 0.0, None)] == ["+39.5", "−1.0", "0.0", "0.0", "–"]


def test_spans_part_names_from_words() -> None:
    assert spans("a `b` c") == [(False, "a "), (True, "b"), (False, " c")]


# ── pages ──


def test_a_run_without_evaluation_still_has_a_report(store: Store, tmp_path: Path) -> None:
    for text in write(tmp_path, store):
        assert "This run has no evaluation, so there is no accuracy to report." in text
        assert "Results" not in text


@pytest.mark.parametrize("before, after", [(UNSCORED, UNSCORED), (UNSCORED, RIGHT), (RIGHT, FAILED), (FAILED, FAILED)])
def test_arms_without_a_verdict_still_have_a_report(
    store: Store, tmp_path: Path, before: Verdict, after: Verdict
) -> None:
    items = make_prompts(["a", "b"])
    for arm, verdict in (("base", before), ("sft", before), ("cgd", after)):
        add_predictions(store, "sums", arm, items, [verdict] * 2)
    for text in write(tmp_path, store):
        assert ("No prediction of" in text) == (after != RIGHT)
        assert "No prompt has a verdict in both." in text or after != RIGHT
        assert "Left out of all accuracies" in text


def test_every_table_is_on_both_pages(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    html, markdown = write(tmp_path, store)
    captions = ("Accuracy on sums", "Differences in strict accuracy on sums", "Generated texts", "Trained students")
    for caption in (*captions, "Records left out of training", "the critique gives the answer away", "7cc8be2"):
        assert caption in html
        assert caption in markdown
    assert "| cgd | 77.8% |" in markdown
    assert "| cgd − base | +55.6 |" in markdown


def test_the_page_loads_nothing_and_holds_plotly_once(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    html, _ = write(tmp_path, store)
    page = Page(without_plotly(html))
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "poster"} & attributes.keys(), f"<{tag} {attributes}>"
        assert re.match(r"#|data:text/csv;", attributes.get("href") or "#"), f"<{tag} {attributes}>"
    assert not re.search(r"https?://|@import|url\(", without_plotly(html))
    assert sum(len(script) > 1_000_000 for script in re.findall(r"<script>.*?</script>", html, re.DOTALL)) == 1
    policy = [tag for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0]["content"])


def test_the_page_can_be_read_without_eyes(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table")) > 4
    plots = [tag for tag in page.all("div") if tag.get("class") == "plot"]
    assert [str(plot["aria-label"])[:24] for plot in plots] == [
        *(
            "Accuracy by arm on sums:",
            "Length of replies on sum",
            "Length of drafts, critiq",
            "Training loss on the tar",
        )
    ]
    assert all(plot["role"] == "img" for plot in plots)


def test_figures_carry_the_numbers_of_the_summary(store: Store, tmp_path: Path) -> None:
    add_comparison(store, seeds=2)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    accuracy, *_, loss = [json.loads(str(tag["data-figure"])) for tag in page.all("div") if "data-figure" in tag]
    strict = accuracy["data"][0]
    assert (strict["name"], strict["y"]) == ("strict", ["base", "sft", "cgd"])
    assert strict["x"] == pytest.approx([20.0, 50.0, 700 / 9])
    lower = summary_of(store)["arms"]["base"]["ci95"][0]
    assert strict["error_x"]["arrayminus"][0] == pytest.approx(20 - 100 * lower)
    assert [curve["showlegend"] for curve in loss["data"]] == [True, False, True, False], "one entry an arm"
    assert loss["data"][0]["y"] == pytest.approx([2.0, 1.0, 2 / 3])


def test_each_figure_has_its_numbers_beside_it_and_in_the_page(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    links = [link for link in page.all("a") if "download" in link]
    held = {str(link["download"]): b64decode(str(link["href"]).partition(",")[2]) for link in links}
    assert len(held) == len([tag for tag in page.all("div") if "data-figure" in tag]) == 4
    assert held == {path.name: path.read_bytes() for path in (tmp_path / "report" / "figures").iterdir()}


def test_links_within_the_page_lead_to_its_sections(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    within = [str(link["href"])[1:] for link in page.all("a") if "download" not in link]
    assert within == ["results", "measures", "data", "training", "records", "predictions", "manifest"]
    assert set(within) <= {head["id"] for head in page.all("h2")}


def test_a_long_table_is_folded(store: Store, tmp_path: Path) -> None:
    add_comparison(store, seeds=7)
    html, _ = write(tmp_path, store)
    assert re.search(r"<summary>Trained students <span class=\"note\">14 rows</span></summary>", html)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_colour_of_text_can_be_read(theme: int) -> None:
    """By 4.5 to 1, as WCAG 2.2 asks of text (1.4.3): light colours stand first in the style sheet, dark ones next."""
    css = files("cgd.report").joinpath("page.css").read_text("utf-8")
    names = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", css.split(":root {")[1 + theme]))
    assert len(names) == 9
    for ink in ("ink", "quiet", "link", "good", "bad"):
        for paper in ("page", "card", "tint"):
            assert contrast(names[ink], names[paper]) >= 4.5, (ink, paper)


def test_a_page_without_figures_leaves_plotly_out(store: Store, tmp_path: Path) -> None:
    assert len(write(tmp_path, store)[0]) < 100_000


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_stored_text_becomes_markup(store: Store, tmp_path: Path, payload: str) -> None:
    """The payload stands in every text column, in the manifest and as an arm's and a task's name."""
    items = make_prompts([payload, payload + "!"], name=payload)
    nasty = Verdict(None, None, text=payload, extracted=payload, reason=payload)
    for arm in ("base", payload):
        add_predictions(store, payload, arm, items, [RIGHT._replace(text=payload, extracted=payload), nasty])
    add_records(store, items, [(payload, payload, payload), (None,)])
    with store.transaction() as db:
        db.execute("UPDATE replies SET error_class = ? WHERE state = 'failed'", (payload,))
    store.set_drops(payload, [Drop(payload, payload)])
    store.set_checkpoints({(payload, 0): {"method": payload, "log": [{"step": 1, "loss": 1.0}]}})
    manifest = {**make_manifest({"backend": payload, "model": payload}), "name": payload, "command": payload}
    manifest["versions"] = {payload: payload}
    summary = summarise(store, payload, ["base", payload])
    html = write_html(tmp_path, summary, manifest, store, 3).read_text("utf-8")
    markdown = write_markdown(tmp_path, summary, manifest, store, 3).read_text("utf-8")
    tags = {tag for tag, _ in Page(without_plotly(html)).tags}
    assert not tags & {"img", "iframe", "b"}
    assert html.count("<script>") == 2
    assert payload not in without_plotly(html) or "<" not in payload
    assert re.search(r"(?<!\\)<[a-z/]", outside_code(markdown)) is None


def outside_code(markdown: str) -> str:
    """Markdown without its fenced blocks and code spans, by CommonMark's rules for both."""
    prose, closing = [], ""
    for line in markdown.splitlines():
        mark = re.match(r"(`{3,})(?:text)?$", line)
        if not closing and mark:
            closing = mark[1]
        elif closing and re.fullmatch(rf"`{{{len(closing)},}}", line):
            closing = ""
        elif not closing:
            prose.append(re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert not closing, "a fence stayed open"
    return "\n".join(prose)


@given(st.text(alphabet="`~\n a<", max_size=60))
def test_nothing_inside_a_fence_can_close_it(text: str) -> None:
    opening, *body, closing = fence(text).split("\n")
    assert "\n".join(body) == text
    assert opening == closing + "text"
    assert all(closing not in line for line in body)


@given(st.text(max_size=40))
def test_escaped_text_stays_on_its_line_and_in_its_cell(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert re.search(r"(?<!\\)(?:\\\\)*[|<`\[\]*_]", escaped) is None


def test_the_same_store_always_gives_the_same_report(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    assert write(tmp_path, store) == write(tmp_path, store)
