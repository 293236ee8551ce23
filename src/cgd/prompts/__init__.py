"""All prompt text (the `*.jinja` files here) and its renderer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from cgd.errors import UserError
from cgd.records import Message

_FOLDER = Path(__file__).parent
# The values are chat text, not HTML: escaping would change what the models read.
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)  # noqa: S701


def render(template: str, **values: str | None) -> str:
    """Fill a packaged template (`critique.jinja`) or the user's own (a path).

    White space before the template and after the result is cut; a value that comes first stays as it is.

    Raises:
        UserError: no such file, or the template is faulty or asks for a value that there is none of.
    """
    try:
        return _template(template).render(values).rstrip()
    except UserError:
        raise
    except Exception as error:  # a template's expressions raise what they like
        raise UserError(f"prompt file {template}: {error}; values it may use: {', '.join(sorted(values))}") from error


def template_hashes(templates: Sequence[str]) -> dict[str, str]:
    """SHA-256 of each template's text, for the manifest."""
    return {name: hashlib.sha256(_source(name).encode()).hexdigest() for name in templates}


def conversation_text(messages: Sequence[Message]) -> str:
    """A chat as one text: the content alone where there is one user message, else a transcript with roles."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def student_context(
    messages: Sequence[Message],
    *,
    wanted: str,
    draft: str | None = None,
    critique: str | None = None,
    refinement: str | None = None,
) -> tuple[Message, ...]:
    """The student's context (x, y') or (x, y', c): the last user message of x, extended.

    Contexts extend one another: each begins with the exact text of the shorter one, instructions come last.

    Args:
        messages: x; its last message is the user's.
        wanted: what the student shall write, "critique" or "refinement".
        draft: y'; where absent the context is x itself.
        critique: c.
        refinement: ŷ, where a critique is scored that knows it.
    """
    if draft is None and critique is None:
        return tuple(messages)
    *before, last = messages
    parts = {"prompt": last["content"], "draft": draft, "critique": critique, "refinement": refinement}
    return (*before, {"role": last["role"], "content": render("student.jinja", wanted=wanted, **parts)})


@cache
def _template(name: str) -> Template:
    return _ENVIRONMENT.from_string(_source(name).lstrip())


def _source(name: str) -> str:
    path = _FOLDER / name if (_FOLDER / name).is_file() else Path(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read prompt file {name}: {error}") from error
