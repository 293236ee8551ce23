"""The inspector's pages, as a plugin of Datasette.

Model text is untrusted: templates escape it, and the browser is told to run nothing that is not one of our own files.
Other sites must not read the pages (their names are refused as hosts) nor post reviews (they can't know the token).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.utils.asgi import NotFound, Request, Response

from cgd.errors import UserError
from cgd.inspector.models import ScoringModel, read_entropies
from cgd.inspector.rows import FILTERS, Chosen, read_neighbours, read_page, read_record
from cgd.inspector.texts import SHADES, mark_first_wrong_step
from cgd.prompts import conversation_text
from cgd.reviews import LONGEST_NOTE, Review, save_review
from cgd.store import Store, load_messages

PLUGIN = "cgd"
"""Under this name Datasette holds what the pages need: `title`, `store`, `index`, `models`."""
HOSTS = {"127.0.0.1", "localhost"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_App = Callable[[Any, Any, Any], Awaitable[None]]


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Any]]]]:
    """Addresses of the pages; everything else is Datasette's."""
    return [(r"^/$", show_list), (r"^/record/(?P<key>[0-9a-f]{64})$", show_record), (r"^/review$", review)]


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Any) -> None:
    """Give connections to the store the index too."""
    if database == "run":
        conn.execute("ATTACH ? AS inspect", (f"file:{datasette.plugin_config(PLUGIN)['index']}?mode=ro",))


@hookimpl
def asgi_wrapper() -> Callable[[_App], _App]:
    """Refuse foreign hosts, and tell the browser what pages may do."""
    return _guard


def _guard(app: _App) -> _App:
    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        if scope["type"] != "http":
            await app(scope, receive, send)
        elif Request(scope, receive).headers.get("host", "").partition(":")[0] in HOSTS:
            await app(scope, receive, send_guarded)
        else:
            await Response.text("this page is served to 127.0.0.1 and localhost alone", status=403).asgi_send(send)

    return guarded


async def show_list(datasette: Any, request: Any) -> Any:
    """Records that match the filters, a page at a time."""
    chosen = _chosen(request)
    after, before = (_number(request.args.get(name)) for name in ("after", "before"))
    page = await datasette.get_database("run").execute_fn(
        lambda db: read_page(db, chosen, after=-1 if after is None else after, before=before)
    )
    return await _render(datasette, request, "list.html", {"page": page, "chosen": chosen})


async def show_record(datasette: Any, request: Any) -> Any:
    """One record with everything that is known of it."""
    chosen, key = _chosen(request), request.url_vars["key"]
    models = {name: ScoringModel(*model) for name, model in datasette.plugin_config(PLUGIN)["models"].items()}

    def read(db: sqlite3.Connection) -> dict[str, Any]:
        record = read_record(db, key)
        if record is None:
            raise NotFound("no such record in this run")
        previous, following = read_neighbours(db, chosen, record["position"])
        return {
            "record": record,
            "sides": mark_first_wrong_step(record["draft"], record["critique"], record["refinement"]),
            "prompt": conversation_text(load_messages(record["messages"])),
            "entropies": read_entropies(record["scores"], models),
            "previous": previous,
            "following": following,
        }

    found = await datasette.get_database("run").execute_fn(read)
    return await _render(datasette, request, "record.html", {**found, "chosen": chosen})


async def review(datasette: Any, request: Any) -> Any:
    """Keep a review that one of our own pages posts as JSON: `record_id`, `verdict` and `note`."""
    if request.method != "POST":
        return Response.json({"error": "reviews are posted"}, status=405)
    # Datasette lets requests without cookies pass, as scripts send them; here nothing but our pages shall.
    if not secrets.compare_digest(request.headers.get("x-csrftoken", ""), request.scope["csrftoken"]()):
        return Response.json({"error": "reviews are taken from this page alone; load it again"}, status=403)
    try:
        posted = json.loads(await request.post_body())
        given = Review(str(posted["record_id"]), posted["verdict"], str(posted["note"]))
        await asyncio.to_thread(_save, Path(datasette.plugin_config(PLUGIN)["store"]), given)
    except (ValueError, KeyError, TypeError):
        return Response.json({"error": "a review is JSON with record_id, verdict and note"}, status=400)
    except UserError as error:
        return Response.json({"error": str(error)}, status=400)
    return Response.json(given._asdict())


def _save(path: Path, given: Review) -> None:
    with closing(Store(path)) as store:
        save_review(store, given)


def _chosen(request: Any) -> Chosen:
    labels = {name: request.args.get(name) or "" for name in FILTERS}
    return Chosen({name: label for name, label in labels.items() if label}, request.args.get("q") or "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


async def _render(datasette: Any, request: Any, template: str, values: dict[str, Any]) -> Any:
    chosen: Chosen = values["chosen"]
    query = {**chosen.labels, **({"q": chosen.search} if chosen.search else {})}
    context = {
        **values,
        "title": datasette.plugin_config(PLUGIN)["title"],
        "filters": FILTERS,
        "shades": SHADES,
        "longest_note": LONGEST_NOTE,
        "query": lambda **more: urlencode({**query, **more}),
    }
    return Response.html(await datasette.render_template(template, context, request=request))
