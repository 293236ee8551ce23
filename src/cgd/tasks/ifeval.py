"""IFEval (Zhou et al., arXiv 2311.07911): 541 prompts that give instructions a program can check.

Prompt format: as it is. Grading: instructions; the answer is a JSON object with `instruction_id_list` and `kwargs`,
which is what the benchmark's checkers need. Fields: `prompt`, `instruction_id_list`, `kwargs`. For testing only.
"""

from __future__ import annotations

import json

from cgd.benchmark_rows import Benchmark, Hub, Row, user_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.errors import UserError
from cgd.jsonl import require
from cgd.records import GradingRule, Prompt

_INSTRUCTIONS = GradingRule("instructions", "answer_line")
_KNOWN_ISSUES = {
    "8116c07e": "the prompt asks for at least 6 times, the checker for less than 6",
    "b68abaf3": "the prompt asks for at least 400 words, the checker for 336",
}
"""Defects by the question's fingerprint."""


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("ifeval", options, Hub("google/IFEval", {"test": "train"}), _prompt, lambda prompt: _INSTRUCTIONS)


def _prompt(row: Row) -> Prompt:
    question = require(row.fields, "prompt", row.where)
    names, kwargs = row.fields.get("instruction_id_list"), row.fields.get("kwargs")
    if not names or not isinstance(names, list) or not isinstance(kwargs, list) or len(names) != len(kwargs):
        raise UserError(
            f"{row.where}: 'instruction_id_list' and 'kwargs' must be lists of the same length, one entry an "
            f"instruction; got {names!r} and {kwargs!r}"
        )
    # On the hub each entry has every instruction's keys, null where they are not its own.
    own = [{key: value for key, value in (entry or {}).items() if value is not None} for entry in kwargs]
    answer = json.dumps({"instruction_id_list": names, "kwargs": own}, ensure_ascii=False)
    return user_prompt(row, question, "", answer, meta=row.known_issue(question, _KNOWN_ISSUES))
