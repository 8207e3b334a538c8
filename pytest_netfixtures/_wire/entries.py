"""What the journal writes down: facts, after they happened.

Law: an entry is a value without the bytes; the bytes travel beside it (`sink(entry, data)`), because some readers keep
them, some write them to a file and some only count. `connection` is a number unique in the process. A leg faces a side:
the client leg lies between the client and us, the server leg between us and an upstream. On the wire of a leg, what comes
from its side is `Sent`, what goes to its side is `Delivered`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "DIRECTIONS",
    "TO_CLIENT",
    "TO_SERVER",
    "Address",
    "Delivered",
    "Direction",
    "Entry",
    "Fired",
    "How",
    "LegEnded",
    "LegFailed",
    "LegOpened",
    "LegOpening",
    "Logged",
    "Marked",
    "Noted",
    "Sealed",
    "Secret",
    "Sent",
    "Side",
    "TlsFailed",
    "TlsOpened",
    "TlsStarted",
]

Direction: TypeAlias = Literal["to_server", "to_client"]
Side: TypeAlias = Literal["client", "server"]
How: TypeAlias = Literal["FIN", "RST"]
Address: TypeAlias = "tuple[str, int] | str"

TO_SERVER: Direction = "to_server"
TO_CLIENT: Direction = "to_client"
DIRECTIONS: tuple[Direction, Direction] = (TO_SERVER, TO_CLIENT)


@dataclass(frozen=True, slots=True)
class LegOpening:
    """We start to connect to an upstream: a SYN leaves. `LegOpened` or `LegFailed` follows."""

    at: float
    connection: int
    endpoint: str
    number: int
    leg: Side
    transport: Literal["tcp", "udp"]
    client: Address
    server: Address


@dataclass(frozen=True, slots=True)
class LegOpened:
    """A leg is open. `client` is the end that connected, `server` the end it connected to."""

    at: float
    connection: int
    endpoint: str
    number: int
    leg: Side
    transport: Literal["tcp", "udp"]
    client: Address
    server: Address
    before: bool = False
    """True when the connection was opened before this test began, and is only shown to a new reader now."""


@dataclass(frozen=True, slots=True)
class LegFailed:
    """The upstream could not be connected to; `refused` when it answered with RST, otherwise there was no answer."""

    at: float
    connection: int
    leg: Side
    refused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """We have read bytes from the sender. For datagrams `offset` is the number of the datagram, from 0."""

    at: float
    connection: int
    direction: Direction
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver's kernel (at a server of ours: its handler) has taken bytes that were due at `due`."""

    at: float
    connection: int
    direction: Direction
    offset: int
    size: int
    due: float
    faults: tuple[str, ...] = ()
    """The faults that touched these bytes, as the code that made them."""


@dataclass(frozen=True, slots=True)
class LegEnded:
    """A FIN or RST on a leg, made by its peer or by us. A leg may end twice: once by each, or FIN and later RST."""

    at: float
    connection: int
    leg: Side
    by: Literal["peer", "us"]
    how: How
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault acted for the first time on this connection (for datagrams: each time)."""

    at: float
    connection: int
    direction: Direction
    fault: str
    effect: str
    """In words: "RST after byte 3", "held from byte 0", "late by 0.2 s"."""
    offset: int
    """The first byte (datagram number) of `.sent` as this fault counts that was touched: where the cut is."""
    beneath_tls: bool = False
    """The fault is one of the cipher text, and counts that."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth a line: the upstream could not be resolved, bytes were never delivered."""

    at: float
    connection: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A moment of the test: a phase begins (`setup`, `call`, `teardown`), or `net_capture.mark(text)`."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of Python's logging, made while the test ran."""

    at: float
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class TlsStarted:
    """From now on what goes over this leg is cipher text (`Sealed`); `Sent` and `Delivered` are the plain text inside."""

    at: float
    connection: int
    leg: Side
    before: int = 0
    """So many bytes at the end of what was `Sent` by the peer are cipher text too: they came before we went under TLS."""
    unseen: bool = False
    """True when cipher text went over it before this test began, so that nobody can decrypt what follows."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Cipher text on a leg, read from its peer or handed to the kernel by us; the bytes travel beside it."""

    at: float
    connection: int
    leg: Side
    by: Literal["peer", "us"]
    size: int
    due: float = 0.0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Secret:
    """Keys of a leg, as lines of an NSS key log; written down before the bytes that need them go out."""

    at: float
    connection: int
    leg: Side
    lines: str

    def __repr__(self) -> str:
        return f"Secret(connection={self.connection}, leg={self.leg!r})"


@dataclass(frozen=True, slots=True)
class TlsOpened:
    """The handshake of a leg is done."""

    at: float
    connection: int
    leg: Side
    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    """What the client asked for (SNI)."""


@dataclass(frozen=True, slots=True)
class TlsFailed:
    """The handshake of a leg failed."""

    at: float
    connection: int
    leg: Side
    reason: str


Entry: TypeAlias = (
    LegOpening
    | LegOpened
    | LegFailed
    | Sent
    | Delivered
    | LegEnded
    | Fired
    | Noted
    | Marked
    | Logged
    | TlsStarted
    | Sealed
    | Secret
    | TlsOpened
    | TlsFailed
)
