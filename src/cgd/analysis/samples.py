"""Several answers to one prompt: how often one of k is right, what k of them vote for, how much they agree.

A sample is an answer that has a verdict, and its group is what it was sampled for: one prompt under one training
seed. Failed and unscored answers are not in a group. Two samples give the same answer where their extracted answers are
equal once normalised; a sample without an answer agrees with none.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from cgd.analysis.statistics import FloatArray
from cgd.grading_answers import normalise_math, normalise_text, plain_number


class Sample(NamedTuple):
    """One answer of a group: its normalised form (None: the text has none), and its strict verdict."""

    answer: Fraction | str | None
    right: bool


@cache
def normalised(extracted: str) -> Fraction | str:
    """The form in which answers are compared: 4, 4.0 and $4$ are one answer, so are (C) and c."""
    text = normalise_math(extracted)
    number = plain_number(text)
    return number.value * number.factor if number else normalise_text(text)


def ks(n: int) -> list[int]:
    """The k of Pass@k and maj@k: powers of two up to n samples, and n itself."""
    return sorted({2**power for power in range(n.bit_length())} & set(range(n + 1)) | {n})


def pass_at_k(group: Sequence[Sample], k: int) -> float:
    """Chance that at least one of k samples is right: 1 − C(n − c, k) / C(n, k), with c of the n samples right.

    The k are drawn without replacement, which makes the estimate unbiased. Source: Chen et al., "Evaluating Large
    Language Models Trained on Code", arXiv 2107.03374, section 2.1.

    Args:
        group: k samples or more.
        k: how many are drawn.
    """
    n, right = len(group), sum(sample.right for sample in group)
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def majority_at_k(group: Sequence[Sample], k: int) -> float:
    """Chance that the answer which most of k samples give is right, maj@k, exact over all subsets of k ≤ n samples.

    Answers with equally many votes win equally often. The samples without an answer vote together, and are wrong:
    leaving them out would credit a model with the votes that it failed to cast. An answer counts as right in the
    share of its samples that are (another format makes a right answer wrong), so that maj@1 is the mean of n.
    Source of the vote: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning", arXiv 2203.11171.
    """
    votes: defaultdict[Fraction | str | None, list[bool]] = defaultdict(list)
    for sample in group:
        votes[sample.answer].append(sample.right)
    answers = sorted(votes.values(), key=len)
    chances = win_chances(tuple(len(answer) for answer in answers), k)
    return sum(chance * sum(answer) / len(answer) for chance, answer in zip(chances, answers, strict=True))


def agreement(group: Sequence[Sample]) -> float:
    """Reasoning consistency of a group: the share of its sample pairs that give the same answer.

    Args:
        group: two samples or more.
    """
    return sum(support(group)) / len(group)


def support(group: Sequence[Sample]) -> list[float]:
    """For each sample of a group of two or more: the share of the other ones that give its answer."""
    counts = Counter(sample.answer for sample in group)
    others = len(group) - 1
    return [0.0 if sample.answer is None else (counts[sample.answer] - 1) / others for sample in group]


@cache
def win_chances(sizes: tuple[int, ...], k: int) -> tuple[float, ...]:
    """Each answer's chance to win the vote of k samples drawn without replacement; they add up to 1.

    A fair tie-break is a fraction u, uniform on [0, 1], added to each answer's votes. An answer with score m + u
    wins where every other one has fewer than m votes, or has m and a smaller fraction:

        P(j wins) = Σ_m ∫ C(n_j, m) [x^(k − m)] Π_{i ≠ j} (Σ_{q < m} C(n_i, q) x^q + u C(n_i, m) x^m) du / C(n, k).

    The integrand is a polynomial in u of degree below k, which Gauss–Legendre nodes integrate exactly.

    Args:
        sizes: samples of each answer, n in all.
        k: votes, 1 to n.
    """
    nodes, weights = np.polynomial.legendre.leggauss((k + 1) // 2)
    m_S = np.repeat(np.arange(1, k + 1), len(nodes))  # one score m + u an entry
    u_S, weight_S = np.tile((nodes + 1) / 2, k), np.tile(weights / 2, k)
    x = np.arange(k + 1)
    loses_SX = np.where(x < m_S[:, None], 1.0, np.where(x == m_S[:, None], u_S[:, None], 0.0))
    ways_X = [np.array([math.comb(size, q) for q in range(k + 1)], dtype=np.float64) for size in sizes]
    factors_SX = [ways * loses_SX for ways in ways_X]
    before, after = _products(factors_SX), _products(factors_SX[::-1])[::-1]
    rest_SX = k - m_S[:, None] - x  # votes left for the answers after j, where those before it have x
    chances = []
    for j, ways in enumerate(ways_X):
        after_SX = np.take_along_axis(after[j + 1], np.maximum(rest_SX, 0), axis=1) * (rest_SX >= 0)
        others_S = np.sum(before[j] * after_SX, axis=1)
        chances.append(float(np.sum(weight_S * ways[m_S] * others_S)) / math.comb(sum(sizes), k))
    return tuple(chances)


def _products(factors_SX: Sequence[FloatArray]) -> list[FloatArray]:
    """Polynomials in x up to x^k, one row a score: the products of the first 0, 1, 2, … factors."""
    product_SX = np.zeros_like(factors_SX[0])
    product_SX[:, 0] = 1
    products = [product_SX]
    for factor_SX in factors_SX:
        following_SX = np.zeros_like(product_SX)
        for q in np.flatnonzero(factor_SX.any(axis=0)):
            following_SX[:, q:] += factor_SX[:, q, None] * product_SX[:, : product_SX.shape[1] - q]
        product_SX = following_SX
        products.append(product_SX)
    return products
