"""Bytes from the wire as text that is safe to print.

Law: whatever the bytes, no control character, no terminal escape and nothing but ASCII comes out of `escape`, and its
text can be read back to the same bytes. Nothing here knows connections.
"""

from __future__ import annotations

from itertools import accumulate, zip_longest

__all__ = ["clip", "escape", "hexdump_diff", "plain", "preview", "preview_end"]

_NAMED = {0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t"}
_ESCAPED = tuple(
    chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else _NAMED.get(byte, f"\\x{byte:02x}")
    for byte in range(256)
)
_ROW = 16


def escape(data: bytes) -> str:
    """Printable ASCII stays, all else is written `\\r`, `\\n`, `\\t` or `\\xNN` (the backslash too: `\\x5c`)."""
    return "".join(map(_ESCAPED.__getitem__, data))


def preview(data: bytes, width: int) -> str:
    """The beginning of the escaped bytes, at most `width` (4 or more) characters; `...` marks what is missing."""
    text = escape(data[: width + 1])
    return text if len(text) <= width else escape(data[: _fitting(data[:width], width - 3)]) + "..."


def preview_end(data: bytes, width: int) -> str:
    """The end of the escaped bytes, at most `width` (4 or more) characters; `...` marks what is missing."""
    text = escape(data[-width - 1 :])
    if len(text) <= width:
        return text
    kept = _fitting(data[: -width - 1 : -1], width - 3)
    return "..." + escape(data[len(data) - kept :])


def _fitting(data: bytes, width: int) -> int:
    """How many of the first bytes fit into `width` characters."""
    return sum(reached <= width for reached in accumulate(len(_ESCAPED[byte]) for byte in data))


def plain(text: str) -> str:
    """Text of names and notes without anything that a terminal would act on."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def clip(text: str, width: int) -> str:
    """At most `width` (5 or more) characters: of a longer text the beginning and the end."""
    if len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[: width - 3 - half]}...{text[-half:]}"


def hexdump_diff(left: bytes, right: bytes, shown: bytes | None = None) -> list[str]:
    """Lines that show where two byte strings differ first: offset, lengths, and 16 bytes a row around it.

    Gives no lines for equal bytes. `shown`, of the same length, is printed in place of `left`: its secrets masked.
    Example of a line: `left   00000000  2b 50 4f 4e  |+PON|`.
    """
    if left == right:
        return []
    place = next(n for n, (a, b) in enumerate(zip_longest(left, right)) if a != b)
    left = left if shown is None else shown
    first = max(place // _ROW - 1, 0) * _ROW
    rows = [
        line for start in range(first, first + 3 * _ROW, _ROW) for line in _rows(left, right, start, place)
    ]
    return [_headline(left, right, place), *rows]


def _headline(left: bytes, right: bytes, place: int) -> str:
    for name, short, other, long in (("left", left, "right", right), ("right", right, "left", left)):
        if place == len(short):
            more = len(long) - place
            return (
                f"{name} ends at byte {place}, where {other} goes on for {more} more (of {len(long)} bytes)"
            )
    return (
        f"first difference at byte {place} (0x{place:x}): '{escape(left[place : place + 1])}' and "
        f"'{escape(right[place : place + 1])}' (left has {len(left)} bytes, right has {len(right)})"
    )


def _rows(left: bytes, right: bytes, start: int, place: int) -> list[str]:
    """The rows of both sides from `start`: one where they agree, both and a marker where they first differ."""
    ours, theirs = left[start : start + _ROW], right[start : start + _ROW]
    if ours == theirs:
        return [_dump("both", start, ours)] if ours else []
    lines = [
        _dump(side, start, data)
        for side, data in (("left", ours), ("right", theirs))
        if data or start <= place
    ]
    if start <= place < start + _ROW:
        lines.append(_marker(place - start))
    return lines


def _dump(side: str, start: int, data: bytes) -> str:
    codes = data.hex(" ")
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return f"{side:<5}  {start:08x}  {codes:<{3 * _ROW - 1}}  |{text}|"


def _marker(column: int) -> str:
    return " " * (17 + 3 * column) + "^^" + " " * (3 * (_ROW - column) - 2) + "  " + " " * column + "^"
