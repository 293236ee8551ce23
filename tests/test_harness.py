"""Run with: pytest tests/test_harness.py. lm-evaluation-harness in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgd import harness
from cgd.errors import UserError
from cgd.grading_instructions import follow
from cgd.harness import HarnessResult, HarnessTask, Score, evaluate_checkpoint
from cgd.harness.child import scores
from cgd.harness.local_data import SUBJECTS, write_tasks
from tests.backends.real_weights import MODEL, own_cache

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
DOUBLE = r"""
import json, os, pathlib, signal, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
file = pathlib.Path(job["file"])
with (file.parent / "calls").open("a") as calls:
    calls.write(job["name"] + "\n")
if job["name"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if job["name"] == "crash":
    raise ValueError("the batch is too large")
if job["name"] == "unknown":
    print("no such task: take another")
    sys.exit(2)
scores = {"acc,none": {"value": 0.25, "stderr": 0.1}, "f1,none": {"value": 0.5, "stderr": None}}
environment = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "NLTK_DATA")}
file.write_text(json.dumps({"n": 4, "scores": scores, "job": job, "environment": environment}))
"""


@pytest.fixture(scope="module", autouse=True)
def the_users_cache(cache_of_the_user: str | None) -> Iterator[None]:
    """The sentence data of the user's cache, fetched there if need be."""
    with own_cache(cache_of_the_user):
        yield


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another child in the harness's place."""
    monkeypatch.setattr(harness, "COMMAND", (sys.executable, "-c", DOUBLE))


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ifeval_row(number: int, *names: str, **kwargs: Any) -> dict[str, Any]:
    padding: list[dict[str, Any]] = [{} for _ in names[1:]]
    return {
        "key": number,
        "prompt": f"Task {number}.",
        "instruction_id_list": list(names),
        "kwargs": [kwargs, *padding],
    }


def mmlu_pro_row(subject: str, answer: str = "B") -> dict[str, Any]:
    return {"prompt": f"Which {subject}?", "choices": ["no", "yes"], "answer": answer, "subject": subject}


def calls(out: Path) -> list[str]:
    return (out / "calls").read_text().split()


# Around the process


def test_a_result_has_metrics_with_their_standard_errors_and_the_file_with_every_item(
    student: Path, tmp_path: Path, double: None
) -> None:
    results = evaluate_checkpoint(student, [HarnessTask("some_task")], tmp_path / "out", 4)
    (file,) = (tmp_path / "out").glob("some_task-*.json")
    expected = {"acc,none": Score(0.25, 0.1), "f1,none": Score(0.5, None)}
    assert results == {"some_task": HarnessResult(4, expected, file)}


def test_a_finished_task_is_not_run_again(student: Path, tmp_path: Path, double: None) -> None:
    tasks = [HarnessTask("one"), HarnessTask("two")]
    first = evaluate_checkpoint(student, tasks[:1], tmp_path, 4)
    both = evaluate_checkpoint(student, tasks, tmp_path, 4, batch_size=1)  # batches do not change what is asked
    assert both["one"] == first["one"]
    assert calls(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("change", ["limit", "max_tokens", "num_fewshot", "data", "weights", "lm_eval"])
def test_whatever_can_change_a_result_runs_it_again(
    change: str, student: Path, tmp_path: Path, double: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "student"
    shutil.copytree(student, folder)
    rows = write_rows(tmp_path / "rows.jsonl", {"a": 1})
    task, limit = HarnessTask("task", data=rows), 4
    before = evaluate_checkpoint(folder, [task], tmp_path, limit)["task"].file
    if change == "limit":
        limit = 5
    elif change == "data":
        write_rows(rows, {"a": 2})
    elif change == "weights":
        (folder / "chat_template.jinja").write_text("another")
    elif change == "lm_eval":
        monkeypatch.setattr(harness, "version", lambda _: "9.9")
    else:
        changed = {
            "max_tokens": HarnessTask("task", rows, max_tokens=7),
            "num_fewshot": HarnessTask("task", rows, num_fewshot=7),
        }
        task = changed[change]
    after = evaluate_checkpoint(folder, [task], tmp_path, limit)["task"].file
    assert before != after and before.is_file() and after.is_file()


def test_data_are_known_by_their_content_not_by_their_place(student: Path, tmp_path: Path, double: None) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        evaluate_checkpoint(student, [HarnessTask("task", write_rows(tmp_path / name, {"a": 1}))], tmp_path, 4)
    assert calls(tmp_path) == ["task"]


@pytest.mark.parametrize(
    ("name", "error"),
    [("crash", "exit status 1: ValueError: the batch is too large"), ("killed", "SIGKILL: no output")],
)
def test_a_task_that_crashes_leaves_the_others_alone_and_is_tried_again(
    name: str, error: str, student: Path, tmp_path: Path, double: None
) -> None:
    tasks = [HarnessTask(name), HarnessTask("fine")]
    for _ in range(2):
        results = evaluate_checkpoint(student, tasks, tmp_path, 4)
        assert results["fine"].n == 4
        assert results[name].scores == {}
        assert (results[name].error or "").startswith(error)
    assert calls(tmp_path) == [name, "fine", name]


def test_what_the_user_can_mend_is_said(student: Path, tmp_path: Path, double: None) -> None:
    with pytest.raises(UserError, match="harness task 'unknown': no such task: take another"):
        evaluate_checkpoint(student, [HarnessTask("unknown")], tmp_path, None)


@pytest.mark.parametrize("offline", [True, False])
def test_only_a_task_with_local_data_is_cut_off_from_the_hub(
    offline: bool, student: Path, tmp_path: Path, double: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    task = HarnessTask("task", write_rows(tmp_path / "rows.jsonl", {"a": 1}) if offline else None)
    found = json.loads(evaluate_checkpoint(student, [task], tmp_path, 4)["task"].file.read_text())
    assert found["environment"]["HF_HUB_OFFLINE"] == ("1" if offline else None)
    assert (Path(found["environment"]["NLTK_DATA"]) / "tokenizers" / "punkt_tab" / "english").is_dir()


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path, double: None) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("pickled")
    with pytest.raises(UserError, match=r"needs config\.json and \*\.safetensors"):
        evaluate_checkpoint(tmp_path, [HarnessTask("task")], tmp_path / "out", None)


def test_data_that_are_not_there_are_named(student: Path, tmp_path: Path, double: None) -> None:
    with pytest.raises(UserError, match=r"harness task 'ifeval': can't read .*none\.jsonl: No such file"):
        evaluate_checkpoint(student, [HarnessTask("ifeval", tmp_path / "none.jsonl")], tmp_path, None)


def test_the_process_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    """The parent holds the other end of its standard input; here that is closed while the libraries load."""
    (tmp_path / "job.json").write_text("{}")
    with subprocess.Popen([*harness.COMMAND, tmp_path / "job.json"], stdin=subprocess.DEVNULL) as child:
        assert child.wait(timeout=60) == 1


# Tables


def test_scores_of_a_group_stand_beside_those_of_its_subtasks() -> None:
    table = {
        "group": {"alias": "group", "exact_match,get": 0.5, "exact_match_stderr,get": 0.05},
        "sub": {"alias": "sub", "exact_match,get": 0.4, "exact_match_stderr,get": "N/A", "sample_len": 5},
    }
    assert scores("group", table) == {
        "exact_match,get": {"value": 0.5, "stderr": 0.05},
        "sub/exact_match,get": {"value": 0.4, "stderr": None},
    }


# Local data


def test_rows_of_ifeval_all_have_the_same_arguments(tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "rows.jsonl",
        ifeval_row(1, "length_constraints:number_words", num_words=5, relation="at least"),
        ifeval_row(2, "punctuation:no_comma", "keywords:existence"),
    )
    folder = write_tasks("ifeval", rows, tmp_path / "tasks")
    first, second = map(json.loads, (folder / "ifeval.jsonl").read_text().splitlines())
    assert first["kwargs"] == [{"num_words": 5, "relation": "at least"}]
    assert second["kwargs"] == [{"num_words": None, "relation": None}] * 2
    override = json.loads((folder / "ifeval.yaml").read_text())
    assert Path(override["include"]).is_file()
    assert override["dataset_kwargs"] == {"data_files": {"train": str(folder / "ifeval.jsonl")}}


def test_mmlu_pro_gets_a_file_for_each_subject_and_shows_no_examples(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", *(mmlu_pro_row(subject) for subject in SUBJECTS))
    folder = write_tasks("mmlu_pro", rows, tmp_path / "tasks")
    assert len(list(folder.glob("*.yaml"))) == len(SUBJECTS) == 14
    override = json.loads((folder / "mmlu_pro_computer_science.yaml").read_text())
    assert (override["task"], override["num_fewshot"], override["fewshot_split"]) == (
        "mmlu_pro_computer_science",
        0,
        None,
    )
    (row,) = map(json.loads, (folder / "mmlu_pro_computer_science.jsonl").read_text().splitlines())
    assert (row["question"], row["options"], row["answer"]) == ("Which computer science?", ["no", "yes"], "B")


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("gsm8k", {"a": 1}, "for ifeval and mmlu_pro only"),
        ("mmlu_pro", mmlu_pro_row("law"), "has no row of subject 'biology'"),
        ("mmlu_pro_math", mmlu_pro_row("law"), "has no row of subject 'math', which mmlu_pro_math asks for"),
        ("mmlu_pro", {"prompt": "x", "choices": "yes"}, "rows.jsonl:1: field 'choices' must be a list of texts"),
        ("ifeval", {"prompt": "x"}, "rows.jsonl:1: IFEval's rows need the lists"),
    ],
)
def test_data_that_do_not_fit_are_refused(name: str, row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_tasks(name, write_rows(tmp_path / "rows.jsonl", row), tmp_path / "tasks")


# The harness itself


def test_a_random_student_is_evaluated_without_a_hub(student: Path, tmp_path: Path) -> None:
    """Two rows of each task; a metric's mean is that of its items, and a reply is what the verdicts are about."""
    rows = [ifeval_row(1, "punctuation:no_comma"), ifeval_row(2, "keywords:existence", keywords=["surely not"])]
    ifeval = HarnessTask("ifeval", write_rows(tmp_path / "ifeval.jsonl", *rows, rows[0]), max_tokens=8)
    question = write_rows(tmp_path / "math.jsonl", mmlu_pro_row("math"), mmlu_pro_row("math", "A"))
    mmlu_pro = HarnessTask("mmlu_pro_math", question, max_tokens=8)
    results = evaluate_checkpoint(student, [ifeval, mmlu_pro], tmp_path / "out", 2)
    assert {name: (result.n, result.error) for name, result in results.items()} == {
        "ifeval": (2, None),
        "mmlu_pro_math": (2, None),
    }
    items = json.loads(results["ifeval"].file.read_text())["samples"]["ifeval"]
    verdicts = [item["prompt_level_strict_acc"] for item in items]
    assert results["ifeval"].scores["prompt_level_strict_acc,none"].value == sum(verdicts) / 2
    assert verdicts[1] is False
    assert set(results["mmlu_pro_math"].scores) == {"exact_match,custom-extract"}
    assert "You help." in items[0]["arguments"][0][0]  # the chat template's own system prompt


def test_a_name_that_the_harness_does_not_know_is_the_users_mistake(student: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"harness task 'iffeval': .* has no task or group 'iffeval'"):
        evaluate_checkpoint(student, [HarnessTask("iffeval")], tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_built_in_model_is_evaluated_and_our_verdicts_are_the_harnesses(tmp_path: Path) -> None:
    """Real weights on real rows: for each reply that the harness graded, `follow` says the same."""
    if not DATA.is_dir():
        pytest.skip(f"no benchmark data at {DATA}; set CGD_DATA")
    from cgd.models import model_folder

    tasks = [
        HarnessTask("ifeval", DATA / "ifeval.jsonl", max_tokens=64),
        HarnessTask("mmlu_pro", DATA / "mmlu_pro_sample.jsonl", max_tokens=16),
    ]
    started = time.monotonic()
    results = evaluate_checkpoint(model_folder(MODEL), tasks, tmp_path, 2)
    assert {name: result.n for name, result in results.items()} == {"ifeval": 2, "mmlu_pro": 28}
    took = time.monotonic() - started
    items = json.loads(results["ifeval"].file.read_text())["samples"]["ifeval"]
    for item in items:
        asked = {name: item["doc"][name] for name in ("instruction_id_list", "kwargs")}
        ours = follow(item["resps"][0][0], json.dumps(asked))
        assert ours == (item["prompt_level_strict_acc"], item["prompt_level_loose_acc"])
    started = time.monotonic()
    assert evaluate_checkpoint(model_folder(MODEL), tasks, tmp_path, 2) == results
    assert time.monotonic() - started < took / 4
