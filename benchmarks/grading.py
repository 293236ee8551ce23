"""How many predictions are graded in a second, and whether hostile ones end.

Predictions to GSM8K's test problems (`CGD_DATA`): each solution as it is, with another number in the end, without
the answer line, and cut in the middle.

rows_per_s     graded with two worker processes, start included
within_limit   share of the hostile answers that end as unscored or wrong, with the row after each graded
hostile_s      seconds that all of them took, limit 1 s of processor time for each
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.output import parser, show
from cgd.grading import GradingItem, grade_many
from cgd.plugins import build_task
from cgd.records import GradingRule

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
HOSTILE = (
    *("9^{9^{9^{9}}}", "(10^9)!", r"\binom{10^9}{10^5}", "(x+1)^{1000}", r"\prod_{k=1}^{10000000} k"),
    *("(" * 100_000, r"\frac{1}{" * 2000 + "2" + "}" * 2000, r"\int_0^1 x^{x^{x^x}} dx", "the answer is 7 " * 600_000),
)


def main() -> None:
    """Grade both kinds."""
    options = parser(__doc__)
    options.add_argument("--problems", type=int, help="how many of the test problems; all where absent")
    arguments = options.parse_args()
    items = gsm8k_items(arguments.problems)
    started = time.perf_counter()
    grades = grade_many(items)
    seconds = time.perf_counter() - started
    show(
        {**hostile(), "rows_per_s": len(items) / seconds, "rows": len(items), **shares(grades)}, as_json=arguments.json
    )


def gsm8k_items(problems: int | None) -> list[GradingItem]:
    """Four predictions a problem."""
    task = build_task("gsm8k", {"path": str(DATA / "gsm8k_test.jsonl")})
    items = []
    for prompt in task.load("test", problems, 0):
        solution, rule = str(prompt.solution), task.rule(prompt)
        steps = solution.rpartition("\n")[0]
        for text in (solution, f"{steps}\nAnswer: {len(steps)}", f"{steps} So it is {prompt.answer}.", steps[:80]):
            items.append(GradingItem(text, str(prompt.answer), rule))
    return items


def hostile() -> dict[str, Any]:
    """Each hostile answer, and an ordinary one after it."""
    rule = GradingRule("math", "answer_line")
    items = [
        item
        for text in HOSTILE
        for item in (GradingItem(f"Answer: {text}", "5", rule), GradingItem("Answer: 2 + 3", "5", rule))
    ]
    started = time.perf_counter()
    grades = grade_many(items, limit_s=1.0)
    ended = [not bad.strict and good.strict is True for bad, good in zip(grades[::2], grades[1::2], strict=True)]
    return {"within_limit": sum(ended) / len(ended), "hostile_s": time.perf_counter() - started}


def shares(grades: Any) -> dict[str, float]:
    """What the verdicts were, so that a quick grader that says nothing is seen."""
    return {
        "strict_share": sum(grade.strict is True for grade in grades) / len(grades),
        "flexible_share": sum(grade.flexible is True for grade in grades) / len(grades),
    }


if __name__ == "__main__":
    main()
