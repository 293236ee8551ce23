"""Which row is trained on when: the same for every arm of a seed, known before the training begins.

The trainer takes the rows as they come, so a resumed training sees what an unbroken one sees, and arms differ in
nothing but what their rows say.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate

from cgd.config import ContextDropoutConfig, TrainingConfig
from cgd.training.completion_only import EncodedRow


def rows_taken(rows: int, config: TrainingConfig) -> int:
    """How many rows a training takes, a row counted each time: as many as `steps` or `epochs` ask for, one at least."""
    return config.steps * config.batch_size if config.steps else max(1, math.ceil(config.epochs * rows))


def optimizer_steps(rows: int, config: TrainingConfig) -> int:
    """Steps of one arm; the last may have fewer rows than `batch_size`."""
    return math.ceil(rows_taken(rows, config) / config.batch_size)


def training_order(rows: int, config: TrainingConfig, seed: int) -> list[int]:
    """Indices of rows in training order: a new shuffle each epoch, until `steps` or `epochs` are full."""
    wanted = rows_taken(rows, config)
    order: list[int] = []
    for epoch in range(math.ceil(wanted / rows)):
        shuffled = list(range(rows))
        random.Random(f"order {seed} {epoch}").shuffle(shuffled)  # noqa: S311 - no secret
        order += shuffled
    return order[:wanted]


def drop_contexts(moments: int, dropout: ContextDropoutConfig, seed: int) -> list[bool]:
    """Whether the row of each moment of a training loses its context.

    The share is p, or goes linearly from 0 to p or from p to 0 over the moments.
    """
    draws = random.Random(f"dropout {seed}")  # noqa: S311 - no secret

    def share(progress: float) -> float:
        return dropout.p * {"rising": progress, "falling": 1 - progress, None: 1.0}[dropout.anneal]

    return [draws.random() < share(moment / max(1, moments - 1)) for moment in range(moments)]


def match_tokens(arms: Mapping[str, Sequence[EncodedRow]], batch_size: int) -> dict[str, list[EncodedRow]]:
    """Cut each arm's rows after the step in which it has read as many tokens as the thriftiest arm reads in all."""
    budget = min(sum(len(row.input_ids) for row in rows) for rows in arms.values())
    return {arm: list(rows[: _rows_until(budget, rows, batch_size)]) for arm, rows in arms.items()}


def _rows_until(budget: int, rows: Sequence[EncodedRow], batch_size: int) -> int:
    read = list(accumulate(len(row.input_ids) for row in rows))
    first = next(index for index, tokens in enumerate(read) if tokens >= budget)
    return math.ceil((first + 1) / batch_size) * batch_size
