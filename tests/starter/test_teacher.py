"""Run with: pytest tests/starter/test_teacher.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cgd.errors import UserError
from cgd.starter import teacher as module
from cgd.starter.teacher import Teacher, find_teacher


class Server(HTTPServer):
    """Answers every GET with `body`."""

    body = b"{}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def serve(server: Server, *models: str) -> str:
    server.body = json.dumps({"data": [{"id": model} for model in models]}).encode()
    return f"http://127.0.0.1:{server.server_port}/v1"


def test_a_server_is_asked_which_model_it_runs(server: Server) -> None:
    url = serve(server, "big")
    found = find_teacher(f"{url}/", None, bfloat16=False)
    assert found[:3] == ("openai_api", "big", {"base_url": url})


def test_a_server_of_several_models_needs_a_name(server: Server) -> None:
    with pytest.raises(UserError, match=r"lists 2 models \(a, b\); name it with --teacher-model"):
        find_teacher(serve(server, "a", "b"), None, bfloat16=False)
    assert find_teacher(serve(server, "a", "b"), "b", bfloat16=False).model == "b"


@pytest.mark.parametrize("body", [b"[]", b"no", b'{"data": [1]}', b'{"data": 3}'])
def test_a_server_that_lists_nothing_needs_a_name(body: bytes, server: Server) -> None:
    url = serve(server)
    server.body = body
    with pytest.raises(UserError, match="can't ask the server which model it runs .*--teacher-model"):
        find_teacher(url, None, bfloat16=False)


def test_a_server_that_is_not_there_needs_a_name() -> None:
    with pytest.raises(UserError, match="can't ask the server"):
        find_teacher("http://127.0.0.1:1/v1", None, bfloat16=False)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://api.my-cloud.ai/v1", "MY_CLOUD_API_KEY"),
        ("https://10.0.0.1/v1", None),
        ("https://node.internal/v1", None),
        ("http://node1:8000/v1", None),
    ],
)
def test_a_hosted_service_has_a_key_in_a_variable(url: str, key: str | None) -> None:
    assert find_teacher(url, "m", bfloat16=False).options.get("api_key_env") == key


def test_a_model_runs_where_it_is_quickest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    assert find_teacher("org/big", None, bfloat16=True).backend == "vllm"
    assert find_teacher("org/big", None, bfloat16=False)[:3] == ("hf", "org/big", {})
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert find_teacher("org/big", None, bfloat16=True)[:3] == ("hf", "org/big", {"dtype": "bfloat16"})


def test_a_gguf_file_needs_its_tokenizer_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    with pytest.raises(UserError, match="no such file"):
        find_teacher(str(file), None, bfloat16=False)
    file.touch()
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        find_teacher(str(file), None, bfloat16=False)
    (tmp_path / "tokenizer.json").touch()
    assert isinstance(find_teacher(str(file), None, bfloat16=False), Teacher)


@pytest.mark.parametrize("given", ["none", "./none", "runs/x", "a/b/c", "org/model.gguf", "/none/there", ""])
def test_what_can_be_no_model_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="no model; give a built-in name|no such file"):
        find_teacher(given, None, bfloat16=False)


@pytest.mark.parametrize("given", ["ftp://host/v1", "http:///v1"])
def test_a_faulty_url_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="begins with http:// or https://"):
        find_teacher(given, "m", bfloat16=False)


def test_a_model_name_is_for_servers() -> None:
    with pytest.raises(UserError, match="--teacher-model is for a server's URL"):
        find_teacher("org/big", "m", bfloat16=False)
