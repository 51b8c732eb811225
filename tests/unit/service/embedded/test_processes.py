"""Recognising and ending processes, and the private folders of sockets."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rosetta.errors import Unavailable
from service.embedded import processes


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "the-mark"])
    yield process
    process.kill()
    process.wait()


def test_a_zombie_is_dead(child):
    assert processes.find(child.pid)
    child.kill()
    while processes.find(child.pid):
        time.sleep(0.01)
    assert os.path.exists(f"/proc/{child.pid}") or sys.platform != "linux"


def test_processes_are_found_by_user_and_command_line(child):
    assert [p.pid for p in processes.find_by_title(os.geteuid(), lambda t: "the-mark" in t)] == [child.pid]
    assert processes.find_by_title(os.geteuid() + 1, lambda t: "the-mark" in t) == []


def test_end_goes_on_to_the_harder_signal(child):
    import psutil

    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    )
    stubborn = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    stubborn.stdout.read(1)
    assert not processes.end([psutil.Process(stubborn.pid)], [(signal.SIGTERM, 0.2)])
    assert processes.end([psutil.Process(stubborn.pid)], [(signal.SIGTERM, 0.1), (signal.SIGKILL, 5)])
    stubborn.communicate()


def test_a_launched_program_is_detached_and_its_words_go_to_the_log(tmp_path):
    log = processes.open_log(tmp_path / "logs" / "x.log")
    pid = processes.launch(["/bin/sh", "-c", "echo said; echo err >&2; sleep 60"], log, tmp_path)
    try:
        assert os.getsid(pid) != os.getsid(0)
        while "err" not in log.read_text():
            time.sleep(0.01)
        assert log.read_text() == "said\nerr\n"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_program_that_is_not_there_says_so_in_the_log(tmp_path):
    log = processes.open_log(tmp_path / "x.log")
    pid = processes.launch([str(tmp_path / "missing")], log, tmp_path)
    while processes.find(pid):
        time.sleep(0.01)
    assert "cannot run" in log.read_text()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path):
    folder = processes.socket_folder(tmp_path, "test")
    processes.make_private(folder, None)
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(Unavailable, match="belongs to another user"):
            processes.make_private(folder, None)
    finally:
        folder.unlink()


def test_two_data_directories_have_two_socket_folders(tmp_path):
    assert processes.identity(tmp_path / "a") != processes.identity(tmp_path / "b")
    assert processes.identity(tmp_path / "a" / ".." / "b") == processes.identity(tmp_path / "b")


def test_whether_any_user_may_walk_there(tmp_path):
    assert processes.open_to_all(tmp_path) == bool(tmp_path.parent.stat().st_mode & 1)
    (tmp_path / "shut").mkdir(mode=0o700)
    assert not processes.open_to_all(tmp_path / "shut" / "data")


def test_a_long_log_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_LOG_LIMIT", 3)
    log = tmp_path / "x.log"
    log.write_text("long")
    assert processes.open_log(log).read_text() == ""
    assert (tmp_path / "x.log.1").read_text() == "long"


def test_the_tail_of_a_log_is_one_line():
    assert processes.tail(["", "one", "two ", " ", "three", "four"]) == "two | three | four"
    assert processes.tail([]) == "it said nothing"
