"""How many processes `accelerate launch` or `torchrun` started, and which one this is."""

from __future__ import annotations

import os


def processes() -> int:
    """Processes of the launch, over all machines; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    """Whether this is the process that owns the run: it alone reads and writes the store, and prints."""
    return processes() == 1 or os.environ["RANK"] == "0"


def shards_weights() -> bool:
    """Whether accelerate is configured to divide the model's weights over processes (FSDP, DeepSpeed)."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return any(os.environ.get(name, "false").lower() == "true" for name in names)
