"""The ladder: someone who has never read our docs sees which byte was cut where."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.tape import CLIENT, OURS, PROXY, UPSTREAM, Tape, client_hello

from pytest_netfixtures._wire import story as story_room
from pytest_netfixtures._wire.entries import Side, TlsFailed, TlsOpened, TlsStarted
from pytest_netfixtures._wire.ladder import MAX_LINES, REASON_COLUMNS, Report, ladder
from pytest_netfixtures._wire.recorder import Recorder
from pytest_netfixtures._wire.render import DEFAULT_REDACTIONS

PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


def draw(tape: Tape, report: Report = "full") -> str:
    return ladder(tape.recorder.story(), tape.recorder.traffic(), DEFAULT_REDACTIONS, report)


def lines(tape: Tape, report: Report = "full") -> list[str]:
    """The lines behind the header, without their times."""
    return [re.sub(r"^ *[\d.]+ ms +", "", line).strip() for line in draw(tape, report).splitlines()[1:]]


def reset_in_a_reply(tape: Tape, after: int = 3) -> Tape:
    fault = f"Reset(after={after})"
    tape.passed("to_server", PING).sent("to_client", PONG).fired(
        "to_client", fault, f"RST after byte {after}", after
    )
    if after:
        tape.delivered("to_client", PONG[:after], fault)
    return tape.ended("client", "us", "RST", fault).ended("server", "us", "RST", fault)


def test_a_reset_in_the_middle_of_a_reply() -> None:
    tape = Tape().marked("setup").marked("call").proxy()
    expected = r"""
       time  client     redis     127.0.0.1:6379
     0.0 ms  --- setup ---
     1.0 ms  --- call ---
     2.0 ms  client --> redis --> 127.0.0.1:6379  connected, from 127.0.0.1:40122
     5.0 ms  client --> redis --> 127.0.0.1:6379    14 B  "*1\r\n$4\r\nPING\r\n"
     7.0 ms             redis <-- 127.0.0.1:6379     7 B  "+PONG\r\n"
     8.0 ms  *** Reset(after=3) to_client: RST after byte 3
                 3 B delivered "+PO" | "NG\r\n" 4 B not delivered
     9.0 ms  client <-- redis                        3 B  "+PO"
    10.0 ms  client <-- redis                        RST
    11.0 ms             redis --> 127.0.0.1:6379     RST
    """
    assert draw(reset_in_a_reply(tape)) == expected.strip("\n").rstrip()


@pytest.mark.parametrize(
    ("after", "bar"),
    [
        (0, r'nothing delivered | "+PONG\r\n" 7 B not delivered'),
        (6, r'6 B delivered "+PONG\r" | "\n" 1 B not delivered'),
        (7, r'7 B delivered "+PONG\r\n" | nothing more was sent'),
    ],
)
def test_the_bar_stands_where_delivery_ended(after: int, bar: str) -> None:
    assert bar in lines(reset_in_a_reply(Tape().proxy(), after))


def test_the_bar_stands_where_delivery_ended_however_the_fault_counts() -> None:
    tape = Tape().proxy().passed("to_client", b"greeting").sent("to_client", PONG)
    tape.fired("to_client", "Drop(after=3)", "lost from byte 3", 3).delivered("to_client", b"+PO")
    assert r'11 B delivered "greeting+PO" | "NG\r\n" 4 B not delivered' in lines(tape)


def test_a_reset_before_any_byte_was_sent() -> None:
    tape = (
        Tape()
        .proxy()
        .fired("to_client", "Reset()", "RST after byte 0", 0)
        .ended("client", "us", "RST", "Reset()")
    )
    assert "nothing delivered | nothing more was sent" in lines(tape)


def test_what_was_held_and_went_on_is_shown_where_it_was_held() -> None:
    tape = Tape().proxy().sent("to_client", PONG).fired("to_client", "Stall(after=3)", "held from byte 3", 3)
    tape.delivered("to_client", PONG, "Stall(after=3)")
    assert r'3 B "+PO" | "NG\r\n" 4 B' in lines(tape)


def test_bytes_that_were_changed_are_shown_where_they_were() -> None:
    tape = Tape().proxy().sent("to_client", PONG).fired("to_client", "Replace()", "changed from byte 1", 1)
    tape.delivered("to_client", b"-PANG\r\n", "Replace()").ended("client", "us")
    assert lines(tape)[-4:] == [
        "*** Replace() to_client: changed from byte 1",
        r'1 B "+" | "PONG\r\n" 6 B',
        r'client <-- redis                        7 B  "-PANG\r\n"',
        "client <-- redis                        FIN",
    ]


def test_a_long_stream_shows_what_stands_around_the_cut() -> None:
    data = b"0123456789" * 10
    tape = (
        Tape()
        .proxy()
        .sent("to_client", data)
        .fired("to_client", "Truncate(after=50)", "FIN after byte 50", 50)
    )
    tape.delivered("to_client", data[:50]).ended("client", "us")
    assert (
        '50 B delivered "...901234567890123456789" | "012345678901234567890..." 50 B not delivered'
        in lines(tape)
    )


def test_lateness_has_no_bar_and_two_lines_for_the_bytes() -> None:
    tape = (
        Tape()
        .proxy()
        .sent("to_client", PONG)
        .fired("to_client", "Delay(0.2)", "late by 0.2 s from byte 0", 0)
    )
    tape.now += 0.2
    tape.delivered("to_client", PONG, "Delay(0.2)")
    assert lines(tape)[1:] == [
        r'redis <-- 127.0.0.1:6379     7 B  "+PONG\r\n"',
        "*** Delay(0.2) to_client: late by 0.2 s from byte 0",
        r'client <-- redis                        7 B  "+PONG\r\n"',
    ]


def test_bytes_that_were_late_without_a_fault_stand_in_two_lines_too() -> None:
    tape = Tape().proxy().sent("to_client", PONG)
    tape.now += 0.2
    assert len(lines(tape.delivered("to_client", PONG))) == 3


def test_without_bytes_only_sizes_are_printed() -> None:
    text = draw(reset_in_a_reply(Tape().proxy()), "sizes")
    assert "3 B delivered | 4 B not delivered" in text
    assert not {'"', "PO", "PING"} & set(re.findall(r'"|PO|PING', text))


def test_ends_that_are_passed_on_are_one_line() -> None:
    tape = (
        Tape()
        .proxy()
        .ended("client", "peer")
        .ended("server", "us")
        .ended("server", "peer")
        .ended("client", "us")
    )
    assert lines(tape)[1:] == [
        "client --> redis --> 127.0.0.1:6379     FIN",
        "client <-- redis <-- 127.0.0.1:6379     FIN",
    ]


def test_a_server_of_ours_has_one_leg() -> None:
    tape = (
        Tape(endpoint="echo")
        .opened()
        .passed("to_server", b"hi")
        .passed("to_client", b"hi")
        .ended("client", "us")
    )
    assert draw(tape).splitlines()[0] == "       time  client     echo"
    assert lines(tape) == [
        "client --> echo  connected, from 127.0.0.1:40122",
        'client --> echo     2 B  "hi"',
        'client <-- echo     2 B  "hi"',
        "client <-- echo     FIN",
    ]


def test_an_upstream_that_cannot_be_reached() -> None:
    tape = Tape().opened().connecting().failed("[Errno 111] Connection refused").ended("client", "us", "RST")
    assert lines(tape) == [
        "client --> redis                     connected, from 127.0.0.1:40122",
        "redis --> 127.0.0.1:6379  *** refused: [Errno 111] Connection refused",
        "client <-- redis                        RST",
    ]


def under_tls(tape: Tape, leg: Side) -> Tape:
    return tape.put(TlsStarted(tape.now, tape.connection, leg))


def test_a_handshake_that_was_never_done_is_where_it_stood() -> None:
    tape = under_tls(under_tls(Tape().proxy(), "server"), "client").put(
        TlsOpened(100.0, 1, "server", "TLSv1.3", "AES", None, None)
    )
    assert lines(tape.ended("client", "us", "RST"))[1:] == [
        f"{'client --> redis':<35}  TLS: a handshake that was never done",
        "redis --> 127.0.0.1:6379  TLS: TLSv1.3, AES",
        f"{'client <-- redis':<35}     RST",
    ]


def test_a_handshake_that_was_done_or_failed_is_told_once_and_its_reason_is_whole() -> None:
    reason = "the server's certificate is not accepted: IP address mismatch, it is not valid for 127.0.0.1"
    tape = under_tls(Tape().proxy(), "server").put(TlsFailed(101.0, 1, "server", reason))
    assert [line for line in lines(tape) if "TLS" in line] == [
        f"redis --> 127.0.0.1:6379  *** TLS failed: {reason}"
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (client_hello("shop.test"), "  TLS ClientHello for shop.test"),
        (client_hello("shop.test")[:20], "  TLS ClientHello"),
        (PING, ""),
    ],
    ids=["whole", "torn", "none"],
)
def test_a_client_that_speaks_tls_to_somebody_who_does_not_end_it_is_seen(data: bytes, said: str) -> None:
    first, second = lines(Tape().opened().passed("to_server", data).passed("to_server", data))[1:]
    assert first == second + said
    assert "ClientHello" not in draw(Tape().opened().passed("to_client", data))


def test_an_upstream_that_takes_its_time() -> None:
    tape = Tape().opened().connecting()
    assert lines(tape)[-1] == "redis --> 127.0.0.1:6379  connecting"
    tape.now += 0.5
    tape.connected()
    assert lines(tape)[-1] == "redis --> 127.0.0.1:6379  connected after 501.0 ms"


def test_an_upstream_that_does_not_answer() -> None:
    tape = Tape().opened().connecting()
    tape.now += 5
    assert lines(tape.failed("timed out", refused=False))[-2:] == [
        "redis --> 127.0.0.1:6379  connecting",
        "redis --> 127.0.0.1:6379  *** no connection: timed out",
    ]


def test_legs_whose_beginning_is_not_in_the_story_are_told_too() -> None:
    tape = Tape().opened(before=True).connected()
    assert lines(tape) == ["client --> redis --> 127.0.0.1:6379  open since before, from 127.0.0.1:40122"]
    tape = Tape().proxy()
    tape.recorder.forget(keep=[1])
    assert lines(tape.failed("gone")) == ["redis --> 127.0.0.1:6379  *** refused: gone"]


def test_datagrams_are_numbered_and_the_lost_one_is_shown() -> None:
    tape = (
        Tape(endpoint="dns", transport="udp").opened().passed("to_server", b"who?").passed("to_client", b"me")
    )
    tape.fired("to_client", "Loss(0.5)", "datagram 0 lost", 0).fired(
        "to_client", "Drop()", "datagram 8 lost", 8
    )
    assert lines(tape)[:6] == [
        "client --> dns  first datagram, from 127.0.0.1:40122",
        'client --> dns     4 B  "who?"',
        'client <-- dns     2 B  "me"',
        "*** Loss(0.5) to_client: datagram 0 lost",
        'datagram 0 of to_client, 2 B "me"',
        "*** Drop() to_client: datagram 8 lost",
    ]
    assert "datagram 0 of to_client, 2 B" in lines(tape, "sizes")


def test_several_connections_and_endpoints_are_told_apart() -> None:
    tape = reset_in_a_reply(Tape().proxy())
    other = Tape(tape.recorder, 2, endpoint="metrics", number=1).opened().passed("to_server", b"x")
    other.noted("handler raised ValueError").noted("port busy", everywhere=True)
    text = draw(tape)
    assert text.splitlines()[0] == "       time     client     endpoint     127.0.0.1:6379"
    assert "#1 *** redis: Reset(after=3) to_client: RST after byte 3" in text
    assert re.search(r'#1 client --> metrics +1 B  "x"', text)
    assert "#1 metrics: note: handler raised ValueError" in text
    assert "note: port busy" in text


def test_upstreams_that_differ_are_headed_upstream() -> None:
    tape = Tape().proxy()
    Tape(tape.recorder, 2).proxy(server=("127.0.0.1", 80))
    assert draw(tape).splitlines()[0].split() == ["time", "client", "redis", "upstream"]


def test_a_server_of_ours_behind_our_proxy_is_told_once_and_by_name() -> None:
    tape = Tape().proxy()
    inner = Tape(tape.recorder, 2, endpoint="echo", number=1).opened(client=OURS, server=UPSTREAM)
    inner.passed("to_server", b"hi").noted("handler raised ValueError")
    tape.passed("to_server", b"hi")
    assert lines(tape) == [
        "client --> redis --> echo  connected, from 127.0.0.1:40122",
        "note: handler raised ValueError",
        'client --> redis --> echo     2 B  "hi"',
    ]


def test_a_proxy_behind_our_proxy_is_told_too() -> None:
    tape = Tape(endpoint="outer").proxy(server=PROXY)
    Tape(tape.recorder, 2, endpoint="inner").opened(client=OURS, server=PROXY).connecting()
    told = [line.replace(" ", "") for line in lines(tape)]
    assert told[0].startswith("#1client-->outer-->inner")
    assert told[1].startswith("#2outer-->inner"), "the client of the inner one is our own proxy"


def test_secrets_are_masked_across_chunks_and_around_the_cut() -> None:
    tape = Tape().proxy().passed("to_server", b"*2\r\n$4\r\nAUTH\r\n$7\r\nS3C").sent("to_server", b"RETS\r\n")
    tape.fired("to_server", "Reset(after=25)", "RST after byte 25", 25).delivered("to_server", b"RE").ended(
        "server", "us", "RST"
    )
    text = draw(tape)
    assert not re.search("S3C|RE|TS", text.replace("Reset", "").replace("RST", ""))
    assert r'*****" | "**\r\n" 4 B not delivered' in text


def test_bytes_beyond_the_record_are_told_by_their_size() -> None:
    tape = Tape(Recorder(record_bytes=4)).proxy().passed("to_server", b"abcdef").passed("to_server", b"ghi")
    tape.sent("to_client", b"abcdef").fired("to_client", "Drop(5)", "lost from byte 5", 5).delivered(
        "to_client", b"abcde"
    )
    assert lines(tape)[1:] == [
        'client --> redis --> 127.0.0.1:6379     6 B  "abcd..."',
        'client --> redis --> 127.0.0.1:6379     3 B  "..."',
        'redis <-- 127.0.0.1:6379     6 B  "abcd..."',
        "*** Drop(5) to_client: lost from byte 5",
        "5 B delivered | 1 B not delivered",
        'client <-- redis                        5 B  "abcd..."',
    ]


def test_a_story_without_entries_or_connections() -> None:
    assert draw(Tape()) == "no traffic"
    assert draw(Tape().marked("call")).splitlines() == [
        "       time  client     endpoint",
        "     0.0 ms  --- call ---",
    ]


def test_a_long_story_shows_its_opening_each_fault_and_its_end() -> None:
    tape = Tape().proxy()
    for number in range(100):
        tape.passed("to_server", b"%d" % number)
        if number == 50:
            tape.fired("to_client", "Stall()", "held from byte 0", 0)
    text = draw(tape).splitlines()
    assert len(text) <= MAX_LINES
    assert '"8"' in text[10]
    assert '"99"' in text[-1]
    assert '"85"' in text[-15]
    place = next(n for n, line in enumerate(text) if "***" in line)
    assert ['"49"' in text[place - 2], '"50"' in text[place - 1], '"51"' in text[place + 2]] == [True] * 3
    assert text[place - 4] == "... 39 more ..."
    assert text[place + 5] == "... 31 more ..."


def test_many_faults_are_counted_where_they_have_no_room() -> None:
    recorder = Recorder()
    for number in range(1, 60):
        reset_in_a_reply(Tape(recorder, number).proxy())
    text = ladder(recorder.story(), recorder.traffic()).splitlines()
    assert len(text) <= MAX_LINES
    assert any(re.fullmatch(r"\.\.\. \d+ more, faults among them: \d+ \.\.\.", line) for line in text)
    assert "#59" in text[-1]


def test_what_a_story_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_room, "STORY_OPENING", 2)
    monkeypatch.setattr(story_room, "STORY_CLOSING", 2)
    tape = Tape()
    for number in range(10):
        tape.marked(str(number))
    assert lines(tape) == ["--- 0 ---", "--- 1 ---", "... 6 more ...", "--- 8 ---", "--- 9 ---"]


def test_what_is_missing_is_counted_on_both_sides_of_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_room, "STORY_OPENING", 2)
    monkeypatch.setattr(story_room, "STORY_CLOSING", 1)
    tape = Tape().proxy()
    for number in range(9):
        tape.marked(str(number))
        if number == 2:
            tape.fired("to_client", "Stall()", "held from byte 0", 0)
    told = lines(tape)
    place = next(n for n, line in enumerate(told) if "***" in line)
    assert told[place - 1] == "... 4 more ..."
    assert told[-2:] == ["... 5 more ...", "--- 8 ---"]


def test_long_names_keep_to_their_columns() -> None:
    names = "a-very-long-endpoint-name-indeed\x1b[31m"
    tape = (
        Tape(endpoint=names).opened(server="/tmp/x").connecting(server="/a/very/long/path/to/some/unix.sock")
    )
    tape.connected(server="/a/very/long/path/to/some/unix.sock").passed("to_server", b"x" * 200)
    tape.fired("to_client", "Reset(after=3)" + ".on_connections(1, 2)" * 9, "RST after byte 3", 3)
    tape.failed("because " * 60)
    text = draw(tape)
    assert max(map(len, text.splitlines())) <= 75 + REASON_COLUMNS
    assert "\x1b" not in text


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "delivered", "ended", "fired", "noted", "marked", "proxy", "failed"]),
        st.sampled_from(["to_server", "to_client"]),
        st.binary(max_size=50),
        st.integers(1, 3),
    ),
    max_size=120,
)


@given(ACTS, st.sampled_from(["tcp", "udp"]), st.sampled_from(["full", "sizes"]))
def test_any_story_keeps_to_its_lines_and_to_printable_text(
    acts: list[tuple[str, str, bytes, int]], transport: str, report: Report
) -> None:
    recorder = Recorder(record_bytes=60)
    tapes = {n: Tape(recorder, n, transport=transport).opened(client=CLIENT) for n in (1, 2, 3)}
    for act, way, data, number in acts:
        _perform(tapes[number], act, way, data)
    text = ladder(recorder.story(), recorder.traffic(), DEFAULT_REDACTIONS, report)
    assert len(text.splitlines()) == text.count("\n") + 1 <= MAX_LINES
    assert all(line.isprintable() for line in text.split("\n"))


def _perform(tape: Tape, act: str, way: str, data: bytes) -> None:
    side: Side = "client" if way == "to_client" else "server"
    note = data.decode("latin-1")
    acts = {
        "sent": lambda: tape.sent(way, data),  # type: ignore[arg-type]
        "delivered": lambda: tape.delivered(way, data[:9]),  # type: ignore[arg-type]
        "ended": lambda: tape.ended(
            side, "us" if len(data) % 2 else "peer", "RST" if len(data) % 3 else "FIN"
        ),
        "fired": lambda: tape.fired(way, note, f"held from byte {len(data)}", len(data)),  # type: ignore[arg-type]
        "noted": lambda: tape.noted(note),
        "marked": lambda: tape.marked(note),
        "proxy": lambda: tape.connecting().connected(),
        "failed": lambda: tape.failed(note),
    }
    acts[act]()
