"""Who runs a stack on a data directory: the lock and what it says."""

import json
import subprocess
import sys

import psutil
import pytest

from rosetta.errors import Unavailable
from service import local
from service.stack import state
from service.stack.state import Lock, State

RUNNING = State(pid=0, url="http://127.0.0.1:1", database_url="postgresql://d", broker_url="redis://b", version="0")


@pytest.fixture
def mine(tmp_path):
    lock = Lock(tmp_path)
    assert lock.acquire()
    yield lock
    lock.release()


def ours(**changes):
    return State(**{**RUNNING.__dict__, "pid": psutil.Process().pid, **changes})


def test_one_at_a_time(tmp_path, mine):
    assert not Lock(tmp_path).acquire()
    mine.release()
    assert state.owner(tmp_path) is None
    other = Lock(tmp_path)
    assert other.acquire()
    other.release()


def test_a_running_stack_is_found(tmp_path, mine):
    assert state.running(tmp_path) is None  # it still starts
    ours().write(tmp_path)
    assert state.running(tmp_path) == ours()
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    state.remove(tmp_path)
    assert state.running(tmp_path) is None


def test_what_a_killed_stack_wrote_is_not_believed(tmp_path, mine):
    ours(pid=1).write(tmp_path)
    assert state.running(tmp_path) is None


def test_a_process_id_that_was_used_again_is_not_the_owner(tmp_path, mine):
    said = json.loads((tmp_path / "up.lock").read_text())
    (tmp_path / "up.lock").write_text(json.dumps({**said, "created": said["created"] - 100}))
    assert state.owner(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "created": null}'])
def test_a_damaged_lock_names_nobody(tmp_path, text):
    (tmp_path / "up.lock").write_text(text)
    assert state.owner(tmp_path) is None


def test_down_leaves_a_stack_alone_that_it_cannot_see(tmp_path):
    program = "import fcntl, sys; fcntl.flock(f := open(sys.argv[1], 'a'), 2); print('x', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "up.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.read(1)
    with pytest.raises(Unavailable, match="not as a process we can see"):
        local.down(tmp_path)
    assert holder.poll() is None
    holder.communicate(b"\n")


def test_down_where_nothing_is(tmp_path):
    assert not local.down(tmp_path / "missing")
    assert not local.down(tmp_path)
