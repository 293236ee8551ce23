"""Format drift: in what an arm's replies differ from the untrained student's to the same prompts, part by part.

There is no score that sums the parts up: a longer reply, a lost answer line and talk about a critique are different
things. Failed predictions have no text and count nowhere; replies cut at the token limit count like others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cgd.analysis.drift_divergence import divergence
from cgd.analysis.drift_language import languages
from cgd.analysis.statistics import CONFIDENCE, SEED, mean_interval, paired_interval
from cgd.metatalk import ends_in_loop, has_critique_talk, has_refinement_talk, is_refusal
from cgd.store import Store

T = TypeVar("T")

BASE = "base"
_PREDICTIONS = """
SELECT prompt_id, prompt, text, completion_tokens, strict, flexible, format FROM graded
WHERE stage IN ('prediction', 'checkpoint') AND task = ? AND arm = ? AND text IS NOT NULL
"""
_RESAMPLES = 1000

FirstToken = Callable[[str], str]
"""The first token of a text, as text."""
Rows = Sequence[Mapping[str, Any]]
"""Predictions with the columns of `_PREDICTIONS`, as the store's view `predictions` has them."""


class _Traits(NamedTuple):
    """What was measured on an arm's replies: values of each prompt's replies by prompt id."""

    rates: dict[str, dict[str, list[bool]]]
    """By name of the rate; a prompt is absent where no reply of it tells."""
    tokens: dict[str, list[int]]
    first_tokens: dict[str, list[str]]
    lengths: dict[str, list[int]]


def drift(
    store: Store, arms: Sequence[str], tasks: Sequence[str], first_token: FirstToken
) -> dict[str, dict[str, Any]]:
    """`drift_of` for every task and arm of a run against `base`, by task and arm.

    Args:
        store: the run's store.
        arms: names of arms, and `arm@step` for checkpoints kept along a training; base itself, and one without replies,
            is left out.
        tasks: labels of tasks; one without replies of base has no arms.
        first_token: by the student's tokenizer.
    """
    account: dict[str, dict[str, Any]] = {}
    for task in tasks:
        base = _measure(_rows(store, task, BASE), first_token)
        measured = {arm: _measure(_rows(store, task, arm), first_token) for arm in arms if arm != BASE}
        account[task] = {
            arm: _compare(traits, base) for arm, traits in measured.items() if traits.tokens and base.tokens
        }
    return account


def drift_of(rows: Rows, base_rows: Rows, first_token: FirstToken) -> dict[str, Any]:
    """Drift of one set of replies to a task's prompts (of an arm, or of a kept checkpoint) from another.

    All seeds and samples of a prompt are averaged first; the sample is the prompts.

    Args:
        rows: predictions with `prompt_id`, `prompt` (messages as JSON), `text`, `completion_tokens`, and the verdicts
            `strict`, `flexible`, `format` (None where there is none). Rows without a text are left out.
        base_rows: those of the untrained student.
        first_token: by the student's tokenizer.

    Returns:
        `n` prompts with a reply in both; `rates`, `length`, `first_token`, `length_distribution`.

        - `rates`: for `strict_format` (the asked format was followed), `lost_to_format` (flexible right, strict wrong:
          the gap flexible − strict), `critique_talk`, `refinement_talk`, `refusal`, `repetition`, `language` (the reply
          is in the prompt's language; only where both show one): `rate`, `ci95` and `n` prompts, `base`, and on
          `n_paired` prompts `difference` to base with `difference_ci95`; None where nothing tells.
        - `length`: mean completion `tokens`, `base`, and their `ratio` on the same prompts with `ci95`, a percentile
          bootstrap over prompts.
        - `first_token` and `length_distribution`: what `divergence` gives, lengths in half octaves: ⌊2 log₂ tokens⌋.
    """
    return _compare(_measure(rows, first_token), _measure(base_rows, first_token))


def _rows(store: Store, task: str, arm: str) -> Rows:
    return [dict(row) for row in store.query(_PREDICTIONS, (task, arm))]


def _measure(rows: Rows, first_token: FirstToken) -> _Traits:
    rows = [row for row in rows if row["text"] is not None]
    prompts = {text: json.loads(text)[-1]["content"] for text in {row["prompt"] for row in rows}}
    language = languages([*prompts.values(), *(row["text"] for row in rows)])

    def same_language(row: Mapping[str, Any]) -> bool | None:
        of_reply, of_prompt = (language or {}).get(row["text"]), (language or {}).get(prompts[row["prompt"]])
        return of_reply == of_prompt if of_reply and of_prompt else None

    rates: dict[str, Callable[[Mapping[str, Any]], bool | None]] = {
        "strict_format": lambda row: row["format"],
        "lost_to_format": _lost_to_format,
        "critique_talk": lambda row: has_critique_talk(row["text"]),
        "refinement_talk": lambda row: has_refinement_talk(row["text"]),
        "refusal": lambda row: is_refusal(row["text"]),
        "repetition": lambda row: ends_in_loop(row["text"]),
        "language": same_language,
    }
    return _Traits(
        {name: _by_prompt(rows, value) for name, value in rates.items()},
        _by_prompt(rows, lambda row: row["completion_tokens"]),
        _by_prompt(rows, lambda row: first_token(row["text"])),
        _by_prompt(rows, lambda row: _half_octave(row["completion_tokens"])),
    )


def _lost_to_format(row: Mapping[str, Any]) -> bool | None:
    if row["strict"] is None or row["flexible"] is None:
        return None
    return bool(row["flexible"]) and not row["strict"]


def _half_octave(tokens: int) -> int:
    return math.floor(2 * math.log2(tokens)) if tokens else -1


def _by_prompt(rows: Rows, value: Callable[[Mapping[str, Any]], T | None]) -> dict[str, list[T]]:
    values: dict[str, list[T]] = {}
    for row in rows:
        found = value(row)
        if found is not None:
            values.setdefault(row["prompt_id"], []).append(found)
    return values


def _compare(arm: _Traits, base: _Traits) -> dict[str, Any]:
    return {
        "n": len(arm.tokens.keys() & base.tokens.keys()),
        "rates": {name: _rate(values, base.rates[name]) for name, values in arm.rates.items()},
        "length": _length(arm.tokens, base.tokens),
        "first_token": divergence(arm.first_tokens, base.first_tokens),
        "length_distribution": divergence(arm.lengths, base.lengths),
    }


def _rate(arm: Mapping[str, Sequence[bool]], base: Mapping[str, Sequence[bool]]) -> dict[str, Any]:
    shares, of_base = _means(arm), _means(base)
    both = [prompt for prompt in shares if prompt in of_base]
    a, b = [shares[prompt] for prompt in both], [of_base[prompt] for prompt in both]
    return {
        "rate": fmean(shares.values()) if shares else None,
        "ci95": list(mean_interval(list(shares.values()))) if shares else None,
        "n": len(shares),
        "base": fmean(of_base.values()) if of_base else None,
        "difference": fmean(a) - fmean(b) if both else None,
        "difference_ci95": list(paired_interval(a, b)) if both else None,
        "n_paired": len(both),
    }


def _length(arm: Mapping[str, Sequence[int]], base: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    tokens, of_base = _means(arm), _means(base)
    both = [prompt for prompt in tokens if prompt in of_base]
    a, b = np.array([tokens[prompt] for prompt in both]), np.array([of_base[prompt] for prompt in both])
    if not b.any():
        return {"tokens": None, "base": None, "ratio": None, "ci95": None}
    n = len(both)
    draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64)
    sums = draws @ b
    ratios = (draws @ a)[sums > 0] / sums[sums > 0]
    limits = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "tokens": float(a.mean()),
        "base": float(b.mean()),
        "ratio": float(a.sum() / b.sum()),
        "ci95": [float(limit) for limit in limits],
    }


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {prompt: fmean(of_prompt) for prompt, of_prompt in values.items()}
