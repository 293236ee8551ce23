"""Rounds after the first: the updated student drafts again, is criticised again, and trains on.

Each arm and seed goes its own way: its round-2 drafts are its round-1 checkpoint's, so they are bound to the very
weights that are then trained further.
"""

from __future__ import annotations

from collections.abc import Sequence

from cgd.config import ArmConfig, Recipe
from cgd.controls import controls_of, corruption_counts
from cgd.dataset.build import rows_hash, training_rows, write_parquet
from cgd.generation.run import Makers, make_records
from cgd.records import Prompt
from cgd.resolve import Resolved, checkpoint_backend
from cgd.runfolder import RunFolder
from cgd.store import Owner
from cgd.training.arms import Rows, train_arms


def train_later_rounds(folder: RunFolder, recipe: Recipe, resolved: Resolved, prompts: Sequence[Prompt]) -> int:
    """Run the rounds after the first of every arm that has them; returns how many replies and checkpoints were made."""
    in_use = [
        Owner(f"round {number}", arm.name, seed)
        for arm in recipe.arms
        for seed in recipe.training.seeds
        for number in range(2, arm.rounds + 1)
    ]
    folder.store.keep_current("later rounds", in_use)
    made = 0
    for arm in recipe.arms:
        for seed in recipe.training.seeds:
            for number in range(2, arm.rounds + 1):
                made += _round(folder, recipe, resolved, prompts, arm, seed, number)
    return made


def _round(  # noqa: PLR0913 - one round of one arm and seed
    folder: RunFolder,
    recipe: Recipe,
    resolved: Resolved,
    prompts: Sequence[Prompt],
    arm: ArmConfig,
    seed: int,
    number: int,
) -> int:
    student = folder.checkpoint(arm.name, seed, number - 1)
    objective = {arm.name: resolved.objectives[arm.name]}
    makers = Makers(recipe, checkpoint_backend(recipe, str(student)), resolved.teacher, objective[arm.name].needs)
    records, drops, made = make_records(folder, makers, prompts, owner=Owner(f"round {number}", arm.name, seed))
    controls = controls_of(recipe)
    rows, incomplete = training_rows(records, objective, recipe.dropouts, controls)
    folder.store.set_drops(f"{arm.name} seed {seed} round {number}", drops + incomplete)
    for counts in corruption_counts(records, rows, controls).values():
        folder.manifest["corrupted"][f"{arm.name} seed {seed} round {number}"] = counts
        folder.save_manifest()
    hashed = Rows(rows, {arm.name: rows_hash(rows[arm.name])}, write_parquet)
    return made + train_arms(folder, recipe, hashed, student, number=number, seeds=(seed,))
