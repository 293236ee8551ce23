"""A run's training rows as files that other tools read; no row is left out for its length.

Formats, as their tools document them:

trl            conversational prompt-completion rows: loss on the completion alone is TRL's default for them
axolotl        messages that say which of them is trained on, and the `datasets` entry that reads them
llama-factory  chats in OpenAI's shape, `dataset_info.json`, and the two settings that put the loss on the last turn
openai         chats for fine-tuning by an API; earlier answers have weight 0
parquet, jsonl our own columns: context, target, weight, and the parts of the record
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd.errors import UserError
from cgd.records import Message, Record, TrainingRow
from cgd.stored import StoredRows
from cgd.text import break_special_tokens

Format = Literal["trl", "axolotl", "llama-factory", "openai", "parquet", "jsonl"]
Row = dict[str, Any]


class Exported(NamedTuple):
    """Where an export lies and what is in it."""

    folder: Path
    rows: int
    left_out: int
    special_strings: int
    """Strings in texts that look like control tokens."""
    special_rows: int
    """Rows that have any."""
    weighted: int
    """Rows whose weight is not 1 and can't be said in this format."""


def export_rows(stored: StoredRows, to: Format, folder: Path, *, break_special: bool) -> Exported:
    """Write the rows into a new folder, whole or not at all.

    Args:
        stored: the rows and their records.
        to: the format.
        folder: absent, or empty.
        break_special: put a zero-width joiner into strings that look like control tokens.

    Raises:
        UserError: the folder is not empty, or can't be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder} is not empty; give another folder with --out, or remove it")
    rows = [_SHAPES[to](record, row) for record, row in zip(stored.records, stored.rows, strict=True)]
    if break_special:
        rows = [{key: part if key == "record_id" else _break(part) for key, part in row.items()} for row in rows]
    special = [_special_strings(row) for row in stored.rows]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
            written = Path(scratch) / "export"
            written.mkdir()
            _write(written, to, rows, f"cgd_{stored.name}")
            written.rename(folder)
    except OSError as error:
        raise UserError(f"can't write the export to {folder}: {error.strerror}") from error
    weighted = 0 if to in ("parquet", "jsonl") else sum(row.weight != 1 for row in stored.rows)
    return Exported(folder, len(rows), len(stored.left_out), sum(special), sum(map(bool, special)), weighted)


def describe(exported: Exported, *, broken: bool) -> Iterator[str]:
    """What the user should know of an export, a line each."""
    yield f"done: {exported.rows} rows in {exported.folder}"
    if exported.left_out:
        yield f"left out: {exported.left_out} records that lack what the rows need"
    if exported.special_strings:
        found = f"{exported.special_strings} strings in {exported.special_rows} rows look like control tokens"
        if broken:
            yield f"{found}; each is broken by a zero-width joiner"
        else:
            yield f"warning: {found}, and other tools may take them for such; --break-special-tokens breaks them"
    if exported.weighted:
        yield f"warning: {exported.weighted} rows have a weight other than 1, which this format can't say"


def _trl(record: Record, row: TrainingRow) -> Row:
    return {"prompt": list(row.example.context), "completion": [_answer(row)]}


def _axolotl(record: Record, row: TrainingRow) -> Row:
    context = [{**message, "train": False} for message in row.example.context]
    return {"messages": [*context, {**_answer(row), "train": True}]}


def _llama_factory(record: Record, row: TrainingRow) -> Row:
    return {"messages": [*row.example.context, _answer(row)]}


def _openai(record: Record, row: TrainingRow) -> Row:
    context = [
        {**message, "weight": 0} if message["role"] == "assistant" else message for message in row.example.context
    ]
    return {"messages": [*context, _answer(row)]}


def _own(record: Record, row: TrainingRow) -> Row:
    return {
        "record_id": row.record_id,
        "messages": list(row.example.context),
        "target": row.example.target,
        "weight": row.weight,
        **record.texts(),
    }


def _answer(row: TrainingRow) -> Message:
    return {"role": "assistant", "content": row.example.target}


_SHAPES: Mapping[Format, Callable[[Record, TrainingRow], Row]] = {
    "trl": _trl,
    "axolotl": _axolotl,
    "llama-factory": _llama_factory,
    "openai": _openai,
    "parquet": _own,
    "jsonl": _own,
}

_AXOLOTL = """\
# Put this into your axolotl configuration. Where the model ends its turns with another token than the tokenizer's
# eos_token, name it too: eot_tokens: ["..."]
datasets:
  - path: train.jsonl
    ds_type: json
    type: chat_template
    chat_template: tokenizer_default
    field_messages: messages
    message_field_training: train
    roles_to_train: []
    train_on_eos: turn
train_on_inputs: false
"""

_LLAMA_FACTORY = """\
# Put this into your LLaMA-Factory configuration; without mask_history earlier answers of a chat are trained on as well.
dataset_dir: .
dataset: {name}
mask_history: true
train_on_prompt: false
"""


def _write(folder: Path, to: Format, rows: Sequence[Row], name: str) -> None:
    if to == "parquet":
        _write_parquet(folder / "train.parquet", rows)
    elif to == "llama-factory":
        _write_text(folder / "train.json", json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        _write_text(folder / "dataset_info.json", json.dumps({name: _dataset_info()}, indent=2) + "\n")
        _write_text(folder / "llama_factory.yaml", _LLAMA_FACTORY.format(name=name))
    else:
        _write_text(folder / "train.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        if to == "axolotl":
            _write_text(folder / "axolotl.yaml", _AXOLOTL)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _dataset_info() -> Row:
    roles = {f"{role}_tag": role for role in ("user", "assistant", "system")}
    return {
        "file_name": "train.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", **roles},
    }


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    kinds = {"messages": chat, "prompt": chat, "weight": pa.float64()}
    # A column without a value in any row is a column of texts all the same.
    schema = pa.schema([(column, kinds.get(column, pa.string())) for column in rows[0]])
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def _special_strings(row: TrainingRow) -> int:
    texts = [*(message["content"] for message in row.example.context), row.example.target]
    return sum(break_special_tokens(text)[1] for text in texts)


def _break(value: Any) -> Any:
    """The value with every control-token shape in its texts broken; keys are our own."""
    if isinstance(value, str):
        return break_special_tokens(value)[0]
    if isinstance(value, dict):
        return {key: _break(part) for key, part in value.items()}
    return [_break(part) for part in value] if isinstance(value, list) else value
