"""A tcpdump that writes real traffic of loopback, from its first packet to its last.

It begins when tcpdump listens, and ends when a datagram that was sent last is in the file. It asserts nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

import pytest

SENTINEL = b"that was all of it"
SECONDS = 20.0
LISTENING = b"listening on"
ROOM = ["-B", "65536", "-s", "66000"]
"""Bytes of a packet, and KiB for all: in immediate mode each packet has a slot that the largest one would fit in."""


class Dump:
    """`with Dump(tcpdump, path, "tcp port 80", "-i", "lo"): ...`; the filter lets the sentinel through as well."""

    def __init__(self, tcpdump: str, path: Path, what: str, *options: str) -> None:
        if os.geteuid():
            pytest.skip("only root captures real packets")
        self._path = path
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        command = [tcpdump, "-n", "-U", "--immediate-mode", *ROOM, "-Z", "root", "-w", str(path), *options]
        self._program = subprocess.Popen([*command, f"({what}) or udp port {port}"], stderr=subprocess.PIPE)

    def __enter__(self) -> None:
        assert self._program.stderr is not None
        said = []
        guard = threading.Timer(SECONDS, self._program.kill)
        guard.start()
        while line := self._program.stderr.readline():
            said.append(line)
            if LISTENING in line:
                break
        guard.cancel()
        if not said or LISTENING not in said[-1]:
            self._stop()
            raise AssertionError(f"tcpdump did not begin: {b''.join(said)!r}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._socket.sendto(SENTINEL, self._socket.getsockname())
            deadline = time.monotonic() + SECONDS
            pause = threading.Event()
            while SENTINEL not in self._path.read_bytes():
                assert time.monotonic() < deadline, "tcpdump did not write the last datagram"
                pause.wait(0.01)
        finally:
            self._stop()

    def _stop(self) -> None:
        self._socket.close()
        self._program.terminate()
        assert self._program.stderr is not None
        self._program.stderr.close()
        self._program.wait(SECONDS)
