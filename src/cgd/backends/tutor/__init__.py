"""A deterministic teacher that knows each problem's worked solution; it is a program, not a language model.

`drafts` reads the calculations out of a draft, `diagnosis` finds the first wrong or missing step and puts
it in words. The worked steps come from the prompt's `meta["steps"]`: rows of left, operator, right, result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from cgd.backends.tutor.diagnosis import Reveal, critique_text, diagnose, refinement_text
from cgd.backends.tutor.drafts import OPERATIONS, Step, Steps
from cgd.config import Section
from cgd.errors import UserError
from cgd.records import Prompt, Reply, Request


class Options(Section):
    """Keys of the tutor."""

    reveal: Reveal = "none"
    """What a critique gives away: only the fault, the calculation that belongs there, or the results too."""


class Tutor:
    """Backend of the teacher's two stages, for prompts with worked steps."""

    def __init__(self, reveal: Reveal) -> None:
        """Make a tutor whose critiques reveal this much."""
        self._reveal = reveal

    @property
    def identity(self) -> Mapping[str, Any]:
        """The version of the rules, and what critiques reveal."""
        return {"backend": "tutor", "version": 1, "reveal": self._reveal}

    def check(self, requests: Sequence[Request]) -> None:
        """Raise UserError for a stage that is not the teacher's, or a prompt without worked steps."""
        for request in requests:
            if request.stage not in ("critique", "refinement"):
                raise UserError(f"backend 'tutor' can't serve stage {request.stage!r}; allowed: critique, refinement")
            worked_steps(request.record.prompt)

    async def generate(self, requests: Sequence[Request]) -> AsyncIterator[Reply]:
        """Yield the replies in order; they cost no tokens. A missing draft counts as an empty one."""
        for request in requests:
            draft = request.record.draft or ""
            diagnosis = diagnose(worked_steps(request.record.prompt), draft)
            critique = request.stage == "critique"
            text = critique_text(diagnosis, self._reveal) if critique else refinement_text(diagnosis, draft)
            yield Reply(request.key, text, finish_reason="stop")

    def stop(self) -> None:
        """Nothing is ever in flight: whoever stops stops listening."""

    def close(self) -> None:
        """Nothing is held."""


def build(options: Options) -> Tutor:
    """Build the backend."""
    return Tutor(options.reveal)


def worked_steps(prompt: Prompt) -> Steps:
    """The steps in a prompt's `meta`.

    Raises:
        UserError: they are absent, malformed or miscalculated; the message names the prompt.
    """
    rows = prompt.meta.get("steps")
    try:
        steps = tuple(
            Step(int(left), str(symbol), int(right), int(result)) for left, symbol, right, result in rows or ()
        )
        right = all(OPERATIONS[step.operator](step.left, step.right) == step.result for step in steps)
    except (TypeError, ValueError, KeyError, ZeroDivisionError):
        right = False
    if not (rows and right):
        raise UserError(
            f"backend 'tutor' needs worked steps in the meta data of prompt {prompt.id!r}: rows of left, operator "
            f"(+ - * /), right, result; got {rows!r:.80}. It works with the task 'arithmetic'"
        )
    return steps
