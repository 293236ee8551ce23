"""Self-refinement at inference: the student's answer is criticised and rewritten, round after round.

It is what a user could do instead of training for one pass, and it costs tokens at every question. The student reads
(x, y') and (x, y', c) as they stand in training rows; the critic is the student itself or the run's teacher. Each
round's refinements are graded as answers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from cgd.config import Price, Recipe, SelfRefineConfig
from cgd.evaluation import predict_and_grade
from cgd.generation import critique
from cgd.plugins import Backend, Task
from cgd.prompts import student_context
from cgd.records import Record, Request, make_request
from cgd.runfolder import RunFolder
from cgd.sampling import sample
from cgd.spending import Spending
from cgd.store import Owner, StoredReply


class Refiner(NamedTuple):
    """One student on one benchmark: who answers, who criticises, how answers are graded, and whose rows they are."""

    recipe: Recipe
    options: SelfRefineConfig
    student: Backend
    teacher: Backend | None
    task: Task
    owner: Owner


def refine_answers(folder: RunFolder, refiner: Refiner, answers: Sequence[Request]) -> int:
    """Refine a benchmark's first answers; returns how many replies and grades were made.

    An item whose critique or refinement failed goes no further; it has no row in the rounds after.

    Args:
        folder: the run, whose store holds the answers.
        refiner: the student and what belongs to it.
        answers: the requests of its answers, all samples; the first sample of each prompt is refined.
    """
    first = [request for request in answers if request.sample == 0]
    records = drafts(first, folder.store.replies([request.key for request in first]))
    made, refinements = 0, []
    for number in range(1, refiner.options.rounds + 1):
        made_here, criticised = _criticise(folder, refiner, records, number)
        asked = ask_student(refiner, "self_refinement", criticised, number)
        title = f"refine {refiner.owner.arm} on {refiner.owner.task}, round {number}"
        made += made_here + predict_and_grade(folder, refiner.recipe, refiner.student, asked, refiner.task, title)
        refinements += asked
        records = drafts(asked, folder.store.replies([request.key for request in asked]))
    folder.store.set_current("self_refinement", refinements, **refiner.owner._asdict())
    return made


def drafts(requests: Sequence[Request], replies: Mapping[str, StoredReply]) -> list[Record]:
    """What was answered, as the drafts of the next round."""
    answered = [(request, replies[request.key]) for request in requests if replies[request.key].text is not None]
    return [Record(request.record.prompt, draft=reply.text, key=reply.key) for request, reply in answered]


def ask_critic(refiner: Refiner, records: Sequence[Record], number: int) -> list[Request]:
    """A round's critiques, asked of the student or of the teacher: one a draft, whatever the training rows have."""
    if refiner.options.critic == "student":
        return ask_student(refiner, "self_critique", records, number)
    config = refiner.recipe.critique.model_copy(update={"n": 1})
    return critique.requests(records, config, _critic(refiner).identity, refiner.recipe.seed)


def criticised_drafts(requests: Sequence[Request], replies: Mapping[str, StoredReply]) -> list[Record]:
    """The records of a round with their critiques, those that have one."""
    answered = [(request.record, replies[request.key]) for request in requests]
    return [replace(record, critique=reply.text, key=reply.key) for record, reply in answered if reply.text is not None]


def ask_student(
    refiner: Refiner, stage: Literal["self_critique", "self_refinement"], records: Sequence[Record], number: int
) -> list[Request]:
    """What the student is to write about each record, sampled as it answers the benchmark."""
    wanted = "critique" if stage == "self_critique" else "refinement"
    sampling = refiner.recipe.evaluation.answers(refiner.owner.task).sampling
    contexts = [
        student_context(record.prompt.messages, wanted=wanted, draft=record.draft, critique=record.critique)
        for record in records
    ]
    return [
        make_request(stage, record, context, sampling, refiner.student.identity, refiner.recipe.seed, number)
        for record, context in zip(records, contexts, strict=True)
    ]


def critic_price(refiner: Refiner) -> Price | None:
    """What the critic's tokens cost."""
    recipe = refiner.recipe
    by_teacher = refiner.options.critic == "teacher"
    return recipe.teacher.price if by_teacher and recipe.teacher else recipe.checkpoint_price


def _critic(refiner: Refiner) -> Backend:
    by_teacher = refiner.options.critic == "teacher"
    return refiner.teacher if by_teacher and refiner.teacher else refiner.student


def _criticise(folder: RunFolder, refiner: Refiner, records: Sequence[Record], number: int) -> tuple[int, list[Record]]:
    recipe, asked = refiner.recipe, ask_critic(refiner, records, number)
    sampled = sample(
        folder.store,
        _critic(refiner),
        asked,
        title=f"criticise {refiner.owner.arm} on {refiner.owner.task}, round {number}",
        max_failed_share=recipe.max_failed_share,
        spending=Spending(recipe.budget, critic_price(refiner)),
    )
    return sampled.made, criticised_drafts(asked, sampled.replies)
