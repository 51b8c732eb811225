"""`match` over HTTP against a bare FastAPI route that runs the same SQL and returns the same rows.

Both are served by uvicorn, each in a process of its own, on loopback, from one database of the demo's size. One
client asks them in turn over two connections that stay open, so that both see the same machine.
"""

from __future__ import annotations

import os
import random
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from bench.stack import store
from service.api.app import create_app
from service.database.engine import make_engine
from service.queries.matches import _statement
from service.settings import Settings
from tests.integration.api import zoo

GAN, NET = "dcgan-faces", "efficientnet-lite0"
MODELS = {
    GAN: [("main.2", 512), ("main.5", 256), ("main.8", 128), ("main.11", 64)],
    NET: [("blocks.0", 16), ("blocks.2", 40), ("blocks.3", 80), ("blocks.4", 112), ("blocks.5", 264)],
    "mobilenet-v2": [("features.3", 24), ("features.6", 32), ("features.13", 96), ("features.18", 1280)],
    "age-net": [("conv1", 32), ("conv2", 64), ("conv3", 128)],
}
KEEP = 10
WARM, REQUESTS = 300, 2000


def bare() -> FastAPI:
    """The yardstick: one route, no middleware, FastAPI's own encoder."""
    app = FastAPI()
    engine = make_engine(os.environ["ROSETTA_DATABASE_URL"]).execution_options(isolation_level="AUTOCOMMIT")
    # The statement of the question measured: a unit by number, one model, the newest probe set.
    statement = _statement("name", True, False, False, False)

    @app.get("/matches/{number}")
    def matches(number: int) -> Any:
        values = {"model": GAN, "number": number, "neighbour": NET, "top": KEEP, "limit": 1001}
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement, values).mappings()]

    return app


def service() -> FastAPI:
    """The service, as `rosetta up` runs it."""
    return create_app(Settings(broker_url="memory://"))


def run() -> dict[str, Any]:
    """The figures: medians of interleaved requests."""
    with ExitStack() as stack:
        engine, settings = stack.enter_context(store())
        with engine.begin() as connection:
            _seed(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
        ours = stack.enter_context(_Served("service", settings))
        theirs = stack.enter_context(_Served("bare", settings))
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        rng = random.Random(0)
        for number in range(WARM + REQUESTS):
            unit = rng.randrange(960)
            one = ours.seconds(f"/v1/models/{GAN}/units/{unit}/matches?in={NET}&top={KEEP}")
            other = theirs.seconds(f"/matches/{unit}")
            if number >= WARM:
                seconds["ours"].append(one)
                seconds["theirs"].append(other)
    quantiles = statistics.quantiles(seconds["ours"], n=20)
    p50, bare_p50 = statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])
    return {
        "ratio_to_sql": p50 / bare_p50,
        "p50_ms": 1e3 * p50,
        "p95_ms": 1e3 * quantiles[-1],
        "bare_p50_ms": 1e3 * bare_p50,
        "bare_p95_ms": 1e3 * statistics.quantiles(seconds["theirs"], n=20)[-1],
        "rows": KEEP,
        "requests": REQUESTS,
    }


def _seed(connection: sa.Connection) -> None:
    rng = np.random.default_rng(0)
    sizes = {name: sum(channels for _, channels in layers) for name, layers in MODELS.items()}
    ids = {
        name: zoo.add_model(connection, name, layers, family=name, generator=name == GAN)
        for name, layers in MODELS.items()
    }
    probe_set = zoo.add_probe(connection, "faces", generator=ids[GAN])
    for name, model in ids.items():
        zoo.add_profile(connection, probe_set, model, sizes[name])
    names = list(MODELS)
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            r = rng.uniform(-1, 1, (sizes[name], sizes[other])).astype(np.float32)
            zoo.add_pair(connection, probe_set, ids[name], ids[other], r, keep=KEEP)


class _Served:
    """An application of this file under uvicorn, and one open connection to it."""

    def __init__(self, application: str, settings: Settings) -> None:
        self._application = application
        self._environment = {
            **os.environ,
            "ROSETTA_DATABASE_URL": settings.database_url or "",
            "ROSETTA_DATA_DIR": str(settings.data_dir),
        }

    def __enter__(self) -> _Served:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.match_http", self._application, str(listener.fileno())],
                env=self._environment,
                pass_fds=[listener.fileno()],
            )
            port = listener.getsockname()[1]
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def seconds(self, path: str) -> float:
        """Seconds from the first byte of a request to the last of its answer.

        Raises:
            RuntimeError: when the answer is no success.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        begun = time.perf_counter()
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        spent = time.perf_counter() - begun
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {body.decode()}")
        return spent

    def _receive(self) -> bytes:
        if piece := self._socket.recv(1 << 16):
            return piece
        raise RuntimeError("the server closed the connection")


def _serve(application: FastAPI, descriptor: int) -> None:
    """Serves until SIGTERM. Not by uvicorn's --fd, which takes TCP for a Unix socket and leaves Nagle's delay on."""
    config = uvicorn.Config(application, access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve({"service": service, "bare": bare}[sys.argv[1]](), int(sys.argv[2]))
