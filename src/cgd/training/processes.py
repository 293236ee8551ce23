"""Training over several processes, as `accelerate launch` or `torchrun` starts them.

The first process walks through the pipeline as if it were alone. Where a training begins it announces the job to the
others, which wait for nothing else, and all of them train. Without a launcher nothing of this is imported or started.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import timedelta
from io import StringIO
from typing import Any

from cgd import launch
from cgd.errors import CgdError
from cgd.training import sft

# The others wait in the channel while the first process encodes, or publishes what was trained. In a training they
# wait for each other, and a process that is gone should be noticed sooner.
_WAIT_FOR_A_JOB = timedelta(days=1)
_WAIT_IN_TRAINING = timedelta(hours=1)
_GRACE_S = 20.0

_channel: Any = None


def take_part(work: Callable[[], None]) -> None:
    """Run `work` in the first process; the other processes do their share of every training in it.

    A process that fails ends with an error: the launcher then ends those on its machine, and those on others lose
    their connection.
    """
    if launch.processes() == 1:
        work()
    elif launch.is_first():
        _join()
        work()
        _tell(None)
        _leave()
    else:
        _follow()


def train(*job: Any, **options: Any) -> dict[str, Any]:
    """`sft.train` on every process of the launch; takes and returns the same."""
    if _channel is not None:
        _tell((job, options))
    return sft.train(*job, **options)


def _follow() -> None:
    """Train what the first process announces; silent, as that one shows the progress and says what went wrong."""
    with redirect_stderr(StringIO()):
        _join()
        while (announced := _hear()) is not None:
            job, options = announced
            try:
                sft.train(*job, **options)
            except CgdError as error:  # the first process meets the same one
                sys.exit(error.exit_code)
        _leave()


def _join() -> None:
    """Connect the processes: for training as accelerate is configured to, and by a channel for announcements."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else each process tells how to make DDP quicker
    import torch
    from accelerate import PartialState

    global _channel  # noqa: PLW0603 - the process is in one launch
    PartialState(cpu=not torch.accelerator.is_available(), timeout=_WAIT_IN_TRAINING)
    _channel = torch.distributed.new_group(backend="gloo", timeout=_WAIT_FOR_A_JOB)


def _tell(message: Any) -> None:
    from torch import distributed

    distributed.broadcast_object_list([message], src=0, group=_channel)


def _hear() -> Any:
    from torch import distributed

    heard = [None]
    try:
        distributed.broadcast_object_list(heard, src=0, group=_channel)
    except RuntimeError:  # the first process is gone, and has said why; its launcher is to see that first
        time.sleep(_GRACE_S)
        sys.exit(1)
    return heard[0]


def _leave() -> None:
    from torch import distributed

    distributed.destroy_process_group()
