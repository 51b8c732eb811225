"""Starting again what dies, and giving up on what keeps dying."""

import sys
import time

import pytest

from rosetta.errors import Unavailable
from service.stack import supervisor as supervising
from service.stack.children import GAVE_UP, Child
from service.stack.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(supervising, "_FIRST_DELAY_S", 0.01)


@pytest.fixture
def told():
    return []


@pytest.fixture
def supervisor(told):
    supervisor = Supervisor(told.append)
    yield supervisor
    supervisor.stop()


def shell(tmp_path, script, **options):
    return Child("thing", ["/bin/sh", "-c", script], {}, tmp_path, tmp_path / "thing.log", **options)


def check_until(supervisor, condition, patience_s=20):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        supervisor.check()
        time.sleep(0.005)


def test_what_dies_starts_again(tmp_path, supervisor, told):
    child = shell(tmp_path, "sleep 60")
    supervisor.start(child)
    first = child.process.pid
    child.process.kill()
    check_until(supervisor, lambda: child.alive and child.process.pid != first)
    assert told == [
        "the thing died, killed by SIGKILL: it said nothing (log: {}); it starts again in 0.0 s".format(
            tmp_path / "thing.log"
        )
    ]


def test_what_keeps_dying_ends_it_with_reason_and_log(tmp_path, supervisor, told):
    supervisor.start(shell(tmp_path, "echo no such model; exit 4"))
    with pytest.raises(Unavailable, match=r"thing died 5 times in a row, .*exit code 4: no such model \(log: .*\)"):
        check_until(supervisor, lambda: False)
    assert len(told) == supervising.MAX_DEATHS - 1


def test_delays_grow(tmp_path, supervisor, told, monkeypatch):
    monkeypatch.setattr(supervising, "_FIRST_DELAY_S", 0.1)
    monkeypatch.setattr(supervising, "_LONGEST_DELAY_S", 0.3)
    supervisor.start(shell(tmp_path, "exit 1"))
    with pytest.raises(Unavailable):
        check_until(supervisor, lambda: False)
    assert [line.rpartition("in ")[2] for line in told] == ["0.1 s", "0.2 s", "0.3 s", "0.3 s"]


def test_who_gave_up_by_itself_is_not_started_again(tmp_path, supervisor, told):
    supervisor.start(shell(tmp_path, f"echo needs torch; exit {GAVE_UP}"))
    with pytest.raises(Unavailable, match=r"^the thing gave up: needs torch \(log: "):
        check_until(supervisor, lambda: False)
    assert told == []


def test_who_lived_long_begins_anew(tmp_path, supervisor, monkeypatch):
    monkeypatch.setattr(supervising, "STEADY_S", 0.02)
    child = shell(tmp_path, "sleep 60")
    supervisor.start(child)
    for _ in range(supervising.MAX_DEATHS + 1):
        check_until(supervisor, lambda: child.alive)
        time.sleep(0.03)
        supervisor.check()
        child.process.kill()
        check_until(supervisor, lambda: not child.alive)


def test_stop_goes_in_reverse_and_does_not_wait_for_ever(tmp_path, supervisor):
    order = tmp_path / "order"
    script = "trap 'echo {0} >> {1}; exit' TERM; echo ready; while :; do sleep 0.02; done"
    children = [shell(tmp_path, script.format(name, order)) for name in ("first", "second")]
    children.append(shell(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.02; done", patience_s=0.2))
    for child in children:
        supervisor.start(child)
    check_until(supervisor, lambda: (tmp_path / "thing.log").read_text().count("ready") == 3)
    supervisor.stop()
    assert order.read_text().split() == ["second", "first"]
    assert not any(child.alive for child in children)


def test_a_child_hears_nothing_of_the_terminal(tmp_path, supervisor):
    import os

    child = Child("thing", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path)
    supervisor.start(child)
    assert os.getpgid(child.process.pid) == child.process.pid
