"""Run with: pytest tests/cards/test_terms.py."""

from __future__ import annotations

import pytest

from cgd.cards.terms import hub_id, known_terms, output_terms, public_name


@pytest.mark.parametrize(
    ("model", "licence", "says"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3.3", "begins with Llama"),
        ("meta-llama/Llama-3.1-8B", "llama3.1", "Built with Llama"),
        ("meta-llama/Meta-Llama-3-8B", "llama3", "improve other large language models"),
        ("meta-llama/Llama-2-7b-hf", "llama2", "improve other large language models"),
        ("google/gemma-3-27b-it", "gemma", "derivative"),
        ("openai/gpt-oss-20b", "apache-2.0", "no condition"),
        ("gpt-4o", None, "compete with OpenAI"),
        ("claude-sonnet-4", None, "compete with Anthropic's"),
        ("HuggingFaceTB/SmolLM2-1.7B", "apache-2.0", "no condition"),
    ],
)
def test_a_name_tells_the_terms_of_its_family(model: str, licence: str | None, says: str) -> None:
    terms = known_terms(model)
    assert terms is not None
    assert terms.licence == licence
    assert says in terms.outputs
    assert says in output_terms("openai_api", model)


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-72B", "my-model", "", "org/my-o1b"])
def test_a_name_that_tells_nothing_has_no_terms(model: str) -> None:
    assert known_terms(model) is None
    assert "read its licence" in output_terms("hf", model)


def test_a_card_names_models_without_the_path_they_lie_at() -> None:
    assert hub_id("smollm2-135m-instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert hub_id("/home/me/models/mine") is hub_id("runs/x") is hub_id("~/mine") is None
    assert public_name("/home/me/models/mine/") == "mine"
