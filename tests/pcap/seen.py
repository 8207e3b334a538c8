"""The packets of a file as tshark sees them and as `read_items` does, side by side.

It reads and compares nothing: two lists of the same shape. Payloads that nobody dissects, so that nothing hides one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pcap import shark

from pytest_netfixtures._pcap.items import Item, Packet, Row
from pytest_netfixtures._pcap.read_items import read_items

FIELDS = (
    "frame.number", "frame.time_epoch", "frame.interface_name", "frame.comment", "frame.protocols",
    "ip.src", "ipv6.src", "ip.dst", "ipv6.dst",
    "tcp.srcport", "udp.srcport", "tcp.dstport", "udp.dstport",
    "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.payload", "udp.payload", "systemd_journal.message",
)  # fmt: skip
NO_NAME = "unknown"
KINDS = {"tcp", "udp", "systemd_journal"}


def by_tshark(tshark: str, path: Path) -> list[dict[str, Any]]:
    """What tshark says of each TCP segment, UDP datagram and journal entry."""
    wanted = [word for field in FIELDS for word in ("-e", field)]
    form = ["-T", "fields", "-E", "separator=/t", "-E", f"aggregator={shark.BETWEEN}", "-E", "occurrence=a"]
    options = ["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "ip.defragment:TRUE"]
    done = shark.run(tshark, "-n", "-r", path, *options, *shark.PLAIN, *form, *wanted)
    assert done.returncode == 0, done.stderr
    rows = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]
    return [
        _row(row) for row in rows if KINDS & set(row["frame.protocols"].split(":")) and not _is_error(row)
    ]


def by_us(path: Path) -> list[dict[str, Any]]:
    """The same of our reader; other protocols and statements are left out."""
    found = [_item(item) for item in read_items(path)]
    return [item for item in found if item]


def _is_error(row: dict[str, str]) -> bool:
    """ICMP messages quote what they are about."""
    return ":icmp" in row["frame.protocols"]


def _row(row: dict[str, str]) -> dict[str, Any]:
    if row["systemd_journal.message"]:
        text = row["systemd_journal.message"]
        return {
            "number": int(row["frame.number"]),
            "stamp": _nanoseconds(row["frame.time_epoch"]),
            "text": text,
        }
    kind = "tcp" if row["tcp.srcport"] else "udp"
    is_tcp = kind == "tcp"
    return {
        "number": int(row["frame.number"]),
        "stamp": _nanoseconds(row["frame.time_epoch"]),
        "interface": "" if row["frame.interface_name"] == NO_NAME else row["frame.interface_name"],
        "source": row["ip.src"] or row["ipv6.src"],
        "target": row["ip.dst"] or row["ipv6.dst"],
        "protocol": kind,
        "ports": (int(row[f"{kind}.srcport"]), int(row[f"{kind}.dstport"])),
        "seq": int(row["tcp.seq_raw"]) if is_tcp else 0,
        "ack": int(row["tcp.ack_raw"]) if is_tcp else 0,
        "flags": int(row["tcp.flags"], 16) & 0xFF if is_tcp else 0,
        "payload": row[f"{kind}.payload"].replace(":", ""),
        "comments": row["frame.comment"],
    }


def _item(item: Item) -> dict[str, Any]:
    if isinstance(item, Row):
        return {"number": item.number, "stamp": item.stamp, "text": item.text}
    if not isinstance(item, Packet) or item.protocol not in ("tcp", "udp"):
        return {}
    return {
        "number": item.number,
        "stamp": item.stamp,
        "interface": item.interface,
        "source": item.source,
        "target": item.target,
        "protocol": item.protocol,
        "ports": (item.source_port, item.target_port),
        "seq": item.seq,
        "ack": item.ack,
        "flags": item.flags,
        "payload": item.payload.hex(),
        "comments": shark.BETWEEN.join(item.comments),
    }


def _nanoseconds(text: str) -> int:
    whole, _, rest = re.sub(r"[^0-9.-]", "", text).partition(".")
    return int(whole or 0) * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)
