r"""AIME 2024 (30 problems of the AIME I and II): answers are whole numbers from 0 to 999.

Source: Mathematical Association of America. Prompt format: the problem and the request to put the final answer in
`\boxed{}`. Grading: math, boxed. Fields: `prompt` (hub: `problem`), `answer`, `solution`. For testing only.
"""

from __future__ import annotations

from cgd.benchmark_rows import BOXED, BOXED_MATH, Benchmark, Hub, Row, user_prompt, whole_number
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.records import Prompt

_HUB = Hub("HuggingFaceH4/aime_2024", {"test": "train"})


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("aime24", options, _HUB, _prompt, lambda prompt: BOXED_MATH)


def _prompt(row: Row) -> Prompt:
    return user_prompt(
        row,
        row.text("prompt", "problem"),
        BOXED,
        whole_number(row, row.text("answer")),
        row.text("solution"),
        row.given("subject", "known_issue"),
    )
