"""The plan's rows of self-refinement at inference: critiques and refinements of the students' own answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cgd import evaluation
from cgd.chat import encode_chat
from cgd.plan.answers import evaluated_models
from cgd.plan.known import count, stored_of
from cgd.plan.lengths import Lengths, choose, mean_of, stand_in
from cgd.plan.numbers import NOTHING, Counted, Row
from cgd.plan.rows import Inputs, extrapolate
from cgd.records import Record, Request
from cgd.resolve import checkpoint_backend
from cgd.self_refine import Refiner, ask_critic, ask_student, critic_price, criticised_drafts, drafts
from cgd.store import Owner, Store
from cgd.training.arms import Job


class Sides(NamedTuple):
    """Of critiques and of refinements."""

    critiques: Counted
    refinements: Counted


def refining_rows(inputs: Inputs, checkpoints: Sequence[Job]) -> list[Row]:
    """Two rows a task: every model's critiques, or the teacher's of its answers, and its refinements."""
    options, recipe = inputs.recipe.evaluation.self_refine, inputs.recipe
    if options is None:
        return []
    rows = []
    for label, prompts in inputs.prompts.evaluation.items():
        refiner = _refiner(inputs, label, recipe.student.model)
        by_teacher = options.critic == "teacher"
        sampling = recipe.evaluation.answers(label).sampling
        critique_tokens = recipe.critique.max_tokens if by_teacher else sampling.max_tokens
        requests = evaluated_models(inputs, checkpoints).number * len(prompts) * options.rounds
        stored = _stored(inputs, label, checkpoints)
        longest = _longest(inputs, refiner, label, sampling.max_tokens, critique_tokens)
        critiques = _row("self_critique", label, stored.critiques, requests, longest[0], critique_tokens)
        refinements = _row("self_refinement", label, stored.refinements, requests, longest[1], sampling.max_tokens)
        rate = inputs.rates.get("evaluation")
        critic_rate = inputs.rates.get("critique") if by_teacher else rate
        rows += [
            critiques._replace(price=critic_price(refiner), rate=critic_rate),
            refinements._replace(price=recipe.checkpoint_price, rate=rate),
        ]
    return rows


def _row(stage: str, label: str, stored: Counted, requests: int, prompt: Lengths, max_tokens: int) -> Row:
    left = requests - stored.requests
    at_most = Counted(requests, stored.prompt_tokens + left * prompt.at_most, stored.new_tokens + left * max_tokens)
    return Row(stage, label, stored, extrapolate(stored, requests), at_most, starts=0)  # the answers loaded the weights


def _refiner(inputs: Inputs, label: str, model: str) -> Refiner:
    options = inputs.recipe.evaluation.self_refine
    assert options is not None, "asked of recipes that refine"
    student, task = checkpoint_backend(inputs.recipe, model), inputs.prompts.tasks[label]
    return Refiner(inputs.recipe, options, student, inputs.resolved.teacher, task, Owner(label))


def _longest(
    inputs: Inputs, refiner: Refiner, label: str, answer_tokens: int, critique_tokens: int
) -> tuple[Lengths, Lengths]:
    """Prompt tokens of a critique and of a refinement, were all texts before them as long as they may be."""
    prompts = inputs.prompts.evaluation[label]
    critic = inputs.teacher_tokenizer if refiner.options.critic == "teacher" else inputs.tokenizer
    answer, critique = stand_in(critic, answer_tokens), stand_in(inputs.tokenizer, critique_tokens)
    chosen = [Record(prompt, draft=answer) for prompt in choose(prompts, inputs.recipe.seed)]
    asked = ask_critic(refiner, chosen, 1)
    answer = stand_in(inputs.tokenizer, answer_tokens)
    chosen = [Record(record.prompt, draft=answer, critique=critique) for record in chosen]
    then = ask_student(refiner, "self_refinement", chosen, 1)
    return (
        mean_of([len(encode_chat(critic, request.messages)) for request in asked], len(prompts)),
        mean_of([len(encode_chat(inputs.tokenizer, request.messages)) for request in then], len(prompts)),
    )


def _stored(inputs: Inputs, label: str, checkpoints: Sequence[Job]) -> Sides:
    """What the models that are there have stored, followed from their answers round by round."""
    if inputs.folder is None:
        return Sides(NOTHING, NOTHING)
    store, recipe = inputs.folder.store, inputs.recipe
    critiques: set[str] = set()
    refinements: set[str] = set()
    for model in evaluated_models(inputs, checkpoints).found:
        refiner = _refiner(inputs, label, model)
        tests, identity = inputs.prompts.evaluation[label], refiner.student.identity
        answers = evaluation.requests(tests, recipe.evaluation, identity, recipe.seed, label)
        records = _drafts(store, [request for request in answers if request.sample == 0])
        for number in range(1, refiner.options.rounds + 1):
            asked = stored_of(store, ask_critic(refiner, records, number))
            criticised = criticised_drafts(asked, store.replies([request.key for request in asked]))
            refined = stored_of(store, ask_student(refiner, "self_refinement", criticised, number))
            critiques |= {request.key for request in asked}
            refinements |= {request.key for request in refined}
            records = _drafts(store, refined)
    return Sides(count(store, critiques), count(store, refinements))


def _drafts(store: Store, asked: Sequence[Request]) -> list[Record]:
    there = stored_of(store, asked)
    return drafts(there, store.replies([request.key for request in there]))
