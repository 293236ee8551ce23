from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cgd import grading_pool
from cgd.grading import GradingItem, grade_many
from cgd.grading_pool import Comparison, compare_many
from cgd.records import Grade, GradingRule

LINE = GradingRule("math", "answer_line")

DOUBLE = r"""
import json, os, signal, sys, time
os.write(1, b"ready\n")
for line in sys.stdin:
    answer, gold, _ = json.loads(line)
    if answer == "exit":
        os._exit(7)
    if answer == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if answer == "sleep":
        time.sleep(60)
    os.write(1, b"equal\n" if answer == gold else b"different\n")
"""


def test_a_worker_that_dies_costs_only_its_own_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_pool, "COMMAND", (sys.executable, "-c", DOUBLE))
    pairs = [("1", "1"), ("exit", ""), ("2", "2"), ("segfault", ""), ("3", "4"), ("5", "5")]
    verdicts = compare_many([Comparison(*pair) for pair in pairs], workers=1, limit_s=5.0)
    assert verdicts == ["equal", "error:exit7", "equal", "error:SIGSEGV", "different", "equal"]


def test_a_worker_that_hangs_without_computing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_pool, "COMMAND", (sys.executable, "-c", DOUBLE))
    monkeypatch.setattr(grading_pool, "BACKSTOP_S", 1.5)
    assert compare_many([Comparison("sleep", ""), Comparison("1", "1")], workers=1, limit_s=0.5) == ["timeout", "equal"]


def test_a_dead_worker_leaves_its_item_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_pool, "COMMAND", (sys.executable, "-c", DOUBLE.replace('"exit"', '"x+1"')))
    lost, kept = grade_many([GradingItem("Answer: x+1", "x", LINE), GradingItem("Answer: x", "x", LINE)])
    assert lost == Grade(None, None, True, "x+1", "error:exit7")
    assert kept.strict is True


def test_a_worker_that_cannot_start_is_an_error_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading_pool, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(RuntimeError, match="can't start: exit status 3"):
        compare_many([Comparison("x", "y")], workers=1, limit_s=1.0)


def test_grading_works_off_the_main_thread() -> None:
    found: list[Grade] = []
    thread = threading.Thread(target=lambda: found.extend(grade_many([GradingItem("Answer: 1/2", "0.5", LINE)])))
    thread.start()
    thread.join()
    assert [grade.strict for grade in found] == [True]


def test_the_callers_script_is_not_run_again_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys\n"
        "from cgd.grading import GradingItem, GradingRule, grade_many\n"
        "print('started', {'torch', 'sympy', 'math_verify'} & set(sys.modules))\n"
        "print(grade_many([GradingItem('Answer: 1/2', '0.5', GradingRule('math', 'answer_line'))])[0].strict)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["started set()", "True"]
