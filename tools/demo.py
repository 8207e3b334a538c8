"""`make demo`: the main job, shown. Runs examples/ with --net-capture and shows what the test that fails on purpose leaves.

It exits 0 when exactly the tests of examples/fails_on_purpose failed and a readable capture lies on the disk, otherwise 1.
It installs nothing; without tshark it names the files and says how to look into them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "net-captures"
RESULTS = CAPTURES / "demo.xml"
ON_PURPOSE = "fails_on_purpose"
MOST_ROWS = 60


def main() -> int:
    shutil.rmtree(CAPTURES, ignore_errors=True)
    say("pytest examples --net-capture    (one test fails on purpose)")
    code = run_examples()
    say("What is on the disk")
    captures = sorted(CAPTURES.rglob("*.pcapng"))
    show(captures)
    complaints = judge(code, captures)
    say("Not what was expected: " + "; ".join(complaints) if complaints else "As expected.")
    return 1 if complaints else 0


def say(text: str) -> None:
    print(f"\n==== {text}", flush=True)


def run_examples() -> int:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "examples",
        "--net-capture",
        "--net-capture-dir",
        str(CAPTURES),
    ]
    return subprocess.run([*command, f"--junit-xml={RESULTS}"], cwd=ROOT, check=False).returncode


def show(captures: list[Path]) -> None:
    tshark = shutil.which("tshark")
    for path in captures:
        print(os.path.relpath(path), f"({path.stat().st_size} bytes)", flush=True)
        if tshark:
            print_packets(tshark, path)
    if not tshark:
        print("tshark is not here: sudo apt-get install tshark, or open the files in Wireshark")


def print_packets(tshark: str, path: Path) -> None:
    done = subprocess.run([tshark, "-n", "-r", str(path)], capture_output=True, text=True, check=False)
    rows = done.stdout.splitlines()
    print("\n".join(rows[:MOST_ROWS]))
    if len(rows) > MOST_ROWS:
        print(f"... and {len(rows) - MOST_ROWS} rows more")
    if done.returncode:
        print(done.stderr.strip())


def judge(code: int, captures: list[Path]) -> list[str]:
    """What is wrong with this run, in words; nothing when all is as it should be."""
    if code != 1 or not RESULTS.exists():
        return [f"pytest ended with {code} instead of 1 (some tests failed)"]
    cases = list(ElementTree.parse(RESULTS).iter("testcase"))
    wrong = [f"{name(case)} {outcome(case)}" for case in cases if failed(case) != meant_to_fail(case)]
    if not any(meant_to_fail(case) for case in cases):
        wrong.append(f"no test of examples/{ON_PURPOSE} ran")
    if not captures:
        wrong.append("no capture was kept")
    return wrong


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
