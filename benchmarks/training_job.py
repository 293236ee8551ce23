"""One training in a process of its own, on rows from its input: cgd's, or a plain script with TRL.

`python -m benchmarks.training_job` reads one JSON object (kind, student, rows, steps, batch_size) and writes one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.output import scratch_folder
from cgd.config import TrainingConfig
from cgd.training.completion_only import EncodedRow
from cgd.training.flops import training_flops
from cgd.training.probe import peak_gib
from cgd.training.sft import train

LEARNING_RATE = 1e-4


def main() -> None:
    """Do the job and tell its figures."""
    job = json.load(sys.stdin)
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no part of the answer
    kinds = {"cgd": train_cgd, "trl": train_trl, "trl_tuned": train_trl, "loss": measure_losses}
    figures = kinds[job["kind"]](job)
    os.write(output, json.dumps({**figures, "peak_gib": peak_gib()}).encode())


def train_cgd(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each step, and floating-point operations a second beside those of a matrix product."""
    rows = [EncodedRow(*row["encoded"]) for row in job["rows"]]
    student, size = Path(job["student"]), job["batch_size"]
    config = TrainingConfig(batch_size=size, learning_rate=LEARNING_RATE, save_steps=job["steps"], **job["settings"])
    product = matrix_product_flops()
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        account = train(rows, student, Path(scratch) / "model", config, 0, "cgd")
    product = max(product, matrix_product_flops())
    seconds = [entry["seconds"] for entry in account["log"]]
    flops = [training_flops(student, rows[start : start + size]) for start in range(0, len(rows), size)]
    return {"seconds": seconds, "flops": flops, "matrix_product_flops": product, "log": account["log"]}


def train_trl(job: dict[str, Any]) -> dict[str, Any]:
    """What a short script with TRL's defaults does: only bfloat16 is off, and what is not training (reports, saves)."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    tuned = {"gradient_checkpointing": False} if job["kind"] == "trl_tuned" else {}
    columns = [{name: row[name] for name in ("prompt", "completion")} for row in job["rows"]]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["student"], dtype="float32"),
        args=SFTConfig(
            output_dir=str(scratch_folder() / "trl"),
            max_steps=job["steps"],
            per_device_train_batch_size=job["batch_size"],
            learning_rate=LEARNING_RATE,
            bf16=False,
            train_sampling_strategy="sequential",  # the same rows in the same step
            save_strategy="no",
            report_to="none",
            **tuned,
        ),
        train_dataset=Dataset.from_list(columns),
        processing_class=AutoTokenizer.from_pretrained(job["student"]),
        callbacks=[Clock()],
    )
    started = time.perf_counter()
    trainer.train()
    return {"seconds": [end - start for start, end in zip([started, *ends[:-1]], ends, strict=True)]}


def measure_losses(job: dict[str, Any]) -> dict[str, Any]:
    """Mean −log p of a target token at the initial weights: packed, and by the model's own loss row by row."""
    import torch
    from transformers import AutoModelForCausalLM

    from cgd.training.attention import set_attention
    from cgd.training.collate import Packing, divide, pack, predicted_tokens
    from cgd.training.loss import use_target_loss
    from cgd.training.sft import CPU_TOKENS

    rows = [EncodedRow(*row["encoded"]) for row in job["rows"]]
    targets = sum(predicted_tokens(row) for row in rows)
    model = AutoModelForCausalLM.from_pretrained(job["student"], dtype=torch.float32).requires_grad_(False).train()
    own = 0.0
    for row in rows:
        loss = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
        own += float(loss) * predicted_tokens(row)
    use_target_loss(model, packs=set_attention(model, TrainingConfig(), "cpu"))
    (batches,) = divide(rows, Packing(tokens=CPU_TOKENS))
    packed = sum(float(model(**pack(batch))["loss"]) for batch in batches)
    return {"own": own / targets, "packed": packed / targets}


def matrix_product_flops() -> float:
    """The most floating-point operations a second that a float32 product of square matrices reaches."""
    import torch

    best = 0.0
    for size in (1024, 2048, 3072):
        a, b = torch.randn(size, size), torch.randn(size, size)
        for _ in range(4):
            started = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
