"""Which texts share thirteen words in a row, or all their words, with test prompts.

Words are runs of letters, digits and underscores, case folded: punctuation, white space and case do not count. The
n-gram of thirteen words is that of Brown et al., "Language Models are Few-Shot Learners", arXiv 2005.14165, appendix
C. N-grams are compared as 64-bit hashes: between 10⁸ of them and 10⁶ of tests, a false match is expected once in
10⁵ searches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORDS = 13
"""Length of an n-gram."""
_BOILERPLATE = 10
_BATCH = 2000
_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class Overlap(NamedTuple):
    """A text that overlaps a test prompt."""

    text: int
    """Index among the searched texts."""
    task: str
    test: int
    """Index among the task's test prompts."""
    share: float
    """Of the test prompt's n-grams, those that the text has too; 1 where the two are equal."""
    equal: bool
    """Whether they are word for word the same."""


class OverlapIndex:
    """Inverted index of the n-grams of test prompts.

    An n-gram that stands in more than ten test prompts of a task, or in more than half of them (and in two at least),
    belongs to the instructions that all its prompts end with: it counts for nothing.
    """

    def __init__(self, tests: Mapping[str, Sequence[str]]) -> None:
        """Index the test prompts of each task.

        Args:
            tests: texts by task. One of fewer than thirteen words is found by equality alone, one without words never.
        """
        self._tests = [(task, index) for task, texts in tests.items() for index in range(len(texts))]
        texts = [_words(text) for texts in tests.values() for text in texts]
        self._equal: dict[str, list[int]] = {}
        for number, words in enumerate(texts):
            if words:
                self._equal.setdefault(" ".join(words), []).append(number)
        vocabulary = dict.fromkeys(word for words in texts for word in words)
        self._ids = {word: number for number, word in enumerate(vocabulary, start=1)}
        self._codes = np.random.default_rng(0).integers(2**64, size=len(self._ids) + 1, dtype=np.uint64)
        sizes = [len(texts) for texts in tests.values()]
        self._hashes, self._owners = self._without_boilerplate(*_distinct(*self._ngrams(texts)), sizes)
        self._totals = np.bincount(self._owners, minlength=len(self._tests))

    def search(self, texts: Sequence[str]) -> list[Overlap]:
        """Every pair of a text and a test prompt that share an n-gram or are equal, in order."""
        return [overlap for start in range(0, len(texts), _BATCH) for overlap in self._search(texts, start)]

    def _search(self, texts: Sequence[str], start: int) -> Iterator[Overlap]:
        batch = [_words(text) for text in texts[start : start + _BATCH]]
        equal = {
            (index, number) for index, words in enumerate(batch) for number in self._equal.get(" ".join(words), ())
        }
        shares = self._shares(*_distinct(*self._ngrams(batch)))
        for index, number in sorted(equal | shares.keys()):
            same = (index, number) in equal
            yield Overlap(start + index, *self._tests[number], 1.0 if same else shares[index, number], same)

    def _shares(self, hashes: Hashes, owners: Numbers) -> dict[tuple[int, int], float]:
        """Share of a test prompt's n-grams by (text, test), where it is not zero."""
        first = np.searchsorted(self._hashes, hashes)
        known = first < np.searchsorted(self._hashes, hashes, side="right")
        first, hashes, owners = first[known], hashes[known], owners[known]
        n = np.searchsorted(self._hashes, hashes, side="right") - first
        place = np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())
        pairs, counts = np.unique(
            np.stack([np.repeat(owners, n), self._owners[place]], axis=1), axis=0, return_counts=True
        )
        shares = counts / self._totals[pairs[:, 1]]
        return {(int(text), int(test)): float(share) for (text, test), share in zip(pairs, shares, strict=True)}

    def _ngrams(self, texts: Sequence[Sequence[str]]) -> tuple[Hashes, Numbers]:
        """Hash of every n-gram of words that the tests know, and the index of its text.

        The hash of words w is Σ code(w_i) m^(12 − i) modulo 2⁶⁴. Number 0, an unknown word, ends each text.
        """
        ids = np.array([id_ for words in texts for id_ in (*(self._ids.get(word, 0) for word in words), 0)], np.int64)
        owners = np.repeat(np.arange(len(texts)), [len(words) + 1 for words in texts])
        n = max(len(ids) - WORDS + 1, 0)
        hashes, complete = np.zeros(n, np.uint64), np.ones(n, np.bool_)
        for offset in range(WORDS):
            window = ids[offset : offset + n]
            hashes = hashes * _MULTIPLIER + self._codes[window]
            complete &= window > 0
        return hashes[complete], owners[:n][complete]

    def _without_boilerplate(self, hashes: Hashes, owners: Numbers, sizes: Sequence[int]) -> tuple[Hashes, Numbers]:
        tasks = np.repeat(np.arange(len(sizes)), sizes)[owners]
        limits = np.array([max(1, min(_BOILERPLATE, size // 2)) for size in sizes], np.int64)
        _, group, counts = np.unique(_pairs(hashes, tasks), return_inverse=True, return_counts=True)
        kept = counts[group] <= limits[tasks]
        return hashes[kept], owners[kept]


def _distinct(hashes: Hashes, owners: Numbers) -> tuple[Hashes, Numbers]:
    """Each n-gram once a text, in order of the hashes."""
    pairs = np.unique(_pairs(hashes, owners))
    return pairs["hash"], pairs["owner"]


def _pairs(hashes: Hashes, owners: Numbers) -> NDArray[np.void]:
    pairs = np.empty(len(hashes), dtype=[("hash", np.uint64), ("owner", np.int64)])
    pairs["hash"], pairs["owner"] = hashes, owners
    return pairs


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
