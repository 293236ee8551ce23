"""The command line, held for ever inside a stage, so that a test can kill it there.

python -m tests.integration.stall STAGE FILE run recipe.toml ...: after the first progress of the first stage whose
title begins with STAGE, FILE appears and nothing happens any more. The student's backend does three batches at most.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from cgd import cli
from cgd.backends.hf import HfBackend
from cgd.progress import StageProgress

_FOR_EVER = 600.0


def main() -> None:
    stage, marker, *arguments = sys.argv[1:]
    enter, advance, run = StageProgress.__enter__, StageProgress.advance, HfBackend._run
    batches: list[Any] | None = None

    def enter_and_count(self: StageProgress) -> StageProgress:
        nonlocal batches
        batches = [] if self._stage.startswith(stage) else None
        return enter(self)

    def run_three(self: HfBackend, batch: list[Any]) -> Any:
        if batches is not None:
            batches.append(batch)
            if len(batches) > 3:
                time.sleep(_FOR_EVER)
        return run(self, batch)

    def advance_and_stall(self: StageProgress, units: int = 1, tokens: int = 0, note: str = "") -> None:
        advance(self, units, tokens, note)
        if self._stage.startswith(stage):
            Path(marker).touch()
            time.sleep(_FOR_EVER)

    StageProgress.__enter__ = enter_and_count  # type: ignore[method-assign]
    StageProgress.advance = advance_and_stall  # type: ignore[method-assign]
    HfBackend._run = run_three  # type: ignore[method-assign]
    sys.argv = ["cgd", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
