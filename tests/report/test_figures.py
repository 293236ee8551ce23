"""Run with: pytest tests/report/test_figures.py."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cgd.report.figures.all import Figures, all_figures, write_csv
from cgd.report.figures.figure import COLOURS, Figure, arm_looks, counted, file_name, label
from cgd.report.figures.lengths import class_label, length_class
from cgd.store import Store
from tests.report.contrast import contrast
from tests.report.made_run import MadeRun, fill_run


@pytest.fixture
def made(store: Store) -> MadeRun:
    return fill_run(store)


@pytest.fixture
def figures(store: Store, made: MadeRun) -> dict[str, Figure]:
    return {figure.name: figure for figure in all_figures(made.summary, store, made.analysis).every()}


def rows(figure: Figure) -> list[dict[str, str]]:
    """The numbers as a reader of the CSV file finds them."""
    return list(csv.DictReader(io.StringIO(figure.csv)))


def test_a_run_with_everything_has_every_figure(figures: dict[str, Figure]) -> None:
    assert list(figures) == [
        *("accuracy-sums", "samples-sums", "reliability-sums"),
        *("drift-sums", "drift-along-training-sums", "reply-lengths-sums"),
        *("entropy-by-context", "gain-by-kind-of-token", "gain-by-position-of-the-token", "gain-by-outcome", "ledger"),
        *("text-lengths", "training-loss", "training-entropy", "training-grad-norm"),
    ]


def test_a_figure_without_numbers_is_left_out(store: Store) -> None:
    nothing: dict[str, Any] = {"tasks": {}, "training": []}
    assert all_figures(nothing, store, None) == Figures([], {}, [], [], [], [])


def test_every_figure_says_what_it_shows_and_holds_numbers(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        assert figure.description.endswith(".")
        assert len(rows(figure)) > 1
        assert json.dumps(figure.json)


def test_accuracies_are_those_of_the_summary(figures: dict[str, Figure], made: MadeRun) -> None:
    """One of four answers of sft is right on each prompt."""
    found = [row for row in rows(figures["accuracy-sums"]) if (row["arm"], row["reading"]) == ("sft", "strict")]
    low, high = made.summary["arms"]["sft"]["ci95"]
    assert [float(found[0][key]) for key in ("accuracy_percent", "low", "high")] == pytest.approx(
        [25, 100 * low, 100 * high]
    )


def test_pass_at_k_rises_with_k(figures: dict[str, Figure]) -> None:
    """One of four right: one drawn 1/4, two drawn 1/2, all four 1."""
    found = [row for row in rows(figures["samples-sums"]) if (row["arm"], row["measure"]) == ("sft", "pass@k")]
    assert [(row["k"], float(row["percent"])) for row in found] == [("1", 25), ("2", 50), ("4", 100)]


def test_pass_and_majority_stand_in_panels_and_every_arm_is_named_once(figures: dict[str, Figure]) -> None:
    curves = figures["samples-sums"].json["data"]
    assert [(curve["name"], curve["showlegend"]) for curve in curves] == [
        *((arm, True) for arm in ("base", "sft", "cgd")),
        *((arm, False) for arm in ("base", "sft", "cgd")),
    ]
    middle = curves[1]["x"]
    assert middle == [1, 2, 4], "the middle arm stands at its k, the others beside it"
    assert curves[0]["x"][0] < 1 < curves[2]["x"][0]


def test_reliability_sets_agreement_against_correctness(figures: dict[str, Figure]) -> None:
    """Of sft each answer stands alone, one of four is right. cgd: three of four agree and are right; or all four."""
    found = [
        (row["arm"], round(float(row["agreement_percent"]), 1), float(row["right_percent"]))
        for row in rows(figures["reliability-sums"])
    ]
    assert found == [("base", 0, 0), ("sft", 0, 25), ("cgd", 0, 0), ("cgd", 66.7, 100), ("cgd", 100, 100)]


def test_drift_is_drawn_for_trained_arms_and_parts_that_tell(figures: dict[str, Figure]) -> None:
    """Formats are followed where answers are right; nothing refuses or loops, so these parts are left out."""
    found = rows(figures["drift-sums"])
    assert [(row["arm"], row["part"], float(row["difference_points"])) for row in found] == [
        ("sft", "Asked format followed", 25),
        ("cgd", "Asked format followed", 80),
    ]


def test_drift_along_training_begins_with_base_and_ends_with_the_last_checkpoint(figures: dict[str, Figure]) -> None:
    """Format followed: 0 by base, 1/4 at step 2, 2/4 at step 4, (8 · 3/4 + 2 · 1) / 10 at step 6."""
    found = [row for row in rows(figures["drift-along-training-sums"]) if row["part"] == "Asked format followed"]
    assert [(row["arm"], int(row["step"]), float(row["value"])) for row in found] == [
        ("cgd", 0, 0),
        ("cgd", 2, 25),
        ("cgd", 4, 50),
        ("cgd", 6, 80),
    ]


def test_a_checkpoint_that_was_not_the_last_has_no_place_at_the_end(store: Store, made: MadeRun) -> None:
    for account in made.summary["training"]:
        account["selected"] = "step-2"
    figures = {figure.name: figure for figure in all_figures(made.summary, store, None).measures}
    assert {row["step"] for row in rows(figures["drift-along-training-sums"])} == {"0", "2", "4"}


def test_lengths_are_shares_of_all_replies(figures: dict[str, Figure]) -> None:
    """cgd: 40 replies of 12, 13 and 14 tokens, all in the class of 12 to 15; base: 100 to 102, in 91 to 127."""
    found = {(row["of"], row["tokens"]): row["share_percent"] for row in rows(figures["reply-lengths-sums"])}
    full = {("base", "91–127"), ("sft", "16–22"), ("cgd", "12–15")}
    assert {place for place, share in found.items() if share == "100"} == full
    assert {share for place, share in found.items() if place not in full} == {"0"}
    assert {row["texts"] for row in rows(figures["reply-lengths-sums"])} == {"0", "40"}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 64, 90, 91, 127, 128, 100_000])
def test_a_length_stands_within_its_class(size: int) -> None:
    first, _, last = class_label(length_class(size)).partition("–")
    assert int(first) <= size <= int(last or first)


def test_the_ledger_flows_from_drafts_to_refinements(figures: dict[str, Figure]) -> None:
    """Two wrong drafts were mended, one was not, one right draft stayed right; nothing was spoiled."""
    found = {(row["draft"], row["refinement"]): row["records"] for row in rows(figures["ledger"])}
    assert found == {
        ("right", "right"): "1",
        ("right", "wrong"): "0",
        ("wrong", "right"): "2",
        ("wrong", "wrong"): "1",
    }
    (sankey,) = figures["ledger"].json["data"]
    assert sankey["node"]["label"] == ["draft right: 1", "draft wrong: 3", "refinement right: 3", "refinement wrong: 1"]
    assert list(zip(sankey["link"]["source"], sankey["link"]["target"], sankey["link"]["value"], strict=True)) == [
        (0, 2, 1),
        (1, 2, 2),
        (1, 3, 1),
    ]


def test_gain_stands_against_what_became_of_the_draft(figures: dict[str, Figure]) -> None:
    """Gain of record i: (1 + i/8) times the mean of 1, 1 and 1.5; records 0 and 1 were mended."""
    found = {row["records"]: row for row in rows(figures["gain-by-outcome"])}
    mended = found["wrong draft, mended"]
    assert float(mended["gain_nats_a_token"]) == pytest.approx(3.5 / 3 * 17 / 16)
    assert mended["n"] == "2"
    alone = found["right draft, stayed right"]
    assert alone["low"] == alone["high"] == alone["gain_nats_a_token"], "one record has no interval"
    assert "right draft, spoiled" not in found


def test_drafts_stand_by_their_verdict_where_no_refinement_has_one(store: Store, made: MadeRun) -> None:
    gain_by = made.analysis["audits"]["gain_by"]
    for way in [way for way in gain_by if " to " in way]:
        del gain_by[way]
    figures = {figure.name: figure for figure in all_figures(made.summary, store, made.analysis).critiques}
    found = [(row["records"], row["n"]) for row in rows(figures["gain-by-outcome"])]
    assert found == [("wrong draft", "3"), ("right draft", "1"), ("critique does not leak", "4")]
    assert figures["gain-by-outcome"].json["data"][0]["y"][0].endswith("(n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}3)")


def test_other_tokens_stand_last(figures: dict[str, Figure], store: Store, made: MadeRun) -> None:
    for kinds in (gain["by_kind"] for gain in made.analysis["information_gain"].values()):
        kinds["other"] = kinds["number"]
        kinds["zzz"] = kinds["number"]
    figure = next(
        figure for figure in all_figures(made.summary, store, made.analysis).critiques if "kind" in figure.name
    )
    assert figure.json["data"][0]["x"][-2:] == ["zzz", "other"]
    assert figures["gain-by-position-of-the-token"].json["data"][0]["x"][-1] == "3–4"


def test_seeds_stand_thin_beside_their_mean(figures: dict[str, Figure]) -> None:
    curves = [curve for curve in figures["training-loss"].json["data"] if curve["name"] == "cgd"]
    assert [curve["line"]["width"] for curve in curves] == [1, 1, 2]
    assert curves[2]["y"] == pytest.approx([2, 1, 1 / 2, 1 / 3])
    assert {row["seed"] for row in rows(figures["training-loss"])} == {"0", "1"}


def test_several_benchmarks_stand_side_by_side(store: Store, made: MadeRun) -> None:
    made.summary["tasks"]["more"] = made.summary["tasks"]["sums"]
    drawn = all_figures(made.summary, store, None)
    (figure,) = drawn.benchmarks
    assert {(row["benchmark"], row["arm"], row["reading"]) for row in rows(figure)} == {
        (task, arm, "strict") for task in ("sums", "more") for arm in ("base", "sft", "cgd")
    }
    assert [figures[0].name for figures in drawn.results.values()] == ["accuracy-sums", "accuracy-more"]
    assert figure.json["data"][0]["y"][0] == "sums (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}10)"


def test_one_arm_on_several_benchmarks_has_both_accuracies_in_one_figure(store: Store, made: MadeRun) -> None:
    base = {**made.summary["tasks"]["sums"], "arms": {"base": made.summary["arms"]["base"]}}
    made.summary["tasks"] = {"sums": base, "more": base}
    drawn = all_figures(made.summary, store, None)
    assert [row["reading"] for row in rows(drawn.benchmarks[0])] == ["strict"] * 2 + ["flexible"] * 2
    assert not any(figure.name.startswith("accuracy") for figures in drawn.results.values() for figure in figures)


@pytest.mark.parametrize(
    "numbers, words", [([1], "1 reply"), ([200, 200], "200 replies"), ([1038, 40, 40], "40 to 1,038 replies")]
)
def test_how_many_there_are_is_said_in_words(numbers: list[int], words: str) -> None:
    assert counted(numbers, "reply") == words


def test_a_ledger_without_verdicts_is_not_drawn(store: Store, made: MadeRun) -> None:
    ledger = made.analysis["audits"]["ledger"]["all"]
    ledger.update({way: 0 for way in ledger if " to " in way})
    assert "ledger" not in [figure.name for figure in all_figures(made.summary, store, made.analysis).critiques]


def test_the_numbers_are_written_beside_the_page_and_old_ones_removed(
    store: Store, made: MadeRun, tmp_path: Path
) -> None:
    folder = tmp_path / "figures"
    write_csv(folder, [])
    (folder / "accuracy-of-old.csv").write_text("arm\n")
    figures = all_figures(made.summary, store, made.analysis).every()
    write_csv(folder, figures)
    assert {path.name for path in folder.iterdir()} == {f"{figure.name}.csv" for figure in figures}
    assert (folder / "accuracy-sums.csv").read_text("utf-8") == figures[0].csv


def test_benchmarks_that_make_one_file_name_get_two_files(store: Store, made: MadeRun) -> None:
    numbers = made.summary["tasks"]["sums"]
    made.summary["tasks"] = {"Sums!": numbers, "sums": numbers}
    names = [figure.name for figure in all_figures(made.summary, store, None).every()]
    assert "accuracy-sums" in names and "accuracy-sums-2" in names
    assert len(set(names)) == len(names)


def test_a_name_of_a_file_can_not_leave_its_folder() -> None:
    assert file_name("accuracy", "../../etc/passwd") == "accuracy-etc-passwd"
    assert len(file_name("a" * 300)) == 80


def test_a_name_in_a_plot_is_text_on_short_lines() -> None:
    assert label("<b>arm</b>") == "&lt;b&gt;arm&lt;/b&gt;"
    assert label("distilled sft with a placeholder") == "distilled sft<br>with a<br>placeholder"
    assert label("a" * 40) == f"{'a' * 16}<br>{'a' * 16}<br>{'a' * 8}"


def test_arms_differ_in_colour_and_in_mark() -> None:
    looks = list(arm_looks(["base", *"abcdefg"]).values())
    assert len({look.colour for look in looks}) == len({look.symbol for look in looks}) == 8
    assert len(arm_looks([str(number) for number in range(20)])) == 21


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("page", ["#ffffff", "#1a1f28"])
def test_every_colour_of_a_figure_stands_out_from_both_pages(colour: str, page: str) -> None:
    """By 3 to 1, as WCAG 2.2 asks of graphics (1.4.11)."""
    assert contrast(colour, page) >= 3
