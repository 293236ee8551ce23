r"""MATH-500: 500 test problems of MATH (Hendrycks et al., arXiv 2103.03874), a choice of Lightman et al. (2305.20050).

Prompt format: the problem and the request to put the final answer in `\boxed{}`. Grading: math, boxed.
Fields: `prompt` (hub: `problem`), `answer`, `solution`, `subject`, `level` (1 to 5). For testing only.
"""

from __future__ import annotations

from cgd.benchmark_rows import BOXED, BOXED_MATH, Benchmark, Hub, Row, user_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.records import Prompt


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("math500", options, Hub("HuggingFaceH4/MATH-500"), _prompt, lambda prompt: BOXED_MATH)


def _prompt(row: Row) -> Prompt:
    return user_prompt(
        row,
        row.text("prompt", "problem"),
        BOXED,
        row.text("answer"),
        row.text("solution"),
        row.given("subject", "level", "known_issue"),
    )
