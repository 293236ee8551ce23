"""MMLU (Hendrycks et al., arXiv 2009.03300): multiple choice in 57 subjects, four choices; 14,042 rows.

Prompt format: question, choices as `A. ...`, zero-shot, and the request to end with `Answer: <letter>`. Grading:
choice, answer line. Fields: `prompt` (hub: `question`), `choices`, `answer` (a letter, or a place from 0), `subject`.
For testing only.
"""

from __future__ import annotations

from cgd.benchmark_rows import CHOICE, TEST_ONLY, Benchmark, Hub, choice_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("mmlu", options, Hub("cais/mmlu", TEST_ONLY, "all"), choice_prompt, lambda prompt: CHOICE)
