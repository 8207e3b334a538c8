"""`make dist`: builds sdist and wheel into dist/, looks at what is in them, and uses the wheel as a stranger would.

The stranger has an empty environment, a folder outside the repository, the wheel, and what README's snippets import.
It publishes nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import readme_snippets

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
IN_SDIST = (
    "tests/conftest.py",
    "docs/conf.py",
    "examples/",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "Makefile",
)
IN_WHEEL = ("pytest_netfixtures/plugin.py", "pytest_netfixtures/py.typed")
PACKAGE_OF = {"dns": "dnspython"}


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    call(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    sdist, wheel = next(DIST.glob("*.tar.gz")), next(DIST.glob("*.whl"))
    call(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    check_contents(sdist, wheel)
    with tempfile.TemporaryDirectory(prefix="netfixtures-") as folder:
        use(wheel, Path(folder))
    print(f"dist: {sdist.name} and {wheel.name} are in dist/")
    return 0


def call(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a command and shows what it said only if it failed."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\ndist: this failed: {' '.join(map(str, command))}")


def check_contents(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        in_sdist = [name.partition("/")[2] for name in archive.getnames()]
    with zipfile.ZipFile(wheel) as packed:
        in_wheel = packed.namelist()
    missing = [part for part in IN_SDIST if not any(name.startswith(part) for name in in_sdist)]
    missing += [part for part in IN_WHEEL if part not in in_wheel]
    foreign = [
        name for name in in_wheel if not name.startswith(("pytest_netfixtures/", "pytest_netfixtures-"))
    ]
    if missing or foreign:
        raise SystemExit(
            f"dist: missing {missing}; does not belong into the wheel: {foreign}; see pyproject.toml"
        )


def use(wheel: Path, folder: Path) -> None:
    """README's snippets, from the installed wheel, in an empty environment, away from the repository."""
    snippets = folder / "snippets"
    modules = readme_snippets.write(ROOT / "README.md", snippets)
    call(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "-qq", wheel)
    call(python, "-W", "error", "-m", "pytest", "--version", cwd=snippets)
    call(
        python, "-m", "pip", "install", "-qq", *sorted(PACKAGE_OF.get(name, name) for name in modules), wheel
    )
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-W", "error", "--rootdir=."], cwd=snippets, check=False
    )
    if tests.returncode:
        raise SystemExit("dist: README's snippets fail from the installed wheel; mend README.md or the code")


if __name__ == "__main__":
    sys.exit(main())
