"""One task of lm-evaluation-harness on one model folder: `python -m cgd.harness.child JOB.json`.

Whatever it prints goes to a log. Exit status 0: the result file is there, whole; 2: its last line is a message to the
user; anything else: it crashed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgd.errors import UserError
from cgd.harness.local_data import write_tasks

GREATEST_BOOTSTRAP = 1000
"""Resamples for the standard error of metrics that have no formula for it."""


def main(job_file: Path) -> int:
    """Run the job; returns the exit status."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        run(json.loads(job_file.read_text()), job_file.parent)
    except UserError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


def run(job: Mapping[str, Any], scratch: Path) -> None:
    """Evaluate, and write the result file.

    Raises:
        UserError: no such task, or local data that don't fit it.
    """
    import langdetect
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    langdetect.DetectorFactory.seed = 0
    local = write_tasks(job["name"], Path(job["data"]), scratch / "tasks") if job["data"] else None
    manager = TaskManager(include_path=local)
    if job["name"] not in manager.all_groups + manager.all_subtasks:
        raise UserError(f"lm-evaluation-harness has no task or group {job['name']!r}; `lm-eval ls tasks` lists them")
    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": job["checkpoint"], "use_safetensors": True},
        tasks=[job["name"]],
        num_fewshot=job["num_fewshot"],
        batch_size=job["batch_size"],
        device="cuda" if torch.cuda.is_available() else "cpu",
        limit=job["limit"],
        gen_kwargs={"max_gen_toks": job["max_tokens"]} if job["max_tokens"] else None,
        apply_chat_template=True,
        bootstrap_iters=GREATEST_BOOTSTRAP,
        task_manager=manager,
    )
    _write(Path(job["file"]), job, found)


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the parent is gone
    os._exit(1)


def _write(file: Path, job: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    from lm_eval.utils import handle_non_serializable

    result = {
        "task": job["name"],
        "checkpoint": job["checkpoint"],
        "lm_eval": found["lm_eval_version"],
        "versions": found["versions"],
        "n_shot": found["n-shot"],
        "limit": job["limit"],
        "n": sum(counts["effective"] for counts in found["n-samples"].values()),
        "scores": scores(job["name"], found["results"]),
        "samples": found["samples"],
    }
    scratch = file.with_suffix(".partial")
    with scratch.open("w", encoding="utf-8") as stream:
        json.dump(result, stream, indent=1, default=handle_non_serializable)
        stream.write("\n")
    scratch.replace(file)


def scores(task: str, results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Metrics with their standard errors out of the harness's table, subtasks under `<subtask>/<metric>`.

    The harness has `<metric>,<filter>` beside `<metric>_stderr,<filter>`, which is "N/A" where there is none.
    """
    flat: dict[str, dict[str, float | None]] = {}
    for name, row in results.items():
        prefix = "" if name == task else f"{name}/"
        for column, value in row.items():
            metric, comma, filtered = column.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            stderr = row.get(f"{metric}_stderr,{filtered}")
            flat[prefix + column] = {"value": value, "stderr": stderr if isinstance(stderr, float) else None}
    return flat


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
