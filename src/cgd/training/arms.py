"""Trains every arm and seed whose checkpoint is absent or was trained from something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cgd.chat import load_tokenizer
from cgd.config import Recipe
from cgd.models import weights_hash
from cgd.records import TrainingRow, content_hash
from cgd.runfolder import RunFolder
from cgd.store import Drop
from cgd.training.checkpoint import checkpoint_key, find, publish, read_stamp
from cgd.training.completion_only import EncodedRow, encode_arms, encode_example
from cgd.training.flops import training_flops
from cgd.training.order import drop_contexts, match_tokens, training_order
from cgd.training.processes import train

Job = tuple[str, int]  # arm and seed


class Rows(NamedTuple):
    """Rows by arm, all made from the same records; what they teach as a hash; and what writes them for people."""

    by_arm: Mapping[str, Sequence[TrainingRow]]
    hashes: Mapping[str, str]
    write: Callable[[Sequence[TrainingRow], Path], None]


class Encoded(NamedTuple):
    """Rows of all arms as token ids: whole, and with the context that dropout takes away; ids of those left out."""

    whole: dict[str, list[EncodedRow]]
    reduced: dict[str, list[EncodedRow]]
    left_out: list[str]


def train_arms(
    folder: RunFolder,
    recipe: Recipe,
    rows: Rows,
    student: Path,
    *,
    number: int = 1,
    seeds: Sequence[int] | None = None,
) -> int:
    """Train the arms that have rows, where a checkpoint is missing; returns how many were made.

    Args:
        folder: the run.
        recipe: its recipe.
        rows: of these arms.
        student: folder of the model to start from.
        number: of the round.
        seeds: the recipe's where None.
    """
    keys = job_keys(recipe, rows.hashes, weights_hash(student), seeds)
    places = {job: folder.checkpoint(*job, number) for job in keys}
    stamps = {job: read_stamp(place) for job, place in places.items()}
    made = 0
    if any(stamp is None or stamp.key != keys[job] for job, stamp in stamps.items()):
        with folder.timed("training"):
            made = _train_missing(folder, recipe, rows, student, keys, number)
        stamps = {job: read_stamp(place) for job, place in places.items()}
    folder.store.set_checkpoints({job: stamp.info for job, stamp in stamps.items() if stamp}, replace=number == 1)
    return made


def job_keys(
    recipe: Recipe, rows_hashes: Mapping[str, str], student_hash: str, seeds: Sequence[int] | None = None
) -> dict[Job, str]:
    """What decides each checkpoint's weights: where arms are matched by tokens, all arms' rows."""
    config = recipe.training
    together = content_hash(dict(rows_hashes))
    keys = {}
    for arm, hashed in rows_hashes.items():
        dropout = recipe.dropouts[arm].model_dump() if arm in recipe.dropouts else None
        taught = content_hash([together if config.match == "tokens" else "", hashed, dropout])
        for seed in seeds or config.seeds:
            keys[arm, seed] = checkpoint_key(taught, config, seed, student_hash)
    return keys


def _train_missing(
    folder: RunFolder, recipe: Recipe, rows: Rows, student: Path, keys: Mapping[Job, str], number: int
) -> int:
    encoded = _encode(folder, recipe, rows, student, number)
    made = 0
    for (arm, seed), key in keys.items():
        out = folder.checkpoint(arm, seed, number)
        # Another arm's long rows are left out here too, so they count although this arm's key is the same.
        if find(out, key, encoded.left_out):
            continue
        ordered = _in_order(recipe, encoded, seed)[arm]
        scratch = out.with_name(f"{out.name}.partial")
        title = f"train {arm} seed {seed}" + (f" round {number}" if number > 1 else "")
        info = train(ordered, student, scratch, recipe.training, seed, title, key=key)
        info |= {"rows": len(encoded.whole[arm]), "round": number, "flops": training_flops(student, ordered)}
        publish(scratch, out, key, encoded.left_out, info)
        made += 1
    return made


def _encode(folder: RunFolder, recipe: Recipe, rows: Rows, student: Path, number: int) -> Encoded:
    """Token ids of every arm's rows, the same records in each; what is left out goes to the store with its reason."""
    config, tokenizer = recipe.training, load_tokenizer(student)
    examples = {arm: [row.example for row in arm_rows] for arm, arm_rows in rows.by_arm.items()}
    whole, too_long = encode_arms(tokenizer, examples, config.max_length, config.max_overlength_share)
    any_arm = next(iter(rows.by_arm.values()))
    left_out = [Drop(any_arm[index].record_id, reason) for index, reason in too_long.items()]
    later = f" {', '.join(rows.by_arm)} round {number}" if number > 1 else ""
    folder.store.set_drops(f"length{later}", left_out)
    kept = {arm: [row for i, row in enumerate(arm_rows) if i not in too_long] for arm, arm_rows in rows.by_arm.items()}
    for arm, arm_rows in kept.items():
        rows.write(arm_rows, folder.dataset(f"{arm}-round{number}" if number > 1 else arm))
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
    for arm, whole in encoded.whole.items():
        dropped = [False] * len(order)
        if arm in recipe.dropouts:
            dropped = drop_contexts(len(order), recipe.dropouts[arm], seed)
        reduced = encoded.reduced[arm]
        arranged[arm] = [(reduced if drop else whole)[index] for index, drop in zip(order, dropped, strict=True)]
    return match_tokens(arranged, config.batch_size) if config.match == "tokens" else arranged
