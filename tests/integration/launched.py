"""The command line as one process of a launch, saying how accelerate divides the model.

python -m tests.integration.launched [--cpu-as-gpu] train recipe.toml ...: with `--cpu-as-gpu` processes on a CPU pass
for GPUs, which alone accelerate shards models over.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from cgd import cli


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[0] == "--cpu-as-gpu":
        arguments = arguments[1:]
        pass_for_gpus()
    tell_how_it_is_divided()
    sys.argv = ["cgd", *arguments]
    cli.main()


def pass_for_gpus() -> None:
    import transformers
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed

        deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
    else:
        from torch import distributed

        distributed.init_process_group("gloo")
    original = transformers.TrainingArguments.__init__

    def without_cpu(self: Any, *positional: Any, **named: Any) -> None:
        original(self, *positional, **{**named, "use_cpu": False})

    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    transformers.TrainingArguments.__init__ = without_cpu


def tell_how_it_is_divided() -> None:
    from cgd.training.trainer import PackedTrainer

    original = PackedTrainer.__init__

    def init(self: Any, **wiring: Any) -> None:
        original(self, **wiring)
        plugin = self.accelerator.state.fsdp_plugin if self.accelerator.distributed_type == "FSDP" else None
        version = plugin.fsdp_version if plugin else ""
        print(f"divided: {self.accelerator.distributed_type.value}{version}", flush=True)

    setattr(PackedTrainer, "__init__", init)  # noqa: B010 - mypy knows its type


if __name__ == "__main__":
    main()
