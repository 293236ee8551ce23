"""The library's face: read a recipe, run it, and look at what a run made.

recipe = cgd.load_recipe("configs/quickstart.toml", overrides=["data.n=64"])
made = cgd.run(recipe)
made.predictions().to_frame().groupby("arm").strict.mean()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgd import pipeline, recipe
from cgd.config import Recipe
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.records import Record
from cgd.runfolder import read_json, read_summary
from cgd.store import Store, load_messages
from cgd.stored import run_recipe, stored_records

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

_VERDICTS = ("strict", "flexible", "format")


def load_recipe(*paths: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        paths: TOML files, one or more; later ones win key by key.
        overrides: `section.key=value` strings, which win over the files.

    Raises:
        UserError: a file is missing or malformed, or a value is not allowed.
    """
    if not paths:
        raise UserError("load_recipe needs the path of at least one TOML file")
    return recipe.load_recipe(paths, overrides)


def run(recipe: Recipe, runs: str | Path = "runs", *, accept_changes: bool = False) -> Run:
    """Run a recipe end to end, or whatever of it is missing; as `cgd run` does.

    Args:
        recipe: what to run.
        runs: folder of all runs; this one's is `runs/<name>`.
        accept_changes: go on although the folder was begun with another recipe.

    Returns:
        The finished run.

    Raises:
        UserError: something that the user can mend, in one message.
        StoppedError: too many rows of a stage failed, or the budget is spent; the same call goes on.
    """
    result = pipeline.run(recipe, Path(runs), accept_changes=accept_changes, command=["cgd.run"])
    return Run(result.folder)


class Rows(list[dict[str, Any]]):
    """Rows as a list of dicts, which other tools can have in their own shape."""

    def to_dataset(self) -> Dataset:
        """The rows as a `datasets.Dataset`.

        Raises:
            UserError: the package is not installed.
        """
        require_packages("train", "to_dataset()", "datasets")
        from datasets import Dataset

        return Dataset.from_list(list(self))

    def to_frame(self) -> DataFrame:
        """The rows as a `pandas.DataFrame`.

        Raises:
            UserError: the package is not installed.
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError as error:
            raise UserError("to_frame() needs the package pandas: pip install pandas") from error
        return DataFrame(list(self))


class Run:
    """A run's folder, running or finished, to be read; nothing of it is changed."""

    def __init__(self, folder: str | Path) -> None:
        """Open a run.

        Args:
            folder: `runs/<name>`.

        Raises:
            UserError: the folder holds no run.
        """
        self.folder = Path(folder)
        if not (self.folder / "run.sqlite").is_file():
            raise UserError(f"{self.folder} holds no run (run.sqlite); start one with cgd.run or cgd run")

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def recipe(self) -> Recipe:
        """The recipe that it was last begun with, defaults filled in.

        Raises:
            UserError: nothing was made yet, or another version of cgd made it.
        """
        return run_recipe(self.folder)

    @property
    def summary(self) -> dict[str, Any]:
        """Its `summary.json`, as docs/statistics.md explains it; empty until the run is finished.

        Raises:
            UserError: another version of cgd wrote it.
        """
        return read_summary(self.folder) or {}

    @property
    def analysis(self) -> dict[str, Any]:
        """Its `analysis.json`; empty until `cgd analyze` has run."""
        return read_json(self.folder / "analysis.json") or {}

    @property
    def report(self) -> Path:
        """Its report, a web page."""
        return self.folder / "report" / "index.html"

    @property
    def checkpoints(self) -> dict[tuple[str, int], Path]:
        """Folders of trained students by arm and seed, each a complete model with its tokenizer."""
        with self._store() as store:
            rows = store.query("SELECT arm, seed FROM checkpoints ORDER BY rowid")
        return {
            (row["arm"], row["seed"]): self.folder / "checkpoints" / row["arm"] / f"seed{row['seed']}" for row in rows
        }

    def records(self) -> Rows:
        """The records (x, y', c, ŷ, y*), in the run's order, as far as they have come.

        Returns:
            Rows of `id`, `prompt_id`, `prompt` (chat messages), `draft`, `critique`, `refinement`, `teacher_answer`,
            `solution` and `answer`; None for what the run does not make.
        """
        with self._store() as store:
            return Rows(map(_record, stored_records(store, self.recipe)))

    def predictions(self) -> Rows:
        """Answers to the benchmarks' prompts and the verdicts on them.

        Returns:
            Rows of `task`, `arm` (`base` is the untrained student), `seed`, `sample`, `prompt_id`, `prompt` (chat
            messages), `gold`, `text`, `state` (done, truncated or failed), `strict`, `flexible`, `format` (None: no
            verdict), `extracted`, `reason` and `completion_tokens`.
        """
        columns = "task, arm, seed, sample, prompt_id, prompt, gold, text, state, strict, flexible, format, extracted"
        with self._store() as store:
            rows = store.query(f"SELECT {columns}, reason, completion_tokens FROM predictions WHERE state IS NOT NULL")
        return Rows(
            {
                **dict(row),
                "prompt": load_messages(row["prompt"]),
                **{name: None if row[name] is None else bool(row[name]) for name in _VERDICTS},
            }
            for row in rows
        )

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self.folder / "run.sqlite")
        try:
            yield store
        finally:
            store.close()


def _record(record: Record) -> dict[str, Any]:
    return {"id": record.id, "prompt_id": record.prompt.id, **record.texts()}
