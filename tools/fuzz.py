"""`make fuzz`: capture files that nobody would write, a million of them, into `read_items` and `read_capture`.

What comes out may be a result or an error of ours. Another exception, more than 5 s or too much memory is a failure: its
input is kept in .fuzz/failures, and the search goes on. The number of inputs is libFuzzer's own. It starts from files
of our own writer and of every kind that the tests make; the mutator knows that a block says its length twice.

Run as a command it makes the seeds and counts; as `fuzz.py --search ...` it is the process that reads, under limits.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAILURES = ROOT / ".fuzz" / "failures"
RUNS = 1_000_000
MOST_FAILURES = 20
KEPT = 500
LONGEST_INPUT = 8192
MEMORY_MB, ADDRESSES = 512, 4 << 30
SECONDS = 5
DONE = re.compile(r"^(?:#|Done )(\d+)", re.MULTILINE)
NAMED = re.compile(r"Test unit written to (\S+)")
UNCAUGHT = "=== Uncaught Python exception"
WHY = re.compile(r"^(?:Traceback|  |\w*(?:Error|Exception|Interrupt)\b)|ERROR: libFuzzer")


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz the reader of capture files")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"inputs; {RUNS:,} unless told")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return count(options.runs, options.seed, Path(folder))


def count(asked: int, seed: int, folder: Path) -> int:
    """Searches until so many inputs have been read, over every failure, and says how it went."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    print(f"fuzz: {write_seeds(folder)} files to start from, {asked:,} inputs, seed {seed}", flush=True)
    begun, read, failures = time.monotonic(), 0, 0
    while read < asked and failures < MOST_FAILURES:
        status, said = search(asked - read, seed + failures, folder)
        read += max(map(int, DONE.findall(said)), default=0)
        if status:
            failures += 1
            print(*explained(said), sep="\n", flush=True)
            if not DONE.search(said):
                break
    seconds = time.monotonic() - begun
    print(f"fuzz: {read:,} inputs in {seconds:,.0f} s ({read / seconds:,.0f} a second), {failures} failures")
    return 1 if failures or read < asked else 0


def search(runs: int, seed: int, folder: Path) -> tuple[int, str]:
    """Reads so many inputs, or up to the first failure; the exit status, and the last of what was said."""
    limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS}", f"-max_len={LONGEST_INPUT}"]
    where = [f"-artifact_prefix={FAILURES}/", str(folder)]
    command = [sys.executable, __file__, "--search", f"-runs={runs}", f"-seed={seed}", *limits, *where]
    last: deque[str] = deque(maxlen=KEPT)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace"
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            if "\tpulse" in line:
                print(f"fuzz: {line.split()[0]} so far", flush=True)
    return process.returncode, "".join(last)


def explained(said: str) -> list[str]:
    """What happened, and the file that it happened with; what came from an input may be no text for a terminal."""
    begin = max(said.find(UNCAUGHT), 0)
    found = [line for line in said[begin:].splitlines() if WHY.search(line)][:25] or said.splitlines()[-12:]
    lines = ["fuzz: FAILED", *found, *(f"the input is {path}" for path in NAMED.findall(said))]
    return ["".join(char if char.isprintable() else ascii(char)[1:-1] for char in line) for line in lines]


def write_seeds(folder: Path) -> int:
    seeds = list(dict.fromkeys(seed for seed in all_seeds() if len(seed) <= LONGEST_INPUT))
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    return len(seeds)


def all_seeds() -> Iterable[bytes]:
    """Files of our own tap, and all that the tests can make by hand."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from pcap import forged_files

    with tempfile.TemporaryDirectory() as folder:
        yield our_own(Path(folder) / "ours.pcapng")
    yield from forged_files.all_files()


def our_own(path: Path) -> bytes:
    """A test with a proxy, a server of its own, a fault and an end of each kind."""
    from pcap.scene import Scene

    scene = Scene(path)
    client, server, upstream = ("127.0.0.1", 4001), ("127.0.0.1", 80), ("127.0.0.1", 90)
    scene.marked("call")
    scene.opened(1, client, server, endpoint="proxy")
    scene.opening(1, server, upstream, endpoint="proxy")
    scene.opened(1, server, upstream, leg="server", endpoint="proxy")
    scene.opened(2, server, upstream, endpoint="echo")
    scene.sent(1, "to_server", b"PING")
    scene.delivered(1, "to_server", b"PING", faults=("Delay(0.2)",), late=0.25)
    scene.fired(1, "Reset(after=3)", "RST after byte 3")
    scene.ended(1, "peer", "FIN")
    scene.ended(1, "us", "RST", leg="server")
    scene.opened(3, ("::1", 42000), ("::1", 42001), transport="udp", endpoint="dns")
    scene.sent(3, "to_server", b"who?")
    scene.noted("a note", connection=1)
    scene.tap.finish("failed")
    return path.read_bytes()


# The process that searches.


def run() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.insert(0, str(ROOT))
    import atheris

    with atheris.instrument_imports(include=["pytest_netfixtures"]):
        from pytest_netfixtures import NetlabError
        from pytest_netfixtures._pcap.read_items import read_items
        from pytest_netfixtures._pcap.read_traffic import traffic_of

    def read(data: bytes) -> None:
        try:
            traffic = traffic_of(read_items(io.BytesIO(data)), 1 << 16, 1 << 20)
        except NetlabError:
            return
        str(traffic), str(traffic.statistics)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        return mutated(data, size, random.Random(seed), atheris.Mutate)

    atheris.Setup(sys.argv[:1] + sys.argv[2:], read, custom_mutator=mutate)
    atheris.Fuzz()  # it ends the process itself
    return 1


def mutated(data: bytes, size: int, chance: random.Random, mutate: Callable[[bytes, int], bytes]) -> bytes:
    """Mostly one block of a pcapng file, with its two lengths right; sometimes the order of blocks; sometimes anything."""
    blocks = split(data)
    choice = chance.random()
    if len(blocks) < 2 or choice < 0.2:
        return bytes(mutate(data, size))
    number = chance.randrange(len(blocks))
    if choice < 0.25:
        blocks.insert(chance.randrange(len(blocks)), blocks[number])
    elif choice < 0.3:
        del blocks[number]
    else:
        order, kind, body = blocks[number]
        blocks[number] = order, kind, bytes(mutate(body, len(body) + 64))
    return b"".join(joined(*block) for block in blocks)[:size]


def split(data: bytes) -> list[tuple[str, bytes, bytes]]:
    """Order of bytes, type and body of each block, as far as they can be told."""
    found, at, order = [], 0, ""
    while at + 12 <= len(data):
        order = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}.get(data[at + 8 : at + 12], order)
        (size,) = struct.unpack_from(f"{order}I", data, at + 4) if order else (0,)
        if not 12 <= size <= len(data) - at:
            break
        found.append((order, data[at : at + 4], data[at + 8 : at + size - 4]))
        at += size
    return found


def joined(order: str, kind: bytes, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return kind + size + body + size


if __name__ == "__main__":
    sys.exit(run() if sys.argv[1:2] == ["--search"] else main())
