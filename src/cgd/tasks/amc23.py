r"""AMC 2023 (40 problems of the AMC 12A and 12B, reworded so that the answer is a whole number).

Source: Mathematical Association of America; the selection is that of Qwen2.5-Math (arXiv 2409.12122).
Prompt format: the problem and the request to put the final answer in `\boxed{}`. Grading: math, boxed.
Fields: `prompt` (hub: `question`) and `answer`. For testing only.
"""

from __future__ import annotations

from cgd.benchmark_rows import BOXED, BOXED_MATH, Benchmark, Hub, Row, user_prompt, whole_number
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.records import Prompt

_KNOWN_ISSUES = {
    "1dfd51df": "asks for m and n without a common factor; the answer has m = 6 and n = 3",
    "7cc69cc8": "dollar signs are out of place",
    "456f57ca": "the braces of a set are lost",
}
"""Defects by the question's fingerprint."""


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("amc23", options, Hub("math-ai/amc23"), _prompt, lambda prompt: BOXED_MATH)


def _prompt(row: Row) -> Prompt:
    question, answer = row.text("prompt", "question"), whole_number(row, row.text("answer"))
    meta = row.given("subject") | row.known_issue(question, _KNOWN_ISSUES)
    return user_prompt(row, question, BOXED, answer, meta=meta)
