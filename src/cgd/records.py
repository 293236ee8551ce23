"""The values that travel between stages, in the notation of the method.

x = prompt, y' = draft, c = critique, ŷ = refinement, y* = the task's solution; together a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypedDict, get_args

from cgd.config import ContextDropoutConfig, Sampling

GeneratedStage = Literal["draft", "critique", "refinement", "teacher_answer"]
Stage = Literal[GeneratedStage, "prediction", "self_critique", "self_refinement", "candidate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
State = Literal["done", "failed", "truncated"]


def stage_order(stage: str) -> int:
    """Place of a stage in a run; whatever has no name here comes last."""
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


AnswerKind = Literal["math", "choice", "boolean", "text", "list", "tolerance", "instructions"]
AnswerFormat = Literal["answer_line", "boxed", "any"]


class GradingRule(NamedTuple):
    """How an answer is graded: how it compares, and in which format the prompt asks for it."""

    kind: AnswerKind
    answer_format: AnswerFormat
    tolerance: float = 0.0
    """Largest difference from the gold, as a share of the gold (`kind = "tolerance"`)."""


class Grade(NamedTuple):
    """Verdict on one prediction; None = unscored, which is not the same as wrong."""

    strict: bool | None
    flexible: bool | None
    format: bool
    extracted: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """x, with what the task knows about it.

    `id` is readable and bound to the content: the same id never names two different prompts.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str | None = None
    solution: str | None = None
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        name: str,
        messages: Sequence[Message],
        answer: str | None = None,
        solution: str | None = None,
        source: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Build a prompt whose id is `name` plus a short hash of everything it holds."""
        digest = content_hash([list(messages), answer, solution, meta or {}])[:8]
        return cls(f"{name}#{digest}", tuple(messages), answer, solution, source, meta or {})


@dataclass(frozen=True, slots=True)
class Record:
    """(x, y', c, ŷ, y*) as far as it has come; y* is `prompt.solution`, the teacher's answer its reply to x alone.

    `key` is the key of the last reply in it (empty while there is only the prompt): whatever is
    made from this record hangs on that key.
    """

    prompt: Prompt
    draft: str | None = None
    critique: str | None = None
    refinement: str | None = None
    teacher_answer: str | None = None
    key: str = ""

    def with_reply(self, stage: GeneratedStage, key: str, text: str) -> Record:
        """The record one stage further; nothing hangs on a teacher's answer, so with it the key stays."""
        fields: dict[str, Any] = {stage: text, "key": self.key if stage == "teacher_answer" else key}
        return replace(self, **fields)

    @property
    def id(self) -> str:
        """A name that is unique among the records of one run."""
        return f"{self.prompt.id}:{self.key[:12]}" if self.key else self.prompt.id

    def texts(self) -> dict[str, Any]:
        """Everything that it says, by name."""
        return {
            "prompt": [dict(message) for message in self.prompt.messages],
            "draft": self.draft,
            "critique": self.critique,
            "refinement": self.refinement,
            "teacher_answer": self.teacher_answer,
            "solution": self.prompt.solution,
            "answer": self.prompt.answer,
        }


def reduce_context(record: Record, dropout: ContextDropoutConfig) -> Record:
    """The record without what a context dropout takes away."""
    return replace(record, critique=None, draft=None if dropout.drop == "draft_and_critique" else record.draft)


class Example(NamedTuple):
    """What an objective makes of a record: the loss falls on the target alone."""

    context: tuple[Message, ...]
    target: str


class TrainingRow(NamedTuple):
    """One row of one arm: an example, and how much its loss counts.

    `reduced` is the same example with the context that the arm's dropout takes away; None where there is no dropout.
    """

    record_id: str
    example: Example
    reduced: Example | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """One text to be generated; `upstream` is the key of the row it was made from.

    Only worked-solution backends may read the record's solution.
    """

    key: str
    stage: Stage
    record: Record
    messages: tuple[Message, ...]
    sampling: Sampling
    sample: int = 0
    upstream: str = ""

    @property
    def seed(self) -> int:
        """Seed of this one item (31 bits), from its key: it does not depend on batch or order."""
        return int(self.key[:8], 16) & 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Reply:
    """What a backend returned for a request, before anything is parsed.

    A failure has an `error_class` and no text; a text that ended in another way than "stop" or "length" becomes a
    failed row. Times in seconds, sizes in tokens.
    """

    key: str
    text: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    server: str = ""
    """URL of the server that made it; empty for engines in this process."""
    broken: int = 0
    """Strings that look like control tokens, broken up in what was sent."""
    error_class: str | None = None
    error: str | None = None


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in canonical form."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def make_request(  # noqa: PLR0913 - every argument is one part of the key
    stage: Stage,
    record: Record,
    messages: Sequence[Message],
    sampling: Sampling,
    identity: Mapping[str, Any],
    run_seed: int,
    sample: int = 0,
    upstream: str | None = None,
) -> Request:
    """Build a request whose key covers everything that can change its text, and nothing else.

    Args:
        stage: the stage that asks.
        record: what is known so far; its key is the upstream row's key.
        messages: the rendered chat.
        sampling: decoding options.
        identity: the backend's own account of what decides its text (model, revision, options).
        run_seed: the recipe's seed.
        sample: index among several samples of the same context.
        upstream: key of the row that the text is made from; the record's where None.
    """
    upstream = record.key if upstream is None else upstream
    key = content_hash(
        {
            "stage": stage,
            "prompt": record.prompt.id,
            "upstream": upstream,
            "sample": sample,
            "seed": run_seed,
            "messages": list(messages),
            "sampling": sampling.model_dump(),
            "backend": dict(identity),
        }
    )
    return Request(key, stage, record, tuple(messages), sampling, sample, upstream)
