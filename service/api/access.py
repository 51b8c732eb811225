"""Access: API keys, and on a stack without keys, nothing but this machine's own programs."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rosetta.errors import Unauthorized
from service.api.failures import failure_response

# What a load balancer asks, which has no key.
_OPEN = frozenset({"/healthz", "/readyz"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Middleware that lets a request through, or answers that it is not authorized."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on when it may pass."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._key_refusal(headers) if self._keys else _stranger(headers)
        refusal = refusal or _foreign_page(scope["method"], headers)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        # A browser asks for the key as a password; other clients send it as a bearer token.
        challenge = 'Basic realm="rosetta, with the API key as password", Bearer'
        response = failure_response(
            refusal, scope["state"]["request_id"], headers={"www-authenticate": challenge} if self._keys else None
        )
        await response(scope, receive, send)

    def _key_refusal(self, headers: Headers) -> Unauthorized | None:
        sent = _sent_key(headers)
        if sent is None:
            return Unauthorized()
        # All are compared, in constant time: the answer's delay says nothing about any key.
        matching = [hmac.compare_digest(sent, key) for key in self._keys]
        return None if any(matching) else Unauthorized("this API key is not one of the service's: see ROSETTA_API_KEY")


def _sent_key(headers: Headers) -> bytes | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip()).partition(b":")[2]
        except binascii.Error:
            return None
    key = headers.get("x-api-key")
    return None if key is None else key.encode("latin-1")


def _stranger(headers: Headers) -> Unauthorized | None:
    """Refuses names other than this machine's: a web page could make its own name lead here (DNS rebinding)."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if not host or host == "localhost" or host.endswith(".localhost") or _is_address(host):
        return None
    return Unauthorized(
        f"this service answers to 127.0.0.1 and localhost, not to {host}: for more, set ROSETTA_API_KEYS"
    )


def _foreign_page(method: str, headers: Headers) -> Unauthorized | None:
    """Refuses changes that a page of another site makes a browser ask for."""
    origin = headers.get("origin")
    if method in _READS or origin is None or urlsplit(origin).netloc == headers.get("host"):
        return None
    return Unauthorized(f"a page of {origin} may not change anything here")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
