"""How quick scoring is on this machine, and what it is made of: cgd's scorer beside a plain loop with transformers.

Records are those of the quickstart recipe, made once: each refinement is scored given x, (x, y') and (x, y', c), with
log-probabilities and entropies over the full vocabulary, 135M weights, float32. Each job is a process of its own; they
take turns. Tokens are those of all sequences as the plain loop reads them.

speedup        tokens a second of cgd over those of the plain loop: one forward pass a record and context, full logits
memory_ratio   peak memory beyond the loaded model: cgd's over the plain loop's
peak_ratio     peak memory of the process, weights and libraries included: cgd's over the plain loop's
slope          of the time with the number of records, on logarithmic axes: 1 is linear
from_head      speed gained by running the head on target positions alone
from_batching  speed gained on top by passes of several sequences
from_sharing   speed gained on top by computing once what contexts share
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import quickstart, records_of, run_job
from benchmarks.output import parser, show
from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.models import model_folder
from cgd.scoring.contexts import questions

JOB = "benchmarks.scoring_job"
KINDS = ("plain", "head", "batched", "cgd")
SIZES = (1, 2, 4)  # quarters of the records, for the slope


def main() -> None:
    """Let the kinds take turns."""
    options = parser(__doc__)
    options.add_argument("--turns", type=int, default=3, help="how often each is run")
    options.add_argument("--records", type=int, default=32)
    arguments = options.parse_args()
    recipe = quickstart(arguments.records)
    student = model_folder(recipe.student.model)
    groups = scored_groups(recipe, student)
    job = {"student": str(student), "groups": groups}
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    times: list[list[float]] = []
    for _ in range(arguments.turns):
        for kind in KINDS:
            found[kind].append(run_job(JOB, {**job, "kind": kind}))
        parts = [len(groups) * size // max(SIZES) for size in SIZES]
        times.append([run_job(JOB, {**job, "kind": "cgd", "groups": groups[:part]})["seconds"] for part in parts])
    show(compare(groups, found, times), as_json=arguments.json)


def scored_groups(recipe: Recipe, student: Path) -> list[list[tuple[list[int], list[int]]]]:
    """Context and target ids of each record's refinement in its three contexts; generated unless known."""
    tokenizer, groups = load_tokenizer(student), []
    for record in records_of(recipe):
        asked = questions(tokenizer, record)
        groups.append([(s.context_ids, s.target_ids) for asking, s in asked.items() if asking.target == "refinement"])
    return groups


def compare(
    groups: Sequence[Sequence[tuple[list[int], list[int]]]],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    times: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """The figures of the module's docstring, medians over the turns."""
    tokens = sum(len(context) + len(target) for group in groups for context, target in group)

    def gain(quick: str, slow: str) -> float:
        quotients = [b["seconds"] / a["seconds"] for a, b in zip(found[quick], found[slow], strict=True)]
        return float(statistics.median(quotients))

    def ratio(figure: str) -> float:
        ours, theirs = (statistics.median(each[figure] for each in found[kind]) for kind in ("cgd", "plain"))
        return float(ours / theirs)

    return {
        "speedup": gain("cgd", "plain"),
        "memory_ratio": ratio("beyond_model_gib"),
        "peak_ratio": ratio("peak_gib"),
        "slope": statistics.median(_slope(each) for each in times),
        "from_head": gain("head", "plain"),
        "from_batching": gain("batched", "head"),
        "from_sharing": gain("cgd", "batched"),
        "records": len(groups),
        "mean_sequence_tokens": tokens / sum(map(len, groups)),
        **{
            f"{kind}_tokens_per_s": tokens / statistics.median(each["seconds"] for each in found[kind])
            for kind in KINDS
        },
        "largest_difference": max(each["difference"] for each in found["cgd"]),
    }


def _slope(seconds: Sequence[float]) -> float:
    """Least squares of ln seconds on ln size."""
    x, y = [math.log(size) for size in SIZES], [math.log(value) for value in seconds]
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    rise = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return rise / sum((a - mean_x) ** 2 for a in x)


if __name__ == "__main__":
    main()
