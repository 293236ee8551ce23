"""A small run with everything that the report draws: samples, kept checkpoints, records, an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cgd.analysis.audits import audit_summary
from cgd.analysis.drift import drift
from cgd.analysis.intervals import mean_of
from cgd.analysis.summary import summarise
from cgd.analysis.uncertainty import RecordScores, TokenScores, gains, uncertainty
from cgd.audits import audit
from cgd.records import Grade, Prompt, Record
from cgd.store import Drop, Evaluated, Store
from tests.builders import add_records, answer, ask, make_manifest, make_prompts

_SAMPLES = 4
_TEXTS = ["7", " +", " cats"]


class MadeRun(NamedTuple):
    """What `write_html` takes beside the store."""

    summary: dict[str, Any]
    manifest: dict[str, Any]
    analysis: dict[str, Any]


def fill_run(store: Store, *, task: str = "sums", arm: str = "cgd", text: str = "Answer: 4") -> MadeRun:
    """Ten prompts with four answers each; base has none right, sft one of four, the arm three of four and more.

    The arm kept checkpoints at steps 2 and 4 of 6, which have one and two of four right. Four records: wrong drafts
    mended twice and once not, a right one kept.

    Args:
        store: an empty one.
        task: label of the benchmark.
        arm: name of the last arm.
        text: of every reply, critique, record and prompt.
    """
    prompts = make_prompts([f"{text} {index} + 4?" for index in range(10)])
    store.add_prompts(prompts)
    _answer_all(store, "prediction", task, "base", prompts, [0] * 10, text * 9, tokens=100)
    _answer_all(store, "prediction", task, "sft", prompts, [1] * 10, text, tokens=20)
    _answer_all(store, "prediction", task, arm, prompts, [3] * 8 + [4] * 2, text, tokens=12)
    for step, right in ((2, 1), (4, 2)):
        _answer_all(store, "checkpoint", task, f"{arm}@{step}", prompts, [right] * 10, text, tokens=40 - 5 * step)
    train = make_prompts([f"train {index} {text}" for index in range(4)], "train")
    add_records(store, train, [(f"draft {index} {text}", f"{text} is wrong", f"{text}!") for index in range(4)])
    log = [{"step": step, "loss": 2 / step, "entropy": 1 / step, "grad_norm": 3.0} for step in (1, 2, 4, 6)]
    store.set_checkpoints({(name, seed): {"steps": 6, "log": log} for name in ("sft", arm) for seed in (0, 1)})
    store.set_drops("dataset", [Drop("train-9", text)])
    arms = ["base", "sft", arm]
    summary = summarise(store, task, arms)
    summary["drift"] = drift(store, [*arms, f"{arm}@2", f"{arm}@4"], [task], lambda reply: reply[:1])
    return MadeRun(summary, {**make_manifest(), "command": text}, _analysis(train, text, task, arm))


def _answer_all(  # noqa: PLR0913 - whose answers, to what, how good, how long
    store: Store,
    stage: Evaluated,
    task: str,
    arm: str,
    prompts: Sequence[Prompt],
    right: Sequence[int],
    text: str,
    *,
    tokens: int,
) -> None:
    requests = [ask("prediction", Record(prompt), f"{task} {arm}", n) for prompt in prompts for n in range(_SAMPLES)]
    store.set_current(stage, requests, task=task, arm=arm, seed=0)
    grades = {}
    for index, request in enumerate(requests):
        is_right = index % _SAMPLES < right[index // _SAMPLES]
        answer(store, request, text, tokens=tokens + index % 3)
        grades[request.key] = Grade(is_right, is_right, is_right, "4" if is_right else str(index), text)
    store.add_grades(grades, "grader 1")


def _analysis(prompts: Sequence[Prompt], text: str, task: str, arm: str) -> dict[str, Any]:
    """Made by the functions that `cgd analyze` calls, from entropies that fall from context to context."""
    records = [
        Record(prompt, f"draft {index}", f"critique {text}", f"refinement {text}", key=f"{index:064d}")
        for index, prompt in enumerate(prompts)
    ]
    before, after = (
        {record.id: _scores(factor + index / 8) for index, record in enumerate(records)} for factor in (1.0, 0.25)
    )
    verdicts = [(False, True), (False, True), (False, False), (True, True)]
    audits = {record.id: audit(record, *found) for record, found in zip(records, verdicts, strict=True)}
    found = {"student_before": uncertainty(before), "student_after": uncertainty(after)}
    return {
        "records": len(records),
        "arm": arm,
        **{
            part: {model: each[part] for model, each in found.items()}
            for part in ("entropy", "drops", "information_gain", "pmi", "bayes")
        },
        "audits": audit_summary(records, audits, gains(before)),
        "moved": {task: mean_of([0.1, 0.2])},
    }


def _scores(factor: float) -> RecordScores:
    contexts = {"x": [3.0, 2.0, 3.0], "x_draft": [2.0, 2.0, 2.0], "x_draft_critique": [1.0, 1.0, 0.5]}
    return {
        ("refinement", context): TokenScores(_TEXTS, [-1.0] * 3, [factor * value for value in entropies])
        for context, entropies in contexts.items()
    }
