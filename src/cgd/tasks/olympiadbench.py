r"""OlympiadBench (He et al., arXiv 2402.14008): its open-ended, text-only, English competition problems in mathematics.

Prompt format: the problem and the request to put the final answer in `\boxed{}`; where there are several answers, all
in one box, separated by commas; where the answer has a unit, which one. Grading by row: a row with a tolerance (the
benchmark states it as an absolute difference) is right within it; all others are graded as math, boxed, several
answers in any order. Relay problems, whose input the prompt does not give, are marked as faulty.
Fields: `prompt` (hub: `question`, after `context`), `answer` (hub: `final_answer`, a list), `solution`,
`is_multiple_answer`, `answer_type`, `unit`, `tolerance` (hub: `error`), `subject` (hub: `subfield`). For testing only.
"""

from __future__ import annotations

import re

from cgd.benchmark_rows import BOXED, BOXED_MATH, Benchmark, Hub, Row, user_prompt
from cgd.benchmark_rows import BenchmarkOptions as Options
from cgd.errors import UserError
from cgd.records import GradingRule, Prompt

_HUB = Hub("Hothan/OlympiadBench", {"test": "train"}, "OE_TO_maths_en_COMP")
_RELAY = re.compile(r"T\s*=\s*T\s*N\s*Y\s*W\s*R|numbers? you (?:will )?receive", re.IGNORECASE)
_KNOWN_ISSUES = {
    "c62e66d2": "the gold is a sentence, no expression",
    "a1ca5d79": "the published gold has a dollar sign too many",
}
"""Defects by the question's fingerprint."""


def build(options: Options) -> Benchmark:
    """The task."""
    return Benchmark("olympiadbench", options, _HUB, _prompt, _rule)


def _rule(prompt: Prompt) -> GradingRule:
    share = prompt.meta.get("tolerance")
    return GradingRule("tolerance", "boxed", share) if share else BOXED_MATH


def _prompt(row: Row) -> Prompt:
    context, question = row.fields.get("context"), row.text("prompt", "question")
    question = f"{context}\n{question}" if context else question
    listed = row.fields.get("final_answer")
    answer = ", ".join(listed).replace("$", "").strip() if listed else row.text("answer")
    several, unit = bool(row.fields.get("is_multiple_answer")), row.fields.get("unit")
    solution = row.fields.get("solution")
    relay = {"known_issue": "relay problem: the prompt does not give its input"} if _RELAY.search(question) else {}
    return user_prompt(
        row,
        question,
        BOXED
        + (" There are several answers: put all of them in one box, separated by commas." if several else "")
        + (f" The answer is in {unit}; leave the unit out." if unit else ""),
        answer,
        "\n".join(solution) if isinstance(solution, list) else solution,
        {"subject": row.text("subfield", "subject"), "several_answers": several}
        | row.given("answer_type", "unit")
        | _tolerance(row, answer)
        | relay
        | row.known_issue(question, _KNOWN_ISSUES),
    )


def _tolerance(row: Row, answer: str) -> dict[str, float]:
    """The row's tolerance as a share of its answer, which is how a grading rule has it."""
    difference = row.fields.get("tolerance") or row.fields.get("error")
    if not difference:
        return {}
    try:
        return {"tolerance": float(difference) / abs(float(answer))}
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{row.where}: a tolerance needs to be one number, and the answer one other than 0; got {difference!r} "
            f"and {answer!r}"
        ) from error
