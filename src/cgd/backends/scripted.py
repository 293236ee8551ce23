"""A test double: writes what the recipe tells it, in place of a model. For tests and trials, never for results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from cgd.config import Section
from cgd.errors import UserError
from cgd.records import Reply, Request


class Options(Section):
    """Keys of `backend = "scripted"`."""

    replies: dict[str, str]
    """Text by stage (draft, critique, refinement, prediction). It may use `{prompt}` (the last message), `{draft}`,
    `{critique}`, `{answer}` and `{solution}`."""
    model: str | None = None
    """Ignored: a scripted student is the same before and after training."""


def build(options: Options) -> ScriptedBackend:
    """The test double."""
    return ScriptedBackend(options)


class ScriptedBackend:
    """Fills the recipe's texts, instantly and always the same."""

    def __init__(self, options: Options) -> None:
        """Remember the texts."""
        self._replies = options.replies

    @property
    def identity(self) -> Mapping[str, Any]:
        """The texts themselves."""
        return {"backend": "scripted", "replies": self._replies}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError where a stage has no text, or a text asks for an unknown value."""
        for request in requests:
            self._text(request)

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield each request's text, in order."""
        for request in requests:
            text = self._text(request)
            yield Reply(request.key, text=text, finish_reason="stop", completion_tokens=len(text.split()))

    def stop(self) -> None:
        """Nothing is ever in flight: whoever stops stops listening."""

    def close(self) -> None:
        """Nothing to give back."""

    def _text(self, request: Request) -> str:
        record = request.record
        values = {
            "prompt": record.prompt.messages[-1]["content"],
            "draft": record.draft,
            "critique": record.critique,
            "answer": record.prompt.answer,
            "solution": record.prompt.solution,
        }
        if request.stage not in self._replies:
            raise UserError(f"scripted backend: no text for stage {request.stage!r} in options.replies")
        try:
            return self._replies[request.stage].format(**values)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"scripted backend: text of stage {request.stage!r} can't be filled: {error}; "
                f"values: {', '.join(values)}"
            ) from error
