"""A service in this process, as httpx sees one: answers by method and path, and a list of what was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from rosetta import AsyncClient, Client

Answer = Callable[[httpx.Request], httpx.Response]


class FakeService:
    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], list[Any]] = {}
        self.asked: list[httpx.Request] = []

    def on(self, method: str, path: str, *answers: Any) -> None:
        """Give these answers in turn, and the last one from then on; a value is JSON, a function is called."""
        self.routes[method, path] = list(answers)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [
            json.loads(request.content)
            for request in self.asked
            if (request.method, request.url.path) == (method, path)
        ]

    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.asked]

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answers = self.routes.get((request.method, request.url.path))
        if not answers:
            return error(404, "not_found", f"no route {request.method} {request.url.path}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request) if callable(answer) else httpx.Response(200, json=answer)


def error(status: int, code: str, message: str, /, **details: Any) -> httpx.Response:
    body = {"error": {"code": code, "message": message, "details": details, "request_id": "r1"}}
    return httpx.Response(status, json=body)


def events(*states: dict[str, Any]) -> httpx.Response:
    text = "".join(f"event: job\ndata: {json.dumps(state)}\n\n" for state in states)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)


class Blocking:
    """Calls a method of a `Client`, or of what it handed out."""

    def __init__(self, service: FakeService, **options: Any) -> None:
        transport = httpx.MockTransport(service.handle)
        self.client: Any = Client("http://service.test", transport=transport, **options)

    def __call__(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    def close(self) -> None:
        self.client.close()


class Awaiting:
    """Calls a method of an `AsyncClient`, or of what it handed out, on an event loop of its own."""

    def __init__(self, service: FakeService, **options: Any) -> None:
        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            return service.handle(request)

        self._runner = asyncio.Runner()
        self.client: Any = AsyncClient("http://service.test", transport=httpx.MockTransport(handle), **options)

    def __call__(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._runner.run(method(*args, **kwargs))

    def close(self) -> None:
        self._runner.run(self.client.close())
        self._runner.close()


@contextmanager
def talking(kind: type[Blocking | Awaiting], service: FakeService, **options: Any) -> Iterator[Any]:
    talk = kind(service, **options)
    try:
        yield talk
    finally:
        talk.close()
