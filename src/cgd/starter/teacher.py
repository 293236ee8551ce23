"""Which backend runs a teacher: told by its name, by what is installed and by what this machine has."""

from __future__ import annotations

import json
import os
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit

from cgd.errors import UserError
from cgd.models import BUILT_IN, model_folder

_LARGEST_LIST = 2**20  # bytes of a server's list of models


class Teacher(NamedTuple):
    """A `[teacher]` section."""

    backend: str
    model: str | None
    options: dict[str, Any]
    note: str
    """Why this backend, for a comment."""


def find_teacher(given: str, model: str | None, *, bfloat16: bool) -> Teacher:
    """The section for a teacher.

    Args:
        given: `tutor`, a server's URL, a `.gguf` file, or a model (built in, a local folder, a hub id).
        model: the name that a server knows its model by; the server is asked where None.
        bfloat16: whether this machine has a GPU that calculates in it.

    Raises:
        UserError: none of these, or the server's model can't be found out.
    """
    if model is not None and "://" not in given:
        raise UserError(f"--teacher-model is for a server's URL; got --teacher {given}, which names its model itself")
    if given == "tutor":
        return Teacher("tutor", None, {}, "a program that knows each problem's worked solution, not a language model")
    if "://" in given:
        return _server(given, model)
    if given.endswith(".gguf"):
        _require_gguf(Path(given).expanduser())
        return Teacher("llamacpp", given, {}, "GGUF weights run by llama.cpp in this process")
    require_model("--teacher", given)
    if bfloat16 and find_spec("vllm"):
        return Teacher("vllm", given, {}, "vLLM is installed and there is a GPU")
    options = {"dtype": "bfloat16"} if bfloat16 else {}
    return Teacher("hf", given, options, "transformers in this process; where vLLM is installed, it is quicker")


def require_model(option: str, given: str) -> None:
    """Refuse what can't be the name of a model with safetensors; nothing is fetched.

    Raises:
        UserError: neither a built-in name, nor a local folder that holds a model, nor shaped like a hub id.
    """
    if given and Path(given).expanduser().is_dir():
        model_folder(given)
        return
    owner, slash, name = given.partition("/")
    hub_id = bool(slash and owner and name) and "/" not in name and owner not in (".", "..", "~", "runs")
    if given in BUILT_IN or (hub_id and not name.endswith(".gguf")):
        return
    raise UserError(
        f"{option} {given}: no model; give a built-in name ({', '.join(sorted(BUILT_IN))}), an existing local folder "
        "with safetensors, or a hub id (OWNER/NAME)"
    )


def _require_gguf(file: Path) -> None:
    if not file.is_file():
        raise UserError(f"--teacher {file}: no such file")
    if not (file.parent / "tokenizer.json").is_file():
        raise UserError(f"--teacher {file}: the model's tokenizer files (tokenizer.json) must lie beside it")


def _server(url: str, model: str | None) -> Teacher:
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
        raise UserError(f"--teacher {url}: a server's URL begins with http:// or https://, as http://localhost:8000/v1")
    key = _key_name(url)
    options: dict[str, Any] = {"base_url": url, **({"api_key_env": key} if key else {})}
    return Teacher("openai_api", model or _served_model(url, key), options, "a server that speaks OpenAI's protocol")


def _key_name(url: str) -> str | None:
    """The variable that vendors' own tools read, as OPENAI_API_KEY for api.openai.com; None for a server in the house.

    Hosted services are told by their https and a public name.
    """
    parts = urlsplit(url)
    labels = (parts.hostname or "").split(".")
    if parts.scheme != "https" or len(labels) < 2 or labels[-1].isdecimal() or labels[-1] in ("local", "internal"):
        return None
    return f"{labels[-2].replace('-', '_').upper()}_API_KEY"


def _served_model(url: str, key: str | None) -> str:
    """The one model that a server lists."""
    mend = "; name it with --teacher-model"
    request = urllib.request.Request(f"{url}/models")
    if key and os.environ.get(key):
        request.add_header("Authorization", f"Bearer {os.environ[key]}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            listed = json.loads(answer.read(_LARGEST_LIST))
        names = [str(entry["id"]) for entry in listed["data"]]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--teacher {url}: can't ask the server which model it runs ({error}){mend}") from error
    if len(names) != 1:
        shown = ", ".join(names[:10]) or "none"
        raise UserError(f"--teacher {url}: the server lists {len(names)} models ({shown}){mend}")
    return names[0]
