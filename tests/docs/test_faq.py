"""The messages that the FAQ quotes are those of the code. Run with: pytest tests/docs/test_faq.py."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import DOCS, ROOT

QUOTES = re.findall(r"^> (.*)$", (DOCS / "faq.md").read_text(encoding="utf-8"), re.MULTILINE)


@cache
def messages() -> list[str]:
    """Every text in the source, values in it as an ellipsis."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_faq_quotes_messages() -> None:
    assert len(QUOTES) > 20


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_of_the_code(quote: str) -> None:
    assert any(quote in message for message in messages())
