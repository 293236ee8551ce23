"""Run with: pytest tests/analysis/test_uncertainty.py."""

from __future__ import annotations

import math

import pytest

from cgd.analysis.uncertainty import TokenScores, gains, token_kind, uncertainty

TEXTS = ["7", " +", " cats"]


def record(
    x: list[float], draft: list[float], critique: list[float], log_p: tuple[float, float] = (-3.0, -1.0)
) -> dict[tuple[str, str], TokenScores]:
    """Entropies of three tokens in three contexts; ln p is the same for each token: before and after the critique."""
    before, after = ([value] * 3 for value in log_p)
    return {
        ("refinement", "x"): TokenScores(TEXTS, before, x),
        ("refinement", "x_draft"): TokenScores(TEXTS, before, draft),
        ("refinement", "x_draft_critique"): TokenScores(TEXTS, after, critique),
    }


RECORDS = {
    "a": record([3.0, 3.0, 3.0], [2.0, 2.0, 2.0], [1.0, 2.0, 0.0]),
    "b": record([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [2.0, 2.0, 2.3]),
}


def test_entropies_and_their_drops_are_means_over_records() -> None:
    """x: (3 + 1)/2; x_draft: 2; with critique: (1 + 2.1)/2. Drops: 1, −1 (draft); 1, −0.1 (critique)."""
    found = uncertainty(RECORDS)
    means = [found["entropy"][context]["mean"] for context in ("x", "x_draft", "x_draft_critique")]
    assert means == pytest.approx([2.0, 2.0, 1.55])
    assert found["drops"]["x - x_draft"]["mean"] == pytest.approx(0)
    gain = found["information_gain"]
    assert gain["mean"] == pytest.approx(0.45) and gain["n"] == 2
    assert gain["rising"]["share"] == 0.5 and gain["rising"]["first"] == ["b"]
    assert gains(RECORDS) == pytest.approx({"a": 1.0, "b": -0.1})


def test_gains_stand_by_kind_and_by_position_of_the_token() -> None:
    """Numbers: 1 and 0; operators: 0 and 0; words: 2 and −0.3. Positions 1, 2 and 3-4 are these three tokens."""
    gain = uncertainty(RECORDS)["information_gain"]
    assert {kind: values["mean"] for kind, values in gain["by_kind"].items()} == pytest.approx(
        {"number": 0.5, "operator": 0.0, "word": 0.85}
    )
    assert {name: values["mean"] for name, values in gain["by_position"].items()} == pytest.approx(
        {"1": 0.5, "2": 0.0, "3-4": 0.85}
    )


def test_pointwise_mutual_information_is_a_difference_of_log_probabilities() -> None:
    """Each of three tokens goes from ln p = −3 to −1: 6 nats a record, 2 a token."""
    pmi = uncertainty(RECORDS)["pmi"]
    assert pmi["per_record"]["mean"] == pytest.approx(6) and pmi["per_token"]["mean"] == pytest.approx(2)


def test_the_bayes_check_reads_its_three_beliefs_from_the_right_places() -> None:
    """Two candidates, prior (1/4, 3/4), likelihood (3/4, 1/4): the update is even, and so is the direct belief."""
    scores = dict(RECORDS["a"])
    for k, (prior, likelihood) in enumerate([(0.25, 0.75), (0.75, 0.25)]):
        scores[f"candidate {k}", "x_draft"] = TokenScores(["7"], [math.log(prior)], [1.0])
        scores[f"candidate {k}", "x_draft_critique"] = TokenScores(["7"], [math.log(0.5)], [1.0])
        scores["critique", f"x_draft_candidate {k}"] = TokenScores(["no"], [math.log(likelihood)], [1.0])
    bayes = uncertainty({"a": scores})["bayes"]
    assert bayes["kl"]["mean"] == pytest.approx(0, abs=1e-12) and bayes["kl"]["n"] == 1
    assert uncertainty(RECORDS)["bayes"] is None, "nothing was asked of candidates"


@pytest.mark.parametrize(
    ("text", "kind"), [("12", "number"), (" +", "operator"), ("apples", "word"), (".", "other"), ("=7", "number")]
)
def test_tokens_are_told_apart_by_their_characters(text: str, kind: str) -> None:
    assert token_kind(text) == kind
