"""A first recipe: what can be found out is found out, and every choice is a line with a comment."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from cgd.errors import UserError
from cgd.machine import gpus
from cgd.recipe import make_recipe
from cgd.resolve import resolve
from cgd.starter.data import Data, find_data, find_tests
from cgd.starter.teacher import Teacher, find_teacher, require_model


class Wishes(NamedTuple):
    """What the user named."""

    student: str
    teacher: str | None
    data: str
    evaluate: str | None = None
    teacher_model: str | None = None
    prompt_field: str | None = None


class _Machine(NamedTuple):
    gpu: str | None
    bfloat16: bool


def write_recipe(path: Path, wishes: Wishes, *, force: bool = False) -> str:
    """Write a recipe that passes `cgd check`.

    Args:
        path: of the TOML file.
        wishes: model, teacher and data.
        force: overwrite a file that is there.

    Returns:
        The text.

    Raises:
        UserError: the file is there already or can't be written, something is not what it should be, or there is
            nothing to learn from: neither a teacher nor reference solutions.
    """
    if path.exists() and not force:
        raise UserError(f"{path} is there already; give another path, or overwrite it with --force")
    text = recipe_text(path.stem, wishes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error
    return text


def recipe_text(name: str, wishes: Wishes) -> str:
    """The text of a recipe, checked as `cgd check` does.

    Args:
        name: of the run.
        wishes: model, teacher and data.

    Raises:
        UserError: see `write_recipe`.
    """
    machine = _machine()
    require_model("--student", wishes.student)
    data = find_data(wishes.data, wishes.prompt_field)
    teacher = _teacher(wishes, data, machine)
    tests = find_tests(wishes.evaluate, wishes.prompt_field) if wishes.evaluate else data if data.tests else None
    sections = [
        _head(name, data, teacher),
        _data(data),
        _student(wishes.student, machine),
        _taught(teacher) if teacher else "",
        _arms(data, teacher),
        _training(machine),
        _evaluation(tests),
    ]
    text = "\n".join(section for section in sections if section)
    resolve(make_recipe({"name": name, **tomllib.loads(text)}, [], "the new recipe"))
    return text


def _machine() -> _Machine:
    found = gpus()
    return _Machine(found[0].name if found else None, bool(found) and all(gpu.capability >= 8 for gpu in found))


def _teacher(wishes: Wishes, data: Data, machine: _Machine) -> Teacher | None:
    given = wishes.teacher or ("tutor" if data.task == "arithmetic" else None)
    if given is None and not data.solutions:
        raise UserError(
            f"--data {wishes.data}: its rows have no reference solutions, so there is nothing to learn from without a "
            "teacher; name one with --teacher"
        )
    if given == "tutor" and data.task != "arithmetic":
        raise UserError(f"--teacher tutor works with --data arithmetic alone; got --data {wishes.data}")
    if given is None:
        return None
    return find_teacher(given, wishes.teacher_model, bfloat16=machine.bfloat16)


def _head(name: str, data: Data, teacher: Teacher | None) -> str:
    what = "Critique-guided distillation" if teacher else "Fine-tuning on reference solutions, without a teacher"
    return (
        f"# {what}. Next: cgd check {name}.toml, cgd plan {name}.toml, cgd run {name}.toml\n"
        "# Every key, with its default: docs/recipe.md\n\nseed = 0\n"
    )


def _data(data: Data) -> str:
    number = "n = 128" if data.task == "arithmetic" else "# n = 1000              # the first so many prompts"
    lines = ["[data]", f"# found: {_comment(data.note)}", f"task = {_toml(data.task)}", number]
    return "\n".join([*lines, *_options("data.options", data.options)]) + "\n"


def _student(model: str, machine: _Machine) -> str:
    options = '{ dtype = "bfloat16" }' if machine.bfloat16 else "{ batch_size = 32 }"
    return f"[student]\nmodel = {_toml(model)}\noptions = {options}\n\n[draft]\nmax_tokens = 512\n"


def _taught(teacher: Teacher) -> str:
    lines = ["[teacher]", f"backend = {_toml(teacher.backend)}          # {teacher.note}"]
    if teacher.model:
        lines.append(f"model = {_toml(teacher.model)}")
    if "api_key_env" in teacher.options:
        lines += [
            f"# The key is read from the environment variable {teacher.options['api_key_env']} and stored nowhere.",
            "# price = { input = 0.6, output = 0.6 }   # for a million tokens; with [budget] cost = ... a hard cap",
        ]
    lines += _options("teacher.options", teacher.options)
    if teacher.model:  # a language model may run out of room; a program does not
        lines += [
            "",
            '[critique]\nmax_tokens = 512\ntruncated = "retry"       # once more with more room',
            '\n[refinement]\nmax_tokens = 1024\ntruncated = "retry"',
        ]
    return "\n".join(lines) + "\n"


def _arms(data: Data, teacher: Teacher | None) -> str:
    names = [*(["cgd", "distilled_sft"] if teacher else []), *(["sft"] if data.solutions else [])]
    what = "# Each arm is one trained student; all of them see the same records."
    return what + "".join(f"\n[[arms]]\nname = {_toml(name)}\nobjective = {_toml(name)}\n" for name in names)


def _training(machine: _Machine) -> str:
    if machine.bfloat16:
        found = f"# found: {_comment(machine.gpu or '')}\n"
        numbers = 'dtype = "bfloat16"\ngradient_checkpointing = true\nbatch_size = 64\nmicro_batch_size = 4\n'
        numbers += "learning_rate = 1e-5\n"
    else:
        found = f"# found: {_comment(machine.gpu or 'no GPU')}\n"
        numbers = "batch_size = 8\nlearning_rate = 1e-4\n"
    more = '# method = "lora"        # for models whose training does not fit into memory\n'
    more += "# seeds = [0, 1, 2]      # several trainings an arm, for intervals that count the seed\n"
    return f"[training]\n{found}epochs = 1\n{numbers}max_length = 2048\n{more}"


def _evaluation(tests: Data | None) -> str:
    head = "[evaluation]\nmax_tokens = 512\n\n"
    if tests is None:
        return (
            f"{head}# No test prompts were found: without any, a run ends with the checkpoints and says nothing of\n"
            '# accuracy. A file of your own is another "jsonl" with its path and fields, or name a benchmark:\n'
            '# [[evaluation.tasks]]\n# task = "gsm8k"\n'
        )
    number = "n = 200" if tests.task == "arithmetic" else "# n = 200               # the first so many prompts"
    lines = ["[[evaluation.tasks]]", f"task = {_toml(tests.task)}", number]
    return head + "\n".join([*lines, *_options("evaluation.tasks.options", tests.options)]) + "\n"


def _options(table: str, options: dict[str, Any]) -> list[str]:
    if not options:
        return []
    return ["", f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in options.items())]


def _toml(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's too, but for DEL, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """A text that can't leave its comment."""
    return "".join(character if character.isprintable() else " " for character in text)
