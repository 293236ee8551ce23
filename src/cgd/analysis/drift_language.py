"""The language of a text, by py3langid where it is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

_FEWEST_LETTERS = 40
_MOST_LETTERS = 120
_SURE = 0.9
# What tells of no language: formulas, code, LaTeX commands, links.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|\$\$[^$]+\$\$|\$[^$\n]+\$|\\[a-zA-Z]+|https?://\S+|`[^`\n]+`|[\d_]+",
    re.DOTALL,
)
_PROSE = re.compile(r"[^\W\d_]+")


def languages(texts: Iterable[str]) -> dict[str, str] | None:
    """Language code (ISO 639-1) of each text that shows one; None where py3langid is not installed.

    A text shows its language where it has at least 40 letters outside of formulas and code, and the classifier gives
    one language a probability of 0.9 or more, from the first 120 of them. Source: Lui and Baldwin, "langid.py: An
    Off-the-shelf Language Identification Tool", ACL 2012; the result depends on the text alone.
    """
    if _identifier() is None:
        return None
    found = {text: _language(_prose(text)) for text in set(texts)}
    return {text: language for text, language in found.items() if language}


@lru_cache(maxsize=50_000)
def _language(prose: str) -> str | None:
    """The language; the same prompts come with every arm, so what was found is kept."""
    if len(prose) < _FEWEST_LETTERS:
        return None
    language, probability = _identifier().classify(prose)
    return language if probability >= _SURE else None


@cache
def _identifier() -> Any:
    """The classifier, whose model takes a second to unpack."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _prose(text: str) -> str:
    words = _PROSE.findall(_NO_PROSE.sub(" ", text[: 4 * _MOST_LETTERS]))
    return " ".join(words)[:_MOST_LETTERS]
