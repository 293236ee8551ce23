"""Reports of a store as text, and what a browser would make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from cgd.analysis.summary import summarise
from cgd.report.html import write_html
from cgd.report.markdown import write_markdown
from cgd.store import Store
from tests.builders import make_manifest

TUTOR: dict[str, Any] = {"backend": "tutor", "model": None, "options": {}}


class Page(HTMLParser):
    """Collects what a browser would make of the page: tags with attributes, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def summary_of(store: Store) -> dict[str, Any]:
    return summarise(store, "sums", ["base", "sft", "cgd"])


def write(folder: Path, store: Store, manifest: Mapping[str, Any] | None = None, examples: int = 4) -> tuple[str, str]:
    """The HTML and the Markdown report of a store."""
    manifest = manifest or make_manifest(TUTOR)
    html = write_html(folder, summary_of(store), manifest, store, examples)
    markdown = write_markdown(folder, summary_of(store), manifest, store, examples)
    assert (html, markdown) == (folder / "report" / "index.html", folder / "report" / "report.md")
    return html.read_text("utf-8"), markdown.read_text("utf-8")


def without_plotly(html: str) -> str:
    """The page but for the longest script, which is plotly.js."""
    return html.replace(max(re.findall(r"<script>.*?</script>", html, re.DOTALL), key=len), "")
