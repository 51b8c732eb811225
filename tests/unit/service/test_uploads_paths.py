"""Weights references: what lies in a weights folder can be named, and nothing else."""

from __future__ import annotations

import pytest

from rosetta.errors import InvalidRequest
from service import uploads
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "weights" / "deep").mkdir(parents=True)
    (tmp_path / "weights" / "deep" / "net.pt").write_bytes(b"net")
    (tmp_path / "secret.pt").write_bytes(b"secret")
    (tmp_path / "data" / "uploads" / ("0" * 64)).mkdir(parents=True)
    (tmp_path / "data" / "uploads" / ("0" * 64) / "up.pt").write_bytes(b"up")
    (tmp_path / "weights" / "out").symlink_to(tmp_path)
    (tmp_path / "weights" / "link.pt").symlink_to(tmp_path / "weights" / "deep" / "net.pt")
    return Settings(data_dir=tmp_path / "data", weights_dirs=(tmp_path / "weights",))


def test_files_inside(settings, tmp_path):
    net = tmp_path / "weights" / "deep" / "net.pt"
    for reference in ("deep/net.pt", str(net), "link.pt"):
        assert uploads.resolve_weights(settings, reference) == net.resolve()
    assert uploads.resolve_weights(settings, f"{'0' * 64}/up.pt").read_bytes() == b"up"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        ".",
        "deep",
        "nothing.pt",
        "../secret.pt",
        "deep/../../secret.pt",
        "out/secret.pt",
        "/etc/passwd",
        "a\0b",
        "~/x",
        "x" * 5000,
    ],
)
def test_everything_else(settings, reference):
    with pytest.raises(InvalidRequest, match="ROSETTA_WEIGHTS_DIRS") as refused:
        uploads.resolve_weights(settings, reference)
    assert "\n" not in refused.value.message


def test_an_absolute_path_outside_is_as_if_it_were_not_there(settings, tmp_path):
    messages = set()
    for name in ("secret.pt", "absent.pt"):
        with pytest.raises(InvalidRequest) as refused:
            uploads.resolve_weights(settings, str(tmp_path / name))
        messages.add(refused.value.message.replace(name, "NAME"))
    assert len(messages) == 1


def test_what_a_killed_service_left_is_forgotten(settings):
    import os

    incoming = settings.data_dir / "incoming"
    incoming.mkdir()
    for name, age in (("old", 2 * 86400), ("new", 60)):
        (incoming / name).write_bytes(b"part")
        stat = (incoming / name).stat()
        os.utime(incoming / name, (stat.st_mtime - age, stat.st_mtime - age))
    uploads.forget_old(settings)
    assert [path.name for path in incoming.iterdir()] == ["new"]
