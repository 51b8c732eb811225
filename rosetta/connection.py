"""The connection of a blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from rosetta.transport import DEFAULT_TIMEOUT_S, Endpoint, Transport


class Connection:
    """What every call of a client goes through."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(Endpoint.find(url, api_key, timeout), transport)
        self._run = self._transport.run

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.endpoint.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"
