"""Where an address is shown in a capture: an IP address and a port for everything.

Law: pure, apart from remembering what it gave out. IP addresses are themselves. The path of a Unix socket gets a
stand-in on 127.0.0.0/8 that depends on the path alone, unless two paths of one capture collide.
"""

from __future__ import annotations

import ipaddress
import zlib

from pytest_netfixtures._pcap.headers import Place
from pytest_netfixtures._wire.entries import Address

__all__ = ["Places", "is_stand_in", "readable"]


class Places:
    """Gives every address its place; the same address gets the same place again."""

    def __init__(self) -> None:
        self._given: dict[str, Place] = {}
        self._taken: set[Place] = set()

    def of(self, address: Address, connection: int) -> Place:
        """The place of an address. An unnamed client of a Unix socket has one for each connection."""
        if not is_stand_in(address) and not isinstance(address, str):
            return address[0].partition("%")[0], address[1]
        name = str(address or f"the client of connection {connection}")
        if name not in self._given:
            self._given[name] = self._free(zlib.crc32(name.encode("utf-8", "surrogatepass")))
        return self._given[name]

    def _free(self, number: int) -> Place:
        place = _place(number)
        while place in self._taken:
            number += 1
            place = _place(number)
        self._taken.add(place)
        return place


def is_stand_in(address: Address) -> bool:
    """True for what is no IP address: the path of a Unix socket, or a name that was never resolved."""
    if isinstance(address, str):
        return True
    try:
        ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return True
    return False


def readable(address: Address) -> str:
    """`127.0.0.1:6379`, `[::1]:6379`, or the path."""
    if isinstance(address, str):
        return address or "an unnamed Unix socket"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _place(number: int) -> Place:
    return f"127.0.0.{2 + number % 253}", 1024 + number // 253 % 64512
