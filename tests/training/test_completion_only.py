"""Run with: pytest tests/training/test_completion_only.py."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgd.chat import encode_chat, end_of_turn, load_tokenizer
from cgd.errors import UserError
from cgd.plugins import build_objective
from cgd.records import Example, Message, Prompt, Record
from cgd.training.completion_only import IGNORED, EncodedRow, encode_arms, encode_example
from tests.conftest import Tokenizer
from tests.tiny import FAMILIES, SPECIAL_STRINGS, save_tokenizer

MODEST = settings(max_examples=40, deadline=None)
OBJECTIVES = ["sft", "distilled_sft", "cft", "refine", "cgd"]
TEXT = st.lists(
    st.one_of(
        st.sampled_from([token for token in SPECIAL_STRINGS if "▁" not in token]),
        st.sampled_from(["12 + 7 = 19", "\n", " ", "Answer: 14", "</think>", "<", "|>"]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=6),
    ),
    max_size=5,
).map("".join)
BENIGN = Record(Prompt.create("benign", [{"role": "user", "content": "x"}], solution="s"), "d", "c", "r")


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A whole record of any texts, special-token strings among them; with a system prompt or without."""
    chat: list[Message] = [{"role": "user", "content": draw(TEXT)}]
    if draw(st.booleans()):
        chat.insert(0, {"role": "system", "content": draw(TEXT)})
    prompt = Prompt.create("random", chat, solution=draw(TEXT))
    return Record(prompt, draft=draw(TEXT), critique=draw(TEXT), refinement=draw(TEXT))


def example_of(tokenizer: Tokenizer, record: Record, objective: str) -> Example:
    """The objective's view of a record, without the system prompt where the family knows none."""
    example = build_objective(objective, {}).example(record)
    system = () if tokenizer.family.system else ("system",)
    return Example(tuple(m for m in example.context if m["role"] not in system), example.target)


def given_back(tokenizer: Tokenizer, target: str) -> str:
    """The target as the labels give it back.

    A SentencePiece tokenizer with a leading space has lost that space; where the template opens a think block, a
    target without reasoning has closed it first.
    """
    if "<think>" in tokenizer.family.generation_prompt and "</think>" not in target:
        return f"</think>\n\n{target}"
    return target.removeprefix(" ") if tokenizer.family.leading_space else target


def labelled(row: EncodedRow) -> list[int]:
    return [label for label in row.labels if label != IGNORED]


def user(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


@given(record=records(), objective=st.sampled_from(OBJECTIVES))
@MODEST
def test_labels_are_the_target_and_its_end_of_turn_and_nothing_else(
    tokenizer: Tokenizer, record: Record, objective: str
) -> None:
    example = example_of(tokenizer, record, objective)
    row = encode_example(tokenizer.it, example)
    expected = given_back(tokenizer, example.target) + tokenizer.family.end_of_turn
    assert tokenizer.tokens(labelled(row)) == expected
    context = len(row.input_ids) - row.target_tokens
    assert row.labels == [IGNORED] * context + row.input_ids[context:]


@given(record=records(), objective=st.sampled_from(OBJECTIVES))
@MODEST
def test_the_context_is_the_prompt_of_inference(tokenizer: Tokenizer, record: Record, objective: str) -> None:
    example = example_of(tokenizer, record, objective)
    row = encode_example(tokenizer.it, example)
    assert row.input_ids[: len(row.input_ids) - row.target_tokens] == encode_chat(tokenizer.it, example.context)


@given(record=records(), objective=st.sampled_from(OBJECTIVES))
@MODEST
def test_no_text_of_a_record_adds_a_special_token(tokenizer: Tokenizer, record: Record, objective: str) -> None:
    row = encode_example(tokenizer.it, example_of(tokenizer, record, objective))
    system = record.prompt.messages[:-1] if tokenizer.family.system else ()
    chat = [Message(role=message["role"], content="x") for message in (*system, *user("x"))]
    frame = tokenizer.special_count(encode_chat(tokenizer.it, chat))
    assert tokenizer.special_count(row.input_ids) == frame + 1, "the end of turn is the only one that is added"
    assert tokenizer.special_count(labelled(row)) == 1


@given(record=records())
@MODEST
def test_prompt_draft_and_critique_can_be_read_in_the_context(tokenizer: Tokenizer, record: Record) -> None:
    example = example_of(tokenizer, record, "cgd")
    context = tokenizer.tokens(encode_chat(tokenizer.it, example.context))
    for text in (record.prompt.messages[-1]["content"], record.draft, record.critique):
        assert text is not None and text.strip() in context


@pytest.mark.parametrize("block", ["<think>\n19 - 5 = 14\n</think>", "<think>\n\n</think>"])
def test_think_blocks_of_a_target_survive(tokenizer: Tokenizer, block: str) -> None:
    """Where the template has opened the block the opening tag is in the context, once; the text is the same."""
    target = f"{block}\n\nAnswer: 14"
    row = encode_example(tokenizer.it, Example(user("What is left?"), target))
    text = tokenizer.tokens(row.input_ids)
    assert text.endswith(target + tokenizer.family.end_of_turn)
    assert text.count("<think>") == text.count("</think>") == 1
    opened = "<think>" in tokenizer.family.generation_prompt
    assert tokenizer.tokens(labelled(row)).startswith("<think>") != opened


def test_a_think_block_that_begins_without_a_line_break_is_opened_once(tokenizer: Tokenizer) -> None:
    """Inference has the template's line break before the first thought, so training has it too."""
    row = encode_example(tokenizer.it, Example(user("What is left?"), "<think>19 - 5</think>14"))
    opened = "<think>" in tokenizer.family.generation_prompt
    block = "<think>\n19 - 5</think>14" if opened else "<think>19 - 5</think>14"
    assert tokenizer.tokens(row.input_ids).endswith(block + tokenizer.family.end_of_turn)


def test_a_think_block_in_the_draft_survives_too(tokenizer: Tokenizer) -> None:
    draft = "<think>\n12 + 7\n</think>\n\n19"
    example = build_objective("cgd", {}).example(Record(BENIGN.prompt, draft, "Right.", "19"))
    assert draft in tokenizer.tokens(encode_example(tokenizer.it, example).input_ids)


def test_an_empty_target_teaches_to_stop_at_once(tokenizer: Tokenizer) -> None:
    labels = labelled(encode_example(tokenizer.it, Example(user("x"), "")))
    assert tokenizer.tokens(labels) == given_back(tokenizer, "") + tokenizer.family.end_of_turn
    assert labels[-1] == end_of_turn(tokenizer.it)


def test_a_target_that_the_tokenizer_does_not_give_back_is_refused(tokenizer: Tokenizer) -> None:
    """SentencePiece writes a space as ▁, so a ▁ of the text would be taught as a space."""
    example = Example(user("x"), "a▁b")
    if tokenizer.family.sentencepiece:
        with pytest.raises(UserError, match="does not give a target back: 'a▁b' became 'a b'"):
            encode_example(tokenizer.it, example)
    else:
        assert tokenizer.tokens(encode_example(tokenizer.it, example).input_ids[-8:]).endswith(
            "a▁b" + tokenizer.family.end_of_turn
        )


def test_a_target_that_is_not_given_back_is_a_counted_row_left_out_of_all_arms(tokenizer: Tokenizer) -> None:
    """One of four targets holds a ▁: 0.25 of the rows, left out where the tokenizer is SentencePiece."""
    good, bad = Example(user("x"), "y"), Example(user("x"), "a▁b")
    kept, left_out = encode_arms(tokenizer.it, {"a": [good] * 4, "b": [good, bad, good, good]}, 1000, 0.25)
    lossy = tokenizer.family.sentencepiece
    assert [len(rows) for rows in kept.values()] == ([3, 3] if lossy else [4, 4])
    assert left_out == ({1: "the student's tokenizer does not give its target back in arm b"} if lossy else {})


def test_a_target_without_reasoning_first_closes_the_block_that_the_template_opens(tokenizer: Tokenizer) -> None:
    text = tokenizer.tokens(encode_example(tokenizer.it, Example(user("x"), "14")).input_ids)
    opened = "<think>" in tokenizer.family.generation_prompt
    assert text.endswith(("<think>\n</think>\n\n14" if opened else "14") + tokenizer.family.end_of_turn)
    assert text.count("</think>") == opened


def test_the_loss_of_a_row_is_the_mean_over_its_target_tokens(student: Path) -> None:
    """By hand: −log p of each labelled token given all tokens before it, summed and divided by their number."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(student)
    row = encode_example(tokenizer, build_objective("cgd", {}).example(BENIGN))
    model = AutoModelForCausalLM.from_pretrained(student).eval()
    with torch.no_grad():
        output = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels]))
    losses = []
    for position, label in enumerate(row.labels):
        if label == IGNORED:
            continue
        scores = output.logits[0, position - 1].double().tolist()
        largest = max(scores)
        log_total = largest + math.log(sum(math.exp(score - largest) for score in scores))
        losses.append(log_total - scores[label])
    assert len(losses) == row.target_tokens == 2, "'r' and the end of turn"
    assert float(output.loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def rows_of(student: Path, targets: list[str]) -> list[EncodedRow]:
    tokenizer = load_tokenizer(student)
    return [encode_example(tokenizer, Example(user("x"), target)) for target in targets]


def test_a_row_that_is_too_long_is_left_out_of_all_arms_never_cut(student: Path) -> None:
    """Row 1 is too long in arm b alone, row 3 in both: rows 0 and 2 stay, whole, in both arms."""
    tokenizer = load_tokenizer(student)
    short, long = Example(user("x"), "y"), Example(user("x"), "12 + 7 = 19\n" * 50)
    limit = len(encode_example(tokenizer, short).input_ids)
    arms = {"a": [short, short, short, long], "b": [short, long, short, long]}
    kept, left_out = encode_arms(tokenizer, arms, limit, max_overlength_share=0.5)
    assert kept == {arm: [encode_example(tokenizer, short)] * 2 for arm in arms}
    assert left_out == {
        1: f"longer than training.max_length = {limit} tokens in arm b",
        3: f"longer than training.max_length = {limit} tokens in arm a",
    }


def test_a_row_of_exactly_the_longest_length_stays(student: Path) -> None:
    tokenizer = load_tokenizer(student)
    row = Example(user("x"), "Answer: 14")
    length = len(encode_example(tokenizer, row).input_ids)
    assert encode_arms(tokenizer, {"a": [row] * 3}, length, 0.0)[1] == {}
    with pytest.raises(UserError, match=rf"^3 of 3 training rows .* longer than training.max_length = {length - 1}"):
        encode_arms(tokenizer, {"a": [row] * 3}, length - 1, 1.0)


def test_more_long_rows_than_the_allowed_share_are_refused_with_what_would_help(student: Path) -> None:
    """2 of 8 are 0.25: allowed at 0.25, refused at 0.2."""
    tokenizer = load_tokenizer(student)
    short, long = Example(user("x"), "y"), Example(user("x"), "Ana " * 200)
    arms = {"a": [short] * 6 + [long] * 2}
    longest = len(encode_example(tokenizer, long).input_ids)
    kept, left_out = encode_arms(tokenizer, arms, 100, 0.25)
    assert len(kept["a"]) == 6 and list(left_out) == [6, 7]
    with pytest.raises(UserError, match=rf"^2 of 8 .* = 0.2 allows.*; the longest row has {longest} tokens"):
        encode_arms(tokenizer, arms, 100, 0.2)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_template_without_an_end_of_turn_token_can_not_be_trained(name: str, tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message['content'] + '\n' }}{% endfor %}"
    tokenizer = load_tokenizer(save_tokenizer(name, tmp_path, template=template))
    with pytest.raises(UserError, match="no end-of-turn token"):
        encode_example(tokenizer, Example(user("x"), "y"))
