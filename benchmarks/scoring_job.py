"""One scoring job in a process of its own: cgd's scorer, parts of it, or a plain loop with transformers.

`python -m benchmarks.scoring_job` reads one JSON object (kind, student, groups) and writes one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cgd.scoring.score import Scored, Scorer, Scores

_CHECKED = 4  # records whose values are compared with the plain loop's


def main() -> None:
    """Do the job and tell its figures."""
    job = json.load(sys.stdin)
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no part of the answer
    student, groups = Path(job["student"]), [[Scored(*one) for one in group] for group in job["groups"]]
    score = plain_loop(student) if job["kind"] == "plain" else scorer(student, job["kind"])
    score(groups[:1])  # warms up
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, without what loading took
    loaded, started = memory_gib("VmRSS"), time.perf_counter()
    found = score(groups)
    seconds = time.perf_counter() - started
    peak = memory_gib("VmHWM")
    figures = {"seconds": seconds, "peak_gib": peak, "beyond_model_gib": peak - loaded}
    if job["kind"] == "cgd":
        figures["difference"] = largest_difference(found, plain_loop(student)(groups[:_CHECKED]))
    os.write(output, json.dumps(figures).encode())


def plain_loop(student: Path) -> Callable[[Sequence[Sequence[Scored]]], list[list[Scores]]]:
    """One forward pass a sequence, logits of all its positions."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()

    def one(sequence: Scored) -> Scores:
        with torch.inference_mode():
            ids = torch.tensor([[*sequence.context_ids, *sequence.target_ids]])
            log_p_TV = model(ids).logits[0].log_softmax(-1)
            entropy_T = -(log_p_TV.exp() * log_p_TV).sum(-1)
            targets = torch.tensor(sequence.target_ids)[:, None]
            start = len(sequence.context_ids) - 1
            log_p = log_p_TV[start:-1].gather(1, targets)[:, 0]
            return Scores(log_p.tolist(), entropy_T[start:-1].tolist())

    return lambda groups: [[one(sequence) for sequence in group] for group in groups]


def scorer(student: Path, kind: str) -> Callable[[Sequence[Sequence[Scored]]], list[list[Scores]]]:
    """The scorer of cgd: whole, without sharing (`batched`), or one sequence a pass as well (`head`)."""
    made = Scorer(student)
    if kind == "head":
        made._tokens = 1
    if kind == "cgd":
        return lambda groups: list(made.score(groups))
    return lambda groups: list(made.score([[sequence] for group in groups for sequence in group]))


def largest_difference(ours: Sequence[Sequence[Scores]], theirs: Sequence[Sequence[Scores]]) -> float:
    """Of any log-probability or entropy of the records that both scored."""
    return max(
        abs(a - b)
        for mine, other in zip(ours, theirs, strict=False)
        for one, two in zip(mine, other, strict=True)
        for these, those in zip(one, two, strict=True)
        for a, b in zip(these, those, strict=True)
    )


def memory_gib(field: str) -> float:
    """Memory of this process: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:"))) / 2**20


if __name__ == "__main__":
    main()
