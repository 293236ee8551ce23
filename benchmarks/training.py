"""How quick fine-tuning is on this machine, and how exact: cgd's trainer beside a plain script with TRL.

Rows are those of the quickstart recipe, made once (drafting takes a few minutes): 135M weights, float32, 8 rows a
step. Each training is a process of its own; the three take turns; the first step of each warms up and is left out.

speedup              target tokens a second of cgd over those of TRL's SFTTrainer with its defaults, bfloat16 off
speedup_tuned        the same, with its gradient checkpointing off
loss_difference      of the mean −log p of a target token at initial weights, packed or row by row
flops_fraction       cgd's floating-point operations a second over those of the best float32 matrix product in the same
                     process: 6 a body parameter and token, 6·d·V a labelled token, 12·(heads·size) a layer and pair of
                     causal attention; padding and recomputation count nothing
memory_ratio         peak memory of cgd's process over that of TRL's without gradient checkpointing
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.jobs import quickstart, records_of, run_job
from benchmarks.output import parser, show
from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.models import model_folder
from cgd.plugins import build_objective
from cgd.training.collate import predicted_tokens
from cgd.training.completion_only import encode_example

JOB = "benchmarks.training_job"
KINDS = ("cgd", "trl", "trl_tuned")


def main() -> None:
    """Let the three take turns."""
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=3, help="how often each is run")
    options.add_argument("--steps", type=int, default=4, help="optimizer steps of a run, the first one warms up")
    options.add_argument("--batch-size", type=int, default=8)
    options.add_argument("--rows", type=int, default=128, help="rows made, and compared in loss")
    options.add_argument("--settings", type=json.loads, default={}, help="keys of [training] for cgd, as JSON")
    arguments = options.parse_args()
    recipe = quickstart(arguments.rows)
    student = model_folder(recipe.student.model)
    rows = training_columns(recipe, student)
    wanted = arguments.steps * arguments.batch_size
    job = {
        "student": str(student),
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "rows": (rows * wanted)[:wanted],
        "settings": arguments.settings,
    }
    losses = run_job(JOB, {**job, "kind": "loss", "rows": rows})
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.pairs):
        for kind in KINDS:
            found[kind].append(run_job(JOB, {**job, "kind": kind}))
    show(compare(job, losses, found), as_json=arguments.json)


def training_columns(recipe: Recipe, student: Path) -> list[dict[str, Any]]:
    """Each row as cgd's trainer takes it, and as the columns that TRL takes; generated unless known."""
    objective, tokenizer = build_objective("cgd", {}), load_tokenizer(student)
    columns = []
    for record in records_of(recipe):
        example = objective.example(record)
        completion = [{"role": "assistant", "content": example.target}]
        encoded = encode_example(tokenizer, example)
        columns.append({"prompt": list(example.context), "completion": completion, "encoded": encoded})
    return columns


def compare(job: dict[str, Any], losses: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The figures of the module's docstring, medians over the turns."""
    size = job["batch_size"]
    targets = sum(predicted_tokens(row["encoded"]) for row in job["rows"][size:])
    tokens = sum(len(row["encoded"].input_ids) for row in job["rows"][size:])
    rates = {kind: [targets / sum(each["seconds"][1:]) for each in found[kind]] for kind in KINDS}
    fractions = [
        sum(each["flops"][1:]) / sum(each["seconds"][1:]) / each["matrix_product_flops"] for each in found["cgd"]
    ]
    peaks = {kind: statistics.median(each["peak_gib"] for each in found[kind]) for kind in KINDS}

    def ratio(kind: str) -> float:
        quotients = [ours / theirs for ours, theirs in zip(rates["cgd"], rates[kind], strict=True)]
        return float(statistics.median(quotients))

    return {
        "speedup": ratio("trl"),
        "speedup_tuned": ratio("trl_tuned"),
        "loss_difference": abs(losses["packed"] - losses["own"]),
        "flops_fraction": statistics.median(fractions),
        "memory_ratio": peaks["cgd"] / peaks["trl_tuned"],
        **{f"{kind}_target_tokens_per_s": statistics.median(rates[kind]) for kind in KINDS},
        **{f"{kind}_peak_gib": peaks[kind] for kind in KINDS},
        "tokens_per_s": statistics.median(rates["cgd"]) * tokens / targets,
        "matrix_product_gflops": max(each["matrix_product_flops"] for each in found["cgd"]) / 1e9,
        "mean_row_tokens": tokens / (len(job["rows"]) - size),
        "mean_target_tokens": targets / (len(job["rows"]) - size),
    }


if __name__ == "__main__":
    main()
