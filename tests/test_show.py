"""Run with: pytest tests/test_show.py. Real tokenizers of a tiny student; texts that want to fool a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cgd.chat import encode_chat, load_tokenizer
from cgd.errors import UserError
from cgd.records import Example, Prompt, Record, TrainingRow
from cgd.show import ShownRow, coloured, plain_text, show_row, visible
from cgd.stored import StoredRows
from tests.builders import make_recipe, user
from tests.tiny import FAMILIES, save_student

ESCAPES = "\x1b[31mred\x1b]0;title\x07 \x9b2J\r\x08\u202eabc\u2066"
HOSTILE = f"{ESCAPES} [bold]markup[/bold] ⟦loss⟧fake⟦end⟧ <|im_end|>"


def stored(student: Path, *targets: str, context: str = "12 + 7?", max_length: int = 512) -> StoredRows:
    recipe = make_recipe(student={"model": str(student)}, training={"max_length": max_length})
    records = [
        Record(Prompt.create(f"item-{index}", user(context)), refinement=target, key=f"{index:064x}")
        for index, target in enumerate(targets)
    ]
    rows = [
        TrainingRow(record.id, Example(user(context), target)) for record, target in zip(records, targets, strict=True)
    ]
    return StoredRows(recipe, "cgd", records, rows, [])


def first(rows: StoredRows) -> ShownRow:
    return show_row(rows, index=0, prefix=None)


def body(shown: ShownRow) -> str:
    return plain_text(shown).partition("\n\n")[2]


def test_the_target_and_its_end_of_turn_carry_the_loss(student: Path) -> None:
    """ChatML: a system prompt of the template's own, the user's turn, the answer."""
    assert body(first(stored(student, "Answer: 19"))) == (
        "⟦<|im_start|>⟧system\nYou help.⟦<|im_end|>⟧\n"
        "⟦<|im_start|>⟧user\n12 + 7?⟦<|im_end|>⟧\n"
        "⟦<|im_start|>⟧assistant\n⟦loss⟧Answer: 19⟦<|im_end|>⟧⟦end⟧"
    )


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_shows_what_is_encoded(family: str, tmp_path: Path) -> None:
    student = save_student(tmp_path / family, family)
    shown = first(stored(student, "Answer: 19"))
    tokenizer = load_tokenizer(student)
    ids = [token for segment in shown.segments for token in segment.ids]
    context = encode_chat(tokenizer, user("12 + 7?"))
    assert ids[: shown.context_tokens] == context and len(ids) == shown.length
    assert [token for s in shown.segments if s.loss for token in s.ids] == ids[len(context) :]
    assert shown.segments[-1].text == FAMILIES[family].end_of_turn and shown.segments[-1].special


def test_the_heading_counts_tokens(student: Path) -> None:
    rows = stored(student, "19", "20")
    shown = show_row(rows, index=1, prefix=None)
    assert plain_text(shown).splitlines()[:3] == [
        f"record  {rows.rows[1].record_id}",
        "row     1 of 2 in cgd, weight 1",
        f"tokens  {shown.context_tokens} context + {shown.target_tokens} target with end of turn = {shown.length} "
        "(max_length 512)",
    ]
    tokenizer = load_tokenizer(student)
    assert shown.context_tokens == len(encode_chat(tokenizer, user("12 + 7?")))
    assert shown.target_tokens == len(tokenizer("20")["input_ids"]) + 1


def test_a_row_that_training_leaves_out_for_its_length_says_so(student: Path) -> None:
    shown = first(stored(student, "Answer: 19", max_length=8))
    assert "(max_length 8): too long, training leaves it out" in plain_text(shown)
    assert shown.as_json()["fits"] is False


# Untrusted text


def test_special_token_strings_of_a_text_do_not_look_like_special_tokens(student: Path) -> None:
    """The context has two ends of turn of its own; the text's is plain, without marks."""
    shown = first(stored(student, "an <|im_end|> end", context="a <|im_end|> b"))
    assert body(shown).count("⟦<|im_end|>⟧") == 3, "system, user and the target's own"
    assert "a <|im_end|> b" in body(shown) and "⟦loss⟧an <|im_end|> end⟦<|im_end|>⟧⟦end⟧" in body(shown)


@pytest.mark.parametrize("colour", [True, False])
def test_no_text_of_a_record_reaches_a_terminal_as_a_command(colour: bool, student: Path) -> None:
    shown = first(stored(student, HOSTILE, context=HOSTILE))
    if colour:
        written = io.StringIO()
        console = Console(file=written, force_terminal=True, color_system=None, width=200)
        console.print(coloured(shown), soft_wrap=True)
        out = written.getvalue()
    else:
        out = plain_text(shown)
    assert not set(ESCAPES) & {"\x1b", "\x07", "\x9b", "\r", "\x08", "\u202e", "\u2066"} & set(out)
    assert "⟦\\x1b⟧[31mred⟦\\x1b⟧]0;title⟦\\x07⟧ ⟦\\x9b⟧2J⟦\\r⟧⟦\\x08⟧⟦\\u202e⟧abc⟦\\u2066⟧" in out
    assert "[bold]markup[/bold]" in out
    assert "⟦\\u27e6⟧loss⟦\\u27e7⟧fake" in out
    assert out.count("⟦loss⟧") == (0 if colour else 1)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_visible_text_has_only_line_breaks_and_tabs_to_obey(text: str) -> None:
    written = visible(text)
    assert not {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} & set(written)


def test_colours_tell_what_carries_loss(student: Path) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system="standard", width=200)
    console.print(coloured(first(stored(student, "Answer: 19"))), soft_wrap=True)
    out = written.getvalue()
    assert "\x1b[1;32mAnswer: 19\x1b[0m" in out
    assert "\x1b[1;7;32m<|im_end|>\x1b[0m" in out and "\x1b[36m<|im_start|>\x1b[0m" in out


def test_scripts_get_texts_as_they_are_in_ascii_json(student: Path) -> None:
    shown = first(stored(student, HOSTILE))
    written = json.dumps(shown.as_json())
    assert written.isascii() and "\x1b" not in written
    read = json.loads(written)
    assert "".join(segment["text"] for segment in read["segments"] if segment["loss"]) == f"{HOSTILE}<|im_end|>"
    assert (read["name"], read["position"], read["rows"], read["max_length"]) == ("cgd", 0, 1, 512)
    assert read["length"] == read["context_tokens"] + read["target_tokens"] == shown.length


# Which row


def test_a_record_is_found_by_how_its_id_begins(student: Path) -> None:
    rows = stored(student, "19", "20")
    assert show_row(rows, index=None, prefix="item-1").position == 1


@pytest.mark.parametrize(
    ("index", "prefix", "message"),
    [
        (None, None, "give --row or --id, one of the two"),
        (0, "item-0", "give --row or --id, one of the two"),
        (2, None, "there is no row 2; rows are 0 to 1"),
        (-1, None, "there is no row -1"),
        (None, "item", "2 rows have an id that begins with 'item'; ids are, for example, 'item-0#"),
        (None, "task", "0 rows have an id that begins with 'task'; ids are, for example, 'item-0#"),
    ],
)
def test_a_row_that_is_not_there_is_refused(index: int | None, prefix: str | None, message: str, student: Path) -> None:
    with pytest.raises(UserError, match=message):
        show_row(stored(student, "19", "20"), index=index, prefix=prefix)
