"""MMLU-Pro (Wang et al., arXiv 2406.01574): multiple choice in 14 subjects, 3 to 10 choices; 12,032 rows.

Prompt format: question, choices as `A. ...`, zero-shot, and the request to end with `Answer: <letter>` (the paper asks
with five worked examples). Grading: choice, answer line. Fields: `prompt` (hub: `question`), `choices` (hub:
`options`), `answer` (a letter), `subject` (hub: `category`). For testing only.
"""

from __future__ import annotations

from cgd.benchmark_rows import CHOICE, Benchmark, Hub, choice_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("mmlu_pro", options, Hub("TIGER-Lab/MMLU-Pro"), choice_prompt, lambda prompt: CHOICE)
