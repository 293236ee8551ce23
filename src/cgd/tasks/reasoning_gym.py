"""Reasoning Gym (Stojanovski et al., arXiv 2505.24760): about a hundred data sets of problems made from a seed.

Prompt format: the question as the data set words it, and the request to end with `Answer: <answer>`. Grading, row by
row from the gold: a number as math, true/false or yes/no as boolean, a list as a list, anything else as text; all on
an answer line, and right or wrong, where the data set's own scores may lie between.

A data set with a score function of its own may accept other answers than the gold (another route, another palindrome).
Here the gold alone counts, so accuracy on it is a lower bound: such rows are marked as faulty unless the gold is a
number or a truth value. Data sets without any gold, and those whose rows differ from process to process, are refused.
A hash of the question decides a problem's split, so that no test problem can be met in training, whatever the seeds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from cgd.config import Section
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.records import AnswerKind, GradingRule, Prompt, content_hash

_INSTRUCTION = (
    "Think step by step, then end with a line 'Answer: <answer>'. Write an answer of several lines one after another "
    "on that line."
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+)?")
_TRUTH = {"true", "false", "yes", "no"}
_OWN_SCORE = "the data set scores answers by a function of its own, which may accept others than this gold"
_NOT_REPRODUCIBLE = {
    *("codeio", "intermediate_integration", "isomorphic_strings", "knight_swap", "list_functions"),
    *("polynomial_multiplication", "ransom_note", "word_ladder"),
}
"""Data sets (of reasoning-gym 0.1.25) whose rows hang on more than the seed: the order of a set, another generator."""
_SEED_STRIDE = 1_000_000
"""Reasoning Gym's row i of seed s is row i - 1 of seed s + 1: our seeds lie further apart than rows are taken."""
_TRIES = 40
"""Rows made for each that is asked for, at most; a quarter of all is for testing, and repeated ones are left out."""


class Options(Section):
    """Keys of `task = "reasoning_gym"`."""

    dataset: str
    """Name of the data set, for example `chain_sum`."""
    config: dict[str, Any] = {}
    """The data set's own settings, for example `{min_terms = 2, max_terms = 4}`."""


def build(options: Options) -> ReasoningGym:
    """The task."""
    return ReasoningGym(options)


class ReasoningGym:
    """Rows of one data set of the package `reasoning-gym`."""

    def __init__(self, options: Options) -> None:
        """Remember the options; the package is imported by `load`."""
        self._options = options

    def rule(self, prompt: Prompt) -> GradingRule:
        """As the gold suggests."""
        return GradingRule(kind_of(prompt.answer or ""), "answer_line")

    def load(self, split: Literal["train", "test"], n: int | None, seed: int) -> list[Prompt]:
        """The first `n` distinct problems of a split; the same for the same seed.

        Raises:
            UserError: `n` is absent, the package is not installed, the data set can't be used, or it has fewer than
                `n` distinct problems.
        """
        name = self._options.dataset
        if n is None:
            raise UserError("task 'reasoning_gym' makes its problems and needs to know how many: set n")
        made, issue = self._made(_TRIES * n, seed * _SEED_STRIDE % 2**32)
        prompts: dict[str, Prompt] = {}
        for index, row in enumerate(made):
            question = str(row["question"]).strip()
            if question not in prompts and split_of(question) == split:
                prompts[question] = _prompt(name, index, question, row["answer"], issue)
            if len(prompts) == n:
                return list(prompts.values())
        raise UserError(
            f"reasoning_gym data set {name!r} gave {len(prompts)} distinct {split} problems in {_TRIES * n} tries; got "
            f"n = {n}: lower it, or widen the data set by options.config"
        )

    def _made(self, size: int, seed: int) -> tuple[Iterable[Mapping[str, Any]], str | None]:
        """Rows that are made as they are asked for, and what is wrong with all of them."""
        name = self._options.dataset
        require_packages("eval", "task 'reasoning_gym'", "reasoning_gym")
        from reasoning_gym.dataset import ProceduralDataset
        from reasoning_gym.factory import DATASETS, create_dataset

        if name not in DATASETS:
            raise UserError(f"no reasoning_gym data set {name!r}; allowed: {', '.join(sorted(DATASETS))}")
        if name in _NOT_REPRODUCIBLE:
            raise UserError(
                f"reasoning_gym data set {name!r} makes other rows in every process, so that no run could go on; "
                "choose another"
            )
        try:
            made = create_dataset(name, size=size, seed=seed, **self._options.config)
        except Exception as error:  # each data set checks its settings in its own way
            raise UserError(f"reasoning_gym data set {name!r} refuses options.config: {error}") from error
        own_score = type(made).score_answer is not ProceduralDataset.score_answer
        return made, _OWN_SCORE if own_score else None


def split_of(question: str) -> Literal["train", "test"]:
    """The split a problem belongs to, for good: a quarter of all questions is for testing."""
    return "test" if int(content_hash(question)[:8], 16) % 4 == 0 else "train"


def kind_of(gold: str) -> AnswerKind:
    """How answers compare with this gold."""
    if _NUMBER.fullmatch(gold):
        return "math"
    if gold.casefold() in _TRUTH:
        return "boolean"
    try:
        return "list" if isinstance(ast.literal_eval(gold), list) else "text"
    except (ValueError, SyntaxError):
        return "text"


def _prompt(name: str, index: int, question: str, gold: str | None, issue: str | None) -> Prompt:
    if not gold:
        raise UserError(f"reasoning_gym data set {name!r} has no golds, only a score function; choose another")
    unique = kind_of(gold) in ("math", "boolean")
    return Prompt.create(
        f"reasoning_gym/{name}-{index}",
        [{"role": "user", "content": f"{question}\n\n{_INSTRUCTION}"}],
        answer=gold,
        source=f"reasoning_gym {name}",
        meta={"dataset": name} | ({"known_issue": issue} if issue and not unique else {}),
    )
