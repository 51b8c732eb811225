"""Where the API may listen: who may, on which port, and who is in the way."""

from __future__ import annotations

import errno
import ipaddress
import socket

import psutil

from rosetta.errors import Conflict, InvalidRequest
from service.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
_BACKLOG = 2048


def check_allowed(host: str, settings: Settings) -> None:
    """Sees that nobody listens to the world without keys.

    Raises:
        InvalidRequest: when `host` is beyond loopback and ROSETTA_API_KEYS is not set.
    """
    if not settings.api_keys and not _is_loopback(host):
        raise InvalidRequest(
            f"listening on {host} would let anybody in: set ROSETTA_API_KEYS to one or more secrets "
            f"(openssl rand -hex 24 makes one), or listen on {DEFAULT_HOST}"
        )


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on that port; without one on 8000, or on any free port where that is taken.

    Raises:
        Conflict: when the port that was asked for is taken.
        InvalidRequest: when this machine has no such address, or we may not use the port.
    """
    try:
        return _listen(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InvalidRequest(f"cannot listen on {host} port {port or DEFAULT_PORT}: {error.strerror}") from error
        if port is None:
            return _listen(host, 0)
    free = _listen(host, 0)
    other = free.getsockname()[1]
    free.close()
    raise Conflict(
        f"port {port} is taken{_by_whom(port)}: stop that, or choose another port (--port {other} is free)", port=port
    )


def url_of(listener: socket.socket) -> str:
    """The address that a client on this machine uses."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    # gaierror is an OSError, so that an unknown host is told like any other address we cannot have.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once, and not when the API is up: two stacks that start together must not get one port.
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _by_whom(port: int) -> str:
    """Who listens there, where the system lets us know."""
    try:
        for connection in psutil.net_connections("tcp"):
            here = getattr(connection.laddr, "port", None) == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
