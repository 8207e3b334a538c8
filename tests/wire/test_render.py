"""Bytes made safe to print, differences shown, secrets masked."""

from __future__ import annotations

import ast
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_netfixtures._wire.redaction import masked
from pytest_netfixtures._wire.render import DEFAULT_REDACTIONS, escape, hexdump_diff, table
from pytest_netfixtures._wire.text import clip, plain, preview, preview_end
from pytest_netfixtures._wire.traffic import Traffic

PRINTABLE = set(string.printable) - set("\t\n\r\x0b\x0c")


@given(st.binary())
@example(bytes(range(256)))
def test_escaped_bytes_are_printable_ascii_and_can_be_read_back(data: bytes) -> None:
    text = escape(data)
    assert set(text) <= PRINTABLE
    assert ast.literal_eval('b"' + text.replace('"', '\\"') + '"') == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"+PONG\r\n", "+PONG\\r\\n"),
        (b"\t\x00\x1b[31m\x7f\xff", "\\t\\x00\\x1b[31m\\x7f\\xff"),
        (b'\\"', '\\x5c"'),
    ],
)
def test_escapes_are_the_usual_ones(data: bytes, text: str) -> None:
    assert escape(data) == text


@given(st.binary(max_size=40), st.integers(4, 40))
def test_a_preview_fits_and_breaks_no_escape(data: bytes, width: int) -> None:
    whole = escape(data)
    start, end = preview(data, width), preview_end(data, width)
    assert max(len(start), len(end)) <= width
    assert (start == end == whole) == (len(whole) <= width)
    if len(whole) > width:
        assert (start[-3:], end[:3]) == ("...", "...")
        pieces = [escape(bytes([byte])) for byte in data]
        assert start[:-3] in {"".join(pieces[:n]) for n in range(len(pieces))}
        assert end[3:] in {"".join(pieces[n:]) for n in range(len(pieces) + 1)}


@given(st.text(), st.integers(5, 30))
def test_text_is_printable_and_clipped_to_its_width(text: str, width: int) -> None:
    assert plain(text).isprintable()
    assert len(clip(text, width)) <= width
    assert clip(text, width)[:1] == text[:1]


def test_a_preview_of_many_short_bytes_uses_its_width() -> None:
    assert preview(b"abcdefgh", 7) == "abcd..."
    assert preview(b"a\x00\x00", 8) == "a\\x00..."
    assert preview_end(b"abcdefgh", 7) == "...efgh"


def test_names_keep_their_letters_and_lose_what_a_terminal_acts_on() -> None:
    assert plain("café\x1b[2J\u202e") == "café\\x1b[2J\\u202e"
    assert clip("abcdefghijkl", 9) == "abc...jkl"


def test_equal_bytes_have_no_difference() -> None:
    assert hexdump_diff(b"same", b"same") == []


def test_the_first_difference_stands_over_its_marker() -> None:
    lines = hexdump_diff(b"0123456789abcdef+PONG\r\nrest", b"0123456789abcdef+PO\xff\r\nrest")
    assert lines == [
        "first difference at byte 19 (0x13): 'N' and '\\xff' (left has 27 bytes, right has 26)",
        "both   00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "left   00000010  2b 50 4f 4e 47 0d 0a 72 65 73 74                 |+PONG..rest|",
        "right  00000010  2b 50 4f ff 0d 0a 72 65 73 74                    |+PO...rest|",
        "                          ^^                                          ^",
    ]


@pytest.mark.parametrize(
    ("left", "right", "headline"),
    [
        (b"+PO", b"+PONG\r\n", "left ends at byte 3, where right goes on for 4 more (of 7 bytes)"),
        (b"+PONG\r\n", b"+PO", "right ends at byte 3, where left goes on for 4 more (of 7 bytes)"),
        (b"", b"x", "left ends at byte 0, where right goes on for 1 more (of 1 bytes)"),
    ],
)
def test_bytes_that_end_where_others_go_on(left: bytes, right: bytes, headline: str) -> None:
    lines = hexdump_diff(left, right)
    assert lines[0] == headline
    assert [line[:5].rstrip() for line in lines[1:]] == ["left", "right", ""]


def test_an_end_on_the_edge_of_a_row_has_its_marker_in_the_next() -> None:
    lines = hexdump_diff(b"0123456789abcdef", b"0123456789abcdef+PONG")
    assert [line.split()[0] for line in lines[1:4]] == ["both", "left", "right"]
    assert lines[4].index("^^") == lines[3].index("2b 50")


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_the_marker_points_at_the_first_byte_that_differs(left: bytes, right: bytes) -> None:
    lines = hexdump_diff(left, right)
    if left == right:
        return
    place = next(n for n in range(81) if left[n : n + 1] != right[n : n + 1])
    marker = next(n for n, line in enumerate(lines) if line.endswith("^"))
    column = lines[marker].index("^^")
    for side, data in ((lines[marker - 2], left), (lines[marker - 1], right)):
        assert side[column : column + 2].strip() == data[place : place + 1].hex()
        letter = side[lines[marker].rindex("^")]
        assert letter == (re.sub(rb"[^ -~]", b".", data[place : place + 1]).decode() or "|")
    assert set("".join(lines)) <= PRINTABLE


def test_the_table_is_there_too() -> None:
    assert table(Traffic()) == "no connections"


POSTGRES = (
    b"\x00\x00\x00\x25\x00\x03\x00\x00user\x00bob\x00database\x00shop\x00\x00p\x00\x00\x00\x0bS3CRETS\x00"
)
SECRETS = [
    b"GET / HTTP/1.1\r\nAuthorization: Basic S3CRETS\r\nAccept: */*\r\n\r\n",
    b"GET / HTTP/1.1\r\nauthorization:Bearer S3CRETS\r\n\r\n",
    b"GET / HTTP/1.1\r\nProxy-Authorization: S3CRETS\r\n\r\n",
    b"GET / HTTP/1.1\r\nCookie: S3CRETS\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: S3CRETS\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nAUTH\r\n$7\r\nS3CRETS\r\n*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$4\r\nauth\r\n$9\r\nS3CR\r\nETS\r\n",
    b"*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$7\r\nS3CRETS\r\n*1\r\n$4\r\nPING\r\n",
    b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$7\r\nS3CRETS\r\n*1\r\n$4\r\nPING\r\n",
    b"AUTH S3CRETS\r\nPING\r\n",
    b"PING\r\nHELLO 3 AUTH bob S3CRETS\r\n",
    POSTGRES,
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + POSTGRES,
]


@pytest.mark.parametrize("data", SECRETS)
def test_secrets_are_masked_wherever_the_record_ends(data: bytes) -> None:
    """A connection that is cut at any byte, or a preview that begins at any, shows no letter of the secret."""
    start, end = data.index(b"S3C"), data.index(b"ETS") + 3
    for length in range(len(data) + 1):
        shown = masked(data[:length], DEFAULT_REDACTIONS)
        assert len(shown) == length
        assert set(shown[start : min(end, length)]) <= set(b"*\r\n")


@pytest.mark.parametrize("data", SECRETS)
def test_what_is_no_secret_stays(data: bytes) -> None:
    shown = masked(data, DEFAULT_REDACTIONS)
    start, end = data.index(b"S3C"), data.index(b"ETS") + 3
    assert shown[:start] == data[:start]
    assert shown[end:] == data[end:]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /author HTTP/1.1\r\n\r\n",
        b"*2\r\n$3\r\nGET\r\n$4\r\nAUTH\r\n",
        b"\x00p\x00\x00\x00\x0bhello\x00",
        b"",
    ],
)
def test_bytes_without_a_secret_are_left_alone(data: bytes) -> None:
    assert masked(data, DEFAULT_REDACTIONS) is data


def test_groups_are_masked_or_the_whole_match() -> None:
    assert masked(b"key=abc;", [re.compile(rb"key=(\w+)")]) == b"key=***;"
    assert masked(b"key=abc;", [re.compile(rb"\w+=\w+")]) == b"*******;"
    assert masked(b"key=abc;", [re.compile(rb"key=(\d+)?(\w+)")]) == b"key=***;"
    assert masked(b"abcabc", [re.compile(rb"ab"), re.compile(rb"bc")]) == b"******"


@given(st.binary(), st.sampled_from(DEFAULT_REDACTIONS))
def test_masking_keeps_every_length(data: bytes, pattern: re.Pattern[bytes]) -> None:
    assert len(masked(data, [pattern])) == len(data)
