"""`rosetta up` and `down` as people use them: real processes, killed in every way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from service.embedded import PostgresServer, RedisServer
from service.stack import state, strays

ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]


def rosetta(data_dir, *arguments, **variables):
    environment = {**os.environ, "ROSETTA_DATA_DIR": str(data_dir), **variables}
    return subprocess.run(
        [*ROSETTA, *arguments], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


def eventually(condition, what, patience_s=30.0):
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {patience_s:.0f} s"
        time.sleep(0.05)
    return found


def is_ready(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def child(data_dir, mark):
    found = strays.find(data_dir, lambda title: mark in title)
    return found[0].pid if len(found) == 1 else None


def assert_nothing_runs(data_dir):
    assert strays.find(data_dir) == []
    assert PostgresServer.find(data_dir) is None
    assert RedisServer.find(data_dir) is None
    assert state.owner(data_dir) is None
    assert not (data_dir / "stack.json").exists()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data directory on which a stack runs in the background."""
    folder = tmp_path_factory.mktemp("stack")
    done = rosetta(folder, "up", "--detach")
    assert done.returncode == 0, done.stderr
    assert "Rosetta is up: http://127.0.0.1:" in done.stdout
    yield folder
    done = rosetta(folder, "down")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stopped; the data stay in {folder}\n"
    assert_nothing_runs(folder)


@pytest.fixture
def stack(data_dir):
    running = state.running(data_dir)
    eventually(lambda: is_ready(running.url), "readiness")
    return running


def test_it_is_ready_when_up_returns_and_only_we_may_read_its_passwords(data_dir, stack):
    assert is_ready(stack.url)
    assert (data_dir / "stack.json").stat().st_mode & 0o777 == 0o600
    assert {p.name for p in (data_dir / "logs").iterdir()} >= {"postgres.log", "redis.log", "worker.log", "api.log"}


def test_a_second_up_says_where_it_is(data_dir, stack):
    for arguments in (("up",), ("up", "--detach", "--port", "1")):
        done = rosetta(data_dir, *arguments)
        assert done.returncode == 0, done.stderr
        assert f"Rosetta already runs: {stack.url}" in done.stdout


def test_single_processes_use_the_stack_that_runs(data_dir, stack):
    done = rosetta(data_dir, "migrate")
    assert done.returncode == 0, done.stderr
    assert "the database is up to date" in done.stdout


def test_doctor_finds_all_well(data_dir, stack):
    def healthy():
        done = rosetta(data_dir, "doctor", "--json")
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        return checks if done.returncode == 0 else None

    checks = eventually(healthy, "a worker's first sweep")
    assert "pgvector 0.8" in checks["database"]["value"]
    assert checks["workers"]["value"] == "1 at work"
    assert "(environment)" in checks["ROSETTA_DATA_DIR"]["value"]
    assert "(default)" in checks["ROSETTA_DEVICE"]["value"]


@pytest.mark.parametrize("mark", ["workers.app", "service.stack.worker", "service.stack.api"])
def test_a_killed_process_is_started_again(data_dir, stack, mark):
    victim = eventually(lambda: child(data_dir, mark), f"one {mark}")
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: child(data_dir, mark) not in (None, victim), f"another {mark}")
    eventually(lambda: child(data_dir, "workers.app"), "exactly one Celery worker")
    eventually(lambda: is_ready(stack.url), "readiness")


@pytest.mark.parametrize("server", [PostgresServer, RedisServer])
def test_a_killed_server_is_started_again(data_dir, stack, server):
    victim = server.find(data_dir)
    os.kill(victim.pid, signal.SIGKILL)

    def another():
        now = server.find(data_dir)
        return now if now and now.pid != victim.pid else None

    assert eventually(another, "another server").url == victim.url
    eventually(lambda: is_ready(stack.url), "readiness")
    assert state.running(data_dir) == stack


def test_after_kill_9_of_the_parent_the_next_up_cleans_and_starts(data_dir, stack):
    left = {process.pid for process in strays.find(data_dir)}
    assert len(left) == 3
    os.kill(stack.pid, signal.SIGKILL)
    eventually(lambda: state.running(data_dir) is None, "the parent's end")
    port = stack.url.rpartition(":")[2]
    done = rosetta(data_dir, "up", "--detach", "--port", port)  # the port is free: its orphaned holder was ended
    assert done.returncode == 0, done.stderr
    assert "ended what a killed stack had left behind" in done.stderr
    assert state.running(data_dir).url == stack.url
    assert not left & {process.pid for process in strays.find(data_dir)}


def test_down_cleans_up_after_a_killed_parent(tmp_path):
    assert rosetta(tmp_path, "up", "--detach").returncode == 0
    os.kill(state.running(tmp_path).pid, signal.SIGKILL)
    done = rosetta(tmp_path, "down")
    assert (done.returncode, done.stdout) == (0, f"stopped; the data stay in {tmp_path}\n")
    assert_nothing_runs(tmp_path)
    done = rosetta(tmp_path, "down")
    assert (done.returncode, done.stdout) == (0, f"nothing runs on {tmp_path}\n")


def test_ctrl_c_stops_everything(tmp_path):
    environment = {**os.environ, "ROSETTA_DATA_DIR": str(tmp_path)}
    with subprocess.Popen([*ROSETTA, "up"], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        eventually(lambda: state.running(tmp_path), "a running stack")
        assert "stop  Ctrl-C" in "".join(parent.stdout.readline() for _ in range(5))
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) == 0
    assert_nothing_runs(tmp_path)


@pytest.mark.parametrize("moment", ["postgres.new-*", "logs/redis.log", "logs/worker.log"])
def test_ctrl_c_while_it_starts_leaves_a_usable_folder(tmp_path, moment):
    environment = {**os.environ, "ROSETTA_DATA_DIR": str(tmp_path)}
    with subprocess.Popen([*ROSETTA, "up"], env=environment, stderr=subprocess.PIPE, text=True) as parent:
        eventually(lambda: list(tmp_path.glob(moment)), moment)
        parent.send_signal(signal.SIGINT)
        said = parent.communicate(timeout=60)[1]
    assert parent.returncode == 130
    assert said.splitlines()[-1] == "rosetta: interrupted"
    assert_nothing_runs(tmp_path)
    with PostgresServer.start(tmp_path, durable=False) as server:
        server.check()


def test_two_stacks_side_by_side(data_dir, stack, tmp_path):
    done = rosetta(tmp_path, "up", "--detach")
    assert done.returncode == 0, done.stderr
    other = state.running(tmp_path)
    assert other.url != stack.url
    assert is_ready(other.url)
    assert rosetta(tmp_path, "down").returncode == 0
    assert is_ready(stack.url)


def test_a_port_that_was_asked_for_and_is_taken_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        for arguments in (("up", "--port", str(port)), ("up", "--detach", "--port", str(port))):
            done = rosetta(tmp_path, *arguments)
            assert done.returncode in (1, 3)
            last = done.stderr.splitlines()[-1]
            assert last.startswith(
                f"rosetta: port {port} is taken by {psutil.Process().name()} (process {os.getpid()})"
            )
            assert "choose another port (--port " in last
    assert_nothing_runs(tmp_path)


@pytest.mark.parametrize("command", [["up"], ["up", "--detach"], ["api"]])
def test_listening_to_the_world_without_keys_is_refused(data_dir, stack, tmp_path, command):
    folder = data_dir if command == ["api"] else tmp_path / "new"
    done = rosetta(folder, *command, "--host", "0.0.0.0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ROSETTA_API_KEYS" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["worker", "api", "migrate"])
def test_single_processes_without_urls_and_stack_are_one_clear_line(tmp_path, command):
    done = rosetta(tmp_path, command)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "ROSETTA_DATABASE_URL" in done.stderr
    assert "rosetta up" in done.stderr


def test_with_both_urls_no_server_is_embedded(tmp_path, empty_database_url, redis_url):
    urls = {"ROSETTA_DATABASE_URL": empty_database_url, "ROSETTA_BROKER_URL": redis_url}
    done = rosetta(tmp_path, "up", "--detach", **urls)
    assert done.returncode == 0, done.stderr
    running = state.running(tmp_path)
    assert (running.database_url, running.broker_url) == (empty_database_url, redis_url)
    assert not (tmp_path / "postgres").exists()
    assert not (tmp_path / "redis").exists()
    assert rosetta(tmp_path, "down").returncode == 0


def test_a_database_that_is_away_is_one_clear_line(tmp_path, redis_url):
    urls = {"ROSETTA_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/db", "ROSETTA_BROKER_URL": redis_url}
    for arguments in (("up",), ("up", "--detach"), ("migrate",)):
        done = rosetta(tmp_path, *arguments, **urls)
        assert done.returncode == 3
        assert "cannot use the database 'db' at 127.0.0.1:1" in done.stderr.splitlines()[-1]
        assert "secret" not in done.stderr
    assert_nothing_runs(tmp_path)


def test_doctor_without_a_service_says_the_mend(tmp_path):
    done = rosetta(tmp_path, "doctor", "--url", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert "mend: start it with `rosetta up`" in done.stdout
    assert Path(tmp_path).exists()
