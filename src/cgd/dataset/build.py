"""Objective × records → training rows: every arm trains on the same records, in the same order.

Arms may differ in the critique that stands in the context, never in the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cgd.config import ContextDropoutConfig
from cgd.controls import LACKING, Control, controlled
from cgd.errors import UserError
from cgd.plugins import Objective
from cgd.records import Record, TrainingRow, content_hash, reduce_context
from cgd.store import Drop


def training_rows(
    records: Sequence[Record],
    objectives: Mapping[str, Objective],
    dropouts: Mapping[str, ContextDropoutConfig] = MappingProxyType({}),
    controls: Mapping[str, Control] = MappingProxyType({}),
) -> tuple[dict[str, list[TrainingRow]], list[Drop]]:
    """Rows by arm; a record that lacks what one arm needs is left out of all of them.

    Args:
        records: what the generating stages made.
        objectives: by arm.
        dropouts: context dropout by arm, where it has one.
        controls: by arm, where it reads another critique than the record's own.

    Raises:
        UserError: no record is left, or critiques can't be shuffled (see `controlled`).
    """
    controls = {arm: controls[arm] for arm in objectives if arm in controls}
    needs = frozenset[str]({"critique"} if controls else ()).union(*(one.needs for one in objectives.values()))
    complete = [record for record in records if not _lacking(record, needs)]
    seen = {arm: controlled(complete, control) for arm, control in controls.items()}
    absent = {LACKING[control.source]: seen[arm] for arm, control in controls.items() if control.source in LACKING}
    drops, kept = [], []
    for record in records:
        missing = sorted(_lacking(record, needs)) or [part for part, had in absent.items() if record.id not in had]
        if missing:
            drops.append(Drop(record.id, f"has no {', '.join(missing)}"))
        else:
            kept.append(record)
    if not kept:
        reasons = sorted({drop.reason for drop in drops}) or ["no prompt came through the stages before"]
        raise UserError(f"no training rows: of {len(records)} records none is complete ({'; '.join(reasons)})")
    rows = {
        arm: [_row(seen[arm][r.id] if arm in seen else r, objective, dropouts.get(arm)) for r in kept]
        for arm, objective in objectives.items()
    }
    return rows, drops


def rows_hash(rows: Sequence[TrainingRow]) -> str:
    """SHA-256 of what the rows teach, in order."""
    return content_hash(
        [
            [[list(example.context), example.target] for example in (row.example, row.reduced) if example]
            + [row.weight]
            for row in rows
        ]
    )


def write_parquet(rows: Sequence[TrainingRow], path: Path) -> None:
    """Messages and target as text, for people and other tools."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "record_id": [row.record_id for row in rows],
            "messages": [json.dumps(list(row.example.context), ensure_ascii=False) for row in rows],
            "target": [row.example.target for row in rows],
            "weight": [row.weight for row in rows],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    parquet.write_table(table, scratch)
    scratch.replace(path)


def read_weights(path: Path) -> dict[str, float]:
    """Weight by record id of rows that `write_parquet` wrote."""
    from pyarrow import parquet

    columns = parquet.read_table(path, columns=["record_id", "weight"]).to_pydict()
    return dict(zip(columns["record_id"], columns["weight"], strict=True))


def _row(record: Record, objective: Objective, dropout: ContextDropoutConfig | None) -> TrainingRow:
    reduced = objective.example(reduce_context(record, dropout)) if dropout else None
    return TrainingRow(record.id, objective.example(record), reduced, float(record.prompt.meta.get("weight", 1.0)))


def _lacking(record: Record, needs: frozenset[str]) -> set[str]:
    have = {
        "draft": record.draft,
        "critique": record.critique,
        "refinement": record.refinement,
        "teacher_answer": record.teacher_answer,
        "solution": record.prompt.solution,
    }
    return {need for need in needs if have[need] is None}
