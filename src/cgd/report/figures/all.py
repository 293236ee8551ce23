"""All figures of a report by its sections, each under a name of its own, and their numbers as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cgd.report.figures.accuracy import accuracy_figure, benchmarks_figure
from cgd.report.figures.critiques import analysis_figures
from cgd.report.figures.drift import drift_figures
from cgd.report.figures.figure import Figure, arm_looks
from cgd.report.figures.lengths import reply_lengths, text_lengths
from cgd.report.figures.samples import reliability_figure, samples_figure
from cgd.report.figures.training import training_figures
from cgd.store import Store


class Figures(NamedTuple):
    """Figures by the section of the page that they stand in."""

    benchmarks: list[Figure]
    """Of all benchmarks together."""
    results: dict[str, list[Figure]]
    """By benchmark."""
    measures: list[Figure]
    critiques: list[Figure]
    data: list[Figure]
    training: list[Figure]

    def every(self) -> list[Figure]:
        """All of them, in the order of the page."""
        results = [figure for figures in self.results.values() for figure in figures]
        return [*self.benchmarks, *results, *self.measures, *self.critiques, *self.data, *self.training]


def all_figures(summary: Mapping[str, Any], store: Store, analysis: Mapping[str, Any] | None) -> Figures:
    """Every figure that has numbers.

    Args:
        summary: as `cgd.analysis.summary.summarise` returns it, and what the pipeline adds.
        store: the run's store.
        analysis: of the run, where it was analysed.
    """
    evaluated = [arm for numbers in summary["tasks"].values() for arm in numbers["arms"]]
    trained = [row["arm"] for row in store.query("SELECT arm FROM checkpoints ORDER BY rowid")]
    looks, taken = arm_looks([*evaluated, *trained]), Counter[str]()

    def apart(figures: Iterable[Figure]) -> list[Figure]:
        return [_named_apart(figure, taken) for figure in figures]

    tasks = {task: numbers["arms"] for task, numbers in summary["tasks"].items()}
    all_in_one = len(tasks) > 1 and len(set(evaluated)) == 1
    drift = summary.get("drift", {})
    drifts = [
        figure for task in tasks for figure in drift_figures(task, drift.get(task, {}), looks, summary["training"])
    ]
    lengths = [figure for task in tasks for figure in reply_lengths(store, task, looks)]
    return Figures(
        benchmarks=apart(_drawn(benchmarks_figure(tasks, looks))),
        results={
            task: apart(
                _drawn(
                    None if all_in_one else accuracy_figure(task, arms),
                    samples_figure(task, arms, looks),
                    reliability_figure(task, arms, looks),
                )
            )
            for task, arms in tasks.items()
        },
        measures=apart([*drifts, *lengths]),
        critiques=apart(analysis_figures(analysis)),
        data=apart(text_lengths(store)),
        training=apart(training_figures(store, looks)),
    )


def write_csv(folder: Path, figures: Iterable[Figure]) -> None:
    """Write the numbers of each figure as `<name>.csv`; those of figures that are no more are removed.

    Args:
        folder: that holds nothing else.
        figures: with names of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for figure in figures:
        (folder / f"{figure.name}.csv").write_text(figure.csv, encoding="utf-8")


def _drawn(*figures: Figure | None) -> list[Figure]:
    """Those that have numbers."""
    return [figure for figure in figures if figure]


def _named_apart(figure: Figure, taken: Counter[str]) -> Figure:
    """Names of benchmarks may differ in characters that no file name has."""
    taken[figure.name] += 1
    return figure if taken[figure.name] == 1 else figure._replace(name=f"{figure.name}-{taken[figure.name]}")
