"""Observing: every request has an id, is counted and timed, and a fault of ours is logged and not shown."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rosetta.errors import RosettaError
from service.api.failures import REQUEST_ID, failure_response

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meters:
    """What is counted about requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "rosetta_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "rosetta_http_request_seconds",
            "Seconds until the answer was sent",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=registry,
        )


class Observing:
    """Middleware around all others."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            status = status or 499
        except Exception:
            log.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if status:  # the answer is under way: all that is left is to break it off
                raise
            fault = RosettaError(f"something went wrong inside the service: its log says more under {request_id}")
            await failure_response(fault, request_id)(scope, receive, noted)
        finally:
            # The template, not the path: one row of metrics a route, whatever people ask for.
            route = getattr(scope.get("route"), "path", "none")
            self._meters.requests.labels(scope["method"], route, status).inc()
            self._meters.seconds.labels(scope["method"], route).observe(time.perf_counter() - begun)
