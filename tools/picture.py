"""`make picture`: docs/capture.svg and docs/capture-tls.svg, the packet lists of two examples, as tshark tells them.

It runs an example, takes the columns that Wireshark shows, puts names where addresses and ports change from run to run,
and draws them. It draws nothing that tshark did not say; tests/examples/test_picture.py compares the text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "capture.svg"
EXAMPLE = "examples/fails_on_purpose"
WITH_TLS = ROOT / "docs" / "capture-tls.svg"
HTTPS = "examples/https_client/test_https.py::test_a_body_cut_after_ten_bytes_is_an_error"
HEAD = ("No.", "Time", "Source", "Destination", "Protocol", "Info")
FORMAT = '"No.","%m","Time","%t","From","%uS","To","%uD","Protocol","%p","Info","%i"'
FONT, ROW, PAD = 7.25, 20, 8
# Background and text, as Wireshark colours its packet list; the row of the fault is ours.
COLOURS = (
    (lambda row: row[5].startswith("FAULT"), "#ffe08a", "#000000"),
    (lambda row: "[RST" in row[5], "#a40000", "#fffc9c"),
    (lambda row: "[SYN" in row[5] or "[FIN" in row[5], "#a0a0a0", "#12272e"),
    (lambda row: row[4].startswith("HTTP"), "#e4ffc7", "#12272e"),
    (lambda row: row[4] == "TCP" or row[4].startswith("TLS"), "#e7e6ff", "#12272e"),
    (lambda row: True, "#ffffff", "#12272e"),
)

Row = tuple[str, ...]


def main() -> int:
    tshark = shutil.which("tshark")
    if tshark is None:
        print(
            "picture: tshark is not here, and the picture is what it says; run: make referees",
            file=sys.stderr,
        )
        return 1
    for picture, example in ((PICTURE, EXAMPLE), (WITH_TLS, HTTPS)):
        with tempfile.TemporaryDirectory() as folder:
            rows = packet_list(tshark, make_capture(Path(folder), example))
        if picture == WITH_TLS:
            rows = up_to_the_fault(rows)
        picture.write_text(svg(rows, version(tshark)), encoding="utf-8")
        print(f"picture: {picture.relative_to(ROOT)}, {len(rows)} rows")
    return 0


def make_capture(folder: Path, example: str = EXAMPLE) -> Path:
    """Run an example of one test, and give the file that it leaves."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", example, "-p", "no:cacheprovider", "--net-capture-keep=all"]
    done = subprocess.run(
        [*command, "--net-capture-dir", str(folder)], cwd=ROOT, env=quiet, capture_output=True, text=True
    )
    captures = list(folder.rglob("*.pcapng"))
    if done.returncode not in (0, 1) or len(captures) != 1:
        raise SystemExit(f"picture: {example} left {len(captures)} captures; expected one:\n{done.stdout}")
    return captures[0]


def version(tshark: str) -> str:
    """Its major and minor version: other versions word some rows differently."""
    said = subprocess.run([tshark, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+", said)
    return found[0] if found else "unknown"


def packet_list(tshark: str, capture: Path) -> list[Row]:
    """The rows up to the last packet, with names for what is different in every run."""
    command = [tshark, "-n", "-r", str(capture), "-T", "psml", "-o", f"gui.column.format:{FORMAT}"]
    done = subprocess.run(command, capture_output=True, check=True)
    packets = ElementTree.fromstring(done.stdout).iter("packet")
    rows = [tuple((section.text or "").strip() for section in packet) for packet in packets]
    last = max(number for number, row in enumerate(rows) if row[2])
    names = names_of(rows)
    return [named(row, names) for row in rows[: last + 1]]


def up_to_the_fault(rows: list[Row]) -> list[Row]:
    """And the packet that it made."""
    fault = next(number for number, row in enumerate(rows) if row[5].startswith("FAULT"))
    return rows[: fault + 2]


def names_of(rows: list[Row]) -> dict[str, str]:
    """The first connection is the client's, the second one the proxy's; the server's name is in a row of its own."""
    ports = [port for row in rows if "[SYN]" in row[5] for port in row[2:4]]
    return dict(zip(ports, ("client", "proxy", "proxy", server_of(rows)), strict=True))


def server_of(rows: list[Row]) -> str:
    """What the example calls its server, where a row says so."""
    named = (re.search(r"'(\w+)' connection 1, client leg", row[5]) for row in rows)
    return next((found[1] for found in named if found and found[1] != "proxy"), "reports")


def named(row: Row, names: dict[str, str]) -> Row:
    number, time, *ends, protocol, info = row
    for port, name in names.items():
        info = re.sub(rf"\b{port}\b", name, info)
    return (number, f"{float(time):.6f}", *(names.get(end, "") for end in ends), protocol, info)


def svg(rows: list[Row], tshark: str) -> str:
    """The picture. Each row is a group whose texts are its cells."""
    lefts = edges([HEAD, *rows])
    width, height = lefts.pop(), ROW * (len(rows) + 1)
    drawn = [draw(HEAD, 0, lefts, "#f0f0f0", "#000000", ' font-weight="bold"')]
    for number, row in enumerate(rows, start=1):
        back, ink = next((back, ink) for fits, back, ink in COLOURS if fits(row))
        drawn.append(draw(row, number, lefts, back, ink, ' class="row"'))
    lines = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" '
        f'height="{height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">\n'
        f"<title>The packet list of a capture</title>\n<desc>tshark {tshark}</desc>\n"
        f'{lines}\n<rect width="{width:g}" height="{height}" fill="none" stroke="#808080"/>\n</svg>\n'
    )


def edges(rows: list[Row]) -> list[float]:
    """Where each column begins, and where the last one ends."""
    found = [0.0]
    for column in zip(*rows, strict=True):
        found.append(round(found[-1] + max(map(len, column)) * FONT + 2 * PAD, 1))
    return found


def draw(row: Row, number: int, lefts: list[float], back: str, ink: str, more: str) -> str:
    top = number * ROW
    cells = "".join(
        f'<text x="{left + PAD:g}" y="{top + 14}">{escape(cell)}</text>'
        for left, cell in zip(lefts, row, strict=True)
    )
    return f'<g fill="{ink}"{more}><rect y="{top}" width="100%" height="{ROW}" fill="{back}"/>{cells}</g>'


def rows_of(picture: str) -> tuple[str, list[Row]]:
    """What is written in a picture: the version of tshark, and the rows."""
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(picture)
    groups = [group for group in root.iter(f"{space}g") if group.get("class") == "row"]
    rows = [tuple(text.text or "" for text in group.iter(f"{space}text")) for group in groups]
    return (root.findtext(f"{space}desc") or "").removeprefix("tshark "), rows


if __name__ == "__main__":
    sys.exit(main())
