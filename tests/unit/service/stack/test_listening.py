"""Where the API listens, and who is in the way."""

import socket

import pytest

from rosetta.errors import Conflict, InvalidRequest
from service.settings import Settings
from service.stack import listening


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    listening.check_allowed(host, Settings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "zoo.example.org"])
def test_the_world_needs_keys(host):
    with pytest.raises(InvalidRequest, match="set ROSETTA_API_KEYS"):
        listening.check_allowed(host, Settings())
    listening.check_allowed(host, Settings(api_keys=("secret",)))


def test_without_a_port_8000_or_any_free_one():
    first = listening.listen("127.0.0.1", None)
    second = listening.listen("127.0.0.1", None)
    with first, second:
        assert first.getsockname() != second.getsockname()
        assert second.getsockname()[1] != listening.DEFAULT_PORT


def test_a_taken_port_names_who_and_another():
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(Conflict, match=rf"port {port} is taken by \S+ \(process \d+\): .*--port \d+ is free"):
            listening.listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_one_clear_line():
    with pytest.raises(InvalidRequest, match=r"cannot listen on 203\.0\.113\.1 port 8000: "):
        listening.listen("203.0.113.1", None)


def test_the_url_is_for_a_client_on_this_machine():
    with listening.listen("0.0.0.0", 0) as listener:
        assert listening.url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
