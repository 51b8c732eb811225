"""The API process. `python -m service.stack.api FD` serves on a listening socket that it inherited."""

from __future__ import annotations

import socket
import sys

import uvicorn

from service.api.app import create_app
from service.settings import Settings
from service.stack import configuration

_GRACE_S = 5  # for requests under way, event streams among them


def serve(settings: Settings, listener: socket.socket, *, access_log: bool = True) -> None:
    """Serves the API on that socket until SIGTERM or Ctrl-C."""
    config = uvicorn.Config(
        create_app(settings),
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    # No log of requests: this one runs for months, and its log is looked after only when it starts.
    serve(configuration.load(), socket.socket(fileno=int(sys.argv[1])), access_log=False)
