"""Worker processes that ask math-verify whether two answers are equal, under limits of our own.

math-verify limits itself with SIGALRM, which works on the main thread only and cancels the caller's own alarm;
without that, some answers (`9^{9^{9^9}}`) compute for ever. So its limits are switched off and every comparison
runs in a child process with a kernel timer on the CPU time it uses: a busy machine grades like an idle one, code in
C is stopped as well, and no child outlives a killed parent for long.

A child is a fresh interpreter (`python -m cgd.grading_pool`): nothing of the caller is copied into it, and the
caller's main module is never run again. It says `ready` once; then each line `[answer, gold, tolerance]` (JSON) gets
one verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, NamedTuple

COMMAND = (sys.executable, "-P", "-m", "cgd.grading_pool")
BACKSTOP_S = 120.0
"""Wall-clock seconds beyond the limit after which a child is killed that does not even compute (stopped, swapped)."""
DYING_S = 10.0
"""Seconds that a child which has closed its pipe may take to end by itself."""
_ROUNDING = 1e-5
MEMORY_BYTES = 2 << 30
"""Address space of a child: an exploding expression fails there, not in the whole machine."""


class Comparison(NamedTuple):
    """Two answers as LaTeX without delimiters, and by what share of the gold numbers may differ."""

    answer: str
    gold: str
    tolerance: float = 0.0


def compare_many(pairs: Sequence[Comparison], workers: int, limit_s: float) -> list[str]:
    """Ask math-verify about every pair.

    A child that is stopped at its limit, killed or crashed costs only the pair it was working on.

    Args:
        pairs: what to compare.
        workers: most child processes at a time; none is started for no pairs.
        limit_s: CPU seconds for one pair.

    Returns:
        For each pair `equal`, `different`, `timeout` or `error:<what>`.

    Raises:
        RuntimeError: a child can't even start; its traceback is on stderr.
    """
    verdicts = [""] * len(pairs)
    todo = iter(range(len(pairs)))
    crew = [_Worker(limit_s) for _ in range(min(workers, len(pairs)))]
    busy: dict[_Worker, int] = {}
    try:
        for worker, index in zip(crew, todo, strict=False):
            worker.ask(pairs[index])
            busy[worker] = index
        while busy:
            for worker in _finished(list(busy)):
                verdict = worker.verdict()
                if verdict is None:
                    continue
                verdicts[busy.pop(worker)] = verdict
                following = next(todo, None)
                if following is not None:
                    worker.ask(pairs[following])
                    busy[worker] = following
    finally:
        for worker in crew:
            worker.stop()
    return verdicts


def _finished(workers: Sequence[_Worker]) -> list[_Worker]:
    patience = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
    readable = wait([worker.fileno() for worker in workers], patience)
    return [worker for worker in workers if worker.fileno() in readable or worker.overdue()]


class _Worker:
    """One seat in the pool; the child in it is started when first needed and replaced when it dies."""

    def __init__(self, limit_s: float) -> None:
        self.deadline = 0.0
        self._limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False

    def ask(self, pair: Comparison) -> None:
        child = self._child or self._start()
        self.deadline = time.monotonic() + self._limit_s + BACKSTOP_S
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # dead already: reading its verdict will tell
            child.stdin.write(json.dumps(pair).encode() + b"\n")
            child.stdin.flush()

    def fileno(self) -> int:
        assert self._child is not None and self._child.stdout is not None
        return self._child.stdout.fileno()

    def overdue(self) -> bool:
        return time.monotonic() > self.deadline

    def verdict(self) -> str | None:
        """The verdict on the pair asked last; None where the child only said that it is ready."""
        if self.overdue():
            self.stop()
            return "timeout"
        heard = os.read(self.fileno(), 4096)  # whole lines: they are far shorter than an atomic pipe write
        if not heard:
            return self._cause_of_death()
        self._ready = True
        last = heard.decode().split()[-1]
        return None if last == "ready" else last

    def stop(self) -> None:
        """End the child at once; it holds nothing worth saving."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(BrokenPipeError):  # a request that it never read
                if pipe is not None:
                    pipe.close()
        self._child, self._ready = None, False

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._child = subprocess.Popen(
            [*COMMAND, str(self._limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        return self._child

    def _cause_of_death(self) -> str:
        assert self._child is not None
        was_ready = self._ready
        try:
            status = self._child.wait(timeout=DYING_S)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        self.stop()
        if not was_ready:
            raise RuntimeError(f"the grading process {' '.join(COMMAND)} can't start: exit status {status}")
        if status == -signal.SIGPROF:
            return "timeout"
        return f"error:{signal.Signals(-status).name}" if status < 0 else f"error:exit{status}"


def _serve(limit_s: float) -> None:
    """The child's whole life: read a pair, compare, answer, until the parent closes the pipe."""
    replies, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the parsers print
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it is doing
    _limit_memory()
    import math_verify

    os.write(replies, b"ready\n")
    os.dup2(nowhere, 2)
    for line in sys.stdin:
        comparison = Comparison(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            verdict = _compare(math_verify, comparison)
        except Exception as error:
            verdict = f"error:{type(error).__name__}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(replies, f"{verdict}\n".encode())


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _compare(math_verify: Any, comparison: Comparison) -> str:
    extraction = [math_verify.LatexExtractionConfig()]
    golds = math_verify.parse(f"${comparison.gold}$", extraction, parsing_timeout=None)
    if all(isinstance(value, str) for value in golds):
        return "error:GoldNotParsed"
    answers = math_verify.parse(f"${comparison.answer}$", extraction, parsing_timeout=None)
    if comparison.tolerance and answers and _differ_by_at_most(comparison.tolerance, answers[0], golds[0]):
        return "equal"
    equal = math_verify.verify(golds, answers, allow_set_relation_comp=True, timeout_seconds=None)
    # It rounds to six decimals and chops small differences: 6.6e-34 and 5e-30 are equal to it.
    return "equal" if equal and _differ_by_at_most(_ROUNDING, answers[0], golds[0]) is not False else "different"


def _differ_by_at_most(share: float, answer: Any, gold: Any) -> bool | None:
    """Whether two numbers differ by no more than a share of the gold; None where they can't be compared so."""
    if not (getattr(answer, "is_number", False) and getattr(gold, "is_number", False)) or gold.is_zero:
        return None
    try:
        return bool(abs(answer.evalf() - gold.evalf()) <= share * abs(gold.evalf()))
    except (TypeError, ValueError, ArithmeticError):
        return None  # infinite, undefined


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
