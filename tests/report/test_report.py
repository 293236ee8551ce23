from __future__ import annotations

import re
from collections.abc import Mapping
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
from tests.report.pages import TUTOR, Page, summary_of, without_plotly, write

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</pre></details><iframe srcdoc=x>",
    "{{ 7 * 7 }}{% raw %}",
    "```\n# heading\n<b>bold</b>\n````",
)


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


def test_a_difference_that_does_not_outlast_the_correction_says_so(store: Store) -> None:
    """Eight fixed of eight, p = 2/2⁸; had many pairs been compared, p after Holm would be larger."""
    items = make_prompts(list("abcdefgh"))
    add_predictions(store, "sums", "base", items, [WRONG] * 8)
    add_predictions(store, "sums", "cgd", items, [RIGHT] * 8)
    summary = summarise(store, "sums", ["base", "cgd"])
    assert "paired prompts): distinguishable from zero." in " ".join(gather(summary, make_manifest(), store, 0).summary)
    summary["paired"]["cgd-base"]["p_holm"] = 0.2
    text = " ".join(gather(summary, make_manifest(), store, 0).summary)
    assert "paired prompts): distinguishable from zero, but not after Holm's correction." in text


def test_every_other_benchmark_is_named_with_its_difference_to_base(store: Store) -> None:
    """All eight fixed on each: one sentence for the first, one for the rest."""
    items = make_prompts(list("abcdefgh"))
    for task in ("sums", "tables"):
        add_predictions(store, task, "base", items, [WRONG] * 8)
        add_predictions(store, task, "cgd", items, [RIGHT] * 8)
    text = " ".join(gather(summarise(store, "sums", ["base", "cgd"]), make_manifest(), store, 0).summary)
    assert "Strict accuracy of `cgd` on the other benchmarks: `tables` 100.0% (67.6% to 100.0%), +100.0 points" in text
    assert "`sums` 100.0%" not in text


def test_base_alone_is_named_on_every_benchmark(store: Store) -> None:
    for task, verdict in (("sums", RIGHT), ("tables", WRONG), ("unscored", UNSCORED)):
        add_predictions(store, task, "base", make_prompts(["a"]), [verdict])
    text = " ".join(gather(summarise(store, "sums", ["base"]), make_manifest(), store, 0).summary)
    assert "Strict accuracy of `base` on the other benchmarks: `tables` 0.0% (0.0% to 79.3%)." in text


def test_test_prompts_that_resemble_training_prompts_are_told(store: Store) -> None:
    add_comparison(store)
    summary = summary_of(store)
    found = {"n_tests": 10, "n_overlaps": 4, "n_most": 2, "n_equal": 1, "ci95": [0.1, 0.7], "first": []}
    summary["contamination"] = {"sums": dict.fromkeys(("prompt", "critique", "refinement"), found)}
    text = " ".join(gather(summary, make_manifest(), store, 0).summary)
    assert "Of the 10 test prompts 4 share 13 words in a row with a training prompt; 1 of these equal one." in text
    found["n_equal"] = 0
    assert "training prompt; none equals one." in " ".join(gather(summary, make_manifest(), store, 0).summary)
    found["n_overlaps"] = 0
    assert "13 words" not in " ".join(gather(summary, make_manifest(), store, 0).summary)


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
