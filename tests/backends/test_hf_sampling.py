"""Run with: pytest tests/backends/test_hf_sampling.py."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from cgd.backends.hf import _samplers
from cgd.config import Sampling
from cgd.records import Request, make_request
from tests.backends.asking import GREEDY, SAMPLED, backend_of, requests, texts_of


def test_sampled_texts_depend_neither_on_the_batch_nor_on_the_order(student: Path) -> None:
    asked = requests(SAMPLED, samples=2)
    texts = texts_of(backend_of(student, batch_size=14), asked)
    assert texts == texts_of(backend_of(student, batch_size=1), asked)
    assert texts == texts_of(backend_of(student, batch_size=5), list(reversed(asked)))
    assert texts == texts_of(backend_of(student, batch_size=5), asked), "asked again"


def test_samples_of_a_prompt_differ_and_so_do_seeds(student: Path) -> None:
    asked = requests(SAMPLED, n=1, samples=8)
    texts = set(texts_of(backend_of(student), asked).values())
    assert len(texts) == 8
    others = [make_request("draft", r.record, r.messages, SAMPLED, {"model": "x"}, 1, r.sample) for r in asked]
    assert not texts & set(texts_of(backend_of(student), others).values())


def test_requests_of_different_sampling_are_each_served_as_they_ask(student: Path) -> None:
    """Three kinds in one call: none may take on the temperature or the length of its neighbours."""
    short, long = Sampling(max_tokens=3), Sampling(max_tokens=9)
    asked = [request for sampling in (short, SAMPLED, long) for request in requests(sampling, n=3)]
    mixed = [asked[i] for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    alone = {key: text for request in asked for key, text in texts_of(backend_of(student), [request]).items()}
    assert texts_of(backend_of(student, batch_size=32), mixed) == alone


def with_seed(seed: int) -> Request:
    request = requests(SAMPLED, n=1)[0]
    return Request(f"{seed:08x}" + request.key[8:], "draft", request.record, request.messages, request.sampling)


def frequencies(sampling: Sampling, rows: int, steps: int) -> list[float]:
    """How often each of four tokens of probability 0.5, 0.3, 0.15 and 0.05 is drawn."""
    import torch

    asked = [Request(r.key, r.stage, r.record, r.messages, sampling) for r in map(with_seed, range(rows))]
    (perturb,) = _samplers(asked, "cpu")
    logits_BV = torch.tensor([math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]).repeat(rows, 1)
    draws: Counter[int] = Counter()
    for _ in range(steps):
        draws.update(perturb(torch.zeros(rows, 1, dtype=torch.long), logits_BV).argmax(-1).tolist())
    return [draws[token] / (rows * steps) for token in range(4)]


@pytest.mark.parametrize(("rows", "steps", "tolerance"), [(2000, 10, 0.015), (1, 5000, 0.03)])
@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, (0.5, 0.3, 0.15, 0.05)),
        (0.5, 1.0, (0.685, 0.247, 0.062, 0.007)),
        (2.0, 1.0, (0.379, 0.294, 0.208, 0.120)),
        (1.0, 0.7, (0.625, 0.375, 0.0, 0.0)),
        (0.5, 0.7, (0.735, 0.265, 0.0, 0.0)),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(
    temperature: float, top_p: float, expected: tuple[float, ...], rows: int, steps: int, tolerance: float
) -> None:
    """Draws from (0.5, 0.3, 0.15, 0.05): 20,000 over rows, 5,000 along one; four standard errors: 0.014, 0.028.

    Temperature ½ squares the odds: 0.25, 0.09, 0.0225, 0.0025 of 0.365. Temperature 2 takes roots: 0.707,
    0.548, 0.387, 0.224 of 1.866. The nucleus of 0.7 holds the first two: 0.5 and 0.3 of 0.8; squared, 0.25 and
    0.09 of 0.34.
    """
    found = frequencies(Sampling(temperature=temperature, top_p=top_p), rows, steps)
    assert found == pytest.approx(expected, abs=tolerance)
    assert [p == 0 for p in found] == [p == 0 for p in expected]


def test_greedy_decoding_draws_nothing() -> None:
    assert _samplers(requests(GREEDY), "cpu") == []
