"""Live progress of a stage: rows done, tokens/s, time left. Quiet lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 15.0


class StageProgress:
    """A progress bar on a terminal; elsewhere a line at the start, every 15 seconds and at the end."""

    def __init__(self, stage: str, total: int, unit: str = "rows") -> None:
        """Prepare progress of `total` units; nothing is shown before `with`."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done = 0
        self._tokens = 0
        self._note = ""
        self._started = self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(stage, total=total, unit=unit, rate="")
        self._live = console.is_terminal

    def __enter__(self) -> StageProgress:
        """Start the clock."""
        self._started = self._last_line = time.monotonic()
        self._bar.start()
        self._print_line("starts")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        self._bar.stop()
        self._print_line("done" if error is None else "stopped")

    def advance(self, units: int = 1, tokens: int = 0, note: str = "") -> None:
        """Count finished units and the tokens they took; `note` (a loss, say) stands beside the rate."""
        self._done += units
        self._tokens += tokens
        self._note = note or self._note
        self._bar.update(self._task, advance=units, rate=self._rate())
        if time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._print_line(self._time_left())

    def rates(self, tokens_by_server: Mapping[str, int]) -> str:
        """What each of several servers brings, in tokens a second; nothing where there is only one."""
        if len(tokens_by_server) < 2:
            return ""
        seconds = max(time.monotonic() - self._started, 1e-9)
        return "  ".join(
            f"{server.partition('://')[2].partition('/')[0]} {tokens / seconds:,.0f}/s"
            for server, tokens in sorted(tokens_by_server.items())
        )

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = f"{self._tokens / seconds:,.0f} tokens/s" if self._tokens else ""
        return "  ".join(part for part in (rate, self._note) if part)

    def _time_left(self) -> str:
        if not self._done:
            return "time left unknown"
        seconds = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        return f"about {seconds:,.0f} s left"

    def _print_line(self, state: str) -> None:
        if self._live:
            return
        self._last_line = time.monotonic()
        parts = [self._stage, f"{self._done}/{self._total} {self._unit}", self._rate(), state]
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)
