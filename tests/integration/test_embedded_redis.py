"""The embedded Redis on a real socket: start, adopt, kill -9, damaged files."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import redis

from rosetta.errors import Unavailable
from service.embedded import RedisServer

START = (
    "import sys; from pathlib import Path; from service.embedded import RedisServer; "
    "print(RedisServer.start(Path(sys.argv[1])).pid)"
)


@pytest.fixture
def server(tmp_path):
    with RedisServer.start(tmp_path) as server:
        yield server
    assert RedisServer.find(tmp_path) is None
    assert not server.socket.parent.exists()


@pytest.fixture
def client(server):
    client = redis.Redis(unix_socket_path=str(server.socket))
    yield client
    client.close()


def test_it_listens_on_a_private_socket_alone(server, client):
    assert server.url == f"redis+socket://{server.socket}"
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    assert len(str(server.socket)) <= 107
    assert not [c for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_a_live_server_is_adopted(server):
    again = RedisServer.start(server.data_dir)
    assert (again.pid, again.adopted) == (server.pid, True)


def test_messages_survive_kill_9(server, client):
    client.rpush("queue", "doorbell")
    os.kill(server.pid, signal.SIGKILL)
    again = RedisServer.start(server.data_dir)
    assert again.pid != server.pid
    assert client.lrange("queue", 0, -1) == [b"doorbell"]


def test_a_removed_socket_is_made_again(server, client):
    server.socket.unlink()
    again = RedisServer.start(server.data_dir)
    assert again.pid != server.pid
    assert not server.alive
    assert client.ping()


def test_a_damaged_file_is_set_aside(server):
    server.stop()
    for file in (server.data_dir / "redis").rglob("*.aof"):  # one file until Redis 6, several from 7 on
        file.write_bytes(b"*1\r\n$4\r\nOOPS\r\ngarbage\r\n" * 3)
    again = RedisServer.start(server.data_dir)
    assert again.alive
    kept = list(server.data_dir.glob("redis.unreadable-*"))
    assert len(kept) == 1
    assert any(kept[0].rglob("*.aof"))


def test_six_starts_at_once_end_with_one_server(tmp_path):
    starts = [
        subprocess.Popen([sys.executable, "-c", START, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    pids = {start.communicate(timeout=60)[0] for start in starts}
    RedisServer.find(tmp_path).stop()
    assert len(pids) == 1


def test_a_missing_server_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("service.embedded.redis.shutil.which", lambda name: None)
    monkeypatch.setattr("service.embedded.redis.importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"there is no redis-server: .*ROSETTA_BROKER_URL"):
        RedisServer.start(tmp_path)


def test_a_server_that_will_not_start_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr("service.embedded.redis.find_binary", lambda: "/bin/false")
    with pytest.raises(Unavailable, match=r"Redis did not start: .*\(log: .*redis\.log\)"):
        RedisServer.start(tmp_path)
