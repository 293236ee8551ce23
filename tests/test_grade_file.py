"""Run with: pytest tests/test_grade_file.py.

`grading_table/*.jsonl` holds rows as `cgd grade` takes them, written by hand, each with the verdicts that a person
gives and why.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cgd.cli import app
from cgd.errors import UserError
from cgd.grade_file import Line, verdicts
from cgd.grading import grade_many
from cgd.grading_kinds import infer_kind
from cgd.records import AnswerFormat

TABLE = sorted((Path(__file__).parent / "grading_table").glob("*.jsonl"))
ROWS = [json.loads(text) for path in TABLE for text in path.read_text(encoding="utf-8").split("\n") if text]
PLAIN = {"gold": "18", "prediction": "Answer: 18"}


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def graded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(verdicts(io.BytesIO(lines(rows).encode()), "table"))


def test_a_table_is_graded_as_a_person_grades_it() -> None:
    found = [{"strict": verdict["strict"], "flexible": verdict["flexible"]} for verdict in graded(ROWS)]
    assert [row | verdict for row, verdict in zip(ROWS, found, strict=True) if row != row | verdict] == []


@pytest.mark.parametrize("answer_format", ["answer_line", "boxed"])
def test_a_task_grades_the_table_likewise_but_asks_for_its_own_format(answer_format: AnswerFormat) -> None:
    items = [Line.model_validate(row).item() for row in ROWS]
    asked = [item._replace(rule=item.rule._replace(answer_format=answer_format)) for item in items]
    pairs = list(zip(ROWS, grade_many(asked), strict=True))
    assert [(row, grade) for row, grade in pairs if grade.flexible != row["flexible"]] == []
    assert [(row, grade) for row, grade in pairs if grade.strict and not row["strict"]] == []


def test_the_table_is_large_and_nearly_half_of_it_is_to_be_refused() -> None:
    assert len(ROWS) >= 150
    assert 0.35 < sum(row["flexible"] is False for row in ROWS) / len(ROWS) < 0.55
    assert all(row["why"] for row in ROWS)


def run(*arguments: str, given: str | None = None) -> Any:
    return CliRunner().invoke(app, ["grade", *arguments], input=given)


def test_only_verdicts_come_out_one_a_line_in_the_order_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    rows: list[dict[str, Any]] = [PLAIN, PLAIN | {"prediction": "19"}, PLAIN | {"prediction": None}]
    path.write_text("\ufeff" + lines(rows).replace("\n", "\n\n"), encoding="utf-8")
    done = run(str(path))
    assert done.exit_code == 0
    found = [json.loads(text) for text in done.stdout.splitlines()]
    assert [list(verdict) for verdict in found] == [["strict", "flexible", "extracted", "reason"]] * 3
    assert [verdict["strict"] for verdict in found] == [True, False, None]
    assert run("-", given=path.read_text(encoding="utf-8")).stdout == done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "table.jsonl:2: not JSON"),
        ("[1]", "table.jsonl:2: each line must be a JSON object, got list"),
        ('{"prediction": "5"}', "gold: required, but absent"),
        ('{"gold": null, "prediction": "5"}', "gold: must be a text, a number, true or false, or a list (got None)"),
        ('{"gold": "5"}', "prediction: required, but absent"),
        ('{"gold": "5", "prediction": 5}', "prediction: Input should be a valid string"),
        ('{"gold": "5", "prediction": "5", "kind": "maths"}', "kind: Input should be 'math', 'choice'"),
        ('{"gold": "5", "prediction": "5", "tolerance": -1}', "tolerance: Input should be greater than or equal to 0"),
        ('{"gold": "5", "prediction": "5", "tolerance": Infinity}', "tolerance: Input should be a finite number"),
    ],
)
def test_a_malformed_line_is_named_before_anything_is_printed(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(f"{json.dumps(PLAIN)}\n{text}\n")
    done = run(str(path))
    assert isinstance(done.exception, UserError) and message in str(done.exception)
    assert done.stdout == ""


def test_golds_may_be_numbers_truth_values_and_lists() -> None:
    rows = [(18, "18"), (0.5, "1/2"), (True, "yes"), (False, "yes"), (["a", "b"], "[a, b]"), ([1, 2, 3], "[1, 2]")]
    found = graded([{"gold": gold, "prediction": prediction} for gold, prediction in rows])
    assert [verdict["strict"] for verdict in found] == [True, True, True, False, True, False]


def test_a_long_answer_is_compared_where_the_gold_is_as_long() -> None:
    listed = list(range(1000))
    assert [verdict["strict"] for verdict in graded([{"gold": listed, "prediction": f"Answer: {listed}"}])] == [True]


def test_more_rows_than_are_graded_at_once_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgd.grade_file._AT_ONCE", 3)
    found = graded([{"gold": str(n), "prediction": f"Answer: {n % 4}"} for n in range(8)])
    assert [verdict["strict"] for verdict in found] == [True] * 4 + [False] * 4


def test_a_file_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    assert "can't read" in str(run(str(tmp_path / "none.jsonl")).exception)


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        *(
            ("18", "math"),
            (r"\frac12", "math"),
            ("x+1", "math"),
            ("pi", "math"),
            ("[0, 1]", "math"),
            ("(1, 2)", "math"),
        ),
        *(("C", "choice"), ("(D)", "choice"), ("K", "math"), ("True", "boolean"), ("no", "boolean")),
        *(("Paris", "text"), ("the red house", "text"), ("[1, 2, 3]", "list"), ("['a']", "list")),
    ],
)
def test_the_kind_follows_from_the_gold(gold: str, kind: str) -> None:
    assert infer_kind(gold) == kind


HOSTILE = {
    "a power tower": r"\boxed{9^{9^{9^{9}}}}",
    "a huge factorial": r"\boxed{(10^9)!}",
    "a huge exponent": r"Answer: 5 \times 10^{9999999}",
    "brackets": r"\boxed{" + "(" * 100_000 + "}",
    "deep nesting": r"\boxed{" + r"\frac{1}{" * 2000 + "2" + "}" * 2000 + "}",
    "an integral": r"\boxed{\int_0^1 x^{x^{x^x}} dx}",
    "a product": r"\boxed{\prod_{k=1}^{10000000} k}",
    "ten megabytes": "the answer is 7 " * 600_000,
    "NUL bytes": "Answer: \x00\x00",
    "half a surrogate pair": "Answer: \ud800",
    "commas": "Answer: " + "1," * 100_000,
    "quotation marks": "Answer: ['" * 20_000,
}


@pytest.mark.timeout(120)
def test_hostile_predictions_end_and_the_next_ones_are_graded() -> None:
    """Twelve of them, as mathematics and as lists, each followed by an ordinary one."""
    rows: list[dict[str, Any]] = []
    for kind in ("math", "list"):
        for text in HOSTILE.values():
            rows += [{"gold": "5", "prediction": text, "kind": kind, "tolerance": 0.1}]
            rows += [{"gold": "5", "prediction": "Answer: 5"}]
    started = time.monotonic()
    found = graded(rows)
    assert [verdict["strict"] for verdict in found[1::2]] == [True] * len(HOSTILE) * 2
    assert not any(verdict["strict"] or verdict["flexible"] for verdict in found[::2])
    assert time.monotonic() - started < 110
