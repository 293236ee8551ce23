"""Run with: pytest tests/test_grade_file.py."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cgd.cli import app
from cgd.errors import UserError
from cgd.grade_file import read_lines, verdicts
from cgd.grading_kinds import infer_kind
from tests.grading_cases import ROWS, Row


def line(row: Row) -> str:
    values = {"gold": row.gold, "prediction": row.prediction, "kind": row.kind, "tolerance": row.tolerance}
    return json.dumps({name: value for name, value in values.items() if value is not None or name == "prediction"})


@pytest.fixture(scope="module")
def graded() -> list[dict[str, Any]]:
    return list(verdicts(read_lines([line(row) for row in ROWS], "table")))


@pytest.mark.parametrize("index", range(len(ROWS)), ids=[f"{row.prediction!r}-{row.gold!r}" for row in ROWS])
def test_a_table_is_graded_as_a_person_grades_it(graded: list[dict[str, Any]], index: int) -> None:
    row, verdict = ROWS[index], graded[index]
    assert (verdict["strict"], verdict["flexible"]) == (row.strict, row.flexible), verdict


def test_the_table_is_large_and_half_of_it_is_to_be_refused() -> None:
    assert len(ROWS) >= 150
    assert 0.35 < sum(row.flexible is False for row in ROWS) / len(ROWS) < 0.55


def run(*arguments: str, given: str | None = None) -> Any:
    return CliRunner().invoke(app, ["grade", *arguments], input=given)


def test_only_verdicts_come_out_one_a_line_in_the_order_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join([line(ROWS[0]), "", line(ROWS[5]), line(ROWS[11])]) + "\n")
    done = run(str(path))
    assert done.exit_code == 0
    found = [json.loads(text) for text in done.stdout.splitlines()]
    assert [list(verdict) for verdict in found] == [["strict", "flexible", "extracted", "reason"]] * 3
    assert [verdict["strict"] for verdict in found] == [True, False, None]
    assert run("-", given=path.read_text()).stdout == done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "table.jsonl:2: not JSON"),
        ("[1]", "table.jsonl:2: each line must be a JSON object, got list"),
        ('{"prediction": "5"}', "gold: required, but absent"),
        ('{"gold": "5"}', "prediction: required, but absent"),
        ('{"gold": "5", "prediction": 5}', "prediction: Input should be a valid string"),
        ('{"gold": "5", "prediction": "5", "kind": "maths"}', "kind: Input should be 'math', 'choice'"),
        ('{"gold": "5", "prediction": "5", "tolerance": -1}', "tolerance: Input should be greater than or equal to 0"),
    ],
)
def test_a_malformed_line_is_named_before_anything_is_printed(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(f"{line(ROWS[0])}\n{text}\n")
    done = run(str(path))
    assert isinstance(done.exception, UserError) and message in str(done.exception)
    assert done.stdout == ""


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
    lines = []
    for kind in ("math", "list"):
        for text in HOSTILE.values():
            lines += [json.dumps({"gold": "5", "prediction": text, "kind": kind, "tolerance": 0.1})]
            lines += [json.dumps({"gold": "5", "prediction": "Answer: 5"})]
    started = time.monotonic()
    found = list(verdicts(read_lines(lines, "table")))
    assert [verdict["strict"] for verdict in found[1::2]] == [True] * len(HOSTILE) * 2
    assert not any(verdict["strict"] or verdict["flexible"] for verdict in found[::2])
    assert time.monotonic() - started < 110
