"""Detectors of talk that does not belong in an answer: critiquing, refining, refusing, and loops.

Precision comes first. A pattern asks for somebody's work together with a verdict on it; a lone word ("wrong",
"corrected", "the student") is never enough, for word problems are full of students, errors and corrected totals. A
reply that checks itself ("so the answer is correct", "wait, I made a mistake") is no critique. Every pattern is
bounded, so the time grows with the length of the text alone.
"""

from __future__ import annotations

import re

_REFUSALS_STAND_IN = 300
"""Characters: a reply that refuses does so at its beginning."""
_SHORTEST_UNIT = 25
_LONGEST_UNIT = 1000
_COPIES = 4
"""A loop is that many copies of a unit of so many characters."""

_PERSON = r"(?:student|assistant|model|author)"
_WORK = (
    r"(?:answer|solution|response|draft|reasoning|explanation|approach|attempt|calculation|critique|analysis|code"
    r"|function|program)s?"
)
_GIVEN = r"(?:given|provided|original|previous|initial|proposed|submitted|above)"
_OWNED = (
    rf"(?:{_PERSON}['’]s(?: {_GIVEN}| final)? {_WORK}|your(?: final)? {_WORK}|the draft"
    rf"|the {_GIVEN}(?: final)? {_WORK})"
)
_GRADE = (
    r"(?:right|wrong|correct|incorrect|accurate|inaccurate|flawed|erroneous|invalid|incomplete|unclear|missing"
    r"|unsupported)"
)
_HOW = r"(?:not|also|all|in fact|indeed|partially|partly|mostly|completely|entirely|still|therefore|thus)"
_IS = r"(?:is|are|was|were|looks|seems)(?:n['’]t)?"
_MANNER = r"(?:(?:in)?correctly|wrongly|mistakenly|erroneously|(?:in)?accurately|rightly)"
_FAULT = r"(?:errors?|mistakes?|flaws?|faults?)"
_QUOTE = r"['\"“‘][^\n]{1,60}?['\"”’]"
_ORDINAL = r"(?:first|second|third|fourth|fifth|last|next|final)"
_STEP = rf"(?:(?:step|line|paragraph) \d{{1,3}}|the {_ORDINAL} (?:step|line|paragraph))"

_CRITIQUE_HEADINGS = [
    rf"(?:so )?(?:the )?(?:final )?(?:verdict|conclusion|judge?ment)(?: is)?\W{{1,8}}{_GRADE}\b",
    r"(?:first error|first incorrect|incorrect) step\b\W{0,8}(?:is )?(?:step )?\d",
    r"critique(?: of the (?:draft|answer|solution|response))?\W{0,4}:",
]
_CRITIQUE_PHRASES = [
    rf"so the verdict is\W{{1,8}}{_GRADE}\b",
    # A judgement on somebody's work.
    rf"{_OWNED} {_IS} (?:{_HOW} ){{0,2}}{_GRADE}\b",
    rf"{_OWNED} (?:{_MANNER}|fails|lacks|misses|misinterprets|misreads|omits|ignores|overlooks|skips)\b",
    rf"{_OWNED} (?:has|contains|makes|shows) (?:{_FAULT}|(?:an?|one|two|some|several|no) (?:\w{{1,20}} )?"
    rf"(?:{_FAULT}|calculation))\b",
    r"(?:the|this) (?:answer|solution|response) (?:is|was) (?:(?:also|still|therefore|thus) )?"
    r"(?:wrong|incorrect|not (?:correct|right)|flawed|erroneous|incomplete)\b",
    rf"the (?:solution|response|explanation|reasoning) {_MANNER} \w{{1,20}}s\b",
    rf"the {_PERSON} (?:(?:has |also ){{0,2}}{_MANNER} (?!answer)|made an? (?:\w{{1,20}} )?{_FAULT}\b)",
    rf"the {_PERSON} (?:misread|misunderstood|misinterpreted|overlooked|forgot to)\b",
    rf"you (?:have )?(?:{_MANNER}|misread|misunderstood|misinterpreted)\b",
    # Where the fault lies.
    r"(?:error|mistake|flaw) (?:is|lies|occurs|occurred|was made|happens|appears|starts|begins)(?: here)? "
    rf"(?:in|at|with) (?:the )?(?:{_STEP}|{_ORDINAL} (?:step|line|paragraph)|calculation|{_OWNED})",
    rf"{_STEP} {_IS} (?:{_HOW} ){{0,2}}{_GRADE}\b",
    rf"there (?:is|are) (?:an?|no|some|several) (?:\w{{1,20}} )?{_FAULT} in "
    rf"(?:{_OWNED}|{_STEP}|the (?:{_WORK}|code['’]s))",
    rf"(?:the steps(?: and the answer)? are|every step is|each step is|all(?: the| of the)? steps are) {_GRADE}\b",
    # Faults that quote a step.
    rf"in the {_ORDINAL} step, {_QUOTE} (?:has|uses)\b",
    rf"the {_ORDINAL} step, {_QUOTE}, should\b",
    r"the draft (?:only )?(?:speaks of|shows no)\b",
    rf"is not the {_ORDINAL} step: it\b",
    r"(?:is the right calculation, but|is right, but after it|comes (?:too early:|without any calculation))",
]
_REVISED = r"(?:corrected|revised|improved|refined|amended|rewritten|reworked|updated|fixed)"
_TEXT = r"(?:answer|solution|response|draft|reasoning|explanation|calculation|version|code|steps?)"
_EARLIER = rf"(?:draft|(?:previous|original|initial|earlier) {_TEXT})"
_REFINEMENT_HEADINGS = [
    rf"(?:the |my |an? )?{_REVISED} (?:final )?{_TEXT}\W{{0,4}}(?::|$)",
    r"correct(?:ing|ion of) (?:the|this) (?:\w{1,20} )?(?:mistake|error|draft|answer|solution)s?\b",
]
_REFINEMENT_PHRASES = [
    rf"here(?:['’]s| is| are) (?:the|an?|my|your) (?:{_REVISED} (?:and )?){{1,2}}(?:\w{{1,20}} )?{_TEXT}\b",
    rf"the {_REVISED} (?:final )?(?:answer|solution|response) is\b",
    r"(?:pointed out|noted|mentioned|identified|suggested|stated|explained|highlighted) (?:in|by) (?:the|your|this) "
    r"(?:critique|feedback|reviewer|critic|correction)\b",
    r"(?:based on|following|addressing|incorporating|considering|given|according to|taking into account|after) "
    r"(?:the|your|this) (?:critique|criticism|(?:provided |given |above )?feedback,|(?:provided|given|above) feedback)",
    r"the critique (?:is|was|says|states|notes|points|correctly|rightly|mentions|identifies|suggests|highlights)\b",
    rf"(?:my|your) (?:previous|initial|original|earlier) {_TEXT}\b",
    rf"(?:mistake|error)s? (?:in|of|from) (?:the|my) {_EARLIER}\b",
    rf"(?:unlike|contrast to|instead of) (?:in )?the {_EARLIER}\b",
    rf"i(?:['’]ve| have)? (?:now )?(?:corrected|fixed|revised|rewritten|amended) (?:the|my|this) "
    rf"(?:{_TEXT}|(?:\w{{1,20}} )?(?:error|mistake)s?)\b",
    r"(?:let['’]s|let us|to) (?:correct|fix) (?:the|this|that|these) (?:\w{1,20} )?(?:mistake|error)s?\b",
    r"thank you for (?:pointing|the correction|the critique|your critique)\b",
]
_UNABLE = r"(?:can['’]?t|cannot|can not|won['’]t|will not|am (?:unable|not able) to)"
_REFUSAL_PHRASES = [
    rf"i {_UNABLE} (?:help|assist)(?:(?: you)? with (?:that|this|it|your|such|the request|creating|writing|any)|[.!])",
    rf"i {_UNABLE} (?:comply|fulfill?|provide|generate|create|produce|engage in|participate in|answer (?:that|this))\b",
    rf"(?:sorry|apologi[sz]e|afraid),? (?:but )?(?:that )?i {_UNABLE} "
    r"(?:do|write|answer|help|assist|provide|discuss|continue|give|offer|share)\b",
    r"i['’]m (?:unable|not able|sorry,? but unable) to "
    r"(?:help|assist|comply|fulfill?|provide|generate|create|answer)\b",
    r"as an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant| system| chatbot)?,? i\b",
    r"i(?:['’]m| am) (?:just |only )?an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant)\b",
    r"i must (?:decline|refuse)\b",
    r"(?:against|violates) (?:my|our) (?:guidelines|programming|policy|policies|principles)\b",
]


def _any_of(headings: list[str], phrases: list[str]) -> re.Pattern[str]:
    """One pattern for lower-case text; those that no line begins and no word begins can't match are passed over."""
    at_line = rf"^\W{{0,8}}(?:{'|'.join(headings)})|" if headings else ""
    return re.compile(rf"{at_line}\b(?:{'|'.join(phrases)})", re.MULTILINE)


_CRITIQUE = _any_of(_CRITIQUE_HEADINGS, _CRITIQUE_PHRASES)
_REFINEMENT = _any_of(_REFINEMENT_HEADINGS, _REFINEMENT_PHRASES)
_REFUSAL = _any_of([], _REFUSAL_PHRASES)


def has_critique_talk(text: str) -> bool:
    """Whether a text judges somebody's work: "the student's answer is wrong", "the error is in step 2", a verdict."""
    return _CRITIQUE.search(text.lower()) is not None


def has_refinement_talk(text: str) -> bool:
    """Whether a text speaks of itself as a revision: "here is the corrected solution", "as noted in the critique"."""
    return _REFINEMENT.search(text.lower()) is not None


def is_refusal(text: str) -> bool:
    """Whether a text refuses in its first 300 characters: "I can't help with that", "as an AI, I".

    "The problem cannot be solved with what is given" is an answer, be it wrong.
    """
    return _REFUSAL.search(text[:_REFUSALS_STAND_IN].lower()) is not None


def ends_in_loop(text: str) -> bool:
    """Whether a text ends in four or more copies in a row of one unit of 25 to 1,000 characters.

    A shorter unit counts as the longer one that its copies make up, so a hundred times one letter is a loop too. The
    last copy may be cut anywhere. Runs of white space count as one space, and a unit needs a letter or a digit: ruled
    lines are no loop.
    """
    text = " ".join(text[-2 * _COPIES * _LONGEST_UNIT :].split())
    tail, end = text[-_SHORTEST_UNIT:], len(text)
    at = text.rfind(tail, 0, end - _SHORTEST_UNIT)
    while at >= 0:
        unit = end - len(tail) - at
        if unit > _LONGEST_UNIT or _COPIES * unit > end:
            return False
        if text[-(_COPIES - 1) * unit :] == text[-_COPIES * unit : -unit]:
            return any(character.isalnum() for character in text[-unit:])
        at = text.rfind(tail, 0, at + len(tail) - 1)
    return False
