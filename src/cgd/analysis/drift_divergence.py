"""How far two sets of replies to the same prompts lie apart as distributions: Jensen–Shannon divergence, in nats.

Two samples of one distribution lie apart too, the more the smaller they are and the more values there are. So the
divergence of an arm from base stands beside that of each from itself, on samples of the same size.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgd.analysis.statistics import CONFIDENCE, SEED

_SPLITS = 300
_FEWEST = 10

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Values = Mapping[str, Sequence[Hashable]]
"""The values of each prompt's replies, by prompt id: at least one a prompt."""


def jensen_shannon(p_SK: FloatArray, q_SK: FloatArray) -> FloatArray:
    """H((p + q) / 2) − (H(p) + H(q)) / 2 of pairs of distributions, in nats: 0 to ln 2.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory 37 (1991).

    Args:
        p_SK: weights of K categories, not all zero, in each of S distributions.
        q_SK: those of the distributions they are compared with.

    Returns:
        The S divergences.
    """
    p_SK, q_SK = (weights / weights.sum(axis=-1, keepdims=True) for weights in (p_SK, q_SK))
    divergence_S = _entropy((p_SK + q_SK) / 2) - (_entropy(p_SK) + _entropy(q_SK)) / 2
    return np.asarray(np.clip(divergence_S, 0, np.log(2)))


def divergence(arm: Values, base: Values) -> dict[str, Any]:
    """Divergence of an arm's replies from base's over the prompts that both have, beside that of each from itself.

    The prompts are split in two at random, 300 times, and each split takes the next of every prompt's replies in turn.
    `jsd` compares one's replies to a half with the other's to the other half; `chance` does so with the replies of one
    alone, and is the mean of that for the arm and for base.

    Returns:
        `n` prompts; `jsd`, `chance` and `excess` = jsd − chance in nats, means over the splits; `ci95` of the excess: a
        percentile bootstrap over prompts, each resample split once, so that it is rather too long than too short. An
        excess of about 0 or below says that the arm is no farther from base than each from itself. All None where there
        are fewer than ten prompts.
    """
    prompts = [prompt for prompt in arm if prompt in base]
    n = len(prompts)
    if n < _FEWEST:
        return {"n": n, "jsd": None, "chance": None, "excess": None, "ci95": None}
    numbers: dict[Hashable, int] = {}
    arm_RN, base_RN = (_numbered([values[prompt] for prompt in prompts], numbers) for values in (arm, base))
    generator = np.random.default_rng(SEED)
    halves_SN = generator.permuted(np.tile(np.arange(n) < n // 2, (_SPLITS, 1)), axis=1)
    resamples_SN = generator.multinomial(n, np.full(n, 1 / n), size=_SPLITS)
    jsd_S, chance_S = _of_halves(arm_RN, base_RN, halves_SN, np.ones_like(resamples_SN))
    resampled_jsd_S, resampled_chance_S = _of_halves(arm_RN, base_RN, halves_SN, resamples_SN)
    limits = np.quantile(resampled_jsd_S - resampled_chance_S, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "n": n,
        "jsd": float(jsd_S.mean()),
        "chance": float(chance_S.mean()),
        "excess": float((jsd_S - chance_S).mean()),
        "ci95": [float(limit) for limit in limits],
    }


def _numbered(replies: Sequence[Sequence[Hashable]], numbers: dict[Hashable, int]) -> IntArray:
    """Number of the value of every prompt's r-th reply (R × N), beginning again where a prompt has fewer.

    `numbers` is shared by all replies that are compared, and grows.
    """
    most = max(len(of_prompt) for of_prompt in replies)
    return np.array(
        [
            [numbers.setdefault(of_prompt[turn % len(of_prompt)], len(numbers)) for of_prompt in replies]
            for turn in range(most)
        ]
    )


def _of_halves(
    arm_RN: IntArray, base_RN: IntArray, halves_SN: NDArray[np.bool_], weights_SN: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Divergence of the arm from base, and the mean of each from itself, in every split."""
    categories = 1 + max(int(arm_RN.max()), int(base_RN.max()))
    one, other = weights_SN * halves_SN, weights_SN * ~halves_SN
    arm_one, arm_other = _counts(arm_RN, one, categories), _counts(arm_RN, other, categories)
    base_one, base_other = _counts(base_RN, one, categories), _counts(base_RN, other, categories)
    across = jensen_shannon(arm_one, base_other) + jensen_shannon(arm_other, base_one)
    within = jensen_shannon(arm_one, arm_other) + jensen_shannon(base_one, base_other)
    return across / 2, within / 2


def _counts(replies_RN: IntArray, weights_SN: IntArray, categories: int) -> FloatArray:
    """Weight of each of K categories in each split (S × K)."""
    turns = len(replies_RN)
    return np.array(
        [
            np.bincount(replies_RN[split % turns], weights_N, minlength=categories)
            for split, weights_N in enumerate(weights_SN)
        ],
        np.float64,
    )


def _entropy(p_SK: FloatArray) -> FloatArray:
    logs_SK = np.log(p_SK, out=np.zeros_like(p_SK), where=p_SK > 0)
    return np.asarray(-(p_SK * logs_SK).sum(axis=-1))
