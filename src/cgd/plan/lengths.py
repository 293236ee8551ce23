"""How long requests and training rows can be, in tokens, before any text is generated.

A text that is not there yet is stood in for by one of as many tokens as its `max_tokens` allow; then the stages' and
objectives' own functions say what would be sent or trained on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.analysis.statistics import mean_interval
from cgd.chat import encode_chat, encode_text, load_tokenizer
from cgd.config import BackendConfig, GeneratedConfig, Recipe
from cgd.dataset.build import training_rows
from cgd.generation import stages
from cgd.models import BUILT_IN, model_folder
from cgd.plan.numbers import OverLength
from cgd.records import Prompt, Record
from cgd.resolve import Resolved
from cgd.training.completion_only import EncodedRow, LossyTarget, encode_example

_SAMPLE = 200  # prompts that are looked at


class Lengths(NamedTuple):
    """Tokens of one request or row: the mean, and the most that the mean over all of them may be."""

    mean: float
    at_most: float


class Bounds(NamedTuple):
    """Lengths before anything is generated."""

    prompt: dict[str, Lengths]
    """Prompt tokens of a request, by stage."""
    context: dict[str, Lengths]
    target: dict[str, Lengths]
    """Tokens of a training row, by arm."""
    over_length: OverLength
    sampled: int
    """Prompts looked at."""


def mean_of(lengths: Sequence[int], population: int) -> Lengths:
    """The mean; at most the upper end of its 95% interval where the lengths are only a sample of the population."""
    mean = sum(lengths) / len(lengths)
    longest = max(lengths)
    if len(lengths) >= population or longest == 0:
        return Lengths(mean, mean)
    return Lengths(mean, longest * mean_interval([length / longest for length in lengths]).upper)


def share_of(too_long: Sequence[bool], population: int, real: bool) -> OverLength:
    """How many rows are too long, with the interval where they are only a sample."""
    share = sum(too_long) / len(too_long)
    whole = len(too_long) >= population
    interval = (share, share) if whole else tuple(mean_interval([float(one) for one in too_long]))
    return OverLength(share, (interval[0], interval[1]), len(too_long), real)


def choose(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    """At most 200 of the prompts, at random."""
    return list(prompts) if len(prompts) <= _SAMPLE else random.Random(seed).sample(prompts, _SAMPLE)


def prompt_lengths(tokenizer: Any, prompts: Sequence[Prompt], seed: int) -> Lengths:
    """Tokens of prompts as the student gets them."""
    chosen = choose(prompts, seed)
    return mean_of([len(encode_chat(tokenizer, prompt.messages)) for prompt in chosen], len(prompts))


def longest_reply(config: GeneratedConfig) -> int:
    """Most tokens of a reply that goes on to the next stage."""
    return config.longer.max_tokens if config.truncated == "retry" else config.max_tokens


def bounds(recipe: Recipe, resolved: Resolved, prompts: Sequence[Prompt], student: Any, teacher: Any) -> Bounds:
    """Lengths of requests and training rows, over a sample of the training prompts.

    Args:
        recipe: the recipe.
        resolved: its plug-ins.
        prompts: the training prompts.
        student: the student's tokenizer.
        teacher: the tokenizer that counts the teacher's prompts.

    Raises:
        UserError: a prompt file or chat template refuses, or no prompt has what the arms need.
    """
    single = recipe.model_copy(
        update={
            "draft": recipe.draft.model_copy(update={"n": 1}),
            "critique": recipe.critique.model_copy(update={"n": 1}),
        }
    )
    chosen = choose(prompts, recipe.seed)
    records = [Record(prompt) for prompt in chosen]
    lengths: dict[str, Lengths] = {}
    for stage in stages.STAGES:
        if not stages.is_needed(stage, resolved.needs):
            continue
        tokenizer = student if stage == "draft" else teacher
        requests = stages.requests(stage, records, single, {})
        lengths[stage] = mean_of([len(encode_chat(tokenizer, r.messages)) for r in requests], len(prompts))
        text = stand_in(tokenizer, longest_reply(recipe.generated[stage]))
        records = [request.record.with_reply(stage, request.key, text) for request in requests]
    rows = encoded_rows(records, resolved, student)
    of_arm = {arm: [row for row in arm_rows if row] for arm, arm_rows in rows.items()}
    context = {arm: [len(r.input_ids) - r.target_tokens for r in of_arm[arm]] or [0] for arm in of_arm}
    target = {arm: [r.target_tokens for r in of_arm[arm]] or [0] for arm in of_arm}
    return Bounds(
        lengths,
        {arm: mean_of(values, len(prompts)) for arm, values in context.items()},
        {arm: mean_of(values, len(prompts)) for arm, values in target.items()},
        share_of(unusable(rows, recipe.training.max_length), len(prompts), real=False),
        len(chosen),
    )


def encoded_rows(records: Sequence[Record], resolved: Resolved, tokenizer: Any) -> dict[str, list[EncodedRow | None]]:
    """Every arm's training rows as tokens; None where the tokenizer does not give a target back.

    Raises:
        UserError: no record has what the arms need.
    """
    rows, _ = training_rows(records, resolved.objectives)
    encoded: dict[str, list[EncodedRow | None]] = {arm: [] for arm in rows}
    for arm, arm_rows in rows.items():
        for row in arm_rows:
            try:
                encoded[arm].append(encode_example(tokenizer, row.example))
            except LossyTarget:
                encoded[arm].append(None)
    return encoded


def unusable(rows: Mapping[str, Sequence[EncodedRow | None]], max_length: int) -> list[bool]:
    """Which records training leaves out, because one arm's row is too long or can't be encoded."""
    return [
        any(row is None or len(row.input_ids) > max_length for row in of_all)
        for of_all in zip(*rows.values(), strict=True)
    ]


def stand_in(tokenizer: Any, tokens: int) -> str:
    """A text of at least so many tokens, and hardly more."""
    probe = 64
    a_word = len(encode_text(tokenizer, " ".join("x" * probe))) / probe
    return " ".join("x" * math.ceil(tokens / a_word))


def tokenizer_of(section: BackendConfig) -> Any:
    """The tokenizer of a section's model where it lies on this machine; None elsewhere (a server's model, say)."""
    model = section.model
    if model is None:
        return None
    path = Path(model).expanduser()
    folder = path.parent if path.suffix == ".gguf" else path
    if model in BUILT_IN:
        folder = model_folder(model)
    elif not folder.is_dir():
        folder = _cached(model) or folder
    return load_tokenizer(folder) if folder.is_dir() else None


def _cached(model: str) -> Path | None:
    """Folder of a hub model that is in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        file = try_to_load_from_cache(model, "tokenizer_config.json")
    except HFValidationError:  # the name of a server's model is no hub id
        return None
    return Path(file).parent if isinstance(file, str) else None
