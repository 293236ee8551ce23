"""The one place that says which tokens carry loss: the target and its end-of-turn token, nothing else.

Contract of an encoded row:
- `input_ids` = what the model sees at inference for the context (same template, same function), then the
  target's tokens, then the end-of-turn token;
- `labels` = IGNORED over the context; the token itself over target and end of turn;
- a target is never cut: a row that is too long is left out whole, counted and listed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cgd.chat import encode_chat, encode_text, end_of_turn, generation_prompt
from cgd.errors import UserError
from cgd.records import Example

IGNORED = -100  # PyTorch's cross entropy skips this label
_THINK = "<think>"


class EncodedRow(NamedTuple):
    """One training row as token ids; both lists have the same length."""

    input_ids: list[int]
    labels: list[int]

    @property
    def target_tokens(self) -> int:
        """How many tokens carry loss, end of turn included."""
        return sum(label != IGNORED for label in self.labels)


def encode_example(tokenizer: Any, example: Example) -> EncodedRow:
    """Token ids and labels of one example.

    Where the template itself opens a think block for the answer, the target's own opening tag is not
    written a second time: it is already part of the context, as it is at inference.

    Raises:
        UserError: the tokenizer does not give the target back (it would teach another text).
    """
    context_ids = encode_chat(tokenizer, example.context)
    target = _without_open_block(example.target, generation_prompt(tokenizer))
    target_ids = encode_text(tokenizer, target)
    decoded = tokenizer.decode(target_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if _canonical(decoded) != _canonical(target):
        raise UserError(f"the tokenizer does not give a target back: {target[:80]!r} became {decoded[:80]!r}")
    labelled = [*target_ids, end_of_turn(tokenizer)]
    return EncodedRow(context_ids + labelled, [IGNORED] * len(context_ids) + labelled)


def encode_arms(
    tokenizer: Any, examples: Mapping[str, Sequence[Example]], max_length: int, max_overlength_share: float
) -> tuple[dict[str, list[EncodedRow]], dict[int, str]]:
    """Encode every arm's rows; a row that is too long in one arm is left out of all, so that arms stay matched.

    Args:
        tokenizer: the student's.
        examples: by arm, index by index from the same records.
        max_length: of a row, in tokens.
        max_overlength_share: refuse above this share of rows left out.

    Returns:
        Rows by arm, and the left-out indices with the reason.

    Raises:
        UserError: more rows are too long than `max_overlength_share` allows, or all of them.
    """
    encoded = {arm: [encode_example(tokenizer, example) for example in rows] for arm, rows in examples.items()}
    total = len(next(iter(encoded.values())))
    too_long: dict[int, str] = {}
    for arm, rows in encoded.items():
        for index, row in enumerate(rows):
            if len(row.input_ids) > max_length:
                reason = f"longer than training.max_length = {max_length} tokens in arm {arm}"
                too_long.setdefault(index, reason)
    if len(too_long) > max_overlength_share * total or len(too_long) == total:
        longest = max(len(row.input_ids) for rows in encoded.values() for row in rows)
        raise UserError(
            f"{len(too_long)} of {total} training rows are longer than training.max_length = {max_length} tokens "
            f"(allowed share: training.max_overlength_share = {max_overlength_share}); the longest has {longest}. "
            "Raise max_length, shorten the stages' max_tokens, or raise the allowed share"
        )
    kept = {arm: [row for i, row in enumerate(rows) if i not in too_long] for arm, rows in encoded.items()}
    return kept, too_long


def _without_open_block(target: str, before: str) -> str:
    """The target without the opening tag (and the line break after it) with which the text before it ends."""
    if not before.rstrip().endswith(_THINK):
        return target
    opening = before[before.rindex(_THINK) :]
    return target.removeprefix(opening if target.startswith(opening) else _THINK)


def _canonical(text: str) -> str:
    """Equal for texts that differ only in Unicode composition or a leading space some tokenizers add."""
    return unicodedata.normalize("NFKC", text).lstrip()
