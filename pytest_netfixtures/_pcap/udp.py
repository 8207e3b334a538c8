"""The datagrams between two addresses.

Law: pure; like a TCP conversation to its caller, but nothing opens, nothing ends, and every datagram is one frame.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_netfixtures._pcap.headers import Place, Route
from pytest_netfixtures._pcap.tcp import Frame
from pytest_netfixtures._wire.entries import How, Side

__all__ = ["Datagrams"]


class Datagrams:
    """Both directions between a client and a server."""

    __slots__ = ("_route",)

    def __init__(self, client: Place, server: Place) -> None:
        self._route = {"client": Route(client, server), "server": Route(server, client)}

    def syn(self) -> Iterator[Frame]:
        """Nothing."""
        return iter(())

    def open(self) -> Iterator[Frame]:
        """Nothing."""
        return iter(())

    def refuse(self) -> Iterator[Frame]:
        """Nothing: the ICMP message was never read from a socket."""
        return iter(())

    def data(self, sender: Side, data: bytes) -> Iterator[Frame]:
        """One datagram, an empty one too."""
        yield sender, self._route[sender].udp(data)

    def end(self, sender: Side, how: How) -> Iterator[Frame]:
        """Nothing."""
        return iter(())
