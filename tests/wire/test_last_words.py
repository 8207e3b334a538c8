"""One line about one connection: nothing from the wire unescaped, no secret, and no surprise in any state."""

from __future__ import annotations

import re

import pytest

from pytest_netfixtures._wire.entries import Delivered, LegEnded, LegOpened, Sent, TlsOpened, TlsStarted
from pytest_netfixtures._wire.last import COLUMNS, last_words
from pytest_netfixtures._wire.recorder import Recorder
from pytest_netfixtures._wire.redaction import DEFAULT_REDACTIONS
from pytest_netfixtures._wire.traffic import Connection

CLIENT, SERVER = ("127.0.0.1", 40122), ("127.0.0.1", 6379)


def connection(
    *parts: bytes, transport: str = "tcp", name: str = "redis", record_bytes: int = 1 << 20
) -> Connection:
    """What a client has said by second 3."""
    recorder = Recorder(record_bytes)
    recorder.add(LegOpened(1.0, 1, name, 1, "client", transport, CLIENT, SERVER), None)  # type: ignore[arg-type]
    for number, part in enumerate(parts):
        recorder.add(Sent(2.0, 1, "to_server", number, len(part)), part)
    if parts:
        recorder.add(Delivered(3.0, 1, "to_server", 0, len(parts[0]), 3.0), parts[0])
    return recorder.traffic().connections[0]


def test_it_says_who_how_much_how_long_and_why() -> None:
    line = last_words(connection(b"PING\r\n"), (), 4.25, ["Stall(after=3) to_client"])
    assert line == (
        "'redis' connection 1, 127.0.0.1:40122 > 127.0.0.1:6379: to_server 6 B sent, 6 B delivered, "
        'last "PING\\r\\n"; to_client 0 B sent, 0 B delivered; quiet for 1.2 s; faults: Stall(after=3) to_client'
    )


def test_a_connection_on_which_nothing_was_said_is_quiet_since_it_opened() -> None:
    assert "quiet for 9.0 s" in last_words(connection(), (), 10.0)


def test_a_handshake_that_goes_on_is_said_until_it_is_done() -> None:
    recorder = Recorder()
    recorder.add(LegOpened(1.0, 1, "redis", 1, "client", "tcp", CLIENT, SERVER), None)
    recorder.add(TlsStarted(1.0, 1, "client"), None)
    assert "; in a TLS handshake with the client; quiet" in last_words(
        recorder.traffic().connections[0], (), 2.0
    )
    recorder.add(TlsOpened(1.0, 1, "client", "TLSv1.3", "AES", None, None), None)
    assert "handshake" not in last_words(recorder.traffic().connections[0], (), 2.0)


def test_secrets_and_escapes_stay_out() -> None:
    line = last_words(
        connection(b"\x1b[31m\r\nAuthorization: Bearer abc\r\n", name="a\x1bb"), DEFAULT_REDACTIONS
    )
    assert line.isprintable() and "abc" not in line and "***" in line


def test_the_code_of_a_fault_is_masked_and_escaped_too() -> None:
    faults = ["Replace(b'token=', b'token=abcdef') to_server", "mine\x1b[0m"]
    line = last_words(connection(), (re.compile(b"token=([a-z]+)"),), faults=faults)
    assert line.isprintable() and "abcdef" not in line and "token=******" in line


def test_a_secret_whose_beginning_is_far_away_is_masked_too() -> None:
    data = b"\r\nAuthorization: Bearer " + b"s" * 10_000
    assert "s" * 5 not in last_words(connection(data), DEFAULT_REDACTIONS)


def test_only_the_end_is_shown_and_of_datagrams_the_last() -> None:
    line = last_words(connection(b"a" * 1000 + b"end"), ())
    assert f'last "...{"a" * (COLUMNS - 6)}end"' in line
    assert 'last "two"' in last_words(connection(b"one", b"two", transport="udp"), ())


def test_bytes_that_are_not_kept_are_not_guessed() -> None:
    assert "8 B sent, 8 B delivered, last bytes not kept" in last_words(
        connection(b"12345678", record_bytes=4), ()
    )


def test_without_bytes_there_are_sizes_alone() -> None:
    line = last_words(connection(b"PING"), (), with_bytes=False)
    assert "4 B sent" in line and "PING" not in line


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_an_end_is_said(how: str) -> None:
    recorder = Recorder()
    recorder.add(LegOpened(1.0, 1, "redis", 1, "client", "tcp", CLIENT, SERVER), None)
    recorder.add(LegEnded(1.5, 1, "client", "peer", how), None)  # type: ignore[arg-type]
    assert f"to_server 0 B sent, 0 B delivered, then {how}" in last_words(
        recorder.traffic().connections[0], ()
    )
