"""Drafts, critiques and refinements, one stage after the other, as far as the arms need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cgd.config import Recipe
from cgd.generation import stages
from cgd.generation.collect import collect, retry_longer
from cgd.plugins import Backend
from cgd.records import GeneratedStage, Prompt, Record, Request
from cgd.runfolder import RunFolder
from cgd.sampling import sample
from cgd.spending import Spending
from cgd.store import Drop, Owner, StoredReply

ALL_ARMS = Owner()


class Makers(NamedTuple):
    """Who drafts, who teaches, and which texts are needed."""

    recipe: Recipe
    student: Backend
    teacher: Backend | None
    needs: frozenset[str]


class Made(NamedTuple):
    """Records as far as they came, what was left out, and how many replies were made."""

    records: list[Record]
    drops: list[Drop]
    made: int


def make_records(
    folder: RunFolder, makers: Makers, prompts: Sequence[Prompt], *, until: str | None = None, owner: Owner = ALL_ARMS
) -> Made:
    """Draft, criticise and refine whatever the store does not hold yet.

    Args:
        folder: the run.
        makers: the backends.
        prompts: one record each, or several where the recipe asks for several drafts or critiques.
        until: the last stage to run; all where None.
        owner: whose rows these are.

    Raises:
        UserError: a backend can't serve a request.
        StoppedError: too many rows of a stage failed, or the budget is spent.
    """
    done = Made([Record(prompt) for prompt in prompts], [], 0)
    for stage in stages.STAGES:
        backend = makers.student if stage == "draft" else makers.teacher
        if backend is None or not stages.is_needed(stage, makers.needs):
            folder.store.set_current(
                stage, [], **owner._asdict()
            )  # a stage that is no longer needed has no rows in use
            continue
        requests = stages.requests(stage, done.records, makers.recipe, backend.identity)
        done = _make_stage(folder, makers.recipe, stage, backend, requests, done, owner)
        if stage == "draft":
            backend.close()  # its memory is the teacher's now
        if stage == until:
            break
    if makers.teacher:
        makers.teacher.close()
    return done


def _make_stage(  # noqa: PLR0913 - one stage of one owner
    folder: RunFolder,
    recipe: Recipe,
    stage: GeneratedStage,
    backend: Backend,
    requests: Sequence[Request],
    before: Made,
    owner: Owner,
) -> Made:
    """Make a stage's replies; those cut at max_tokens a second time, longer, where the recipe says so."""
    config = recipe.generated[stage]
    section = recipe.student if stage == "draft" else recipe.teacher
    title = " ".join(filter(None, (stage, owner.arm, owner.task)))
    spending = Spending(recipe.budget, section.price if section else None)
    made = 0

    def make(asked: Sequence[Request]) -> Mapping[str, StoredReply]:
        nonlocal made
        folder.store.set_current(stage, asked, **owner._asdict())
        with folder.timed(stage):
            sampled = sample(
                folder.store,
                backend,
                asked,
                title=title,
                max_failed_share=recipe.max_failed_share,
                spending=spending,
            )
        made += sampled.made
        return sampled.replies

    replies = make(requests)
    if config.truncated == "retry":
        requests = retry_longer(requests, replies, config.longer, backend.identity, recipe.seed)
        replies = make(requests)
    records, drops = collect(stage, requests, replies, keep_truncated=config.truncated == "keep")
    return Made(records, before.drops + drops, before.made + made)
