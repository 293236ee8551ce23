"""Run with: pytest tests/integration/test_distributed.py. `cgd train` over the processes of a launcher."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cgd import cli, pipeline
from cgd.recipe import load_recipe
from tests.integration.folder import REPOSITORY, query, stages

STEPS = 12
SETTINGS = (f"training.steps={STEPS}", "training.save_steps=1", "training.micro_batch_size=1")
LAUNCH = REPOSITORY / "configs" / "launch"
PLAIN = ("cgd.cli",)
AS_GPUS = ("tests.integration.launched", "--cpu-as-gpu")
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed; it is no requirement"
)


class Ended(NamedTuple):
    """How a launch ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def generated(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs; the one in it has its records and no checkpoint. Not to be changed."""
    runs = tmp_path_factory.mktemp("generated")
    pipeline.run(load_recipe([recipe_file], SETTINGS), runs, until="refinement")
    return runs


@pytest.fixture(scope="module")
def alone(generated: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run trained by `cgd train` in one process. Not to be changed."""
    runs = tmp_path_factory.mktemp("alone") / "runs"
    shutil.copytree(generated, runs)
    cli.app(arguments("train", recipe_file, runs), standalone_mode=False)
    return runs / "tiny"


@pytest.fixture
def runs(generated: Path, tmp_path: Path) -> Path:
    """A copy of the generated run, in a folder of runs."""
    shutil.copytree(generated, tmp_path / "runs")
    return tmp_path / "runs"


def arguments(command: str, recipe_file: Path, runs: Path) -> list[str]:
    return [command, str(recipe_file), "--runs", str(runs), *(f"--set={setting}" for setting in SETTINGS)]


def begin(recipe_file: Path, runs: Path, module: tuple[str, ...], **environment: str) -> subprocess.Popen[str]:
    """`cgd train` in two processes of this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.Popen(
        [*launcher, *module, *arguments("train", recipe_file, runs)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(launcher: subprocess.Popen[str]) -> None:
    """SIGKILL for a launcher and its processes, which are in sessions of their own."""
    import psutil

    for process in (psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)):
        process.kill()
    launcher.communicate()


def launch(recipe_file: Path, runs: Path, module: tuple[str, ...] = PLAIN, **environment: str) -> Ended:
    process = begin(recipe_file, runs, module, **environment)
    try:
        out, err = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return Ended(process.returncode, out, err)


def environment_of(config: str) -> dict[str, str]:
    """What `accelerate launch` hands to the processes under one of the shipped configurations."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    given = ["--config_file", str(LAUNCH / config), "--num_processes", "2", "-m", "cgd.cli"]
    parsed, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    parsed.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)  # as the launcher does
    env: dict[str, str] = (
        prepare_deepspeed_cmd_env(parsed)[1] if parsed.use_deepspeed else prepare_multi_gpu_env(parsed)
    )
    return {name: value for name, value in env.items() if name.startswith(("ACCELERATE_", "FSDP_"))}


def assert_trained_alike(one: Path, other: Path) -> None:
    """The same rows in every step: losses and gradient norms agree to 1e-4, and so do the weights in the end."""
    from safetensors.torch import load_file

    for arm in ("cgd", "sft"):
        folders = [run / "checkpoints" / arm / "seed0" for run in (one, other)]
        a, b = (load_file(folder / "model.safetensors") for folder in folders)
        assert a.keys() == b.keys()
        assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4
        assert {file.name for file in folders[0].iterdir()} == {file.name for file in folders[1].iterdir()}
        stamps: list[dict[str, Any]] = [json.loads((folder / "cgd.json").read_text()) for folder in folders]
        assert stamps[0]["key"] == stamps[1]["key"]
        logs = [stamp["info"]["log"] for stamp in stamps]
        assert [entry["step"] for entry in logs[1]] == list(range(1, STEPS + 1))
        for name in ("loss", "grad_norm", "entropy", "learning_rate"):
            expected = pytest.approx([entry[name] for entry in logs[0]], abs=1e-4)
            assert [entry[name] for entry in logs[1]] == expected, name


def test_two_processes_train_as_one_and_the_run_goes_on_without_training_again(
    alone: Path, runs: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps of 4 rows, two in each process, one at a time."""
    ended = launch(recipe_file, runs)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [f"done until training: {runs / 'tiny'}; cgd run without --until goes on"]
    for arm in ("cgd", "sft"):
        assert ended.err.count(f"train {arm} seed 0  {STEPS}/{STEPS} steps") == 1, "one process alone prints"
    assert "Warning" not in ended.err
    assert_trained_alike(alone, runs / "tiny")
    checkpoints = list((runs / "tiny" / "checkpoints").rglob("*.safetensors"))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    cli.app(arguments("run", recipe_file, runs), standalone_mode=False)
    assert f"done: {runs / 'tiny' / 'report' / 'index.html'}" in capsys.readouterr().out
    assert len(before) == 2 and [path.stat().st_mtime_ns for path in checkpoints] == before
    assert stages(runs / "tiny")["prediction"] == 18


def test_a_launch_that_is_killed_in_mid_training_is_continued_by_the_same_command(
    alone: Path, runs: Path, recipe_file: Path
) -> None:
    """SIGKILL for the launcher and its processes as soon as a state of the first arm is whole."""
    scratch = runs / "tiny" / "checkpoints" / "cgd" / "seed0.partial"
    process = begin(recipe_file, runs, PLAIN)
    try:
        while not list(scratch.glob("checkpoint-*/whole")):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
    finally:
        kill(process)
    assert not list((runs / "tiny" / "checkpoints").glob("*/seed0")), "nothing was published yet"
    ended = launch(recipe_file, runs)
    assert ended.code == 0, ended.err
    assert_trained_alike(alone, runs / "tiny")


def test_missing_rows_end_every_process_with_the_command_that_makes_them(recipe_file: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    ended = launch(recipe_file, tmp_path / "runs")
    assert ended.code != 0 and time.monotonic() - started < 120
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: 8 of 8 rows of stage 'draft' are missing, and 2 processes that train together generate none: make them "
        "first with `cgd run RECIPE --until refinement`, without a launcher"
    ]
    assert query(tmp_path / "runs" / "tiny", "SELECT COUNT(*) FROM replies") == [(0,)]


@pytest.mark.parametrize(
    ("config", "kind"),
    [("fsdp_8gpu.yaml", "FSDP2"), pytest.param("zero3_8gpu.yaml", "DEEPSPEED", marks=needs_deepspeed)],
)
def test_a_model_divided_over_two_processes_trains_as_a_whole_one_and_is_saved_whole(
    alone: Path, runs: Path, recipe_file: Path, config: str, kind: str
) -> None:
    """On CPUs that pass for GPUs: what is divided, gathered and saved is the same, the kernels are not."""
    cpu = {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu"}
    ended = launch(recipe_file, runs, AS_GPUS, **environment_of(config), **cpu)
    assert ended.code == 0, ended.err
    assert ended.out.count(f"divided: {kind}") == 2 * 2, "two arms, two processes"
    assert_trained_alike(alone, runs / "tiny")


def gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@pytest.mark.gpu
@pytest.mark.skipif(gpus() < 2, reason="needs two GPUs")
@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("ddp_8gpu.yaml", "MULTI_GPU"),
        ("fsdp_8gpu.yaml", "FSDP2"),
        pytest.param("zero3_8gpu.yaml", "DEEPSPEED", marks=needs_deepspeed),
    ],
)
def test_two_gpus_train_under_a_shipped_configuration(
    alone: Path, runs: Path, recipe_file: Path, config: str, kind: str
) -> None:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(LAUNCH / config)]
    command = [*launcher, "--num_processes", "2", "-m", "tests.integration.launched"]
    ended = subprocess.run(
        [*command, *arguments("train", recipe_file, runs)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ended.stdout.count(f"divided: {kind}") == 2 * 2
    assert_trained_alike(alone, runs / "tiny")
