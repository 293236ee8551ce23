"""What can be wrong with one record: leaks, talk about the revision, verdicts against the verifier, empty criticism.

Everything is decided by rule from the record's texts and the grades of its draft and refinement; a question that the
record can't answer (no reference answer, nothing graded) is None, not False.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cgd.grading_answers import normalise_math
from cgd.metatalk import has_critique_talk, has_refinement_talk
from cgd.records import Record
from cgd.text import critique_verdict, normalise

LONG = 8
"""Words in a row that a critique shares with ŷ or y*, above which it gives the solution away."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(r"[\"“”'‘’`]([^\"“”'‘’`\n]{3,120})[\"“”'‘’`]")
_WORD = re.compile(r"\w+|[^\w\s]")


class Audit(NamedTuple):
    """One record's audit."""

    answer_in_critique: bool | None
    """The critique states the reference answer; None where prompt or draft state it already, or there is none."""
    solution_in_critique: bool
    """It shares `LONG` words in a row with the refinement or the solution, which are not in prompt or draft."""
    meta_talk: bool
    """The refinement speaks of a draft, a critique or of itself as a revision."""
    specific: bool
    """The critique names something that is in this draft and not in the prompt."""
    verdict: str | None
    """What the critique says of the draft: `right` or `wrong`; None where it says neither."""
    draft_right: bool | None
    refinement_right: bool | None
    """By the task's grader, in any format; None where it is unscored."""
    unchanged: bool
    """The refinement is the draft, apart from case and white space."""

    @property
    def leaks(self) -> bool:
        """The critique gives away the answer or a stretch of the solution."""
        return bool(self.answer_in_critique) or self.solution_in_critique


def audit(record: Record, draft_right: bool | None = None, refinement_right: bool | None = None) -> Audit:
    """Audit a complete record.

    Args:
        record: with draft, critique and refinement.
        draft_right: verdict on the draft, where there is one.
        refinement_right: verdict on the refinement.
    """
    draft, critique, refinement = record.draft or "", record.critique or "", record.refinement or ""
    question = record.prompt.messages[-1]["content"]
    known = _ngrams(f"{question}\n{draft}")
    given_away = _ngrams(critique) & (_ngrams(refinement) | _ngrams(record.prompt.solution or "")) - known
    return Audit(
        answer_in_critique=_states_answer(critique, f"{question}\n{draft}", record.prompt.answer),
        solution_in_critique=bool(given_away),
        meta_talk=has_critique_talk(refinement) or has_refinement_talk(refinement),
        specific=_names_something(critique, draft, question),
        verdict=critique_verdict(critique),
        draft_right=draft_right,
        refinement_right=refinement_right,
        unchanged=normalise(draft) == normalise(refinement),
    )


def _states_answer(critique: str, known: str, answer: str | None) -> bool | None:
    """None where there is no answer to give away, or quoting what is known already gives nothing away."""
    if not answer or _contains(known, answer):
        return None
    return _contains(critique, answer)


def _contains(text: str, answer: str) -> bool:
    """Whether an answer stands in a text as a whole: 7 is not in 17, nor in 7.5."""
    plain = normalise_math(answer)
    if _NUMBER.fullmatch(plain):
        value = float(plain.replace(",", ""))
        return any(float(found.replace(",", "")) == value for found in _NUMBER.findall(text))
    return re.search(rf"(?<!\w){re.escape(normalise(answer))}(?!\w)", normalise(text)) is not None


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[start : start + LONG]) for start in range(len(words) - LONG + 1)}


def _names_something(critique: str, draft: str, question: str) -> bool:
    """A quotation, or a number, of the critique stands in the draft and not in the question."""
    quotations = [normalise(found) for found in _QUOTED.findall(critique)]
    if any(found and found in normalise(draft) and found not in normalise(question) for found in quotations):
        return True
    numbers = set(_NUMBER.findall(critique)) & set(_NUMBER.findall(draft))
    return bool(numbers - set(_NUMBER.findall(question)))


def repeated(texts: Sequence[str]) -> int:
    """How many of the texts equal an earlier one, apart from case and white space."""
    return len(texts) - len({normalise(text) for text in texts})
