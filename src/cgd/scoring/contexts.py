"""What is scored of a record, and in which contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cgd.prompts import student_context
from cgd.records import Example, Message, Record
from cgd.scoring.score import Scored
from cgd.training.completion_only import IGNORED, encode_example


class Question(NamedTuple):
    """How likely is `target` in `context`? The names under which the answer is kept."""

    target: str
    """`refinement`, `critique`, or `candidate K`."""
    context: str
    """`x`, `x_draft`, `x_draft_critique`, or `x_draft_candidate K` for a critique that knows a candidate."""


def questions(tokenizer: Any, record: Record, candidates: Sequence[str] = ()) -> dict[Question, Scored]:
    """Everything that is asked of a record, as token ids; targets have the same ids in all contexts.

    ŷ is scored given x, (x, y') and (x, y', c); c given (x, y') and (x, y', ŷ). With candidates, each is scored given
    (x, y') and (x, y', c), and c given (x, y') and each of them: what the Bayes check needs.

    Args:
        tokenizer: the scoring model's.
        record: with draft, critique and refinement.
        candidates: refinements that could have been, the record's own first.

    Raises:
        LossyTarget: the tokenizer does not give a target back.
    """
    x, draft, critique = record.prompt.messages, record.draft, record.critique
    assert record.refinement is not None and critique is not None
    given: dict[str, tuple[Message, ...]] = {
        "x": x,
        "x_draft": student_context(x, wanted="refinement", draft=draft),
        "x_draft_critique": student_context(x, wanted="refinement", draft=draft, critique=critique),
    }
    about = student_context(x, wanted="critique", draft=draft)
    asked = {Question("refinement", name): (context, record.refinement) for name, context in given.items()}
    asked[Question("critique", "x_draft")] = (about, critique)
    for number, candidate in enumerate(candidates or [record.refinement]):
        knowing = student_context(x, wanted="critique", draft=draft, refinement=candidate)
        asked[Question("critique", f"x_draft_candidate {number}")] = (knowing, critique)
    for number, candidate in enumerate(candidates):
        for name in ("x_draft", "x_draft_critique"):
            asked[Question(f"candidate {number}", name)] = (given[name], candidate)
    encoded = {question: encode_scored(tokenizer, *example) for question, example in asked.items()}
    _check_targets(encoded)
    return encoded


def encode_scored(tokenizer: Any, context: Sequence[Message], target: str) -> Scored:
    """A text in a context as token ids.

    Raises:
        LossyTarget: the tokenizer does not give the text back.
    """
    row = encode_example(tokenizer, Example(tuple(context), target))
    start = sum(label == IGNORED for label in row.labels)
    return Scored(row.input_ids[:start], row.input_ids[start:])


def _check_targets(encoded: dict[Question, Scored]) -> None:
    """Differences between contexts are differences of context only where the very same tokens are scored."""
    first: dict[str, list[int]] = {}
    for question, scored in encoded.items():
        assert first.setdefault(question.target, scored.target_ids) == scored.target_ids, question
