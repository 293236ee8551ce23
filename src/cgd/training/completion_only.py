"""The one place that says which tokens carry loss: the target and its end-of-turn token, nothing else.

Contract of an encoded row:
- `input_ids` = what the model sees at inference for the context (same template, same function), then the
  target's tokens, then the end-of-turn token;
- `labels` = IGNORED over the context; the token itself over target and end of turn;
- a target is never cut: a row that is too long is left out whole, counted and listed;
- a target without reasoning begins with `</think>` where the template opens a think block for every answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cgd.chat import encode_chat, encode_text, end_of_turn, generation_prompt
from cgd.errors import UserError
from cgd.records import Example

IGNORED = -100  # PyTorch's cross entropy skips this label
_THINK, _THINK_END = "<think>", "</think>"


class EncodedRow(NamedTuple):
    """One training row as token ids, both lists of the same length; its loss counts `weight` times."""

    input_ids: list[int]
    labels: list[int]
    weight: float = 1.0

    @property
    def target_tokens(self) -> int:
        """How many tokens carry loss, end of turn included."""
        return sum(label != IGNORED for label in self.labels)


class LossyTarget(UserError):
    """The tokenizer does not give a target back: training on it would teach another text."""


def encode_example(tokenizer: Any, example: Example) -> EncodedRow:
    """Token ids and labels of one example.

    Where the template itself opens a think block for the answer, the target's own opening tag is not written a
    second time (it is part of the context, as at inference), and a target without reasoning first closes the block.

    Raises:
        LossyTarget: decoding the target's ids gives another text.
        UserError: the chat template refuses the context, or has no end-of-turn token.
    """
    context_ids = encode_chat(tokenizer, example.context)
    target = _within_open_block(example.target, generation_prompt(tokenizer))
    target_ids = encode_text(tokenizer, target)
    decoded = tokenizer.decode(target_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if _canonical(decoded) != _canonical(target):
        raise LossyTarget(f"the tokenizer does not give a target back: {target[:80]!r} became {decoded[:80]!r}")
    labelled = [*target_ids, end_of_turn(tokenizer)]
    return EncodedRow(context_ids + labelled, [IGNORED] * len(context_ids) + labelled)


def encode_arms(
    tokenizer: Any, examples: Mapping[str, Sequence[Example]], max_length: int, max_overlength_share: float
) -> tuple[dict[str, list[EncodedRow]], dict[int, str]]:
    """Encode every arm's rows; a row that one arm can't use is left out of all, so that arms stay matched.

    A row can't be used where it is longer than `max_length`, or where the tokenizer does not give its target back.

    Args:
        tokenizer: the student's.
        examples: by arm, index by index from the same records.
        max_length: of a row, in tokens.
        max_overlength_share: refuse above this share of rows left out.

    Returns:
        Rows by arm, and the left-out indices with the reason.

    Raises:
        UserError: more rows are left out than `max_overlength_share` allows, or all of them.
    """
    encoded: dict[str, dict[int, EncodedRow]] = {arm: {} for arm in examples}
    left_out: dict[int, str] = {}
    for arm, rows in examples.items():
        for index, example in enumerate(rows):
            try:
                row = encode_example(tokenizer, example)
            except LossyTarget:
                left_out.setdefault(index, f"the student's tokenizer does not give its target back in arm {arm}")
                continue
            encoded[arm][index] = row
            if len(row.input_ids) > max_length:
                left_out.setdefault(index, f"longer than training.max_length = {max_length} tokens in arm {arm}")
    total = len(next(iter(examples.values())))
    if len(left_out) > max_overlength_share * total or len(left_out) == total:
        longest = max((len(row.input_ids) for rows in encoded.values() for row in rows.values()), default=0)
        raise UserError(
            f"{len(left_out)} of {total} training rows can't be used, more than training.max_overlength_share = "
            f"{max_overlength_share} allows. First reason: {next(iter(left_out.values()))}; the longest row has "
            f"{longest} tokens. Raise max_length, shorten the stages' max_tokens, or raise the allowed share"
        )
    kept = {arm: [row for index, row in rows.items() if index not in left_out] for arm, rows in encoded.items()}
    return kept, left_out


def _within_open_block(target: str, before: str) -> str:
    """What is left to write of a target after a generation prompt that may have opened a think block already."""
    if not before.rstrip().endswith(_THINK):
        return target
    opening = before[before.rindex(_THINK) :]
    target = target.removeprefix(opening if target.startswith(opening) else _THINK)
    return target if _THINK_END in target else f"{_THINK_END}\n\n{target}"


def _canonical(text: str) -> str:
    """Equal for texts that differ only in Unicode composition or a leading space some tokenizers add."""
    return unicodedata.normalize("NFKC", text).lstrip()
