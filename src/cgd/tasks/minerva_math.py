r"""Minerva Math (OCWCourses): 272 undergraduate science problems (Lewkowycz et al., arXiv 2206.14858).

Prompt format: the problem and the request to put the final answer in `\boxed{}`. Grading: a gold that is a number is
rounded, so answers within 1% of it are right, which is the threshold in the numeric comparison that the paper's
appendix prints (`threshold=0.01`); any other gold is graded as math.
Fields: `prompt` (hub: `question`), `answer`, `solution` where there. For testing only.
"""

from __future__ import annotations

import re

from cgd.benchmark_rows import BOXED, BOXED_MATH, Benchmark, Hub, Row, user_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.records import GradingRule, Prompt

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_WITHIN_ONE_PERCENT = GradingRule("tolerance", "boxed", 0.01)
_KNOWN_ISSUES = {
    "54887805": "the gold is Python source",
    "b0dca7fd": "the gold has a point and no decimals before its fraction bar",
    "6f284998": "the gold has a point and no decimals before its fraction bar",
    "4873a8bf": "the gold has dollar signs in its middle",
}
"""Defects by the question's fingerprint."""


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("minerva_math", options, Hub("math-ai/minervamath"), _prompt, _rule)


def _rule(prompt: Prompt) -> GradingRule:
    return _WITHIN_ONE_PERCENT if _NUMBER.fullmatch(prompt.answer or "") else BOXED_MATH


def _prompt(row: Row) -> Prompt:
    question, answer = row.text("prompt", "question"), row.text("answer")
    meta = row.given("subject") | row.known_issue(question, _KNOWN_ISSUES)
    return user_prompt(row, question, BOXED, answer, row.fields.get("solution"), meta)
