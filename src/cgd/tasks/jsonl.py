"""The user's own prompts: one JSON object a line, field names in the recipe.

Prompt format: as the file has it. Grading: by `answer_kind` and `answer_format`, where rows have an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from cgd.config import Section
from cgd.errors import UserError
from cgd.jsonl import expand_path, read_rows, require
from cgd.records import GradingRule, Message, Prompt

_ROLES = ("system", "user", "assistant")


class Options(Section):
    """Keys of `task = "jsonl"`."""

    path: str
    """The file; `{split}` in it stands for train or test, `$NAME` for an environment variable."""
    prompt_field: str = "prompt"
    """A text, or a list of chat messages that ends with the user's."""
    answer_field: str | None = None
    """The final answer, for grading."""
    solution_field: str | None = None
    """The full reference solution y*, the target of `sft`."""
    id_field: str | None = None
    """A name for each row; the line number where absent."""
    instruction: str = ""
    """Put after the last user message, for example how to write the final answer."""
    weight_field: str | None = None
    """How much a row's loss counts in training, a number above 0; 1 where absent."""
    known_issue_field: str | None = None
    """What is wrong with a row, in words; rows where it is absent, null or empty are sound."""
    answer_kind: Literal["math", "choice", "boolean", "text", "list", "tolerance"] = "math"
    """How answers are compared: as mathematics; as the letter of a choice; as yes or no, true or false; as text without
    regard to case and white space; as a list, item by item; or as numbers within a tolerance."""
    tolerance: float = Field(0.0, ge=0)
    """Largest difference from the answer that is still right, as a share of the answer; with `tolerance` alone."""
    answer_format: Literal["answer_line", "boxed"] = "answer_line"
    """The format that counts as strict: a last line `Answer: ...`, or a \\boxed{...}."""

    @model_validator(mode="after")
    def _tolerance_goes_with_its_kind(self) -> Options:
        if (self.answer_kind == "tolerance") != (self.tolerance > 0):
            raise ValueError("answer_kind = 'tolerance' and a tolerance above 0 go together: set both or neither")
        return self


def build(options: Options) -> Jsonl:
    """The task."""
    return Jsonl(options)


class Jsonl:
    """Rows of one file, in order."""

    def __init__(self, options: Options) -> None:
        """Remember the options; the file is read by `load`."""
        self._options = options

    def rule(self, prompt: Prompt) -> GradingRule:
        """As the options say, for all rows alike."""
        return GradingRule(self._options.answer_kind, self._options.answer_format, self._options.tolerance)

    def load(self, split: Literal["train", "test"], n: int | None, seed: int) -> list[Prompt]:
        """The first `n` rows.

        Raises:
            UserError: with file and line, where a row is malformed, lacks a field or repeats a prompt or an id.
        """
        path = expand_path(self._options.path.replace("{split}", split))
        prompts: list[Prompt] = []
        first_seen: dict[Any, int] = {}
        for number, row in read_rows(path)[:n]:
            where = f"{path}:{number}"
            prompt = self._prompt(row, number, where)
            for what, value in (("prompt", repr(prompt.messages)), ("id", prompt.id.rpartition("#")[0])):
                if (what, value) in first_seen:
                    raise UserError(f"{where}: the {what} of line {first_seen[what, value]} again; remove one of them")
                first_seen[what, value] = number
            prompts.append(prompt)
        return prompts

    def _prompt(self, row: Mapping[str, Any], number: int, where: str) -> Prompt:
        options = self._options
        name = require(row, options.id_field, where) if options.id_field else f"line-{number}"
        return Prompt.create(
            f"jsonl/{name}",
            _with_instruction(_messages(row, options.prompt_field, where), options.instruction),
            answer=require(row, options.answer_field, where) if options.answer_field else None,
            solution=require(row, options.solution_field, where) if options.solution_field else None,
            source=where,
            meta=_weight(row, options.weight_field, where) | _known_issue(row, options.known_issue_field),
        )


def _weight(row: Mapping[str, Any], field: str | None, where: str) -> dict[str, float]:
    if field is None:
        return {}
    weight = row.get(field)
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < math.inf:
        raise UserError(f"{where}: field {field!r} must be a number above 0; got {weight!r}; fields: {', '.join(row)}")
    return {"weight": weight}


def _known_issue(row: Mapping[str, Any], field: str | None) -> dict[str, str]:
    issue = row.get(field) if field else None
    return {"known_issue": str(issue)} if issue else {}


def _messages(row: Mapping[str, Any], field: str, where: str) -> list[Message]:
    value = row.get(field)
    if not isinstance(value, list):
        return [{"role": "user", "content": require(row, field, where)}]
    for message in value:
        if (
            not isinstance(message, dict)
            or message.get("role") not in _ROLES
            or not isinstance(message.get("content"), str)
        ):
            raise UserError(
                f"{where}: {field!r} must be a text or a list of messages with role ({', '.join(_ROLES)}) and "
                f"content (text); got {message!r}"
            )
    if not value or value[-1]["role"] != "user":
        raise UserError(f"{where}: the last message of {field!r} must be the user's")
    if not value[-1]["content"].strip():
        raise UserError(f"{where}: the last message of {field!r} is empty")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _with_instruction(messages: list[Message], instruction: str) -> list[Message]:
    if not instruction:
        return messages
    *before, last = messages
    return [*before, {"role": last["role"], "content": f"{last['content']}\n\n{instruction}"}]
