"""A run's records and training rows, read back from its store: nothing is generated, no weights are needed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple

from cgd.config import GeneratedConfig, Recipe
from cgd.controls import controls_of
from cgd.data import choose_prompts
from cgd.dataset.build import read_weights, training_rows
from cgd.errors import UserError
from cgd.plugins import build_objective
from cgd.records import Prompt, Record, TrainingRow
from cgd.runfolder import read_json
from cgd.store import Drop, Store, load_messages
from cgd.validation import validate


class StoredRows(NamedTuple):
    """What an arm or an objective trains on: record and row index by index, and what is incomplete."""

    recipe: Recipe
    name: str
    """Of the arm, or of the objective."""
    records: list[Record]
    rows: list[TrainingRow]
    left_out: list[Drop]


def stored_rows(folder: Path, store: Store, *, objective: str | None, arm: str | None) -> StoredRows:
    """Training rows of one of the run's arms, or of any objective that its records have enough for.

    An arm has the rows that all arms share, before any is left out for its length; an objective has every row that it
    can make.

    Args:
        folder: the run.
        store: its store.
        objective: name of the objective, which has its default options.
        arm: name of an arm of the run's recipe, in place of an objective.

    Raises:
        UserError: not one of the two, no such arm or objective, or no record has what it needs.
    """
    recipe = run_recipe(folder)
    arms = {section.name: section for section in recipe.arms}
    if (objective is None) == (arm is None):
        raise UserError(f"give --arm (this run's: {', '.join(arms)}) or --objective, one of the two")
    if objective is not None:
        name, objectives = objective, {objective: build_objective(objective, {})}
    elif arm in arms:
        name, objectives = arm, {a.name: build_objective(a.objective, a.options) for a in recipe.arms}
    else:
        raise UserError(f"no arm {arm!r} in this run; it has: {', '.join(arms)}")
    records = stored_records(store, recipe)
    if arm is None:
        rows, left_out = training_rows(records, objectives)
    else:
        filtered = {row["record_id"] for row in store.query("SELECT record_id FROM drops WHERE stage = 'filters'")}
        records = [record for record in records if record.id not in filtered]
        rows, left_out = training_rows(records, objectives, controls=controls_of(recipe))
        if recipe.dataset.weight_by_gain:
            rows[name] = _weighted(rows[name], folder / "dataset" / f"{name}.parquet")
    by_id = {record.id: record for record in records}
    return StoredRows(recipe, name, [by_id[row.record_id] for row in rows[name]], rows[name], left_out)


def _weighted(rows: list[TrainingRow], dataset: Path) -> list[TrainingRow]:
    """The rows with the weights that the run gave them."""
    if not dataset.is_file():
        raise UserError(f"rows are weighted by gain, and {dataset} is not there yet; cgd run writes it")
    weights = read_weights(dataset)
    return [row._replace(weight=weights[row.record_id]) for row in rows]


def run_recipe(folder: Path) -> Recipe:
    """The recipe that a run was last begun with.

    Raises:
        UserError: the folder has no manifest, or one that this version can't read.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        raise UserError(f"{folder} holds no manifest.json; begin the run with cgd run")
    return validate(Recipe, manifest["recipe"], str(folder / "manifest.json"))


def stored_records(store: Store, recipe: Recipe) -> list[Record]:
    """Records in the run's order, as far as their replies are there.

    They are those of the first round, which all arms share. Failed rows are left out, and replies cut at `max_tokens`
    unless the recipe keeps them. A run whose arms need no replies has its prompts alone.
    """
    prompts = {row["id"]: _prompt(row) for row in store.query("SELECT * FROM prompts")}
    asked = {stage: store.query(_CURRENT, (stage,)) for stage in recipe.generated}
    if not any(asked.values()):
        return [Record(prompt) for prompt in choose_prompts(recipe).training]
    usable = {stage: [row for row in rows if _usable(row, recipe.generated[stage])] for stage, rows in asked.items()}
    records = [
        Record(prompts[row["prompt_id"]]).with_reply("draft", row["key"], row["text"]) for row in usable["draft"]
    ]
    later: tuple[Literal["critique", "refinement"], ...] = ("critique", "refinement")
    for stage in later:
        if asked[stage]:
            before = {record.key: record for record in records}
            known = [row for row in usable[stage] if row["upstream_key"] in before]
            records = [before[row["upstream_key"]].with_reply(stage, row["key"], row["text"]) for row in known]
    if asked["teacher_answer"]:
        answers = {row["prompt_id"]: row for row in usable["teacher_answer"]}
        if not asked["draft"]:
            records = [Record(prompts[prompt_id]) for prompt_id in answers]
        rows = [(record, answers[record.prompt.id]) for record in records if record.prompt.id in answers]
        records = [record.with_reply("teacher_answer", row["key"], row["text"]) for record, row in rows]
    return records


_CURRENT = """
SELECT u.prompt_id, r.key, r.upstream_key, r.state, r.text
FROM current AS u LEFT JOIN replies AS r ON r.key = u.key
WHERE u.stage = ? AND u.task = '' ORDER BY u.position
"""


def _usable(row: sqlite3.Row, config: GeneratedConfig) -> bool:
    return row["text"] is not None and (row["state"] == "done" or config.truncated == "keep")


def _prompt(row: sqlite3.Row) -> Prompt:
    messages = tuple(load_messages(row["messages"]))
    return Prompt(row["id"], messages, row["answer"], row["solution"], row["source"], json.loads(row["meta"]))
