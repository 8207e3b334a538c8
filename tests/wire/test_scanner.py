"""Where a pattern ends in a stream: the same place however the stream was cut, and never beyond what has arrived."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import Ways, patterns, regexes, streams, ways

from pytest_netfixtures._wire.events import Data, Datagram
from pytest_netfixtures._wire.scanner import Pattern, Scanner, check_pattern, code_of_pattern


def ends(pattern: Pattern, *chunks: bytes, nth: int = 1, window: int | None = None) -> list[int | None]:
    scanner = Scanner(pattern, nth, window)
    return [scanner.find(Data(0.0, chunk)) for chunk in chunks]


def place(pattern: Pattern, chunks: list[bytes], nth: int, window: int | None) -> int | None:
    """The offset in the stream behind the nth match."""
    scanner, offset = Scanner(pattern, nth, window), 0
    for chunk in chunks:
        if (end := scanner.find(Data(0.0, chunk))) is not None:
            return offset + end
        offset += len(chunk)
    return None


@given(patterns, streams, st.integers(1, 4), ways())
def test_bytes_are_found_where_str_find_finds_them(pattern: bytes, data: bytes, nth: int, ways: Ways) -> None:
    start = 0
    for _ in range(nth):
        found = data.find(pattern, start)
        start = found + len(pattern)
        if found < 0:
            break
    expected = None if found < 0 else start
    assert [place(pattern, way(data), nth, None) for way in ways] == [expected] * len(ways)


@given(regexes, streams, st.integers(1, 4), st.integers(1, 5), ways())
def test_a_regex_is_found_at_the_same_byte_however_the_stream_is_cut(
    regex: re.Pattern[bytes], data: bytes, nth: int, window: int, ways: Ways
) -> None:
    assert len({place(regex, way(data), nth, window) for way in ways}) == 1


@given(regexes, streams, st.integers(1, 5))
def test_a_regex_is_found_at_the_first_byte_at_which_a_match_within_the_window_is_complete(
    regex: re.Pattern[bytes], data: bytes, window: int
) -> None:
    spans = [(a, b) for b in range(1, len(data) + 1) for a in range(max(0, b - window), b)]
    expected = next((b for a, b in spans if regex.fullmatch(data, a, b)), None)
    assert place(regex, [data], 1, window) == expected


@pytest.mark.parametrize(
    ("pattern", "chunks", "nth", "window", "found"),
    [
        (b"COMMIT", [b"..COM", b"MIT.."], 1, None, [None, 3]),
        (b"COMMIT", [b"COMMIT", b"COMMIT"], 2, None, [None, 6]),
        (b"aa", [b"aaa", b"a"], 2, None, [None, 1]),
        (b"aa", [b"a", b"a", b"a", b"a"], 2, None, [None, None, None, 1]),
        (b"x", [b"axx", b"x"], 1, None, [2, None]),
        (re.compile(rb"id=\d+"), [b"id", b"=12 id=3"], 1, 8, [None, 2]),
        (re.compile(rb"id=\d+"), [b"id", b"=12 id=3"], 2, 8, [None, 8]),
        (re.compile(rb"a.*z"), [b"a12", b"34z"], 1, 5, [None, None]),
        (re.compile(rb"a.*z"), [b"a12", b"34z"], 1, 6, [None, 3]),
        (re.compile(rb"^b"), [b"a", b"b"], 1, 1, [None, None]),
        (re.compile(rb"(?m)^b"), [b"a\n", b"b"], 1, 1, [None, 1]),
        (re.compile(rb"^b"), [b"ba"], 1, 1, [1]),
        (re.compile(rb"^ab"), [b"a", b"b"], 1, 2, [None, 1]),
    ],
)
def test_places(
    pattern: Pattern, chunks: list[bytes], nth: int, window: int | None, found: list[int | None]
) -> None:
    assert ends(pattern, *chunks, nth=nth, window=window) == found


def test_a_regex_that_nearly_matches_everywhere_is_looked_for_in_short_pieces() -> None:
    """In one piece this takes minutes: from each byte to the end, and back."""
    nearly = b"a" * (1 << 18)
    assert ends(re.compile(b"a+b"), nearly, b"b", window=8) == [None, 1]


@pytest.mark.parametrize("begin", [0, 250, 255, 256, 257, 511, 512])
@pytest.mark.parametrize("window", [3, 300])
def test_a_regex_is_found_wherever_in_a_long_chunk(begin: int, window: int) -> None:
    assert ends(re.compile(b"a.b"), bytes(begin) + b"aab" + bytes(999), window=window) == [begin + 3]


def test_a_match_lies_within_one_datagram_and_datagrams_are_counted_together() -> None:
    scanner = Scanner(b"ab", nth=3)
    assert [scanner.find(Datagram(0.0, data)) for data in (b"a", b"b", b"abab", b"xab")] == [
        None,
        None,
        None,
        3,
    ]


def test_every_datagram_has_a_start_of_its_own() -> None:
    scanner = Scanner(re.compile(rb"^b"), window=3)
    assert [scanner.find(Datagram(0.0, data)) for data in (b"ab", b"b")] == [None, 1]


def test_only_as_much_is_kept_as_a_match_may_begin_in() -> None:
    scanner = Scanner(b"x" * 10)
    for _ in range(100):
        scanner.find(Data(0.0, b"y" * 1000))
    assert len(scanner._tail) == 10


REFUSED = [rb"a$", rb"\bword", rb"word\b", rb"a\B", rb"a\Z", rb"a(?=b)", rb"a(?!b)", rb"(?<=a)b", rb"(?<!a)b"]


@pytest.mark.parametrize("regex", REFUSED, ids=repr)
def test_a_regex_that_looks_beyond_its_match_is_refused(regex: bytes) -> None:
    with pytest.raises(ValueError, match="a stream has no end to look at, so leave them out"):
        check_pattern(re.compile(regex), 8)


@pytest.mark.parametrize("quantifier", [rb"(?>ab|a)b", rb"a++b", rb"a*+", rb"a?+b", rb"a{2}+b"], ids=repr)
def test_a_regex_that_never_goes_back_is_refused(quantifier: bytes) -> None:
    try:
        regex = re.compile(quantifier)
    except re.error:
        pytest.skip("this Python has no such regex")
    with pytest.raises(ValueError, match="atomic groups and possessive quantifiers"):
        check_pattern(regex, 8)


FINE = [
    rb"\$",
    rb"[$]",
    rb"[^$]",
    rb"[]$]",
    rb"\\b",
    rb"[\b]",
    rb"\(\?=",
    rb"[(?=]",
    rb"(?:a|b)",
    rb"(?P<n>a)",
    rb"a\+",
]
FINE += [rb"[*]+", rb"\*+", rb"^a", rb"\Aa", rb"\x24", rb"[\]$]", rb"(?i)a+"]


@pytest.mark.parametrize("regex", FINE, ids=repr)
def test_a_regex_with_the_same_characters_as_literals_is_fine(regex: bytes) -> None:
    check_pattern(re.compile(regex), 8)


@pytest.mark.parametrize("regex", [rb"a*", rb"^", rb"", rb"(?:)", rb"a|"], ids=repr)
def test_a_regex_that_is_found_everywhere_is_refused(regex: bytes) -> None:
    with pytest.raises(ValueError, match="expected one that matches at least one byte"):
        check_pattern(re.compile(regex), 8)


@pytest.mark.parametrize(
    ("pattern", "window", "error", "message"),
    [
        (b"", None, ValueError, "pattern is b''; expected at least one byte"),
        ("text", None, TypeError, "pattern is 'text'; expected bytes or a compiled bytes regex"),
        (re.compile("text"), 4, TypeError, r"pattern is re.compile\('text'\); expected bytes"),
        (bytearray(b"x"), None, TypeError, "pattern is bytearray"),
        (
            re.compile(b"a"),
            None,
            ValueError,
            "window is None; expected the longest match of the regex in bytes",
        ),
        (re.compile(b"a"), 0, ValueError, "window is 0; expected 1 or more bytes"),
        (re.compile(b"a"), "4", TypeError, "window is '4'; expected a whole number of bytes"),
        (b"a", -1, ValueError, "window is -1; expected 1 or more bytes"),
    ],
)
def test_a_wrong_pattern_is_named(
    pattern: object, window: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_pattern(pattern, window)


flags = st.sampled_from([0, re.IGNORECASE, re.DOTALL | re.MULTILINE, re.VERBOSE, re.LOCALE])


@given(st.binary(max_size=300).map(re.escape), flags)
def test_a_regex_prints_as_code_however_long_it_is(text: bytes, flags: int) -> None:
    regex = re.compile(text, flags)
    assert eval(code_of_pattern(regex), {"re": re}) == regex
    assert eval(code_of_pattern(text)) == text
