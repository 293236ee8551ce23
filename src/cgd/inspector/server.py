"""A Datasette of one run, bound to this machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from threading import Thread

import uvicorn
from datasette.app import Datasette
from datasette.plugins import pm

from cgd.errors import UserError
from cgd.inspector import pages
from cgd.inspector.index import add_to_index, prepare_index
from cgd.inspector.models import ScoringModel

INDEX = "inspect.sqlite"


def make_app(run: Path, models: Mapping[str, ScoringModel]) -> Datasette:
    """Datasette over a run's store, which it opens read-only, with the inspector's pages.

    Args:
        run: the run folder, whose index is prepared.
        models: that the run's scores were made with, by hash of their weights.
    """
    store, index = run / "run.sqlite", run / INDEX
    if not pm.is_registered(pages):
        pm.register(pages)
    known = {
        "title": run.resolve().name,
        "store": str(store),
        "index": str(index),
        "models": {key: list(model) for key, model in models.items()},
    }
    package = files("cgd.inspector")
    return Datasette(
        [str(store)],
        metadata={"title": known["title"], "plugins": {pages.PLUGIN: known}},
        template_dir=str(package / "templates"),
        static_mounts=[("inspector", str(package / "static"))],
    )


def serve(run: Path, models: Mapping[str, ScoringModel], listening: socket.socket) -> None:
    """Answer requests until the user ends it; records that the index lacks are added meanwhile."""
    paths = run / "run.sqlite", run / INDEX
    stale = prepare_index(*paths)
    Thread(target=add_to_index, args=(*paths, stale), daemon=True).start()
    server = uvicorn.Server(uvicorn.Config(make_app(run, models).app(), log_level="warning"))
    with suppress(KeyboardInterrupt), closing(listening):
        server.run(sockets=[listening])


def listen(port: int) -> socket.socket:
    """A socket of the loopback interface; port 0 takes any free one.

    Raises:
        UserError: the port is taken or not allowed.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # what is asked before the server is ready waits
    except OSError as error:
        listening.close()
        raise UserError(f"can't listen at 127.0.0.1:{port}: {error.strerror}; give another --port") from error
    return listening
