"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school word problems with worked solutions.

Prompt format: the question and the request to end with `Answer: <number>`. Grading: math, answer line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from cgd.config import Section
from cgd.errors import UserError
from cgd.jsonl import expand_path, read_rows, require
from cgd.records import GradingRule, Prompt

_HUB_ID = "openai/gsm8k"
_INSTRUCTION = "Solve the problem step by step, then end with a line 'Answer: <number>'."
_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_FINAL = re.compile(r"\n?####\s*(.+)\s*$")


class Options(Section):
    """Keys of `task = "gsm8k"`."""

    path: str | None = None
    """JSONL file with `prompt` (or `question`) and `solution` (or `answer` ending in `#### number`);
    `{split}` in it stands for train or test, `$NAME` for an environment variable. The hub where absent."""


def build(options: Options) -> Gsm8k:
    """The task."""
    return Gsm8k(options)


class Gsm8k:
    """Rows from a local JSONL file or from the hub."""

    rule = GradingRule("math", "answer_line")

    def __init__(self, options: Options) -> None:
        """Remember where the rows are."""
        self._path = options.path

    def load(self, split: Literal["train", "test"], n: int | None, seed: int) -> list[Prompt]:
        """The first `n` problems of a split, in their original order whatever the seed."""
        rows = self._local(split) if self._path else _hub(split)
        return [_prompt(where, index, row) for index, (where, row) in enumerate(rows[:n])]

    def _local(self, split: str) -> list[tuple[str, Mapping[str, Any]]]:
        path = expand_path(str(self._path).replace("{split}", split))
        return [(f"{path}:{number}", row) for number, row in read_rows(path)]


def _hub(split: str) -> list[tuple[str, Mapping[str, Any]]]:
    from datasets import load_dataset

    try:
        rows = load_dataset(_HUB_ID, "main", split=split)
    except Exception as error:  # the hub client raises many kinds
        raise UserError(
            f"can't load {_HUB_ID} from the Hugging Face hub: {error}. Without a hub give options.path = a JSONL file"
        ) from error
    return [(f"{_HUB_ID} main/{split} row {index}", row) for index, row in enumerate(rows)]


def _prompt(where: str, index: int, row: Mapping[str, Any]) -> Prompt:
    question = require(row, "prompt" if "prompt" in row else "question", where)
    raw = require(row, "solution" if "solution" in row else "answer", where)
    final = _FINAL.search(raw)
    if final is None:
        raise UserError(f"{where}: the solution does not end in '#### <number>'")
    answer = final[1].strip().replace(",", "")
    steps = _CALCULATOR_MARK.sub("", raw[: final.start()]).strip()
    return Prompt.create(
        f"gsm8k/{row.get('id', index)}",
        [{"role": "user", "content": f"{question.strip()}\n\n{_INSTRUCTION}"}],
        answer=answer,
        solution=f"{steps}\nAnswer: {answer}",
        source=where,
    )
