"""Local rows in the place of a task's data set on the hub: the rows as the task wants them, and its YAML, overridden.

The task keeps its prompts, filters and metrics; only where its rows come from changes. There are no rows to take
examples from, so nothing is shown before a question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cgd.errors import UserError
from cgd.jsonl import read_rows, require

SUBJECTS = (
    *("biology", "business", "chemistry", "computer science", "economics", "engineering", "health", "history", "law"),
    *("math", "other", "philosophy", "physics", "psychology"),
)
"""MMLU-Pro's, each a subtask of the harness."""


def write_tasks(name: str, data: Path, folder: Path) -> Path:
    """Write the task's rows and the YAML files that point to them.

    Args:
        name: `ifeval`, `mmlu_pro` or one of its subtasks.
        data: JSONL; for ifeval with `prompt`, `instruction_id_list` and `kwargs`, for mmlu_pro with `prompt`,
            `choices`, `answer` (a letter) and `subject`.
        folder: to write to; made here.

    Returns:
        The folder, for the harness's `include_path`.

    Raises:
        UserError: the task has no local form, or a row lacks a field.
    """
    subtasks = {f"mmlu_pro_{subject.replace(' ', '_')}": subject for subject in SUBJECTS}
    folder.mkdir()
    if name == "ifeval":
        _write_task(folder, "ifeval/ifeval.yaml", "ifeval", "train", _ifeval_rows(data))
    elif name == "mmlu_pro" or name in subtasks:
        rows = list(_mmlu_pro_rows(data))
        for subtask in [name] if name in subtasks else list(subtasks):
            own = [row for row in rows if row["category"] == subtasks[subtask]]
            if not own:
                raise UserError(f"{data} has no row of subject {subtasks[subtask]!r}, which {name} asks for")
            _write_task(folder, f"mmlu_pro/{subtask}.yaml", subtask, "test", own)
    else:
        raise UserError("local data can take the hub's place for ifeval and mmlu_pro only; leave `data` out")
    return folder


def _write_task(folder: Path, original: str, name: str, split: str, rows: Iterable[Mapping[str, Any]]) -> None:
    import lm_eval.tasks

    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    override = {
        "include": str(Path(lm_eval.tasks.__file__).parent / original),
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(data)}},
        "fewshot_split": None,
        "num_fewshot": 0,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(override))  # JSON is YAML


def _ifeval_rows(data: Path) -> Iterable[dict[str, Any]]:
    """Rows whose kwargs all have the same keys, null where unused, as on the hub: a table has one type a column."""
    rows = read_rows(data)
    for number, row in rows:
        if not isinstance(row.get("instruction_id_list"), list) or not isinstance(row.get("kwargs"), list):
            raise UserError(f"{data}:{number}: IFEval's rows need the lists instruction_id_list and kwargs")
    names = sorted({name for _, row in rows for one in row["kwargs"] for name in one})
    for number, row in rows:
        yield {
            "key": row.get("key", number),
            "prompt": require(row, "prompt", f"{data}:{number}"),
            "instruction_id_list": row["instruction_id_list"],
            "kwargs": [{name: one.get(name) for name in names} for one in row["kwargs"]],
        }


def _mmlu_pro_rows(data: Path) -> Iterable[dict[str, Any]]:
    for number, row in read_rows(data):
        where = f"{data}:{number}"
        options = row.get("choices")
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise UserError(f"{where}: field 'choices' must be a list of texts; got {options!r}")
        yield {
            "question_id": row.get("id", number),
            "question": require(row, "prompt", where),
            "options": options,
            "answer": require(row, "answer", where),
            "category": require(row, "subject", where),
        }
