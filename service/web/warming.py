"""Warming up: what the first visitor would wait for is done when the service starts."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from service.web import pages

# They compile what all pages share: the routes, the statements, connections. None of them asks for a job.
_PAGES = ("/", "/models", "/concepts", "/jobs")


async def warm_up(app: FastAPI, key: str | None, stop: asyncio.Event) -> None:
    """Visits pages as a browser would; a failure is a page too, and of no consequence.

    Args:
        app: which is running.
        key: an API key, where they are needed.
        stop: no further page is visited once it is set. To cancel would leave a thread behind with its connection.
    """
    await run_in_threadpool(pages.compile_templates)
    for path in _PAGES:
        if not stop.is_set():
            await _visit(app, path, key)


async def _visit(app: FastAPI, path: str, key: str | None) -> None:
    headers = [(b"host", b"localhost"), (b"accept", b"text/html"), (b"user-agent", b"rosetta-warming-up")]
    if key is not None:
        headers.append((b"x-api-key", key.encode("latin-1")))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    await app(scope, receive, send)
