"""Pure functions on text: parsing rules of replies, normalisation, special-token strings."""

from __future__ import annotations

import re

_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)
_LEADING_TALK = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|here(?:'s| is| are))\b[^\n]{0,120}:[ \t]*(?:\n+|$)", re.IGNORECASE
)
# What chat models use as control tokens, by shape: servers tokenise themselves, so the names can't be looked up.
_SPECIAL_SHAPES = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜]{1,40}｜>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[/?INST\]"
)
_WORD_JOINER = "\u2060"

PARSERS = {"draft": "plain/1", "critique": "teacher/1", "refinement": "teacher/1", "prediction": "plain/1"}
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
