"""The plan's rows of rounds after the first: what an arm's trained students draft, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cgd.plan.numbers import NOTHING, Counted, Row
from cgd.plan.rows import Generated, Inputs, Trained, generated_rows, training_rows
from cgd.resolve import checkpoint_backend
from cgd.training.arms import Job


class LaterRounds(NamedTuple):
    """Their rows, each over all seeds of an arm, and the checkpoints that a run would find at the end."""

    rows: list[Row]
    checkpoints: list[Job]


def later_rounds(inputs: Inputs, first: Generated, trained: Trained) -> LaterRounds:
    """Follow each arm and seed through its rounds, as far as its checkpoints are there.

    Args:
        inputs: what is planned.
        first: the first round's generating stages; they say how later ones are expected to go.
        trained: the first round's trainings.
    """
    typical = {row.name: row.stored for row in trained.rows}
    rows: list[Row] = []
    found = set(trained.checkpoints)
    for arm in inputs.recipe.arms:
        jobs = [(arm.name, seed) for seed in inputs.recipe.training.seeds]
        for number in range(2, arm.rounds + 1):
            of_seeds = [_round(inputs, first, typical, job, number, begun=job in found) for job in jobs]
            rows += [_over_seeds(parts, f"{arm.name} round {number}") for parts in zip(*of_seeds, strict=True)]
            done = {job for job, parts in zip(jobs, of_seeds, strict=True) if parts[-1].done}
            found = found - set(jobs) | done
    return LaterRounds(rows, sorted(found))


def _round(  # noqa: PLR0913 - one round of one arm and seed
    inputs: Inputs, first: Generated, typical: Mapping[str, Counted], job: Job, number: int, *, begun: bool
) -> list[Row]:
    """Rows of the generating stages, and the training's as the last one."""
    arm, seed = job
    objective = inputs.resolved.objectives[arm]
    training = inputs.recipe.training.model_copy(update={"seeds": (seed,)})
    alone = inputs._replace(
        recipe=inputs.recipe.model_copy(update={"training": training}),
        resolved=inputs.resolved._replace(objectives={arm: objective}, needs=objective.needs),
        folder=inputs.folder if begun else None,
        round=number,
    )
    if alone.folder is None:
        generated = generated_rows(alone, None, first.known)
        trained = training_rows(alone, generated.flow, None, typical)
    else:
        student = alone.folder.checkpoint(arm, seed, number - 1)
        generated = generated_rows(alone, checkpoint_backend(alone.recipe, str(student)), first.known)
        trained = training_rows(alone, generated.flow, student, typical)
    # The teacher's own answers are those of the first round.
    return [*(row for row in generated.rows if row.stage != "teacher_answer"), *trained.rows]


def _over_seeds(rows: Sequence[Row], name: str) -> Row:
    stored, expected, at_most = NOTHING, NOTHING, NOTHING
    for row in rows:
        stored, expected, at_most = stored.plus(row.stored), expected.plus(row.expected), at_most.plus(row.at_most)
    return rows[0]._replace(
        name=name,
        stored=stored,
        expected=expected,
        at_most=at_most,
        steps=sum(row.steps for row in rows),
        done=sum(row.done for row in rows) / len(rows),
        starts=len(rows),
    )
