"""Limits: how large a request's body may be, however it is sent."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.failures import failure_response
from service.uploads import TooLarge

JSON_BYTES = 2**20
# A line for every image of a probe set, or for every mask of one: some 300,000 of them.
LISTING_BYTES = 32 * 2**20
_LISTINGS = frozenset({"/v1/probes", "/v1/uploads/missing"})


class Limits:
    """Middleware that refuses bodies that are too large; the routes of uploads have a limit of their own."""

    def __init__(self, app: ASGIApp, image_bytes: int) -> None:
        self._app = app
        # A form with an image is little more than that.
        self._form_bytes = image_bytes + JSON_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, counting what it reads."""
        if scope["type"] != "http" or scope["method"] == "PUT":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        largest = self._largest(path)
        announced = Headers(scope=scope).get("content-length", "0")
        at_once = announced.isdigit() and int(announced) > largest
        if at_once and path.startswith("/v1/"):
            response = failure_response(_too_large(largest), scope["state"]["request_id"])
            await response(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            if at_once:  # the page says so
                raise _too_large(largest)
            message = await receive()
            size += len(message.get("body", b""))
            if size > largest:
                raise _too_large(largest)
            return message

        await self._app(scope, counted, send)

    def _largest(self, path: str) -> int:
        if path == "/search" or path.startswith("/translations"):
            return self._form_bytes
        return LISTING_BYTES if path in _LISTINGS or path.endswith("/masks") else JSON_BYTES


def _too_large(largest: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {largest:,} bytes allowed")
