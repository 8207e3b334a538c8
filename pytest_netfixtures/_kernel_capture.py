"""The capture of one test from the kernel's packets.

Law: as every capture; what has happened is in the file when somebody asks for it, because the kernel is asked first. The
ports of others are there where the test watches them; what went over them is read back from the file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._errors import is_for_the_user
from pytest_netfixtures._kernel_hub import Attached, hub
from pytest_netfixtures._pcap.kernel_tap import KernelTap
from pytest_netfixtures._wire.checks import check_count
from pytest_netfixtures._wire.traffic import Connection, Traffic, address_text

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab

__all__ = ["KernelCapture"]

__tracebackhide__ = is_for_the_user


class KernelCapture(Capture):
    """A capture of real packets. Raises CaptureUnavailable where the kernel gives none. `watch`: ports of others."""

    writer_type = KernelTap
    _writer: KernelTap

    def __init__(self, path: Path, *, watch: Iterable[int] = (), **given: Any) -> None:
        self._attached: Attached | None = None
        self._others: list[Connection] = []
        self._read_at = (0, 0)
        source = None if given.get("why_not") else hub()
        super().__init__(path, **given)
        self._writer.watched.update(watch)
        if source is not None:
            self._attached = source.attach(self._writer, self._labs)

    @property
    def traffic(self) -> Traffic:
        """All connections of this test and of the ports that it watches, in the order of their opening.

        Those of watched ports are read from the file: their `endpoint` is the server's address, their events have the
        time in seconds since 1970. `.incomplete` says so where the kernel lost packets.
        """
        live = super().traffic.connections
        self._sync()
        found = sorted([*live, *self._of_others()], key=lambda connection: connection.opened_at)
        return Traffic(tuple(found), incomplete=self._writer.incomplete)

    @property
    def incomplete(self) -> str:
        """Why packets may be missing from the file; empty when none is."""
        return self._writer.incomplete

    def watch(self, port: int) -> None:
        """From now on the packets of this port are captured too: those of a server that is not ours.

        `port` from 1 to 65535, of TCP and UDP, on every address of the loopback device. Raises ValueError or TypeError.

        Example::

            net_capture.watch(5432)
        """
        check_count("port", port, least=1, most=65535, unit="")
        if self._attached is not None:
            self._attached.watch(port)

    def attach(self, lab: NetLab) -> None:
        super().attach(lab)
        if self._attached is not None:
            self._attached.joined()

    def forget(self) -> None:
        self._attached = None
        super().forget()

    def _sync(self) -> None:
        if self._attached is not None:
            self._attached.sync()

    def _end_of_packets(self, keep: bool) -> None:
        attached, self._attached = self._attached, None
        if attached is not None:
            attached.stop() if keep else attached.drop()

    def _of_others(self) -> list[Connection]:
        if not self._writer.watched or self.error is not None:
            return []
        with self._writer.whole():
            news = (self._writer.packets, len(self._writer.watched))
            if news != self._read_at:  # who waits asks again and again
                self._others, self._read_at = self._read_others(), news
        return self._others

    def _read_others(self) -> list[Connection]:
        from pytest_netfixtures._pcap.read_traffic import read_capture

        behind = time.time() - time.monotonic()
        return [
            replace(connection, id=-connection.id, opened_at=connection.opened_at - behind)
            for connection in read_capture(self._writer.path).connections
            if _is_foreign(connection, self._writer.watched)
        ]


def _is_foreign(connection: Connection, ports: set[int]) -> bool:
    """Connections of ours have the name of a server or proxy; others that of an address."""
    address = connection.address
    if isinstance(address, str) or address[1] not in ports:
        return False
    return connection.endpoint == address_text(address)
