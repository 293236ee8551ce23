"""Scores of a run's records under one model, kept in the run's store; what is there is not computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.chat import load_tokenizer
from cgd.models import weights_hash
from cgd.progress import StageProgress
from cgd.records import Record, content_hash
from cgd.scoring.contexts import Question, questions
from cgd.scoring.score import Scored, Scorer, Scores
from cgd.store import Store
from cgd.training.completion_only import LossyTarget


class ScoredRun(NamedTuple):
    """Which rows of the table `scores` answer what, and how many were made."""

    keys: dict[str, dict[Question, str]]
    """By record id and question."""
    left_out: list[str]
    """Records whose texts the model's tokenizer does not give back."""
    made: int


class _Row(NamedTuple):
    key: str
    record_id: str
    question: Question
    scored: Scored


def score_records(
    store: Store, folder: Path, records: Sequence[Record], candidates: Mapping[str, Sequence[str]], title: str
) -> ScoredRun:
    """Score records under a model.

    Args:
        store: of the run.
        folder: the scoring model.
        records: complete ones.
        candidates: refinements that could have been, by record id.
        title: shown beside the progress bar.
    """
    tokenizer, model = load_tokenizer(folder), weights_hash(folder)
    asked: dict[str, dict[Question, Scored]] = {}
    left_out = []
    for record in records:
        try:
            asked[record.id] = questions(tokenizer, record, candidates.get(record.id, ()))
        except LossyTarget:
            left_out.append(record.id)
    rows = {
        record_id: [
            _Row(_key(model, record_id, question, scored), record_id, question, scored)
            for question, scored in mine.items()
        ]
        for record_id, mine in asked.items()
    }
    known = {row["key"] for row in store.query("SELECT key FROM scores WHERE model = ?", (model,))}
    missing = [lacking for mine in rows.values() if (lacking := [row for row in mine if row.key not in known])]
    if missing:
        with StageProgress(title, len(missing)) as progress:
            for group, found in _score(folder, missing):
                with store.transaction() as db:
                    stored = [_stored(row, model, scores) for row, scores in zip(group, found, strict=True)]
                    db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", stored)
                progress.advance(1, sum(len(row.scored.target_ids) for row in group))
    keys = {record_id: {row.question: row.key for row in mine} for record_id, mine in rows.items()}
    return ScoredRun(keys, left_out, sum(map(len, missing)))


def _score(folder: Path, missing: Sequence[Sequence[_Row]]) -> Iterator[tuple[Sequence[_Row], list[Scores]]]:
    scorer = Scorer(folder)
    yield from zip(missing, scorer.score([[row.scored for row in group] for group in missing]), strict=True)


def _key(model: str, record_id: str, question: Question, scored: Scored) -> str:
    return content_hash([model, "float32", record_id, *question, scored.context_ids, scored.target_ids])


def _stored(row: _Row, model: str, scores: Scores) -> tuple[Any, ...]:
    numbers = [json.dumps(value) for value in (row.scored.target_ids, scores.log_p, scores.entropy)]
    return (row.key, row.record_id, model, row.question.target, row.question.context, *numbers)
