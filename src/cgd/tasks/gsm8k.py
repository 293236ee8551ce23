"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school word problems with worked solutions; 7,473 and 1,319 rows.

Prompt format: the question and the request to end with `Answer: <number>`. Grading: math, answer line.
Fields: `prompt` (hub: `question`) and `solution` (hub: `answer`), which ends in `#### <number>`.
"""

from __future__ import annotations

import re

from cgd.benchmark_rows import Benchmark, Hub, Row, user_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.errors import UserError
from cgd.records import GradingRule, Prompt

_HUB = Hub("openai/gsm8k", {"train": "train", "test": "test"}, "main")
_RULE = GradingRule("math", "answer_line")
_INSTRUCTION = "Solve the problem step by step, then end with a line 'Answer: <number>'."
_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_FINAL = re.compile(r"\n?####\s*(.+)\s*$")


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("gsm8k", options, _HUB, _prompt, lambda prompt: _RULE)


def _prompt(row: Row) -> Prompt:
    question, raw = row.text("prompt", "question"), row.text("solution", "answer")
    final = _FINAL.search(raw)
    if final is None:
        raise UserError(f"{row.where}: the solution does not end in '#### <number>'")
    answer = final[1].strip().replace(",", "")
    steps = _CALCULATOR_MARK.sub("", raw[: final.start()]).strip()
    return user_prompt(row, question, _INSTRUCTION, answer, f"{steps}\nAnswer: {answer}", row.given("known_issue"))
