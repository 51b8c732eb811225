"""The two ways to carry out an operation: blocking, and asynchronous."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import httpx_sse
import msgspec

from rosetta.effects import Compute, Download, Effect, Listen, Operation, Pause, Request, Together
from rosetta.errors import InvalidRequest, RosettaError
from rosetta.local import service_url
from rosetta.rows import Frame
from rosetta.strips import Run
from rosetta.wire import raise_for_error

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_AT_A_TIME = 8
_CHUNK_BYTES = 1 << 18
# uvicorn drops a connection that was idle for 5 s; dropping it earlier avoids writing into one that closes.
_KEEP_ALIVE_S = 3.0


@dataclass(frozen=True)
class Endpoint:
    """Where the service is, with what key, and how many seconds it may take to answer."""

    url: str
    api_key: str | None
    timeout_s: float

    @classmethod
    def find(cls, url: str | None, api_key: str | None, timeout: float) -> Endpoint:
        """The endpoint that the arguments name, else the environment, else the local stack.

        Raises:
            InvalidRequest: when the address is no http or https URL.
        """
        url = (url or service_url()).rstrip("/")
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            parsed = httpx.URL("")
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InvalidRequest(f"'{url}' is not an address of a service: write it like http://127.0.0.1:8000")
        return cls(url, api_key or os.environ.get("ROSETTA_API_KEY") or None, timeout)

    def _httpx_options(self) -> dict[str, Any]:
        headers = {"user-agent": "rosetta-client"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self._timeout(read_s=self.timeout_s),
            "limits": httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
            # A proxy for the outside world cannot reach this machine's own loopback.
            "trust_env": not _is_loopback(httpx.URL(self.url).host),
        }

    def _timeout(self, read_s: float) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=min(_CONNECT_TIMEOUT_S, self.timeout_s), read=read_s)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _httpx_arguments(request: Request) -> dict[str, Any]:
    """Arguments of `build_request`; the bytes of a file are not among them."""
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "params": {name: value for name, value in request.params.items() if value is not None},
    }
    if isinstance(request.body, bytes):
        arguments["content"] = request.body
        arguments["headers"] = {"content-type": "application/octet-stream"}
    elif request.body is not None:
        arguments["content"] = msgspec.json.encode(request.body)
        arguments["headers"] = {"content-type": "application/json"}
    if request.file is not None:
        size = request.file.stat().st_size
        arguments["headers"] = {"content-type": "application/octet-stream", "content-length": str(size)}
    return arguments


def _chunks(path: Path, on_sent: Callable[[int], object] | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
            if on_sent is not None:
                on_sent(len(chunk))


async def _chunks_in_threads(path: Path, on_sent: Callable[[int], object] | None) -> AsyncIterator[bytes]:
    chunks = _chunks(path, on_sent)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


def _next_effect(operation: Operation[T], outcome: Any) -> Effect:
    """The operation's next effect, once it got what came of its last one; a failure is thrown in."""
    if isinstance(outcome, RosettaError | httpx.TransportError):
        return operation.throw(outcome)
    return operation.send(outcome)


class Transport:
    """Carries out operations, blocking."""

    def __init__(self, endpoint: Endpoint, transport: httpx.BaseTransport | None = None) -> None:
        self.endpoint = endpoint
        self._http = httpx.Client(transport=transport, **endpoint._httpx_options())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, operation: Operation[T]) -> T:
        """What the operation returns.

        Raises:
            RosettaError: what the operation raises.
        """
        outcome: Any = None
        try:
            while True:
                effect = _next_effect(operation, outcome)
                try:
                    outcome = self._perform(effect)
                except (RosettaError, httpx.TransportError) as error:
                    outcome = error
        except StopIteration as stop:
            result: T = stop.value
            if isinstance(result, Frame):
                result.pictured(self.pictures)
            return result
        finally:
            operation.close()

    @property
    def pictures(self) -> Run | None:
        """What a notebook fetches the pictures of results with."""
        return self.run

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                arguments = _httpx_arguments(effect)
                if effect.file is not None:
                    arguments["content"] = _chunks(effect.file, effect.on_sent)
                return self._http.send(self._http.build_request(**arguments))
            case Together():
                with ThreadPoolExecutor(_AT_A_TIME) as pool:
                    return list(pool.map(self._run_or_error, effect.operations))
            case Compute():
                return effect.function()
            case Pause():
                return time.sleep(effect.seconds)
            case Listen():
                return self._listen(effect)
            case Download():
                return self._download(effect)

    def _run_or_error(self, operation: Operation[T]) -> T | RosettaError:
        try:
            return self.run(operation)
        except RosettaError as error:
            return error

    def _listen(self, effect: Listen) -> None:
        timeout = self.endpoint._timeout(read_s=effect.silence_s)
        with httpx_sse.connect_sse(self._http, "GET", effect.path, timeout=timeout) as source:
            if not source.response.is_success:
                source.response.read()
            raise_for_error(source.response)
            for event in source.iter_sse():
                if effect.on_event(event.data):
                    return

    def _download(self, effect: Download) -> None:
        with self._http.stream("GET", effect.path, params=dict(effect.params)) as response:
            if not response.is_success:
                response.read()
            raise_for_error(response)
            with effect.target.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
                    effect.on_received(len(piece))


class AsyncTransport:
    """Carries out operations without blocking the event loop."""

    def __init__(self, endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.endpoint = endpoint
        self._http = httpx.AsyncClient(transport=transport, **endpoint._httpx_options())

    @property
    def pictures(self) -> Run | None:
        """None: a notebook shows results without waiting for an event loop."""
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, operation: Operation[T]) -> T:
        """What the operation returns; raises as `Transport.run` does."""
        outcome: Any = None
        try:
            while True:
                effect = _next_effect(operation, outcome)
                try:
                    outcome = await self._perform(effect)
                except (RosettaError, httpx.TransportError) as error:
                    outcome = error
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            operation.close()

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                arguments = _httpx_arguments(effect)
                if effect.file is not None:
                    arguments["content"] = _chunks_in_threads(effect.file, effect.on_sent)
                return await self._http.send(self._http.build_request(**arguments))
            case Together():
                gate = asyncio.Semaphore(_AT_A_TIME)
                return await asyncio.gather(*(self._run_or_error(each, gate) for each in effect.operations))
            case Compute():
                return await asyncio.to_thread(effect.function)
            case Pause():
                return await asyncio.sleep(effect.seconds)
            case Listen():
                return await self._listen(effect)
            case Download():
                return await self._download(effect)

    async def _run_or_error(self, operation: Operation[T], gate: asyncio.Semaphore) -> T | RosettaError:
        async with gate:
            try:
                return await self.run(operation)
            except RosettaError as error:
                return error

    async def _listen(self, effect: Listen) -> None:
        timeout = self.endpoint._timeout(read_s=effect.silence_s)
        async with httpx_sse.aconnect_sse(self._http, "GET", effect.path, timeout=timeout) as source:
            if not source.response.is_success:
                await source.response.aread()
            raise_for_error(source.response)
            async for event in source.aiter_sse():
                if effect.on_event(event.data):
                    return

    async def _download(self, effect: Download) -> None:
        async with self._http.stream("GET", effect.path, params=dict(effect.params)) as response:
            if not response.is_success:
                await response.aread()
            raise_for_error(response)
            with effect.target.open("wb") as file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
                    effect.on_received(len(piece))
