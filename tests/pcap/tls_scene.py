"""TLS without sockets: both ends in memory, and what a server or proxy of ours would write down while they speak.

It knows the order in which entries have to come, and asserts nothing. `decrypted` is what tshark makes of the file.
"""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import trustme
from pcap import shark
from pcap.scene import Scene

from pytest_netfixtures._wire.entries import Address, Sealed, Secret, Side, TlsOpened, TlsStarted

Version: TypeAlias = Literal["TLSv1.2", "TLSv1.3"]
VERSIONS: dict[Version, ssl.TLSVersion] = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
SERVER = ("127.0.0.1", 46000)
QUESTION = "GET /{} HTTP/1.1\r\nHost: example.test\r\n\r\n"
ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}"


@cache
def authority() -> trustme.CA:
    """One for all tests of this process."""
    return trustme.CA()


@cache
def issued() -> trustme.LeafCert:
    """The certificate of every server here."""
    return authority().issue_cert("localhost", "127.0.0.1")


def contexts(version: Version) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a client and of a server that speak this version."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = client.maximum_version = VERSIONS[version]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued().configure_cert(server)
    return client, server


class Talk:
    """One connection under TLS. `ours` is the side that we are: "server" on a client leg, "client" on an upstream's."""

    def __init__(
        self, scene: Scene, log: Path, connection: int, leg: Side = "client", version: Version = "TLSv1.3"
    ):
        self.scene, self.connection, self.leg, self.version = scene, connection, leg, version
        self.ours: Side = "server" if leg == "client" else "client"
        self.log, self.read = log, log.stat().st_size if log.exists() else 0
        client, server = contexts(version)
        (server if self.ours == "server" else client).keylog_filename = str(log)
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.way = {"client": up, "server": down}
        self.held: dict[str, ssl.MemoryBIO] = {"client": ssl.MemoryBIO(), "server": ssl.MemoryBIO()}
        self.ends = {
            "client": client.wrap_bio(down, self.held["client"]),
            "server": server.wrap_bio(up, self.held["server"], server_side=True),
        }

    def open(self, client: Address, server: Address = SERVER, endpoint: str = "web") -> Talk:
        """The leg opens and shakes hands."""
        if self.leg == "server":
            self.scene.opening(self.connection, client, server, endpoint)
        self.scene.opened(self.connection, client, server, leg=self.leg, endpoint=endpoint)
        return self.start()

    def start(self) -> Talk:
        """The handshake on a leg that is open."""
        self.scene.feed(TlsStarted(self.scene.tick(), self.connection, self.leg))
        for side in ("client", "server") * 2:
            self.shake(side)
        self.scene.feed(
            TlsOpened(
                self.scene.tick(), self.connection, self.leg, self.version, "A-CIPHER", None, "localhost"
            )
        )
        return self

    def shake(self, side: str) -> None:
        """One side does what it can."""
        try:
            self.ends[side].do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.flush(side)

    def say(self, side: Side, data: bytes) -> None:
        """Application data of one side, which the other one reads."""
        self.ends[side].write(data)
        self.flush(side)
        other = self.ends["server" if side == "client" else "client"]
        got = b""
        while len(got) < len(data):
            got += other.read(1 << 20)

    def ask(self, name: str) -> Talk:
        """An HTTP request and its answer, in both of which the name stands."""
        self.say("client", QUESTION.format(name).encode())
        self.say("server", ANSWER.format(len(name), name).encode())
        return self

    def flush(self, side: str) -> None:
        """Keys first, then the bytes that need them."""
        self.secrets()
        data = self.held[side].read()
        if data:
            by = "us" if side == self.ours else "peer"
            at = self.scene.tick()
            self.scene.feed(Sealed(at, self.connection, self.leg, by, len(data), at), data)  # type: ignore[arg-type]
            self.way[side].write(data)

    def secrets(self) -> None:
        """What the key log has got since the last time."""
        if self.log.exists() and self.log.stat().st_size > self.read:
            text = self.log.read_text()[self.read :]
            self.read += len(text)
            self.scene.feed(Secret(self.scene.tick(), self.connection, self.leg, text))


def decrypted(tshark: str, path: Path, *options: str) -> list[tuple[int, str]]:
    """Stream and name of every HTTP request and answer that tshark finds under TLS."""
    fields = ["-T", "fields", "-e", "tcp.stream", "-e", "http.request.uri", "-e", "http.file_data"]
    done = shark.run(tshark, "-n", "-r", path, *options, "-Y", "tls && http", *fields)
    if done.returncode:
        raise AssertionError(f"tshark ended with {done.returncode}: {done.stderr}")
    found = [line.split("\t") for line in done.stdout.splitlines()]
    return [(int(stream), request.strip("/") or text(answer)) for stream, request, answer in found]


def text(data: str) -> str:
    """What tshark prints of a body: text, or from version 4.2 on hexadecimal digits."""
    try:
        return bytes.fromhex(data).decode()
    except ValueError:
        return data
