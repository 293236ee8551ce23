"""Model cards and a data card in the Hugging Face format, filled from manifest, summary, analysis and store.

What recipe, models and users wrote is untrusted: everything that a template prints is escaped, and texts in full stand
in fences that they can't close. Where the run's files lie is told in no card.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cgd.cards.data import data_facts, data_metadata
from cgd.cards.model import checkpoint_results, model_facts, model_metadata
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.report.markdown import escape, fence
from cgd.runfolder import read_json, read_summary
from cgd.store import Store
from cgd.stored import run_recipe, stored_records


class Checkpoint(NamedTuple):
    """Whose card it is."""

    arm: str
    seed: int
    folder: Path


def write_cards(
    folder: Path, *, arm: str | None = None, licence: str | None = None, out: Path | None = None
) -> list[Path]:
    """Write `README.md` into each checkpoint's folder and beside the training rows.

    Args:
        folder: of a finished run.
        arm: whose checkpoints get a card; all where None.
        licence: of the weights, as the hub names it; told by the student's name where None, if it can be.
        out: folder for the cards, `<arm>-seed<k>/README.md` and `dataset/README.md` in it.

    Returns:
        The files, the data card last.

    Raises:
        UserError: the run is not finished or has no such arm or no checkpoints, huggingface_hub is not installed, or
            a card can't be written.
    """
    require_packages("train", "cgd card", "huggingface_hub")
    summary, manifest = read_summary(folder), read_json(folder / "manifest.json")
    if summary is None or manifest is None:
        raise UserError(f"{folder} holds no finished run (manifest.json and summary.json); start it with cgd run")
    recipe = run_recipe(folder)
    analysis = read_json(folder / "analysis.json")
    texts: dict[Path, str] = {}
    with closing(Store(folder / "run.sqlite")) as store:
        for checkpoint in _checkpoints(folder, manifest, summary, arm):
            results = checkpoint_results(store, checkpoint.arm, checkpoint.seed)
            metadata = model_metadata(recipe, summary, checkpoint.arm, checkpoint.seed, results, licence)
            facts = model_facts(recipe, manifest, summary, checkpoint.arm, checkpoint.seed, results)
            target = out / f"{checkpoint.arm}-seed{checkpoint.seed}" if out else checkpoint.folder
            texts[target / "README.md"] = _card(metadata, "model.md.jinja", facts)
        records = stored_records(store, recipe)
    rows = {path.stem: path for path in sorted((folder / "dataset").glob("*.parquet"))}
    facts = data_facts(recipe, manifest, summary, analysis, records, rows)
    target = (out or folder) / "dataset"
    texts[target / "README.md"] = _card(data_metadata(recipe, rows), "data.md.jinja", facts)
    for path, text in texts.items():
        _write(path, text)
    return list(texts)


def _checkpoints(
    folder: Path, manifest: Mapping[str, Any], summary: Mapping[str, Any], arm: str | None
) -> list[Checkpoint]:
    names = [one["name"] for one in manifest["recipe"]["arms"]]
    if arm is not None and arm not in names:
        raise UserError(f"no arm {arm!r} in this run; it has: {', '.join(names)}")
    found = [
        Checkpoint(one["arm"], one["seed"], folder / "checkpoints" / one["arm"] / f"seed{one['seed']}")
        for one in summary["training"]
        if arm in (None, one["arm"])
    ]
    there = [checkpoint for checkpoint in found if (checkpoint.folder / "config.json").is_file()]
    if not there:
        raise UserError(f"{folder / 'checkpoints'} holds no checkpoint to describe; cgd run makes what is missing")
    return there


def _card(metadata: str, template: str, facts: Mapping[str, Any]) -> str:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_safe)  # noqa: S701 - not HTML: _safe escapes
    environment.filters["fence"] = lambda text: Markup(fence(text))
    body = environment.from_string(files("cgd.cards").joinpath(template).read_text("utf-8")).render(facts)
    return f"---\n{metadata}\n---\n\n{body.strip()}\n"


def _safe(value: Any) -> str:
    """What a template prints, as Markdown that is text alone."""
    return str(value) if isinstance(value, Markup) else escape(str(value))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error
