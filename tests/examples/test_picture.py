"""The picture of a capture says what tshark says of a new capture of the same test: column by column, times aside."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import picture  # noqa: E402


def without_times(rows: list[picture.Row]) -> list[picture.Row]:
    return [(number, *rest) for number, _, *rest in rows]


def test_the_picture_says_what_tshark_says(tmp_path: Path, referee: Callable[[str], str]) -> None:
    tshark = referee("tshark")
    drawn_by, drawn = picture.rows_of(picture.PICTURE.read_text(encoding="utf-8"))
    rows = picture.packet_list(tshark, picture.make_capture(tmp_path))
    if picture.version(tshark) != drawn_by:
        # Another version of Wireshark words protocol and info a little differently.
        rows, drawn = [row[:4] for row in rows], [row[:4] for row in drawn]
    assert without_times(rows) == without_times(drawn)


def test_the_picture_with_tls_says_what_tshark_decrypts(
    tmp_path: Path, referee: Callable[[str], str]
) -> None:
    tshark = referee("tshark")
    drawn_by, drawn = picture.rows_of(picture.WITH_TLS.read_text(encoding="utf-8"))
    rows = picture.packet_list(tshark, picture.make_capture(tmp_path, picture.HTTPS))
    found, wanted = essence(picture.up_to_the_fault(rows)), essence(drawn)
    assert any("GET /orders HTTP/1.1" in row for row in wanted)
    if picture.version(tshark) == drawn_by:
        assert found == wanted


def essence(rows: list[picture.Row]) -> list[str]:
    """What does not depend on how much of a handshake came in one reading: rows of text, HTTP, the ends of TCP."""
    told = [row for row in rows if not row[4].startswith("TLS")]
    return sorted(re.sub(r"(Seq|Ack)=\d+", r"\1=N", " ".join(row[2:])) for row in told)


def test_the_picture_shows_the_fault_between_the_cut_reply_and_the_reset() -> None:
    _, rows = picture.rows_of(picture.PICTURE.read_text(encoding="utf-8"))
    infos = [row[-1] for row in rows]
    fault = next(number for number, info in enumerate(infos) if info.startswith("FAULT Reset"))
    assert "Len=10" in infos[fault - 1]
    assert all("[RST" in info for info in infos[fault + 1 :])
    assert {row[2] for row in rows[fault + 1 :]} == {"proxy"}


def test_what_is_drawn_can_be_read_again() -> None:
    rows: list[picture.Row] = [
        ("1", "0.0", "client", "proxy", "TCP", "a < b & c → d"),
        ("2", "1.0", "", "", "X", "FAULT"),
    ]
    assert picture.rows_of(picture.svg(rows, "4.0")) == ("4.0", rows)


def test_without_tshark_the_tool_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "picture.py")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "make referees" in done.stderr
