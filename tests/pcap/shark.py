"""What tshark says about a capture file: frames as dictionaries, and everything that is wrong with them.

It runs programs and reads their output; it asserts nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Frame: TypeAlias = dict[str, str]

WARN = 0x600000
BETWEEN = "|"
RESET = "Connection reset (RST)"
STRICT = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
PLAIN = ["-d", "tcp.port==1-65535,data", "-d", "udp.port==1-65535,data"]
"""For payloads that are random: nothing above TCP and UDP is looked for."""

FIELDS = (
    "frame.number",
    "frame.time_epoch",
    "frame.interface_name",
    "frame.interface_description",
    "frame.packet_flags_direction",
    "frame.comment",
    "tcp.stream",
    "udp.stream",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags.str",
    "tcp.len",
    "tcp.payload",
    "udp.srcport",
    "udp.payload",
    "systemd_journal.message",
    "systemd_journal.priority",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "tcp.analysis.flags",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """The finished program; its output is text in UTF-8."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, encoding="utf-8")


def read(tshark: str, path: Path, *, plain: bool = False, options: Sequence[str] = ()) -> list[Frame]:
    """Every frame of a file that tshark reads to its end without complaint; `options` are more of tshark's own."""
    wanted = [word for field in FIELDS for word in ("-e", field)]
    form = ["-T", "fields", "-E", "separator=/t", "-E", f"aggregator={BETWEEN}"]
    done = run(tshark, "-n", "-r", path, *STRICT, *(PLAIN if plain else []), *options, *form, *wanted)
    if done.returncode:
        raise AssertionError(f"tshark ended with {done.returncode}: {done.stderr}")
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]


def blemishes(frames: list[Frame], *, ports_reused: bool = False) -> list[str]:
    """What must not be there: analysis flags, bad checksums, malformed packets, warnings other than a reset."""
    return [
        f"frame {frame['frame.number']}: {text}" for frame in frames for text in _wrong(frame, ports_reused)
    ]


def resets(frames: list[Frame]) -> int:
    """How often tshark's expert says that a connection was reset."""
    return sum(frame["_ws.expert.message"].split(BETWEEN).count(RESET) for frame in frames)


def messages(frames: list[Frame]) -> list[str]:
    """The text of the rows between the packets."""
    return [frame["systemd_journal.message"] for frame in frames if frame["systemd_journal.message"]]


def stream(frames: list[Frame], number: int, port: int, transport: str = "tcp") -> bytes:
    """What one side of a stream sent: the payloads of packets from this port, joined."""
    return b"".join(
        bytes.fromhex(frame[f"{transport}.payload"])
        for frame in frames
        if frame[f"{transport}.stream"] == str(number) and frame[f"{transport}.srcport"] == str(port)
    )


def expert(tshark: str, path: Path) -> dict[str, dict[str, int]]:
    """Expert Information as tshark sums it up: group ("Errors", "Warns"), summary, count."""
    found: dict[str, dict[str, int]] = {}
    group = ""
    for line in run(tshark, "-n", "-r", path, *STRICT, "-q", "-z", "expert").stdout.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].startswith("("):
            group = words[0]
        elif words and words[0].isdigit():
            found.setdefault(group, {})[" ".join(words[3:])] = int(words[0])
    return found


def _wrong(frame: Frame, ports_reused: bool) -> list[str]:
    wrong = [f"{name} {frame[name]}" for name in ("_ws.malformed",) if frame[name]]
    if frame["tcp.analysis.flags"] and not (ports_reused and "same ports" in frame["_ws.expert.message"]):
        wrong.append(f"tcp.analysis.flags: {frame['_ws.expert.message']}")
    for layer in ("ip", "tcp", "udp"):
        if frame[f"{layer}.checksum.status"] not in ("", "1"):
            wrong.append(f"{layer} checksum")
    said = zip(
        frame["_ws.expert.severity"].split(BETWEEN), frame["_ws.expert.message"].split(BETWEEN), strict=False
    )
    return wrong + [text for severity, text in said if severity and int(severity) >= WARN and text != RESET]
