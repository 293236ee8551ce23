"""Pure functions on text: parsing rules of replies, normalisation, special-token strings."""

from __future__ import annotations

import re
from typing import Literal

_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)
_LEADING_TALK = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|here(?:'s| is| are))\b[^\n]{0,120}:[ \t]*(?:\n+|$)", re.IGNORECASE
)
# What chat models use as control tokens, by shape: servers tokenise themselves, so the names can't be looked up.
_SPECIAL_SHAPES = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜]{1,40}｜>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[/?INST\]"
)
_WORD_JOINER = "\u2060"

_VERDICT_LINE = re.compile(r"^\W*verdict\W+(right|correct|wrong|incorrect)\b", re.IGNORECASE | re.MULTILINE)
_FAULT = re.compile(
    r"\b(?:wrong|incorrect(?:ly)?|mistakes?|mistaken|errors?|missing|misses|inaccurate|fails?|failed|should|must be|"
    r"too (?:early|late)|twice|(?:is|are) no|(?:is|are|was|were|does|do|did) not|"
    r"(?:isn|aren|wasn|weren|doesn|didn)['’]t)\b",
    re.IGNORECASE,
)
_DENIED_FAULT = re.compile(
    r"\b(?:no|without(?: any)?) (?:mistakes?|errors?)\b|\bnothing (?:is )?(?:wrong|missing)\b", re.IGNORECASE
)
_PRAISE = re.compile(r"\b(?:right|correct(?:ly)?)\b", re.IGNORECASE)

PARSERS = {
    "draft": "plain/1",
    "critique": "teacher/1",
    "refinement": "teacher/1",
    "teacher_answer": "teacher/1",
    "prediction": "plain/1",
    "self_critique": "plain/1",
    "self_refinement": "plain/1",
    "candidate": "plain/1",
}
"""Name and version of the rule that parses each stage's raw reply."""


def parse_reply(stage: str, raw: str) -> str | None:
    """The text of a raw reply under its stage's rule; None where there is no text.

    `plain` keeps everything but outer white space: a draft or a prediction is what the student wrote,
    be it nothing. `teacher` also cuts think blocks and a leading line such as "Sure, here is ...:".
    """
    if PARSERS[stage].startswith("plain"):
        return raw.strip()
    answer = _THINK.sub("", raw)
    if "</think>" in answer:  # the template itself had opened the block
        answer = answer.rpartition("</think>")[2]
    if "<think>" in answer:  # never closed: the answer was not reached
        return None
    return _LEADING_TALK.sub("", answer.strip()).strip() or None


def critique_verdict(critique: str) -> Literal["right", "wrong"] | None:
    """Whether a critique calls the draft right or wrong; None where it says neither.

    A line "Verdict: ..." decides (the last one). Without one the words do: any that finds a fault means wrong, else
    any that praises means right.
    """
    lines = _VERDICT_LINE.findall(critique)
    if lines:
        return "right" if lines[-1].lower() in ("right", "correct") else "wrong"
    if _FAULT.search(_DENIED_FAULT.sub("", critique)):
        return "wrong"
    return "right" if _PRAISE.search(critique) else None


def normalise(text: str) -> str:
    """Case folded, runs of white space as one space: for exact comparison of prompts."""
    return " ".join(text.casefold().split())


def break_special_tokens(text: str) -> tuple[str, int]:
    """Put a zero-width joiner (U+2060) into strings that look like control tokens.

    Returns:
        The text that is safe to send to a server that tokenises itself, and how many strings were broken.
    """
    broken, found = 0, 1
    while found:  # again, for one may stand inside another: <|[INST]|>
        text, found = _SPECIAL_SHAPES.subn(lambda match: match[0][0] + _WORD_JOINER + match[0][1:], text)
        broken += found
    return text, broken


def encodable(text: str) -> str:
    """The text with lone surrogates (which no UTF-8 file can hold) replaced by '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")
