r"""Benchmarks whose rows come from the Hugging Face hub or from a local JSONL file: loading, and prompts made of rows.

A row may have the hub's field names or those of a local file (`prompt`, `answer`, `solution`, `subject`, ...): a task
names both where it reads a field. A row that is known to be faulty is kept, and marked by `meta["known_issue"]`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cgd.config import Section
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.jsonl import expand_path, read_rows, require
from cgd.records import GradingRule, Prompt

Split = Literal["train", "test"]

BOXED = r"Solve the problem step by step and put your final answer in \boxed{}."
BOXED_MATH = GradingRule("math", "boxed")
CHOICE = GradingRule("choice", "answer_line")
LETTERS = "ABCDEFGHIJ"
TEST_ONLY: Mapping[Split, str] = {"test": "test"}

_ID_FIELDS = ("id", "unique_id", "question_id", "key")
_WHOLE = re.compile(r"(-?)0*(\d+)(?:\.0*)?")


class BenchmarkOptions(Section):
    """Where a benchmark's rows are."""

    path: str | None = None
    """JSONL file; `{split}` in it stands for train or test, `$NAME` for an environment variable. The Hugging Face hub
    where absent."""


class Hub(NamedTuple):
    """Where the hub has a benchmark: `splits` gives the hub's name for each split that there is."""

    id: str
    splits: Mapping[Split, str] = TEST_ONLY
    config: str | None = None


class Row(NamedTuple):
    """One row: `name` is the prompt's, `where` says where it stands."""

    name: str
    where: str
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The first of these fields that the row has, without blanks around it.

        Raises:
            UserError: it has none of them, or the one it has is no text and no number, or empty.
        """
        return require(self.fields, next((name for name in names if name in self.fields), names[0]), self.where).strip()

    def given(self, *names: str) -> dict[str, Any]:
        """Those of these fields that the row has and that say anything."""
        return {name: self.fields[name] for name in names if self.fields.get(name) not in (None, "")}

    def known_issue(self, question: str, listed: Mapping[str, str]) -> dict[str, str]:
        """The defect that the row's own `known_issue` states, or the task's list by the question's `fingerprint`.

        Returns:
            An entry of `meta`, or nothing.
        """
        issue = self.fields.get("known_issue") or listed.get(fingerprint(question))
        return {"known_issue": str(issue)} if issue else {}


@dataclass(frozen=True)
class Benchmark:
    """A task whose rows come from a file or the hub.

    `to_prompt` makes a prompt of a row; `rule_of` says how answers to it are graded.
    """

    name: str
    options: BenchmarkOptions
    hub: Hub
    to_prompt: Callable[[Row], Prompt]
    rule_of: Callable[[Prompt], GradingRule]

    def rule(self, prompt: Prompt) -> GradingRule:
        """How answers to this prompt are graded."""
        return self.rule_of(prompt)

    def load(self, split: Split, n: int | None, seed: int) -> list[Prompt]:
        """The first `n` prompts of a split, in their original order whatever the seed.

        Raises:
            UserError: the benchmark has no such split, its rows can't be had, or one is malformed or there twice.
        """
        if split not in self.hub.splits:
            raise UserError(
                f"task {self.name!r} is for testing only; got split {split!r}, allowed: test. Train on another task"
            )
        rows = self._local(self.options.path, split) if self.options.path else self._from_hub(split)
        prompts: dict[str, Prompt] = {}
        for index, (where, fields) in enumerate(rows[:n]):
            name = next((fields[field] for field in _ID_FIELDS if field in fields), index)
            prompt = self.to_prompt(Row(f"{self.name}/{name}", where, fields))
            if prompt.id in prompts:
                raise UserError(f"{where}: the row of {prompts[prompt.id].source} again; remove one of them")
            prompts[prompt.id] = prompt
        return list(prompts.values())

    def _local(self, path: str, split: Split) -> Sequence[tuple[str, Mapping[str, Any]]]:
        file = expand_path(path.replace("{split}", split))
        return [(f"{file}:{number}", row) for number, row in read_rows(file)]

    def _from_hub(self, split: Split) -> Sequence[tuple[str, Mapping[str, Any]]]:
        require_packages("train", f"loading {self.hub.id} from the hub, and not from options.path,", "datasets")
        try:
            from datasets import load_dataset

            names = (self.hub.id, self.hub.config) if self.hub.config else (self.hub.id,)
            rows = load_dataset(*names, split=self.hub.splits[split])
        except Exception as error:  # the hub client raises many kinds
            raise UserError(
                f"can't load {self.hub.id} from the Hugging Face hub: {error}. "
                "Without a hub give options.path = a JSONL file"
            ) from error
        place = "/".join([*names[1:], self.hub.splits[split]])
        return [(f"{self.hub.id} {place} row {index}", row) for index, row in enumerate(rows)]


def user_prompt(  # noqa: PLR0913 - what a prompt holds
    row: Row,
    question: str,
    instruction: str,
    answer: str,
    solution: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Prompt:
    """A prompt of one user message: the question and, after an empty line, how to give the answer."""
    message = f"{question}\n\n{instruction}" if instruction else question
    return Prompt.create(row.name, [{"role": "user", "content": message}], answer, solution, row.where, meta)


def choice_prompt(row: Row) -> Prompt:
    """A multiple-choice prompt: the question, its choices as `A. ...`, and a last line `Answer: <letter>` asked for.

    The row's `answer` is a letter, or the place of the right choice (from 0). `meta` has the subject and how many
    choices there are.

    Raises:
        UserError: there are fewer than 2 or more than 10 choices, or the answer is none of them.
    """
    choices = row.fields.get("choices", row.fields.get("options"))
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not 2 <= len(choices) <= len(LETTERS):
        raise UserError(f"{row.where}: field 'choices' must be a list of 2 to {len(LETTERS)} texts; got {choices!r}")
    letters = LETTERS[: len(choices)]
    answer = row.fields.get("answer")
    if isinstance(answer, int) and 0 <= answer < len(letters):
        answer = letters[answer]
    if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
        raise UserError(f"{row.where}: field 'answer' must be one of {letters}, or its place from 0; got {answer!r}")
    question = row.text("prompt", "question")
    lines = [f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True)]
    return user_prompt(
        row,
        "\n".join([question, "", *lines]),
        "Think step by step, then end with a line 'Answer: <letter>'.",
        answer,
        meta={"subject": row.text("subject", "category"), "choices": len(choices)} | row.given("known_issue"),
    )


def whole_number(row: Row, text: str) -> str:
    """A whole number without leading zeros and decimals: 025 and 25.0 are 25.

    Raises:
        UserError: it is none.
    """
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        raise UserError(f"{row.where}: the answer must be a whole number; got {text!r}")
    return whole[1] + whole[2]


def fingerprint(question: str) -> str:
    """Eight hex digits that stand for a question, white space aside."""
    words = " ".join(question.split())
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:8]
