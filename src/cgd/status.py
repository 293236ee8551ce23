"""Where a run stands, read from its store: rows by stage and state, and the failed ones with their errors."""

from __future__ import annotations

from typing import NamedTuple

from cgd.records import stage_order
from cgd.store import Store

_STAGES = """
SELECT u.stage, u.task, u.arm, u.seed, COUNT(*) AS asked,
       COALESCE(SUM(r.state = 'done'), 0) AS done, COALESCE(SUM(r.state = 'truncated'), 0) AS truncated,
       COALESCE(SUM(r.state = 'failed'), 0) AS failed, COALESCE(SUM(r.key IS NULL), 0) AS missing,
       COALESCE(SUM(r.completion_tokens), 0) AS tokens
FROM current AS u LEFT JOIN replies AS r ON r.key = u.key
GROUP BY u.stage, u.task, u.arm, u.seed
ORDER BY u.task, u.arm != 'base', u.arm, u.seed
"""
_FAILED = """
SELECT DISTINCT r.stage, r.prompt_id, r.key, r.attempts, r.error_class, r.error
FROM current AS u JOIN replies AS r ON r.key = u.key WHERE r.state = 'failed'
ORDER BY u.stage, u.position
"""

_SERVERS = """
WITH span AS (
  SELECT server, MAX(stored_at) AS last, MIN(stored_at - latency_s) AS first FROM replies WHERE server != '' GROUP BY 1)
SELECT r.server, COUNT(*) AS replies, SUM(r.completion_tokens) AS tokens,
       ROUND(SUM(IIF(r.stored_at > s.last - 60, r.completion_tokens, 0)) / MAX(MIN(60.0, s.last - s.first), 0.001), 1)
         AS tokens_per_s
FROM replies AS r JOIN span AS s ON s.server = r.server
GROUP BY r.server ORDER BY r.server
"""


class StageStatus(NamedTuple):
    """Rows that the present recipe asks of one stage (of one arm, seed and task for predictions)."""

    stage: str
    task: str
    arm: str
    seed: int
    asked: int
    done: int
    truncated: int
    failed: int
    missing: int
    tokens: int


class ServerStatus(NamedTuple):
    """What one server has answered, and how many new tokens a second in the last minute of its work."""

    server: str
    replies: int
    tokens: int
    tokens_per_s: float


class FailedRow(NamedTuple):
    """A row that failed, how often it was tried, and its last error."""

    stage: str
    prompt_id: str
    key: str
    attempts: int
    error_class: str
    error: str


def stage_status(store: Store) -> list[StageStatus]:
    """One entry a stage that the recipe has come to; `tokens` are those of the stored replies."""
    return sorted((StageStatus(*row) for row in store.query(_STAGES)), key=lambda row: stage_order(row.stage))


def server_status(store: Store) -> list[ServerStatus]:
    """One entry a server that has answered; none where all engines ran in a `cgd` process."""
    return [ServerStatus(*row) for row in store.query(_SERVERS)]


def failed_rows(store: Store) -> list[FailedRow]:
    """The failed rows in use; the next run tries them again."""
    return [FailedRow(*row) for row in store.query(_FAILED)]
