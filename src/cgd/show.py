r"""One training row as the student's tokenizer and the training see it: which tokens carry loss, which are special.

Texts are a model's: whatever a terminal would obey or hide in them is written as ⟦\x1b⟧, and so is a ⟦ of theirs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rich.text import Text

from cgd.chat import end_of_turn, load_tokenizer
from cgd.errors import UserError
from cgd.models import model_folder
from cgd.records import TrainingRow
from cgd.stored import StoredRows
from cgd.training.completion_only import IGNORED, encode_example

_STYLES = {
    (False, False): "dim",
    (True, False): "bold green",
    (False, True): "cyan",
    (True, True): "bold reverse green",
}
_LISTED = 5


class Segment(NamedTuple):
    """Tokens side by side that are alike in both respects, decoded together; a special token stands alone."""

    text: str
    ids: list[int]
    loss: bool
    special: bool


class ShownRow(NamedTuple):
    """A row with its counts, in tokens; the end of turn is one of the target's."""

    record_id: str
    name: str
    position: int
    rows: int
    context_tokens: int
    target_tokens: int
    max_length: int
    weight: float
    segments: list[Segment]

    @property
    def length(self) -> int:
        """Tokens in all."""
        return self.context_tokens + self.target_tokens

    def as_json(self) -> dict[str, Any]:
        """For scripts: texts as they are."""
        segments = [segment._asdict() for segment in self.segments]
        return {**self._asdict(), "length": self.length, "fits": self.length <= self.max_length, "segments": segments}


def show_row(stored: StoredRows, *, index: int | None, prefix: str | None) -> ShownRow:
    """Encode one row with the student's tokenizer.

    Args:
        stored: the rows of an arm or an objective.
        index: of the row, from 0.
        prefix: of the record's id, in place of an index.

    Raises:
        UserError: not one of the two, no such row, several rows, or the tokenizer does not give the target back.
    """
    if (index is None) == (prefix is None):
        raise UserError("give --row or --id, one of the two")
    found = _index(stored.rows, prefix) if prefix is not None else index
    assert found is not None
    if not 0 <= found < len(stored.rows):
        raise UserError(f"there is no row {found}; rows are 0 to {len(stored.rows) - 1}")
    row, student = stored.rows[found], stored.recipe.student
    tokenizer = load_tokenizer(model_folder(student.model, student.revision))
    encoded = encode_example(tokenizer, row.example)
    return ShownRow(
        record_id=row.record_id,
        name=stored.name,
        position=found,
        rows=len(stored.rows),
        context_tokens=len(encoded.input_ids) - encoded.target_tokens,
        target_tokens=encoded.target_tokens,
        max_length=stored.recipe.training.max_length,
        weight=row.weight,
        segments=list(_segments(tokenizer, encoded.input_ids, [label != IGNORED for label in encoded.labels])),
    )


def plain_text(shown: ShownRow) -> str:
    """The row for pipes and files: ⟦loss⟧ before what carries loss, ⟦end⟧ after it, special tokens in ⟦ ⟧."""
    parts = [_heading(shown)]
    for loss, segments in groupby(shown.segments, key=lambda segment: segment.loss):
        body = "".join(f"⟦{visible(s.text)}⟧" if s.special else visible(s.text) for s in segments)
        parts.append(f"⟦loss⟧{body}⟦end⟧" if loss else body)
    return "".join(parts)


def coloured(shown: ShownRow) -> Text:
    """The row for a terminal: what carries loss in green, special tokens in cyan or on green."""
    text = Text(_heading(shown))
    for segment in shown.segments:
        text.append(visible(segment.text), style=_STYLES[segment.loss, segment.special])
    return text


def visible(text: str) -> str:
    """The text with control, format and private-use characters, and the marks' own brackets, spelt out."""
    return "".join(f"⟦{_spelt(char)}⟧" if _needs_spelling(char) else char for char in text)


def _heading(shown: ShownRow) -> str:
    fits = "" if shown.length <= shown.max_length else ": too long, training leaves it out"
    return (
        f"record  {visible(shown.record_id)}\n"
        f"row     {shown.position} of {shown.rows} in {visible(shown.name)}, weight {shown.weight:g}\n"
        f"tokens  {shown.context_tokens} context + {shown.target_tokens} target with end of turn = {shown.length} "
        f"(max_length {shown.max_length}){fits}\n\n"
    )


def _index(rows: Sequence[TrainingRow], prefix: str) -> int:
    found = [index for index, row in enumerate(rows) if row.record_id.startswith(prefix)]
    if len(found) != 1:
        ids = ", ".join(repr(rows[index].record_id) for index in (found or range(len(rows)))[:_LISTED])
        raise UserError(f"{len(found)} rows have an id that begins with {prefix!r}; ids are, for example, {ids}")
    return found[0]


def _segments(tokenizer: Any, ids: Sequence[int], loss: Sequence[bool]) -> Iterator[Segment]:
    added = tokenizer.added_tokens_decoder
    special = {token for token in added if added[token].special} | {*tokenizer.all_special_ids, end_of_turn(tokenizer)}
    # The position keeps special tokens apart from each other, and lets plain ones run together.
    keyed = [(position, token, carries) for position, (token, carries) in enumerate(zip(ids, loss, strict=True))]
    for key, run in groupby(keyed, key=lambda item: (item[2], item[0] if item[1] in special else None)):
        tokens = [token for _, token, _ in run]
        text = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        yield Segment(text, tokens, key[0], key[1] is not None)


def _needs_spelling(char: str) -> bool:
    if char in "\n\t":
        return False
    return char in "⟦⟧" or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _spelt(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
