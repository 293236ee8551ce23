"""Run with: pytest tests/test_harness_agreement.py. Our grades beside lm-evaluation-harness's, on the same texts.

The harness runs whole (task, filters, metric) on real rows; only the model in it is a list of texts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cgd.grading import GradingItem, grade_many
from cgd.grading_instructions import follow
from cgd.harness import _environment
from cgd.records import GradingRule
from tests.backends.real_weights import own_cache

DATA = Path(os.environ.get("CGD_DATA", Path(__file__).parents[2] / "shared" / "data"))
CANNED = r"""
import json, sys
from pathlib import Path
import langdetect
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from lm_eval.utils import handle_non_serializable
from cgd.harness.local_data import write_tasks

class Canned(LM):
    def generate_until(self, requests, disable_tqdm=False):
        return texts
    loglikelihood = loglikelihood_rolling = None

langdetect.DetectorFactory.seed = 0
name, data, folder = sys.argv[1], *map(Path, sys.argv[2:4])
texts = json.loads((folder / "texts.json").read_text())
manager = TaskManager(include_path=write_tasks(name, data, folder / "tasks"))
found = simple_evaluate(model=Canned(), tasks=[name], task_manager=manager, bootstrap_iters=0)
(folder / "samples.json").write_text(json.dumps(found["samples"][name], default=handle_non_serializable))
"""


@pytest.fixture(scope="module", autouse=True)
def the_users_cache(cache_of_the_user: str | None) -> Iterator[None]:
    """The sentence data of the user's cache, fetched there if need be."""
    with own_cache(cache_of_the_user):
        yield


def real_rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no benchmark data at {path}; set CGD_DATA")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def graded_by_the_harness(task: str, rows: Sequence[Any], texts: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The harness's item for each row, the row answered with the text."""
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "texts.json").write_text(json.dumps(texts))
    command = [sys.executable, "-c", CANNED, task, str(folder / "rows.jsonl"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=_environment(folder, offline=True))
    items: list[dict[str, Any]] = json.loads((folder / "samples.json").read_text())
    assert [item["resps"][0][0] for item in items] == texts
    return items


def answers_to(prompt: str) -> list[str]:
    """Texts that follow some of IFEval's instructions each: letter case, commas, bullets, sections, a frame, JSON."""
    return [
        prompt,
        prompt.upper(),
        prompt.lower().replace(",", ""),
        f"<<A title>>\n\n* one\n* two\n* three\n\n***\n\n*{prompt}* [name] [place]\n\nP.S. [date]",
        f'"{prompt}"',
        json.dumps({"answer": prompt}),
        "My answer is yes. My answer is no. My answer is maybe.",
        f"Sure, here it is:\n{prompt.lower()}\nI hope that it helps!",
        "Das ist ein ganz gewöhnlicher Satz auf Deutsch. Noch einer!",
        "",
    ]


def test_verdicts_on_ifeval_are_the_harnesses_on_every_row_that_has_a_verdict(tmp_path: Path) -> None:
    """Each of the 541 rows with one of ten texts, in turn.

    Two rows ask for a number of "#" or "!": the harness draws a letter in their place, so that its verdict is a lot's.
    """
    rows = real_rows("ifeval.jsonl")
    texts = [answers_to(row["prompt"])[number % 10] for number, row in enumerate(rows)]
    items = graded_by_the_harness("ifeval", rows, texts, tmp_path / "ifeval")
    theirs = [(item["prompt_level_strict_acc"], item["prompt_level_loose_acc"]) for item in items]
    asked = [{name: row[name] for name in ("instruction_id_list", "kwargs")} for row in rows]
    ours = [follow(text, json.dumps(one)) for text, one in zip(texts, asked, strict=True)]
    assert [row["key"] for row, verdicts in zip(rows, ours, strict=True) if verdicts is None] == [1122, 1129]
    pairs = [pair for pair in zip(ours, theirs, strict=True) if pair[0] is not None]
    assert [pair for pair in pairs if pair[0] != pair[1]] == []
    assert {mine for mine, _ in pairs} == {(True, True), (False, True), (False, False)}


# How a text names the letters {0} and {1}, whether the harness's pattern `answer is \(?([A-J])\)?` counts it as an
# answer of {0}, and whether our flexible verdict does.
WORDINGS = {
    "The answer is ({0}).": (True, True),
    "So the answer is {0}.": (True, True),
    "**The answer is ({0})**": (True, True),
    "Therefore, the answer is ({0}) because of the rule.": (True, True),
    "The answer is ({1}).": (False, False),
    "I do not know.": (False, False),
    "": (False, False),
    # Theirs is the first that is said, ours the last:
    "The answer is ({0}). No, the answer is ({1}).": (True, False),
    "The answer is ({1}). No, the answer is ({0}).": (False, True),
    # Theirs knows one wording only:
    "Answer: {0}": (False, True),
    "The correct option is ({0}).": (False, True),
    r"The answer is \boxed{{{0}}}": (False, True),
}


def test_verdicts_on_mmlu_pro_differ_only_where_theirs_takes_the_first_answer_or_misses_a_wording(
    tmp_path: Path,
) -> None:
    rows = [row for row in real_rows("mmlu_pro_sample.jsonl") if row["subject"] == "math"][: 4 * len(WORDINGS)]
    wordings = [list(WORDINGS)[number % len(WORDINGS)] for number in range(len(rows))]
    others = [chr(ord("A") + (row["answer_index"] + 1) % len(row["choices"])) for row in rows]
    texts = [wording.format(row["answer"], other) for wording, row, other in zip(wordings, rows, others, strict=True)]
    items = graded_by_the_harness("mmlu_pro_math", rows, texts, tmp_path / "mmlu_pro")
    rule = GradingRule("choice", "answer_line")
    grades = grade_many([GradingItem(text, row["answer"], rule) for text, row in zip(texts, rows, strict=True)])
    found = {
        (wording, item["exact_match"] == 1, grade.flexible)
        for wording, item, grade in zip(wordings, items, grades, strict=True)
    }
    assert found == {(wording, *verdicts) for wording, verdicts in WORDINGS.items()}
