"""The directory of captures, and the names of the files in it.

Law: it knows the file system and no capture. What cannot be done is an OSError, and `why_not` says it in words.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

__all__ = ["file_name", "make_directory", "probe_directory", "why_not"]

_LONGEST = 80


def file_name(node_id: str, attempt: int = 1, worker: str = "") -> str:
    """A name of its own for each test and attempt, safe on every file system: readable part, then a hash of the id."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", node_id)[:_LONGEST].strip(".-") or "test"
    digest = hashlib.sha256(node_id.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    again = f".attempt{attempt}" if attempt > 1 else ""
    return f"{slug}-{digest}{again}{'.' + worker if worker else ''}.pcapng"


def make_directory(directory: Path) -> None:
    """Make the directory of captures, kept out of version control. An existing one stays as it is. Raises OSError."""
    if directory.is_dir():
        return
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("*\n")


def probe_directory(directory: Path) -> None:
    """Make the directory and see that files can be made in it. Raises OSError."""
    import tempfile

    make_directory(directory)
    with tempfile.TemporaryFile(dir=directory):
        pass


def why_not(directory: Path, problem: OSError) -> str:
    """In words, why there are no captures."""
    return (
        f"captures cannot be written into {directory}: {problem.strerror or problem}. "
        "Expected a directory in which files can be made. Choose another one with --net-capture-dir; "
        "the tests run without captures."
    )
