"""A disk that fills up, or fails, while a training saves."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cgd.errors import StoppedError

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# Writers that are not Python's say it in words: safetensors' and PyTorch's own.
_WORDS = re.compile(
    rf"\bos error (?:{'|'.join(map(str, _NUMBERS))})\b|PytorchStreamWriter failed|unexpected pos \d+ vs \d+"
)


@contextmanager
def disk_faults_stop(out: Path) -> Iterator[None]:
    """Turn what a full or failing disk raises into a stop that the same command continues from.

    Args:
        out: the folder that is written.

    Raises:
        StoppedError: writing failed; what was complete before is as it was.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) not in _NUMBERS and not _WORDS.search(str(error)):
            raise
        raise StoppedError(
            f"can't write to {out}: {error}. Is the disk full? Complete checkpoints and states saved before are as "
            "they were; make room, and the same command goes on"
        ) from error
