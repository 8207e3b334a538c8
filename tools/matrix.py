"""`make matrix`: the suite on every other Python from 3.10 to 3.14 that really starts.

Looks on the path and below `pyenv root`; each interpreter gets an environment of its own below .matrix/, and runs the suite
once in one of the ways of `make soak`, in turn. It prints which ones ran and which were not found, and fails when one that
ran failed. The Python of .venv is left to `make test`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path

from soak import MODES, busy_loops, loops_of, options_of

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = tuple(f"3.{minor}" for minor in range(10, 15))
ASK = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')"


def main() -> int:
    own = "{}.{}".format(*sys.version_info[:2])
    found = interpreters()
    others = [version for version in VERSIONS if version in found and version != own]
    results = {
        version: run(version, found[version], mode)
        for version, mode in zip(others, cycle(MODES), strict=False)
    }
    print(f"\nmatrix: {own} is the Python of .venv (make test)")
    for version in VERSIONS:
        if version != own:
            print(f"matrix: {version} {results.get(version, 'was not run: none here starts')}")
    return 1 if any(result.startswith("FAILED") for result in results.values()) else 0


def interpreters() -> dict[str, str]:
    """Version -> the path of an interpreter that starts and is that version."""
    found: dict[str, str] = {}
    for candidate in candidates():
        answer = starts(candidate)
        if answer is not None:
            found.setdefault(answer[1], answer[0])
    return found


def candidates() -> list[str]:
    on_path = [path for version in VERSIONS if (path := shutil.which(f"python{version}"))]
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    return [*below_pyenv(), *on_path, *([system] if system else [])]


def below_pyenv() -> list[str]:
    """The real interpreters of pyenv; its shims often do not start."""
    if shutil.which("pyenv") is None:
        return []
    root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    return [str(path) for path in sorted(Path(root, "versions").glob("3.1*/bin/python3"))]


def starts(candidate: str) -> tuple[str, str] | None:
    """The interpreter's own path and version, or None where it does not start."""
    try:
        done = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n")
    return (lines[0], lines[1]) if done.returncode == 0 and len(lines) > 1 else None


def run(version: str, python: str, mode: str) -> str:
    """Runs the suite on one interpreter; says in a few words how it went."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"\n==== Python {version}, {mode}, seed {seed}: {python}", flush=True)
    venv = ROOT / ".matrix" / version
    made = subprocess.run(["tools/venv.sh", str(venv), ".[all]", "test", python], cwd=ROOT, check=False)
    if made.returncode:
        return "FAILED: its environment could not be made"
    options = [*options_of(mode, seed), *sys.argv[1:]]
    command = [str(venv / "bin" / "python"), "-m", "pytest", "-q", *options]
    with busy_loops(loops_of(mode)):
        done = subprocess.run(command, cwd=ROOT, env=environment(), check=False)
    return (
        f"passed ({mode})"
        if done.returncode == 0
        else f"FAILED ({mode}): pytest ended with {done.returncode}"
    )


def environment() -> dict[str, str]:
    """Ours without what a virtual environment or pyenv has left in it."""
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYENV_VERSION")}


if __name__ == "__main__":
    sys.exit(main())
