"""Run with: pytest tests/test_status.py."""

from __future__ import annotations

import json
from pathlib import Path

from cgd.records import Record, Reply
from cgd.status import (
    FailedRow,
    ServerStatus,
    StageStatus,
    TrainingStatus,
    failed_rows,
    server_status,
    stage_status,
    training_status,
)
from cgd.store import Store
from cgd.training.scratch import note_progress, open_scratch
from tests.builders import FAILED, RIGHT, add_predictions, add_records, ask, make_prompts


def test_stages_are_counted_by_state_in_the_order_of_the_run(tmp_path: Path) -> None:
    """Three prompts: all drafted, the second critique failed, so two refinements were asked; ten tokens a reply."""
    store = Store(tmp_path / "run.sqlite")
    texts = [("d", "c", "r"), ("d", None), ("d", "c", "r")]
    add_records(store, make_prompts(["a", "b", "c"]), texts)
    assert stage_status(store) == [
        StageStatus("draft", "", "", 0, asked=3, done=3, truncated=0, failed=0, missing=0, tokens=30),
        StageStatus("critique", "", "", 0, asked=3, done=2, truncated=0, failed=1, missing=0, tokens=20),
        StageStatus("refinement", "", "", 0, asked=2, done=2, truncated=0, failed=0, missing=0, tokens=20),
    ]


def test_predictions_are_counted_by_arm_and_seed_the_base_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    prompts = make_prompts(["a", "b"])
    for arm, seed in (("cgd", 1), ("base", 0), ("cgd", 0)):
        add_predictions(store, "sums", arm, prompts, [RIGHT, FAILED], seed=seed)
    rows = stage_status(store)
    assert [(row.arm, row.seed) for row in rows] == [("base", 0), ("cgd", 0), ("cgd", 1)]
    assert {(row.asked, row.done, row.failed) for row in rows} == {(2, 1, 1)}


def test_rows_that_are_asked_but_not_there_yet_are_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    prompts = make_prompts(["a", "b"])
    store.add_prompts(prompts)
    store.set_current("draft", [ask("draft", Record(prompt), "student") for prompt in prompts])
    (row,) = stage_status(store)
    assert (row.asked, row.missing, row.done) == (2, 2, 0)


def test_trainings_are_trained_begun_or_waiting_by_what_lies_in_their_folders(tmp_path: Path) -> None:
    """Arm `one` has two rounds and two seeds: seed 0 is in its last round, seed 1 has not begun."""
    recipe = {"arms": [{"name": "one", "rounds": 2}], "training": {"seeds": [0, 1]}}
    (tmp_path / "manifest.json").write_text(json.dumps({"recipe": recipe}))
    early, last = (tmp_path / "checkpoints" / "one" / name for name in ("seed0-round1", "seed0.partial"))
    early.mkdir(parents=True)
    (early / "cgd.json").write_text(json.dumps({"key": "k", "info": {"steps": 8, "final_loss": 0.5}}))
    open_scratch(last, "job")
    note_progress(last, {"step": 3, "steps": 8, "loss": 0.7})
    assert list(training_status(tmp_path)) == [
        TrainingStatus("training", "one", 0, 1, "trained", 8, 8, 0.5),
        TrainingStatus("training", "one", 0, 2, "begun", 3, 8, 0.7),
        TrainingStatus("training", "one", 1, 1, "waiting", 0, None, None),
        TrainingStatus("training", "one", 1, 2, "waiting", 0, None, None),
    ]


def test_a_run_without_a_manifest_has_no_training_yet(tmp_path: Path) -> None:
    assert list(training_status(tmp_path)) == []


def test_failed_rows_come_with_their_error_and_attempts(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    (prompt,) = make_prompts(["a"])
    add_records(store, [prompt], [(None,)])
    (row,) = failed_rows(store)
    assert row == FailedRow("draft", prompt.id, row.key, 1, "Timeout", "no answer in 60 s")


def test_a_failed_row_that_the_recipe_no_longer_asks_for_is_not_listed(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite")
    add_records(store, make_prompts(["a"]), [(None,)])
    store.set_current("draft", [])
    assert (failed_rows(store), stage_status(store)) == ([], [])


def test_each_server_has_its_share_and_its_speed(tmp_path: Path) -> None:
    """The first server's two replies of 30 tokens took 2 s together: 30 tokens/s; rows of this process have none."""
    store = Store(tmp_path / "run.sqlite")
    prompts = make_prompts(["a", "b", "c", "d"])
    store.add_prompts(prompts)
    servers = ("http://one/v1", "http://one/v1", "http://two/v1", "")
    for prompt, server in zip(prompts, servers, strict=True):
        request = ask("critique", Record(prompt), "teacher")
        reply = Reply(request.key, "Right.", "stop", 5, 30, latency_s=2.0, server=server)
        store.add_replies([(request, reply, "done", "Right.")], backend="{}", parser="plain 1")
    with store.transaction() as db:
        db.execute("UPDATE replies SET stored_at = 100")
    assert server_status(store) == [
        ServerStatus("http://one/v1", replies=2, tokens=60, tokens_per_s=30.0),
        ServerStatus("http://two/v1", replies=1, tokens=30, tokens_per_s=15.0),
    ]
