"""Run with: pytest tests/analysis/test_drift_language.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from cgd.analysis import drift_language
from cgd.analysis.drift_language import languages

GERMAN = "Zuerst zählen wir die roten Äpfel, dann die grünen, und am Ende rechnen wir beide zusammen."
ENGLISH = "First we count the red apples, then the green ones, and in the end we add the two numbers."


@pytest.fixture
def unknown() -> Iterator[None]:
    """Nothing is remembered from before or for later."""
    drift_language._identifier.cache_clear()
    yield
    drift_language._identifier.cache_clear()


def test_a_sentence_shows_its_language() -> None:
    pytest.importorskip("py3langid")
    assert languages([GERMAN, ENGLISH]) == {GERMAN: "de", ENGLISH: "en"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "Answer: 7",
        r"$\frac{3}{4} + \sin(x) \cdot \sqrt{2} = \log(y) \times \alpha \beta \gamma \delta \epsilon \zeta$",
        "```python\nfor apple in apples:\n    print(apple, 'is what we have counted until now')\n```",
        "```python\n" + "print('what we have counted until now')\n" * 50,
    ],
)
def test_short_texts_formulas_and_code_show_none(text: str) -> None:
    pytest.importorskip("py3langid")
    assert languages([text]) == {}


def test_formulas_and_code_around_a_sentence_do_not_matter() -> None:
    pytest.importorskip("py3langid")
    text = rf"$\frac{{1}}{{2}}$ {GERMAN} `for apple in apples` \sqrt"
    assert languages([text]) == {text: "de"}


def test_without_the_package_no_language_is_known(unknown: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    assert languages([ENGLISH]) is None
