"""TLS keys in captures: tshark decrypts what was recorded, at every moment, and keys are nowhere but in their blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark, walk
from pcap.scene import Scene

from pytest_netfixtures._pcap.secrets import LATE, SLOT
from pytest_netfixtures._wire.entries import TO_SERVER, Secret, TlsStarted

pytest.importorskip("trustme")
from pcap.tls_scene import VERSIONS, Talk, Version, decrypted

Referee = Callable[[str], str]
CLIENT, OUT = ("127.0.0.1", 41001), ("127.0.0.1", 41002)
LABELS = [
    *("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "EXPORTER_SECRET"),
    *("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def tshark(referee: Referee) -> str:
    return referee("tshark")


def client(number: int) -> tuple[str, int]:
    return "127.0.0.1", 41000 + number


def lines(number: int, some: slice = slice(None)) -> str:
    """A key log of one connection, as long as the longest that TLS 1.3 writes, and of no use."""
    every = [f"{label} {number:064x} {number * 7 + place:096x}\n" for place, label in enumerate(LABELS)]
    return "".join(every[some])


def kinds(path: Path) -> list[int]:
    return [kind for kind, _ in walk.blocks(path.read_bytes())]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_directions_of_both_legs_decrypt_while_the_file_is_written_and_afterwards(
    version: Version, path: Path, log: Path, tshark: str
) -> None:
    scene = Scene(path)
    near = Talk(scene, log, 1, version=version).open(CLIENT, ("127.0.0.1", 45000), "proxy")
    far = Talk(scene, log, 1, "server", version).open(OUT, endpoint="proxy")
    near.ask("near")
    far.ask("far")
    third = Talk(scene, log, 2, version=version).open(client(3)).ask("third")
    near.ask("again")
    expected = [(0, "near"), (1, "far"), (2, "third"), (0, "again")]
    running = decrypted(tshark, path)
    assert running == [pair for pair in expected for _ in ("question", "answer")]
    scene.ended(2, "us", "FIN")
    scene.tap.finish("failed")
    assert third.connection == 2 and scene.tap.keys_error is None
    assert decrypted(tshark, path) == running
    assert shark.blemishes(shark.read(tshark, path)) == []


def test_a_file_without_keys_does_not_decrypt_and_says_so(path: Path, log: Path, tshark: str) -> None:
    scene = Scene(path, secrets=False)
    Talk(scene, log, 1).open(CLIENT).ask("secret")
    scene.tap.finish("failed", log.read_text())
    assert decrypted(tshark, path) == []
    assert walk.keys(path) == []
    assert b"keys: of TLS are left out (--net-capture-no-secrets)" in path.read_bytes()
    assert not any(
        line.split()[-1].encode() in path.read_bytes() for line in log.read_text().splitlines()[1:]
    )


def test_a_file_cut_at_any_later_block_decrypts_up_to_there(
    path: Path, log: Path, tmp_path: Path, tshark: str
) -> None:
    scene = Scene(path)
    Talk(scene, log, 1).open(CLIENT).ask("one").ask("two")
    whole, ends = path.read_bytes(), walk.boundaries(path)
    scene.tap.discard()
    torn = tmp_path / "torn.pcapng"
    for end, names in zip(ends[-4:], ["one", "one one", "one one two", "one one two two"], strict=True):
        torn.write_bytes(whole[:end])
        assert [name for _, name in decrypted(tshark, torn)] == names.split()


def test_a_slot_stands_before_the_packets_that_need_it_and_moves_nothing_when_it_is_filled(
    path: Path,
) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, OUT)
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    assert kinds(path) == [walk.SECTION, walk.INTERFACE, *[walk.PACKET] * 3, walk.SECRETS]
    size = path.stat().st_size
    assert walk.keys(path) == ["#" * (SLOT - 1) + "\n"]
    first, second = lines(1, slice(3)), lines(1, slice(3, None))
    scene.feed(Secret(scene.tick(), 1, "client", "# a comment\n\n" + first))
    scene.feed(Secret(scene.tick(), 1, "client", first + second))
    [keys] = walk.keys(path)
    assert path.stat().st_size == size and len(keys) == SLOT
    assert keys.startswith(first + second + "#") and keys.endswith("#\n")
    scene.tap.finish("passed")
    assert walk.keys(path) == [keys]


@pytest.mark.parametrize("size", [SLOT - 938, SLOT - 939, SLOT - 937])
def test_a_slot_is_filled_to_its_last_byte(size: int, path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, OUT)
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    assert len(lines(1)) == 938, "the longest that OpenSSL writes: five lines with SHA-384"
    filler = f"{'X' * (size - 66 - 64 - 8)}_SECRET {1:064x} {2:064x}\n"
    scene.feed(Secret(scene.tick(), 1, "client", lines(1) + (filler if size > 200 else "")))
    [keys] = walk.keys(path)
    assert len(keys) == SLOT and keys.endswith("#\n")
    scene.tap.discard()


def test_two_legs_and_many_connections_have_a_slot_each(path: Path) -> None:
    scene = Scene(path)
    for connection, leg in itertools.product((1, 2), ("client", "server")):
        scene.feed(TlsStarted(scene.tick(), connection, leg))  # type: ignore[arg-type]
        scene.feed(TlsStarted(scene.tick(), connection, leg))  # type: ignore[arg-type]
    for number, (connection, leg) in enumerate(itertools.product((1, 2), ("client", "server"))):
        scene.feed(Secret(scene.tick(), connection, leg, lines(number)))  # type: ignore[arg-type]
    assert [keys.rstrip("#\n") + "\n" for keys in walk.keys(path)] == [lines(number) for number in range(4)]
    scene.tap.discard()


def test_keys_that_do_not_fit_come_at_the_end_and_are_put_right(path: Path, log: Path, tshark: str) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, ("127.0.0.1", 46000))
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    scene.feed(Secret(scene.tick(), 1, "client", lines(5)))  # a slot full of the keys of another handshake
    Talk(scene, log, 1).start().ask("late")
    assert decrypted(tshark, path) == [(0, "late")], (
        "the answer alone: the client's key comes behind its Finished"
    )
    late = [keys for keys in walk.keys(path) if keys.startswith(LATE)]
    assert len(late) == 2, "once with the server's flight, once with the client's Finished"
    [row, _] = [text for text in shark.messages(shark.read(tshark, path)) if "no room in their slot" in text]
    assert row.startswith("TLS 'redis' connection 1, client leg: 4 lines")
    before = walk.without_keys(path)
    scene.tap.finish("failed")
    assert decrypted(tshark, path) == [(0, "late")] * 2
    assert not any(LATE in keys for keys in walk.keys(path))
    assert kinds(path)[:3] == [walk.SECTION, walk.INTERFACE, walk.SECRETS]
    assert walk.without_keys(path)[200:].startswith(before[200:])
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.with_name("capture.pcapng.merging").exists()


def test_keys_of_a_leg_that_never_said_it_is_under_tls_are_kept_too(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, OUT)
    scene.feed(Secret(scene.tick(), 1, "client", lines(1)))
    scene.tap.finish("failed")
    assert walk.keys(path) == [lines(1)]
    assert kinds(path)[:4] == [walk.SECTION, walk.INTERFACE, walk.SECRETS, walk.PACKET]


def test_a_slot_that_is_there_is_filled_when_the_file_is_full(path: Path) -> None:
    scene = Scene(path, max_bytes=6000)
    scene.opened(1, CLIENT, OUT)
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    scene.feed(Secret(scene.tick(), 1, "client", lines(1, slice(3))))
    scene.sent(2, TO_SERVER, b"no leg")
    scene.feed(TlsStarted(scene.tick(), 2, "client"))
    while not scene.tap.left_out:
        scene.opened(next(numbers), OUT, CLIENT)
    scene.feed(Secret(scene.tick(), 1, "client", lines(1, slice(3, None))))
    size = path.stat().st_size
    scene.feed(Secret(scene.tick(), 2, "client", lines(2)))
    assert [keys.rstrip("#\n") + "\n" for keys in walk.keys(path)] == [lines(1), lines(2)]
    assert path.stat().st_size == size
    scene.tap.finish("failed")
    assert path.stat().st_size < 6000 + 4000


numbers = itertools.count(100)


def test_where_no_slot_fits_the_file_is_full_and_no_packet_comes_that_nobody_could_read(path: Path) -> None:
    scene = Scene(path, max_bytes=2800)
    scene.opened(1, CLIENT, OUT)
    packets = scene.tap.packets
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    scene.feed(TlsStarted(scene.tick(), 2, "client"))
    scene.feed(Secret(scene.tick(), 2, "client", lines(2)))
    scene.opened(2, OUT, CLIENT)
    scene.tap.finish("failed")
    text = path.read_bytes().decode("latin-1")
    assert scene.tap.packets == packets and scene.tap.left_out == 3
    assert text.count("LIMIT capture limit of 2800 bytes reached") == 1
    assert len(walk.keys(path)) == 1 and lines(2) not in text
    assert scene.tap.error is None and scene.tap.keys_error is None


def test_late_keys_have_a_limit_as_rows_do(path: Path) -> None:
    scene = Scene(path, max_bytes=4000)
    scene.feed(TlsStarted(scene.tick(), 1, "client"))
    for number in range(1500):
        scene.feed(Secret(scene.tick(), 1, "client", lines(number)))
    scene.tap.finish("failed")
    assert path.stat().st_size < 4000 + (1 << 20) + 2000
    assert scene.tap.error is None
    assert len(walk.keys(path)) >= 2


def test_keys_are_in_their_blocks_and_nowhere_else(
    path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(path)
    talk = Talk(scene, log, 1).open(CLIENT).ask("name")
    entry = Secret(scene.tick(), 1, "client", log.read_text() + lines(9))
    scene.feed(entry)
    for text in ("no keys at all \xff", "CLIENT_RANDOM 00 11"):
        scene.feed(Secret(scene.tick(), 1, "client", text))
    scene.tap.finish("failed", lines(11) + "CLIENT_RANDOM aabbcc dd\n")
    shown = [repr(entry), repr(scene.tap), repr(scene.tap._slots), str(scene.tap.error), *capsys.readouterr()]
    outside = walk.without_keys(path) + "".join(shown).encode()
    secrets = [
        line.split()[2] for line in (log.read_text() + lines(9) + lines(11)).splitlines() if "#" not in line
    ]
    assert len(secrets) == 15 and talk.connection == 1
    assert not [secret for secret in secrets if secret.encode() in outside]
    assert all(secret in "".join(walk.keys(path)) for secret in secrets)
    assert b"aabbcc" not in path.read_bytes() and b"no keys at all" not in path.read_bytes()


def test_a_failing_disk_costs_the_merging_and_not_the_capture(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    scene = Scene(path)
    scene.opened(1, CLIENT, OUT)
    monkeypatch.setattr("os.replace", full)
    scene.tap.finish("failed", lines(1))
    assert scene.tap.keys_error is not None and "No space left on device" in scene.tap.keys_error
    assert "tls.keylog_file" in scene.tap.keys_error and f"{1:064x}" not in scene.tap.keys_error
    assert scene.tap.error is None and b"outcome: failed" in path.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_two_thousand_connections_under_tls_cost_a_kilobyte_each_and_open_everywhere(
    path: Path, log: Path, tmp_path: Path, referee: Referee
) -> None:
    scene = Scene(path)
    for number in range(2000):
        scene.opened(number, client(number), OUT)
        plain = path.stat().st_size
        scene.feed(TlsStarted(scene.tick(), number, "client"))
        assert path.stat().st_size - plain == SLOT + 20
        scene.feed(Secret(scene.tick(), number, "client", lines(number)))
    Talk(scene, log, 2000).open(client(2001)).ask("last")
    other = Scene(tmp_path / "other.pcapng")
    Talk(other, log, 1).open(client(3000)).ask("other")
    scene.tap.finish("passed")
    other.tap.finish("passed")
    edited, merged = tmp_path / "edited.pcapng", tmp_path / "merged.pcapng"
    assert shark.run(referee("editcap"), path, edited).returncode == 0
    assert shark.run(referee("mergecap"), "-w", merged, path, other.tap.path).returncode == 0
    assert len(walk.keys(path)) == len(walk.keys(edited)) == 2001
    for each, names in ((path, ["last"]), (edited, ["last"]), (merged, ["last", "other"])):
        assert sorted(name for _, name in decrypted(referee("tshark"), each)) == sorted(names * 2)
    for program in ("capinfos", "tcpdump"):
        done = shark.run(referee(program), *(["-r"] if program == "tcpdump" else []), path)
        assert done.returncode == 0, done.stderr


def test_keys_go_into_no_file_that_has_taken_the_place_of_the_capture(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, OUT)
    path.unlink()
    scene.tap.finish("failed", lines(2))
    assert not scene.tap.made and scene.tap.keys_error is None
    other = Scene(path)
    other.opened(1, CLIENT, OUT)
    path.rename(path.with_name("moved"))
    Scene(path).opened(2, CLIENT, OUT)
    before = path.read_bytes()
    other.tap.finish("failed", lines(2))
    assert path.read_bytes() == before and not other.tap.made


def test_a_leg_whose_handshake_nobody_saw_has_a_row_and_no_keys(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, OUT, endpoint="web", before=True)
    scene.feed(TlsStarted(scene.tick(), 1, "client", unseen=True))
    scene.feed(Secret(scene.tick(), 1, "client", lines(1)))
    scene.feed(TlsStarted(scene.tick(), 2, "client"))
    scene.feed(Secret(scene.tick(), 2, "client", lines(2)))
    scene.tap.finish("failed")
    assert [text.rstrip("#\n") for text in walk.keys(path)] == [lines(2).rstrip()]
    assert b"TLS 'web' connection 1, client leg: its handshake was before this test" in path.read_bytes()
