"""`make demo`: the main job, shown. Runs examples/ with --net-capture and shows what the test that fails on purpose leaves,
and what a test over TLS does.

It exits 0 when exactly the tests of examples/fails_on_purpose failed and a readable capture lies on the disk, otherwise 1.
It installs nothing; without tshark it names the files and says how to look into them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import picture

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "net-captures"
ON_PURPOSE = "fails_on_purpose"
MOST_ROWS = 60


def main() -> int:
    shutil.rmtree(CAPTURES, ignore_errors=True)
    say("pytest examples --net-capture    (one test fails on purpose)")
    with tempfile.TemporaryDirectory() as folder:
        complaints = judge_run(run_examples(Path(folder, "results.xml")), Path(folder, "results.xml"))
    say("What is on the disk")
    complaints += show_captures(sorted(CAPTURES.rglob("*.pcapng")))
    say("The same over TLS: the keys are in the file, and tshark decrypts it")
    complaints += show_tls(CAPTURES / "over-tls")
    say("Not what was expected: " + "; ".join(complaints) if complaints else "As expected.")
    return 1 if complaints else 0


def say(text: str) -> None:
    print(f"\n==== {text}", flush=True)


def run_examples(results: Path) -> int:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "examples",
        "--net-capture",
        "--net-capture-dir",
        str(CAPTURES),
    ]
    return subprocess.run([*command, f"--junit-xml={results}"], cwd=ROOT, check=False).returncode


def judge_run(code: int, results: Path) -> list[str]:
    """What is wrong with this run, in words; nothing when exactly the right tests failed."""
    if code != 1 or not results.exists():
        return [f"pytest ended with {code} instead of 1 (some tests failed)"]
    cases = list(ElementTree.parse(results).iter("testcase"))
    wrong = [f"{name(case)} {outcome(case)}" for case in cases if failed(case) != meant_to_fail(case)]
    if not any(meant_to_fail(case) for case in cases):
        wrong.append(f"no test of examples/{ON_PURPOSE} ran")
    return wrong


def show_captures(captures: list[Path]) -> list[str]:
    """Names the files and prints their packets; gives what is wrong with them, in words."""
    tshark = shutil.which("tshark")
    wrong = [complaint for path in captures for complaint in show_capture(tshark, path)]
    if not tshark:
        print("tshark is not here: sudo apt-get install tshark, or open the files in Wireshark")
    return wrong if captures else ["no capture was kept"]


def show_tls(folder: Path) -> list[str]:
    """An example of HTTPS; gives what is wrong where no HTTP can be read in its capture."""
    capture = picture.make_capture(folder, picture.HTTPS)
    tshark = shutil.which("tshark")
    wrong = show_capture(tshark, capture)
    if tshark is not None and not wrong and "GET /orders HTTP/1.1" not in packets(tshark, capture).stdout:
        wrong = [f"tshark does not decrypt {capture.name}"]
    return wrong


def show_capture(tshark: str | None, path: Path) -> list[str]:
    print(f"\n{os.path.relpath(path)} ({path.stat().st_size} bytes)", flush=True)
    if tshark is None:
        return []
    done = packets(tshark, path)
    print_rows(done.stdout.splitlines())
    good = done.returncode == 0 and done.stdout
    return [] if good else [f"tshark finds no packets in {path.name}: {done.stderr.strip()}"]


def packets(tshark: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tshark, "-n", "-r", str(path)], capture_output=True, text=True, check=False)


def print_rows(rows: list[str]) -> None:
    print("\n".join(rows[:MOST_ROWS]))
    if len(rows) > MOST_ROWS:
        print(f"... and {len(rows) - MOST_ROWS} rows more")


def name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def failed(case: ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def outcome(case: ElementTree.Element) -> str:
    return "failed" if failed(case) else "did not fail"


def meant_to_fail(case: ElementTree.Element) -> bool:
    return ON_PURPOSE in name(case)


if __name__ == "__main__":
    sys.exit(main())
