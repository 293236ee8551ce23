"""The plan's rows of answers to test prompts: by models that are evaluated, and by those among which one is chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cgd import evaluation
from cgd.plan.known import count, stored_keys
from cgd.plan.lengths import prompt_lengths
from cgd.plan.numbers import NOTHING, Counted, Row
from cgd.plan.rows import Inputs, extrapolate
from cgd.records import Prompt, Request
from cgd.resolve import checkpoint_backend
from cgd.training.arms import Job


class Models(NamedTuple):
    """How many models answer in a whole run, and those of them that are there."""

    number: int
    found: list[str]


def answer_rows(inputs: Inputs, checkpoints: Sequence[Job]) -> list[Row]:
    """One row a benchmark, and before them one where checkpoints are chosen by held-out prompts."""
    rows = []
    if inputs.prompts.held_out:
        rows.append(_row(inputs, "selection", None, inputs.prompts.held_out, candidates(inputs, checkpoints)))
    models = evaluated_models(inputs, checkpoints, kept=inputs.recipe.evaluation.checkpoints == "kept")
    rows += [_row(inputs, "evaluation", label, tests, models) for label, tests in inputs.prompts.evaluation.items()]
    return rows


def evaluated_models(inputs: Inputs, checkpoints: Sequence[Job], *, kept: bool = False) -> Models:
    """The base student and the selected checkpoint of every arm and seed; `kept` adds those along the way."""
    config = inputs.recipe.training
    chosen = {job: {_selected(inputs, job), *(_steps(inputs, job) if kept else ())} for job in checkpoints}
    to_come = len(inputs.recipe.arms) * len(config.seeds) - len(checkpoints)
    places = [str(place) for found in chosen.values() for place in sorted(found)]
    number = len(places) + to_come * (config.keep_checkpoints if kept else 1)
    return Models(1 + number, [inputs.recipe.student.model, *places])


def candidates(inputs: Inputs, checkpoints: Sequence[Job]) -> Models:
    """The kept checkpoints of every arm and seed, the last ones among them."""
    config = inputs.recipe.training
    places = [str(place) for job in checkpoints for place in (*_steps(inputs, job), _last(inputs, job))]
    to_come = len(inputs.recipe.arms) * len(config.seeds) - len(checkpoints)
    return Models(len(places) + to_come * config.keep_checkpoints, places)


def _last(inputs: Inputs, job: Job) -> Path:
    assert inputs.folder is not None, "it has checkpoints"
    return inputs.folder.checkpoint(*job)


def _steps(inputs: Inputs, job: Job) -> list[Path]:
    return sorted(_last(inputs, job).glob("step-*"))


def _selected(inputs: Inputs, job: Job) -> Path:
    """What the training's account says; the last one before it says anything."""
    assert inputs.folder is not None, "it has checkpoints"
    found = inputs.folder.store.query("SELECT info FROM checkpoints WHERE arm = ? AND seed = ?", job)
    selected = json.loads(found[0]["info"]).get("selected", "last") if found else "last"
    return _last(inputs, job) if selected == "last" else _last(inputs, job) / selected


def _row(inputs: Inputs, stage: str, label: str | None, prompts: Sequence[Prompt], models: Models) -> Row:
    recipe = inputs.recipe
    prompt = prompt_lengths(inputs.tokenizer, prompts, recipe.seed)
    sampling, samples = recipe.evaluation.answers(label)
    stored, requests = NOTHING, models.number * len(prompts) * samples
    if inputs.folder is not None:
        asked = {request.key: request for model in models.found for request in _asked(inputs, label, prompts, model)}
        stored = count(inputs.folder.store, stored_keys(inputs.folder.store, list(asked.values())))
        # Models of the same weights, such as those before the first step that learns, share their answers.
        requests = len(asked) + (models.number - len(models.found)) * len(prompts) * samples
    left = requests - stored.requests
    at_most = Counted(
        requests, stored.prompt_tokens + left * prompt.at_most, stored.new_tokens + left * sampling.max_tokens
    )
    expected = extrapolate(stored, requests, prompt.mean)
    rate, name = inputs.rates.get("evaluation"), label or recipe.data.task
    return Row(stage, name, stored, expected, at_most, recipe.checkpoint_price, rate, starts=models.number)


def _asked(inputs: Inputs, label: str | None, prompts: Sequence[Prompt], model: str) -> list[Request]:
    identity = checkpoint_backend(inputs.recipe, model).identity
    return evaluation.requests(prompts, inputs.recipe.evaluation, identity, inputs.recipe.seed, label)
