"""NetLab as a block of its own, as unittest, Hypothesis and scripts use it: no error of a handler is lost."""

from __future__ import annotations

import socket

import pytest

from pytest_netfixtures import NetLab, ServerConnection


class WrongError(Exception):
    """What a handler of these tests raises."""


def goes_wrong(connection: ServerConnection) -> None:
    raise WrongError(connection.recv(100))


def ask(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address, 10) as client:
        client.sendall(data)
        return client.recv(100)


def test_a_handlers_error_is_joined_to_the_error_of_the_block() -> None:
    with pytest.raises(AssertionError, match="hello") as caught, NetLab() as lab:
        assert ask(lab.tcp_server(goes_wrong).address, b"one") == b"hello"
    assert isinstance(caught.value.__context__, WrongError)


def test_of_several_handlers_errors_none_is_lost() -> None:
    with pytest.raises(WrongError) as caught, NetLab() as lab:
        server = lab.tcp_server(goes_wrong)
        assert [ask(server.address, data) for data in (b"one", b"two")] == [b"", b""]
    other = caught.value.__context__
    assert isinstance(other, WrongError)
    assert {caught.value.args, other.args} == {(b"one",), (b"two",)}


def test_a_block_without_errors_raises_what_it_raised_and_nothing_else() -> None:
    with pytest.raises(KeyError) as caught, NetLab() as lab:
        lab.tcp_echo()
        raise KeyError("mine")
    assert caught.value.__context__ is None
