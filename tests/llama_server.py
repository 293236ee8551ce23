"""A real llama.cpp server with the built-in model in a process of its own: `python -m tests.llama_server SLOTS`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cgd.models import gguf_file

MODEL = "smollm2-135m-instruct"


@contextmanager
def llama_server(slots: int = 4, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The base URL of a server that is ready; it ends with the block."""
    command = [sys.executable, "-m", "tests.llama_server", str(slots)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "the llama.cpp server did not start"
            yield f"{address}/v1"
        finally:
            process.kill()


def serve(slots: int) -> None:
    """Print the address once the model is loaded, and serve until killed."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf_file(MODEL))
    params.n_parallel, params.n_ctx = slots, slots * 1024
    params.verbosity, params.warmup = 0, False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
