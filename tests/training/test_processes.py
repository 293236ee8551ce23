"""Run with: pytest tests/training/test_processes.py. Launches as the environment tells them; their configurations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgd import launch
from cgd.errors import UserError
from cgd.records import Record
from cgd.sampling import sample
from cgd.store import Store
from cgd.training.processes import take_part
from tests.builders import answer, ask, make_prompts

CONFIGS = Path(__file__).parents[2] / "configs" / "launch"


@pytest.fixture
def first_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)


def test_a_world_size_without_a_launcher_is_no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters set WORLD_SIZE for their own purposes; launchers set LOCAL_RANK too."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launch.processes() == 1 and launch.is_first()
    done: list[str] = []
    take_part(lambda: done.append("alone"))
    assert done == ["alone"]


def test_the_first_process_of_a_launch_is_the_one_of_rank_0(
    first_of_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch.processes() == 2 and launch.is_first()
    monkeypatch.setenv("RANK", "1")
    assert not launch.is_first()


def test_several_processes_generate_nothing_and_bear_failed_rows(store: Store, first_of_two: None) -> None:
    """Of three rows one has failed, which is allowed; of four, one is missing, which is not."""
    prompts = make_prompts(["1 + 1?", "2 + 2?", "3 + 3?", "4 + 4?"])
    store.add_prompts(prompts)
    requests = [ask("draft", Record(prompt), "nobody") for prompt in prompts]
    for request, text in zip(requests, ("2", None, "6"), strict=False):
        answer(store, request, text)
    nobody: Any = None
    sampled = sample(store, nobody, requests[:3], title="draft", max_failed_share=0.5)
    assert (sampled.made, len(sampled.replies)) == (0, 3)
    with pytest.raises(UserError, match=r"1 of 4 rows of stage 'draft' are missing.*--until refinement"):
        sample(store, nobody, requests, title="draft", max_failed_share=0.5)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_accelerate_takes_every_shipped_configuration(config: Path) -> None:
    """Precision stays with the recipe; a sharded model is saved whole."""
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(config))
    machines = 2 if "2x8" in config.name else 1
    assert (loaded.num_machines, loaded.num_processes) == (machines, 8 * machines)
    kind = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "zero3": "DEEPSPEED"}[config.name.partition("_")[0]]
    assert loaded.distributed_type.value == kind
    assert loaded.mixed_precision in (None, "no")
    if kind == "FSDP":
        assert loaded.fsdp_config["fsdp_version"] == 2
        assert loaded.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"


def test_the_zero3_file_is_what_accelerate_takes_for_stage_3_with_whole_saves() -> None:
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    config = HfDeepSpeedConfig(str(CONFIGS / "zero3.json"))
    assert config.is_zero3() and not config.is_offload()
    assert config.get_value("zero_optimization.stage3_gather_16bit_weights_on_model_save") is True
    assert config.get_value("bf16.enabled") == config.get_value("gradient_clipping") == "auto"


def fsdp(kind: str) -> SimpleNamespace:
    return SimpleNamespace(
        distributed_type="FSDP", fsdp_plugin=SimpleNamespace(state_dict_type=f"StateDictType.{kind}")
    )


def zero(**settings: Any) -> SimpleNamespace:
    plugin = SimpleNamespace(deepspeed_config={"zero_optimization": settings})
    return SimpleNamespace(distributed_type="DEEPSPEED", deepspeed_plugin=plugin)


@pytest.mark.parametrize(
    ("state", "setting"),
    [
        (fsdp("SHARDED_STATE_DICT"), "fsdp_state_dict_type: FULL_STATE_DICT"),
        (zero(stage=3), "stage3_gather_16bit_weights_on_model_save"),
    ],
)
def test_a_launch_that_would_save_shards_is_refused_with_the_setting(state: SimpleNamespace, setting: str) -> None:
    from cgd.training.trainer import check_saves_whole

    with pytest.raises(UserError, match=setting):
        check_saves_whole(state)


@pytest.mark.parametrize(
    "state",
    [
        fsdp("FULL_STATE_DICT"),
        zero(stage=2),
        zero(stage=3, stage3_gather_16bit_weights_on_model_save=True),
        SimpleNamespace(distributed_type="NO"),
    ],
)
def test_any_other_launch_is_not_refused(state: SimpleNamespace) -> None:
    from cgd.training.trainer import check_saves_whole

    check_saves_whole(state)
