"""`make soak`: the suite many times, in random order, with four workers, and beside two busy loops.

It prints seed and counts of every round and stops at the first failure, whose output it shows. The busy loops are its own
children and end with it. It never repeats a round that failed.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUSY = "while True: pass"
MODES = ("random order", "-n 4", "two busy loops")


def main() -> int:
    parser = argparse.ArgumentParser(description="the suite, many times")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all of them")
    options, pytest_options = parser.parse_known_args()
    return soak(options.mode or list(MODES), options.rounds, pytest_options)


def soak(modes: list[str], rounds: int, pytest_options: list[str]) -> int:
    for mode in modes:
        for number in range(1, rounds + 1):
            if not one_round(mode, number, rounds, pytest_options):
                return 1
    print(f"soak: {rounds} rounds of each of {', '.join(modes)}: no failure")
    return 0


def one_round(mode: str, number: int, rounds: int, pytest_options: list[str]) -> bool:
    seed = random.SystemRandom().randrange(2**32)
    start = time.monotonic()
    with busy_loops(loops_of(mode)):
        done = run_suite([*options_of(mode, seed), *pytest_options])
    took = time.monotonic() - start
    print(
        f"soak: {mode}, round {number} of {rounds}, seed {seed}: {counts(done.stdout)} ({took:.0f} s)",
        flush=True,
    )
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def loops_of(mode: str) -> int:
    """How many busy loops run beside the suite."""
    return 2 if mode == "two busy loops" else 0


def options_of(mode: str, seed: int) -> list[str]:
    """Random order and three workers in every mode: the seed is what a failure can be repeated with."""
    workers = "4" if mode == "-n 4" else "3"
    return ["-p", "randomly", f"--randomly-seed={seed}", "-n", workers]


def run_suite(options: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def counts(output: str) -> str:
    """Pytest's closing line: "812 passed, 3 skipped in 41.20s"."""
    found = re.findall(r"^\W*(\d+ (?:passed|failed|skipped|error).*?)\W*$", output, re.MULTILINE)
    return found[-1] if found else "no closing line"


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """`count` processes that do nothing but use a processor, for as long as the block runs."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
