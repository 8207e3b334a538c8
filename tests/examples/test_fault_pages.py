"""The pages of faults are complete, and what they say of exceptions is so.

Each public fault has its row in the overview and its heading, and says what lifting it does. The table of exceptions is
read off `socket`, `ssl`, `asyncio` and `http.client` here; the snippets of the pages are run in `test_docs.py`.
"""

from __future__ import annotations

import asyncio
import http.client
import inspect
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import pytest_netfixtures as face
from pytest_netfixtures import Corrupt, Drop, NetLab, Reset, ServerConnection, Stall, TcpProxy, Truncate
from pytest_netfixtures._wire.narrowing import Narrowable

DOCS = Path(__file__).resolve().parents[2] / "docs"
FAULTS = [
    name
    for name in face.__all__
    if inspect.isclass(thing := getattr(face, name)) and issubclass(thing, Narrowable)
]
METHODS = ["on_connections", "sometimes", "times", "after_seconds", "when", "optional"]


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


PAGES = {name: page(name) for name in ("faults-streams", "faults-datagrams")}


def test_there_are_faults() -> None:
    assert len(FAULTS) == 19


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_row_a_heading_a_picture_a_snippet_and_an_entry(name: str) -> None:
    section = next(text for text in PAGES.values() if re.search(rf"^##+ {name}$", text, re.MULTILINE))
    section = re.split(r"^##+ ", section.partition(f"# {name}\n")[2], flags=re.MULTILINE)[0]
    assert re.search(rf"^\| \[`{name}\(.*\|$", page("faults"), re.MULTILINE)
    assert "```text\n" in section and f"{name}(" in section.partition("```python\n")[2]
    assert "**Client**" in section and "**Lifted**" in section
    assert f".. autoclass:: {name}\n" in page("api")


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_says_what_lifting_does(name: str) -> None:
    assert re.search(r"^Lifted: \S", inspect.getdoc(getattr(face, name)) or "", re.MULTILINE)


@pytest.mark.parametrize("name", METHODS)
def test_each_narrowing_has_a_row(name: str) -> None:
    assert hasattr(Narrowable, name)
    assert page("faults").count(f"| `.{name}(") >= 2


def test_the_methods_of_the_page_are_those_that_there_are() -> None:
    public = {name for name in vars(Narrowable) if not name.startswith("_")}
    assert public - {"unfit", "by_chance"} == set(METHODS)


def test_the_reference_has_every_public_name() -> None:
    listed = set(
        re.findall(r"^\.\. (?:auto)?(?:class|function|exception|data):: (\w+)", page("api"), re.MULTILINE)
    )
    twins = {f"{name}_async" for name in listed if name.startswith("assert_")}
    assert listed | twins | {"__version__", "profiles"} == set(face.__all__)
    assert all(
        f"`{name}`" in page("profiles") for name in face.profiles.__all__ if name.isupper() and name != "ALL"
    )


# What the client sees. The faults stand in `to_client`.


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


def read(client: Any) -> bytes:
    """All that comes until the end."""
    data = b""
    while more := client.recv(100):
        data += more
    return data


def test_after_a_reset_the_calls_say_something_else(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=3))
    with socket.create_connection(proxy.address, timeout=10) as client:
        client.sendall(b"abcdefg")
        with pytest.raises(ConnectionResetError):
            read(client)
        assert client.recv(100) == b""
        for _ in range(2):
            with pytest.raises(BrokenPipeError):
                client.send(b"h")


def test_a_send_may_be_the_first_to_meet_a_reset(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=3))
    with socket.create_connection(proxy.address, timeout=10) as client:
        client.sendall(b"abcdefg")
        lab.wait_for(lambda: proxy.traffic.to_client.end == "RST")
        with pytest.raises(ConnectionResetError):
            client.send(b"h")
        with pytest.raises(BrokenPipeError):
            client.send(b"h")
        assert read(client) == b"abc"


# TLS, which a proxy passes on as it is.


class Tls:
    """A TLS server that says hello, behind a proxy; and what a client needs."""

    def __init__(self, lab: NetLab) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.proxy: TcpProxy = lab.tcp_proxy(lab.tcp_server(self._talk))

    def _talk(self, conn: ServerConnection) -> None:
        """The handshake, then what comes is sent back; both through memory, because `conn` is no socket."""
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.server.wrap_bio(coming, going, server_side=True)
        greeted = False
        while True:
            try:
                if greeted:
                    tls.write(tls.read(100))
                else:
                    tls.do_handshake()
                    greeted = True
            except ssl.SSLWantReadError:
                conn.send(going.read())
                if not (data := conn.recv(65536)):
                    return
                coming.write(data)
            except ssl.SSLError:
                return

    def connect(self, timeout: float = 10) -> ssl.SSLSocket:
        plain = socket.create_connection(self.proxy.address, timeout=timeout)
        return self.client.wrap_socket(plain, server_hostname="localhost")

    def greeted(self) -> ssl.SSLSocket:
        """A client that has been answered once, so that nothing of the handshake is on its way."""
        client = self.connect()
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        return client


@pytest.fixture
def tls(lab: NetLab) -> Tls:
    return Tls(lab)


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Corrupt(rate=1.0), ssl.SSLError), (Stall(), TimeoutError), (Drop(), TimeoutError)],
)
def test_tls_once_the_handshake_is_over(tls: Tls, fault: Any, error: type[Exception]) -> None:
    with tls.greeted() as client, tls.proxy.fault(to_client=fault):
        client.sendall(b"again")
        client.settimeout(0.1 if error is TimeoutError else 10)
        with pytest.raises(error):
            read(client)


def test_tls_meets_a_reset_reading(tls: Tls) -> None:
    with tls.greeted() as client, tls.proxy.fault(to_client=Reset()):
        try:
            assert read(client) == b"" and sys.version_info < (3, 13)  # python/cpython#115627
        except ConnectionResetError:
            pass


def test_tls_meets_a_reset_sending(lab: NetLab, tls: Tls) -> None:
    with tls.greeted() as client, tls.proxy.fault(to_client=Reset()):
        lab.wait_for(lambda: tls.proxy.traffic.to_client.end == "RST")
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            client.sendall(b"again")


def test_tls_takes_a_fin_after_the_handshake_for_a_clean_end(tls: Tls) -> None:
    with tls.greeted() as client, tls.proxy.fault(to_client=Truncate()):
        assert client.recv(100) == b""


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Truncate(after=3), ssl.SSLEOFError),
        (Reset(after=3), ConnectionResetError),
        (Corrupt(at=range(5, 100)), ssl.SSLError),
        (Stall(), TimeoutError),
    ],
)
def test_tls_within_the_handshake(tls: Tls, fault: Any, error: type[Exception]) -> None:
    tls.proxy.set_faults(to_client=fault)
    with pytest.raises(error):
        tls.connect(timeout=0.2 if error is TimeoutError else 10)


# asyncio


async def ask(address: Any, read: Callable[[asyncio.StreamReader], Any]) -> Any:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"abcdefg")
        return await asyncio.wait_for(read(reader), 0.2)
    finally:
        writer.close()


async def until_the_end(reader: asyncio.StreamReader) -> bytes:
    return await reader.read(-1)


async def exactly(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(7)


@pytest.mark.parametrize(
    ("read", "fault", "error"),
    [
        (until_the_end, Reset(after=3), ConnectionResetError),
        (until_the_end, Stall(), asyncio.TimeoutError),
        (exactly, Truncate(after=3), asyncio.IncompleteReadError),
        (exactly, Reset(after=3), ConnectionResetError),
        (exactly, Stall(), asyncio.TimeoutError),
    ],
)
def test_asyncio_streams(lab: NetLab, read: Any, fault: Any, error: type[BaseException]) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=fault)
    with pytest.raises(error):
        asyncio.run(ask(proxy.address, read))


def test_asyncio_reads_to_a_fin(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Truncate(after=3))
    assert asyncio.run(ask(proxy.address, until_the_end)) == b"abc"


# http.client


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Truncate(at=0), http.client.RemoteDisconnected),
        (Reset(at=0), ConnectionResetError),
        (Stall(), TimeoutError),
        (Corrupt(at=0), http.client.BadStatusLine),
        (Truncate(after=5).when(b"\r\n\r\n"), http.client.IncompleteRead),
        (Reset(after=5).when(b"\r\n\r\n"), ConnectionResetError),
        (Stall().when(b"\r\n\r\n"), TimeoutError),
    ],
)
def test_http_client(lab: NetLab, fault: Any, error: type[Exception]) -> None:
    proxy = lab.tcp_proxy(lab.http_echo(), to_client=fault)
    client = http.client.HTTPConnection(*proxy.address, timeout=0.2 if error is TimeoutError else 10)
    with pytest.raises(error):
        client.request("GET", "/")
        client.getresponse().read()
    client.close()


# What the table of WireMock's words writes.


def http_get(proxy: TcpProxy) -> tuple[bytes, str]:
    with socket.create_connection(proxy.address, timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return read(client), "FIN"
        except ConnectionResetError:
            return b"", "RST"


GARBAGE = b"lskdu018973t09sylgasjkfg1"


@pytest.mark.parametrize(
    ("row", "begins", "ends", "how"),
    [
        ([Reset(at=0)], b"", b"", "RST"),
        ([Truncate(at=0)], b"", b"", "FIN"),
        (
            [face.Insert(GARBAGE, at=0).when(b"\r\n\r\n"), Truncate(after=len(GARBAGE)).when(b"\r\n\r\n")],
            b"HTTP/1.1 200 OK\r\n",
            b"\r\n\r\n" + GARBAGE,
            "FIN",
        ),
        ([face.Insert(GARBAGE, at=0), Truncate(after=len(GARBAGE))], GARBAGE, GARBAGE, "FIN"),
    ],
)
def test_the_words_of_wiremock(lab: NetLab, row: list[Any], begins: bytes, ends: bytes, how: str) -> None:
    got, end = http_get(lab.tcp_proxy(lab.http_echo(), to_client=row))
    assert got.startswith(begins) and got.endswith(ends) and end == how
    assert len(got) >= len(ends)
    if not ends:
        assert got == b""


# What the other tables write for the words of Toxiproxy, and for loss on a stream.


@pytest.mark.parametrize(
    ("row", "how"),
    [
        ([Drop(), Truncate().after_seconds(0.05)], "FIN"),
        ([Drop(), Reset().after_seconds(0.05)], "RST"),
        ([face.Stall(after=0, seconds=0.05), Truncate(at=5)], "FIN"),
    ],
)
def test_silence_and_then_an_end(lab: NetLab, row: list[Any], how: str) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=row)
    began = time.monotonic()
    with socket.create_connection(proxy.address, timeout=10) as client:
        client.sendall(b"hello and goodbye")
        try:
            got, end = read(client), "FIN"
        except ConnectionResetError:
            got, end = b"", "RST"
    assert end == how and time.monotonic() - began >= 0.05
    assert got == (b"hello" if Drop() not in row else b"")
