"""Small stores made through the Store API, a manifest, a recipe and requests, for tests of whatever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.config import Recipe, Sampling
from cgd.records import Grade, Message, Prompt, Record, Reply, Request, Stage, State, make_request
from cgd.store import Drop, Store


class Verdict(NamedTuple):
    """What becomes of one prediction; `failed` has no reply text and no grade."""

    strict: bool | None = None
    flexible: bool | None = None
    format: bool = True
    failed: bool = False
    truncated: bool = False
    text: str = "Answer: 4"
    tokens: int = 10
    extracted: str | None = "4"
    reason: str = "compared as numbers"


RIGHT = Verdict(True, True)
WRONG = Verdict(False, False)
WRONG_FORMAT = Verdict(False, True, format=False)
UNSCORED = Verdict(None, None, reason="no gold answer")
FAILED = Verdict(failed=True)


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def make_prompts(texts: Sequence[str], name: str = "item") -> list[Prompt]:
    return [Prompt.create(f"{name}-{index}", user(text), answer="4") for index, text in enumerate(texts)]


def ask(stage: Stage, record: Record, backend: str, sample: int = 0) -> Request:
    return make_request(stage, record, record.prompt.messages, Sampling(), {"model": backend}, 0, sample)


def answer(store: Store, request: Request, text: str | None, *, truncated: bool = False, tokens: int = 10) -> None:
    """Store one reply; no text makes it a failed one."""
    if text is None:
        reply = Reply(request.key, error_class="Timeout", error="no answer in 60 s")
        store.add_replies([(request, reply, "failed", None)], backend="{}", parser="plain 1")
        return
    reply = Reply(request.key, text, "length" if truncated else "stop", 5, tokens, 0.1)
    state: State = "truncated" if truncated else "done"
    store.add_replies([(request, reply, state, text)], backend="{}", parser="plain 1")


def add_predictions(
    store: Store, task: str, arm: str, prompts: Sequence[Prompt], verdicts: Sequence[Verdict], seed: int = 0
) -> None:
    """One prediction a prompt, graded as the verdicts say."""
    store.add_prompts(prompts)
    requests = [ask("prediction", Record(prompt), f"{task} {arm} {seed}") for prompt in prompts]
    store.set_current("prediction", requests, task=task, arm=arm, seed=seed)
    grades = {}
    for request, verdict in zip(requests, verdicts, strict=True):
        text = None if verdict.failed else verdict.text
        answer(store, request, text, truncated=verdict.truncated, tokens=verdict.tokens)
        if not verdict.failed:
            grades[request.key] = Grade(
                verdict.strict, verdict.flexible, verdict.format, verdict.extracted, verdict.reason
            )
    store.add_grades(grades, "grader 1")


def add_records(store: Store, prompts: Sequence[Prompt], texts: Sequence[tuple[str | None, ...]]) -> None:
    """Draft, critique and refinement of each prompt; None is a failure, after which nothing is asked."""
    store.add_prompts(prompts)
    stages: tuple[Stage, ...] = ("draft", "critique", "refinement")
    asked: dict[Stage, list[Request]] = {stage: [] for stage in stages}
    for prompt, replies in zip(prompts, texts, strict=True):
        key = ""
        for stage, text in zip(stages, replies, strict=False):
            request = ask(stage, Record(prompt, key=key), stage)
            asked[stage].append(request)
            answer(store, request, text)
            key = request.key
    for stage, requests in asked.items():
        store.set_current(stage, requests)


def add_comparison(store: Store, seeds: int = 1) -> None:
    """Ten items; base right on 2, sft on 5, cgd on 7 of the 9 that have a verdict; and six records."""
    items = make_prompts([f"{index} + 4 - {index}?" for index in range(10)])
    add_predictions(store, "sums", "base", items, [RIGHT] * 2 + [WRONG_FORMAT] * 2 + [WRONG] * 6)
    for seed in range(seeds):
        add_predictions(store, "sums", "sft", items, [RIGHT] * 5 + [WRONG] * 5, seed=seed)
        add_predictions(store, "sums", "cgd", items, [WRONG] + [RIGHT] * 7 + [WRONG, FAILED], seed=seed)
    texts = [(f"draft {index}", f"critique {index}", f"refinement {index}") for index in range(6)]
    add_records(store, make_prompts([f"train {index}" for index in range(6)], "train"), texts)
    log = [{"step": step, "loss": 2.0 / step, "learning_rate": 1e-4} for step in (1, 2, 3)]
    store.set_checkpoints({(arm, seed): {"rows": 6, "log": log} for arm in ("sft", "cgd") for seed in range(seeds)})
    store.set_drops("dataset", [Drop("train-9", "the critique gives the answer away")])


def make_manifest(teacher: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": "quickstart",
        "recipe": {"name": "quickstart", "seed": 0, "teacher": teacher, "training": {"seeds": [0]}},
        "cgd_version": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux-x86_64",
        "versions": {"numpy": "2.4.6"},
        "git": {"commit": "7cc8be2", "dirty": True},
        "prompt_hashes": {"critique.jinja": "ab" * 32},
        "models": {"student": "smollm2-135m-instruct"},
        "durations_s": {"draft": 12.34},
        "command": "cgd run configs/quickstart.toml",
    }


def make_request_for(
    text: str = "1 + 1?",
    stage: Stage = "draft",
    *,
    key: str = "",
    draft: str | None = None,
    critique: str | None = None,
    answer: str | None = None,
    solution: str | None = None,
) -> Request:
    """A request of one user message, with what is known of its record and prompt."""
    prompt = Prompt.create("item", user(text), answer, solution)
    return ask(stage, Record(prompt, draft, critique, key=key), "scripted")


def make_recipe(**sections: Any) -> Recipe:
    """A recipe with one arm and no teacher; keyword arguments replace whole sections."""
    least: dict[str, Any] = {
        "name": "trial",
        "data": {"task": "arithmetic", "n": 8},
        "student": {"model": "smollm2-135m-instruct"},
        "arms": [{"name": "sft", "objective": "sft"}],
    }
    return Recipe.model_validate(least | sections)


def write_model(folder: Path) -> Path:
    """A folder that looks like a model to whatever does not load it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 64}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder
