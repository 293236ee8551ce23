"""Trains every arm and seed whose checkpoint is absent or was trained from something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.models import model_folder, weights_hash
from cgd.records import TrainingRow, content_hash
from cgd.runfolder import RunFolder
from cgd.store import Drop
from cgd.training.checkpoint import checkpoint_key, find, publish, read_stamp
from cgd.training.completion_only import EncodedRow, encode_arms, encode_example
from cgd.training.flops import training_flops
from cgd.training.order import drop_contexts, match_tokens, training_order
from cgd.training.sft import train

Job = tuple[str, int]  # arm and seed
WriteRows = Callable[[Sequence[TrainingRow], Path], None]


class Encoded(NamedTuple):
    """Rows of all arms as token ids: whole, and with the context that dropout takes away; ids of those left out."""

    whole: dict[str, list[EncodedRow]]
    reduced: dict[str, list[EncodedRow]]
    left_out: list[str]


def train_arms(
    folder: RunFolder,
    recipe: Recipe,
    rows: Mapping[str, Sequence[TrainingRow]],
    rows_hashes: Mapping[str, str],
    write_rows: WriteRows,
) -> int:
    """Train what is missing; returns how many checkpoints were made.

    Args:
        folder: the run.
        recipe: its recipe.
        rows: by arm, all made from the same records.
        rows_hashes: what the rows teach, by arm.
        write_rows: writes an arm's rows for people to read.
    """
    student = model_folder(recipe.student.model, recipe.student.options.get("revision"))
    keys = job_keys(recipe, rows_hashes, weights_hash(student))
    stamps = {job: read_stamp(folder.checkpoint(*job)) for job in keys}
    made = 0
    if any(stamp is None or stamp.key != keys[job] for job, stamp in stamps.items()):
        with folder.timed("training"):
            made = _train_missing(folder, recipe, student, rows, keys, write_rows)
        stamps = {job: read_stamp(folder.checkpoint(*job)) for job in keys}
    folder.store.set_checkpoints({job: stamp.info for job, stamp in stamps.items() if stamp})
    return made


def job_keys(recipe: Recipe, rows_hashes: Mapping[str, str], student_hash: str) -> dict[Job, str]:
    """What decides each checkpoint's weights: where arms are matched by tokens, all arms' rows."""
    config = recipe.training
    together = content_hash(dict(rows_hashes))
    keys = {}
    for arm in recipe.arms:
        dropout = arm.context_dropout.model_dump() if arm.context_dropout else None
        taught = content_hash([together if config.match == "tokens" else "", rows_hashes[arm.name], dropout])
        for seed in config.seeds:
            keys[arm.name, seed] = checkpoint_key(taught, config, seed, student_hash)
    return keys


def _train_missing(
    folder: RunFolder,
    recipe: Recipe,
    student: Path,
    rows: Mapping[str, Sequence[TrainingRow]],
    keys: Mapping[Job, str],
    write_rows: WriteRows,
) -> int:
    encoded = _encode(folder, recipe, student, rows, write_rows)
    made = 0
    for (arm, seed), key in keys.items():
        out = folder.checkpoint(arm, seed)
        # Another arm's long rows are left out here too, so they count although this arm's key is the same.
        if find(out, key, encoded.left_out):
            continue
        ordered = _in_order(recipe, encoded, seed)[arm]
        scratch = out.with_name(f"{out.name}.partial")
        info = train(ordered, student, scratch, recipe.training, seed, f"train {arm} seed {seed}", key=key)
        info |= {"rows": len(encoded.whole[arm]), "flops": training_flops(student, ordered)}
        publish(scratch, out, key, encoded.left_out, info)
        made += 1
    return made


def _encode(
    folder: RunFolder, recipe: Recipe, student: Path, rows: Mapping[str, Sequence[TrainingRow]], write_rows: WriteRows
) -> Encoded:
    """Token ids of every arm's rows, the same records in each; what is left out goes to the store with its reason."""
    config, tokenizer = recipe.training, load_tokenizer(student)
    examples = {arm: [row.example for row in arm_rows] for arm, arm_rows in rows.items()}
    whole, too_long = encode_arms(tokenizer, examples, config.max_length, config.max_overlength_share)
    any_arm = next(iter(rows.values()))
    left_out = [Drop(any_arm[index].record_id, reason) for index, reason in too_long.items()]
    folder.store.set_drops("length", left_out)
    kept = {arm: [row for i, row in enumerate(arm_rows) if i not in too_long] for arm, arm_rows in rows.items()}
    for arm, arm_rows in kept.items():
        write_rows(arm_rows, folder.dataset(arm))
    return Encoded(
        {
            arm: [ids._replace(weight=row.weight) for ids, row in zip(whole[arm], kept[arm], strict=True)]
            for arm in kept
        },
        {
            arm: [encode_example(tokenizer, row.reduced)._replace(weight=row.weight) for row in arm_rows if row.reduced]
            for arm, arm_rows in kept.items()
        },
        [drop.record_id for drop in left_out],
    )


def _in_order(recipe: Recipe, encoded: Encoded, seed: int) -> dict[str, list[EncodedRow]]:
    """Every arm's rows as the trainer takes them, repeated over epochs."""
    config = recipe.training
    order = training_order(len(next(iter(encoded.whole.values()))), config, seed)
    arranged = {}
    for arm in recipe.arms:
        dropped = [False] * len(order)
        if arm.context_dropout:
            dropped = drop_contexts(len(order), arm.context_dropout, seed)
        whole, reduced = encoded.whole[arm.name], encoded.reduced[arm.name]
        arranged[arm.name] = [(reduced if drop else whole)[index] for index, drop in zip(order, dropped, strict=True)]
    return match_tokens(arranged, config.batch_size) if config.match == "tokens" else arranged
