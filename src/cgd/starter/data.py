"""What a data set is, found in its rows: which field is the prompt, which the answer, and how answers are compared."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from cgd.benchmark_rows import BOXED, Benchmark
from cgd.errors import UserError
from cgd.jsonl import expand_path, read_rows
from cgd.plugins import available, build_task

_PROMPTS = ("prompt", "question", "problem", "instruction", "query", "input", "messages", "conversation")
_ANSWERS = ("answer", "final_answer", "gold", "label", "expected_answer", "target")
_SOLUTIONS = ("solution", "reference_solution", "response", "output", "completion", "rationale", "reasoning")
_IDS = ("id", "uid", "unique_id", "question_id", "key")
_ISSUES = ("known_issue",)
_LONG = 12
"""Words beyond which a typical `answer` is a whole solution."""
_TRUTHS = {"true", "false", "yes", "no"}
_ASKED = re.compile(r"\\boxed|answer\s*:", re.IGNORECASE)
_LINE = "Think step by step, then end with a line 'Answer: <answer>'."

Rows = Sequence[dict[str, Any]]


class Data(NamedTuple):
    """A task of a recipe."""

    task: str
    options: dict[str, Any]
    solutions: bool
    """Whether it has reference solutions, the targets of `sft`."""
    tests: bool
    """Whether the same options give test prompts with answers."""
    note: str
    """What was found, for a comment."""


def find_data(given: str, prompt_field: str | None) -> Data:
    """The training data that a name, `NAME=FILE` or a file stands for.

    Args:
        given: a task, a task with a file of its rows, or a JSONL file of one's own.
        prompt_field: the prompts' field of such a file; found where None.

    Raises:
        UserError: neither a task nor a file, a task without a training split, a faulty file, or no prompts found in it.
    """
    name, equals, path = given.partition("=")
    if name in _named():
        options = {"path": path} if equals else {}
        task = build_task(name, options)
        if isinstance(task, Benchmark) and "train" not in task.hub.splits:
            raise UserError(
                f"--data {given}: {name!r} is for testing only; train on another task or a JSONL file, and name it "
                f"with --evaluate {given}"
            )
        return Data(name, options, True, not path or "{split}" in path, f"task {name}")
    return _from_file(_with_split(given), _existing(given, "train", "--data"), prompt_field)


def find_tests(given: str, prompt_field: str | None) -> Data:
    """A benchmark that a name, `NAME=FILE` or a file stands for.

    Args:
        given: as for `find_data`.
        prompt_field: as for `find_data`.

    Raises:
        UserError: neither a task nor a file, a faulty file, or no prompts or answers in it.
    """
    name, equals, path = given.partition("=")
    if name in _named():
        return Data(name, {"path": path} if equals else {}, False, True, f"task {name}")
    tests = _from_file(given, _existing(given, "test", "--evaluate"), prompt_field)
    if "answer_field" not in tests.options:
        raise UserError(f"--evaluate {given}: its rows have no answers to grade by; looked for: {', '.join(_ANSWERS)}")
    return tests


def _named() -> list[str]:
    """Tasks that need nothing but their name."""
    return [name for name in available("tasks") if name not in ("jsonl", "reasoning_gym")]


def _existing(given: str, split: str, option: str) -> Path:
    file = expand_path(given.replace("{split}", split))
    if not file.is_file():
        tasks = ", ".join(_named())
        raise UserError(f"{option} {given}: no such file, and no task of this name; tasks: {tasks}, or NAME=FILE.jsonl")
    return file


def _with_split(given: str) -> str:
    """`x_train.jsonl` as `x_{split}.jsonl` where there is an `x_test.jsonl` too."""
    head, train, tail = given.rpartition("train")
    if train and Path(f"{head}test{tail}").is_file():
        return f"{head}{{split}}{tail}"
    return given


def _from_file(path: str, file: Path, prompt_field: str | None) -> Data:
    rows = [row for _, row in read_rows(file)]
    prompt = prompt_field or _prompt_field(rows, file)
    if prompt not in _fields(rows, list):
        raise UserError(f"{file}: not every row has a field {prompt!r}; fields of all rows: {_listed(rows)}")
    answer = _first(_ANSWERS, _fields(rows), prompt)
    solution = _first(_SOLUTIONS, _fields(rows), prompt)
    if answer and not solution and median(len(str(row[answer]).split()) for row in rows) > _LONG:
        answer, solution = None, answer
    identity = next((name for name in _IDS if name in _fields(rows) and _distinct(rows, name)), None)
    issue = next((name for name in _ISSUES if any(row.get(name) for row in rows)), None)
    fields = {"prompt": prompt, "answer": answer, "solution": solution, "id": identity, "known_issue": issue}
    options = {"path": path, **{f"{role}_field": name for role, name in fields.items() if name}}
    graded = _grading(rows, prompt, answer, solution) if answer else {}
    found = ", ".join(f"{role} = {name}" for role, name in fields.items() if name)
    tests = answer is not None and "{split}" in path
    return Data("jsonl", options | graded, solution is not None, tests, f"{len(rows)} rows; {found}")


def _prompt_field(rows: Rows, file: Path) -> str:
    found = _first(_PROMPTS, _fields(rows, list))
    if found is None:
        raise UserError(
            f"{file}: which field holds the prompts? Name it with --prompt-field; fields of all rows: {_listed(rows)}"
        )
    return found


def _grading(rows: Rows, prompt: str, answer: str, solution: str | None) -> dict[str, str]:
    """How answers are compared, and what the prompts must still ask for so that they can be found."""
    answers = [str(row[answer]).strip() for row in rows]
    kind = _kind(answers)
    boxed = kind == "math" and solution is not None and all("\\boxed" in str(row[solution]) for row in rows)
    asked = all(_ASKED.search(str(row[prompt])) for row in rows)
    return {
        **({} if kind == "math" else {"answer_kind": kind}),
        **({"answer_format": "boxed"} if boxed else {}),
        **({} if asked else {"instruction": BOXED if boxed else _LINE}),
    }


def _kind(answers: Sequence[str]) -> str:
    if all(re.fullmatch(r"\(?[A-J]\)?", answer) for answer in answers):
        return "choice"
    if all(answer.lower() in _TRUTHS for answer in answers):
        return "boolean"
    if not any(re.search(r"[\d\\^=+]", answer) for answer in answers):
        return "text"
    return "math"


def _first(names: Sequence[str], there: Container[str], taken: str | None = None) -> str | None:
    return next((name for name in names if name in there and name != taken), None)


def _fields(rows: Rows, *more: type) -> list[str]:
    """Fields that hold a text, a number or one of `more` kinds, and are not empty, in every row."""
    return [name for name in rows[0] if all(_says(row.get(name), (str, int, float, *more)) for row in rows)]


def _says(value: Any, kinds: tuple[type, ...]) -> bool:
    empty = not value.strip() if isinstance(value, str) else value == []
    return isinstance(value, kinds) and not isinstance(value, bool) and not empty


def _listed(rows: Rows) -> str:
    return ", ".join(_fields(rows, list)) or "none"


def _distinct(rows: Rows, name: str) -> bool:
    return len({str(row[name]).strip() for row in rows}) == len(rows)
