"""Licences and terms that bind a model's weights and its outputs, as far as its name tells.

They are pointers for whoever publishes, not advice: the terms themselves are what counts, in the version that the user
agreed to.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Terms(NamedTuple):
    """What binds a family of models."""

    pattern: re.Pattern[str]
    licence: str | None
    """The hub's name for the licence of the weights; None where they are not published."""
    outputs: str
    """What it asks of those who train on outputs, in a sentence."""


def _terms(pattern: str, licence: str | None, outputs: str) -> Terms:
    return Terms(re.compile(pattern, re.IGNORECASE), licence, outputs)


_BUILT_WITH_LLAMA = (
    "The Llama {0} Community License wants a distributed model that was trained on outputs to have a name that begins "
    "with Llama, the licence to come with it, and Built with Llama to be displayed (section 1.b)."
)
_NO_OTHER_MODEL = "The Llama {0} licence does not allow outputs to be used to improve other large language models."
_COMPETING = "{0} terms of service do not allow outputs to be used to develop models that compete with {1}."

_KNOWN = (
    _terms(r"smollm2", "apache-2.0", "Apache 2.0 puts no condition on outputs."),
    _terms(r"gpt-oss", "apache-2.0", "Apache 2.0 puts no condition on outputs."),
    *(_terms(rf"llama-?{v}", f"llama{v}", _BUILT_WITH_LLAMA.format(v)) for v in ("3.1", "3.2", "3.3")),
    _terms(r"llama-?3(?!\.)", "llama3", _NO_OTHER_MODEL.format("3")),
    _terms(r"llama-?2(?!\.)", "llama2", _NO_OTHER_MODEL.format("2")),
    _terms(
        r"gemma-?(2b|7b|1\.1|2|3)",
        "gemma",
        "The Gemma Terms of Use count a model that was trained on outputs so as to perform like Gemma as a derivative, "
        "to which they apply, the use restrictions included.",
    ),
    _terms(r"(^|/)(gpt-[345]|chatgpt|o[134](-|$))", None, _COMPETING.format("OpenAI's", "OpenAI")),
    _terms(r"(^|/)claude", None, _COMPETING.format("Anthropic's commercial", "Anthropic's")),
    _terms(r"(^|/)gemini", None, _COMPETING.format("The Gemini API's additional", "Google's services")),
)
_HUB_NAMES = {"smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
DATA_LICENCES = {"arithmetic": "apache-2.0", "gsm8k": "mit"}
"""Of the prompts, by task, as the hub names them."""


def known_terms(model: str) -> Terms | None:
    """Terms of a model by its name; None where the name tells nothing."""
    return next((terms for terms in _KNOWN if terms.pattern.search(model)), None)


def hub_id(model: str) -> str | None:
    """The model's name on the hub; None for a local folder."""
    if model in _HUB_NAMES:
        return _HUB_NAMES[model]
    return model if _HUB_ID.fullmatch(model) and not model.startswith("runs/") else None


def public_name(model: str) -> str:
    """The model's name without the path that it lies at."""
    return hub_id(model) or model.rstrip("/").rpartition("/")[2]


def output_terms(backend: str, model: str | None) -> str:
    """A sentence on what binds a teacher's texts."""
    if backend == "tutor":
        return "The teacher is a program of cgd, whose texts nobody has a claim on."
    known = known_terms(model or "")
    if known is None:
        return f"Which terms bind outputs of {public_name(model or backend)} its name does not tell: read its licence."
    return f"{known.outputs} Read the terms that you agreed to."
