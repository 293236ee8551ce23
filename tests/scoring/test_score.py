"""Run with: pytest tests/scoring/test_score.py. Against naive float64 arithmetic, on random-weight models."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from cgd.scoring import score
from cgd.scoring.score import Scored, Scorer, divergences

WORDS = 200  # ids below it are in every tiny tokenizer's vocabulary


def records(count: int, seed: int = 0) -> list[list[Scored]]:
    """Contexts that extend one another, the last tokens of each its own; the same target after each."""
    rng = random.Random(seed)

    def some(most: int) -> list[int]:
        return [rng.randrange(5, WORDS) for _ in range(rng.randint(1, most))]

    groups = []
    for _ in range(count):
        x, draft, critique, target = some(20), some(15), some(15), some(8)
        instruction = some(3)
        contexts = [x, [*x, *draft, *instruction], [*x, *draft, *critique, *instruction]]
        groups.append([Scored(context, target) for context in contexts])
    return groups


def naive(folder: Path, one: Scored) -> tuple[list[float], list[float]]:
    """One forward pass over one sequence, all logits at once, in float64."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        logits_TV = model(torch.tensor([[*one.context_ids, *one.target_ids]])).logits[0]
    log_p_TV = logits_TV.log_softmax(-1)[len(one.context_ids) - 1 : -1]
    chosen = log_p_TV.gather(1, torch.tensor(one.target_ids)[:, None])[:, 0]
    return chosen.tolist(), (-(log_p_TV.exp() * log_p_TV).sum(-1)).tolist()


def largest_difference(student: Path, groups: list[list[Scored]]) -> float:
    differences = []
    for group, found in zip(groups, Scorer(student).score(groups), strict=True):
        for one, scores in zip(group, found, strict=True):
            for ours, exact in zip(scores, naive(student, one), strict=True):
                assert len(ours) == len(one.target_ids)
                differences += [abs(a - b) for a, b in zip(ours, exact, strict=True)]
    return max(differences)


def test_trees_give_what_naive_arithmetic_in_float64_gives(student: Path) -> None:
    assert largest_difference(student, records(5)) < 1e-5


@pytest.mark.parametrize("at_once", [1, 700, 5000])
def test_chunks_of_positions_and_passes_of_any_size_change_nothing(
    student: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = records(4, seed=1)
    expected = list(Scorer(student).score(groups))
    monkeypatch.setattr(score, "_LOGITS_AT_ONCE", at_once)
    monkeypatch.setattr(score, "CPU_TOKENS", 64)
    for group, other in zip(expected, Scorer(student).score(groups), strict=True):
        for a, b in zip(group, other, strict=True):
            assert a.log_p == pytest.approx(b.log_p, abs=1e-5) and a.entropy == pytest.approx(b.entropy, abs=1e-5)


def test_a_model_that_sees_no_trees_is_given_one_sequence_at_a_time(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_tokens_of_a_pass", lambda model: 0)
    assert largest_difference(student, records(2)) < 1e-5


def test_several_targets_of_one_context_are_scored_side_by_side(student: Path) -> None:
    """Candidates: the same context, different targets, one of them the beginning of another."""
    context = [7, 8, 9, 10]
    group = [Scored(context, [11, 12]), Scored(context, [11, 12, 13]), Scored(context, [14])]
    assert largest_difference(student, [group]) < 1e-5


def test_entropy_is_at_most_that_of_guessing(student: Path) -> None:
    """A uniform distribution over V words has ln V nats, the most there is."""
    import math

    scorer: Any = Scorer(student)
    words = scorer._model.config.vocab_size
    for group in scorer.score(records(3)):
        assert all(0 <= value <= math.log(words) + 1e-5 for scores in group for value in scores.entropy)


def test_a_model_has_not_moved_from_itself(student: Path) -> None:
    texts = [group[0] for group in records(2)]
    assert list(divergences(Scorer(student), Scorer(student), texts)) == pytest.approx([0, 0], abs=1e-9)


def test_how_far_a_model_has_moved_is_the_divergence_of_its_distributions(student: Path, tmp_path: Path) -> None:
    """Against float64: the mean over target positions of Σ_v p (ln p − ln q), with weights that were scaled by 1.3."""
    import torch
    from transformers import AutoModelForCausalLM

    models = [AutoModelForCausalLM.from_pretrained(student, dtype=torch.float64).eval() for _ in range(2)]
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.mul_(1.3)
    models[0].float().save_pretrained(tmp_path / "moved")
    models[0].double()
    (text,) = [group[2] for group in records(1)]
    with torch.inference_mode():
        ids = torch.tensor([[*text.context_ids, *text.target_ids]])
        log_p_TV, log_q_TV = (model(ids).logits[0].log_softmax(-1)[len(text.context_ids) - 1 : -1] for model in models)
    expected = float((log_p_TV.exp() * (log_p_TV - log_q_TV)).sum(-1).mean())
    (found,) = divergences(Scorer(tmp_path / "moved"), Scorer(student), [text])
    assert expected > 0.001 and found == pytest.approx(expected, rel=1e-4, abs=1e-6)
