"""The server's name in a ClientHello, and in everything that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.tape import client_hello as hello

from pytest_netfixtures._wire.hello import is_client_hello, server_name


@pytest.mark.parametrize("name", ["localhost", "a.very.long.name.test", "xn--bcher-kva.test"])
def test_the_name_is_found(name: str) -> None:
    assert server_name(hello(name)) == name
    assert server_name(hello(name) + b"and more") == name


def test_an_address_is_no_name() -> None:
    assert server_name(hello("127.0.0.1")) is None
    assert server_name(hello(None)) is None


def test_it_is_found_across_records() -> None:
    whole = hello("localhost")
    body = whole[5:]
    torn = b"".join(
        whole[:3] + len(part).to_bytes(2, "big") + part
        for part in (body[i : i + 50] for i in range(0, len(body), 50))
    )
    assert server_name(torn) == "localhost"


def test_every_beginning_has_a_name_or_none() -> None:
    whole = hello("localhost")
    assert {server_name(whole[:size]) for size in range(len(whole))} == {None}


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 255))
def test_nothing_raises(junk: bytes, place: int, byte: int) -> None:
    whole = bytearray(hello("localhost"))
    whole[place % len(whole)] = byte
    for data in (junk, bytes(whole), b"\x16\x03\x01" + junk):
        found = server_name(data)
        assert found is None or isinstance(found, str)


def test_the_first_bytes_tell_a_hello() -> None:
    assert is_client_hello(hello("localhost")[:6])
    for other in (
        b"",
        hello("localhost")[:5],
        b"GET / HTTP/1.1",
        b"\x16\x03\x03\x00\x7a\x02",
        b"\x15\x03\x01\x00\x02\x01",
    ):
        assert not is_client_hello(other)
