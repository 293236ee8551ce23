"""Where a run stands: rows by stage and state, steps of every training, and the failed rows with their errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgd.records import stage_order
from cgd.runfolder import checkpoint_place, is_held, read_json
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


class TrainingStatus(NamedTuple):
    """Optimizer steps of one training, of all that it takes, and the loss of the last one (nats a target token)."""

    stage: str
    arm: str
    seed: int
    round: int
    state: Literal["waiting", "begun", "trained"]
    step: int
    steps: int | None
    loss: float | None


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


class Status(NamedTuple):
    """All of it; a run is `stopped` where something is missing and no process is at work on it."""

    name: str
    state: Literal["running", "finished", "stopped"]
    stages: list[StageStatus]
    training: list[TrainingStatus]
    servers: list[ServerStatus]

    def as_json(self) -> dict[str, Any]:
        """With one object a row."""
        tables: dict[str, Sequence[Any]] = {
            "stages": self.stages,
            "training": self.training,
            "servers": self.servers,
        }
        rows = {title: [row._asdict() for row in table] for title, table in tables.items()}
        return {"name": self.name, "state": self.state, **rows}


def read_status(folder: Path, store: Store) -> Status:
    """Where the run in a folder stands, whether or not a process is at work on it."""
    stages, training = stage_status(store), list(training_status(folder))
    whole = (folder / "summary.json").exists() and not any(row.missing for row in stages)
    finished = whole and all(row.state == "trained" for row in training)
    state: Literal["running", "finished", "stopped"] = "finished" if finished else "stopped"
    return Status(folder.name, "running" if is_held(folder) else state, stages, training, server_status(store))


def training_status(folder: Path) -> Iterator[TrainingStatus]:
    """One entry an arm, seed and round of the run's recipe; none before the run has a manifest."""
    manifest = read_json(folder / "manifest.json")
    recipe: dict[str, Any] = manifest["recipe"] if manifest else {"arms": []}
    for arm in recipe["arms"]:
        for seed in recipe["training"]["seeds"]:
            for number in range(1, arm["rounds"] + 1):
                place = checkpoint_place(folder, arm, seed, number)
                yield TrainingStatus("training", arm["name"], seed, number, *_progress(place))


def _progress(place: Path) -> tuple[Literal["waiting", "begun", "trained"], int, int | None, float | None]:
    stamp = read_json(place / "cgd.json")
    if stamp is not None:
        info = stamp["info"]
        return "trained", info["steps"], info["steps"], info["final_loss"]
    begun = read_json(place.with_name(f"{place.name}.partial") / "progress.json")
    return ("begun", begun["step"], begun["steps"], begun["loss"]) if begun else ("waiting", 0, None, None)


def stage_status(store: Store) -> list[StageStatus]:
    """One entry a stage that the recipe has come to; `tokens` are those of the stored replies."""
    return sorted((StageStatus(*row) for row in store.query(_STAGES)), key=lambda row: stage_order(row.stage))


def server_status(store: Store) -> list[ServerStatus]:
    """One entry a server that has answered; none where all engines ran in a `cgd` process."""
    return [ServerStatus(*row) for row in store.query(_SERVERS)]


def failed_rows(store: Store) -> list[FailedRow]:
    """The failed rows in use; the next run tries them again."""
    return [FailedRow(*row) for row in store.query(_FAILED)]
