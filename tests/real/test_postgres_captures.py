"""The captures of the example with PostgreSQL, as Wireshark shows them: the words of its protocol, and the fault among them.

One run of the example serves all that is asked here, because it starts a server.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pcap import shark
from real.example_run import captures_of

AS_POSTGRES = ["-d", "tcp.port==1-65535,pgsql"]
FIELDS = ("frame.interface_name", "pgsql.query", "pgsql.tag", "systemd_journal.message")


def rows_about(word: str, tshark: str, path: Path) -> list[list[str]]:
    """The fields of the frames that say it."""
    wanted = [part for field in FIELDS for part in ("-e", field)]
    done = shark.run(tshark, "-n", "-r", path, *AS_POSTGRES, "-T", "fields", *wanted)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines() if word in line]


def test_wireshark_shows_a_commit_whose_answer_never_went_on(
    tmp_path: Path, referee: Callable[[str], str]
) -> None:
    tshark = referee("tshark")
    referee("initdb")
    files = captures_of("postgres_client", tmp_path)
    for path in files:
        assert shark.blemishes(shark.read(tshark, path, options=AS_POSTGRES), ports_reused=True) == []
    (lost,) = (path for path in files if "a_commit_is_done" in path.name)
    asked, passed_on, answered, fault = rows_about("COMMIT", tshark, lost)
    assert asked == ["database: client leg", "COMMIT", "", ""]
    assert passed_on == ["database: server leg", "COMMIT", "", ""]
    assert answered == ["database: server leg", "", "COMMIT", ""]
    assert fault[3].startswith("FAULT Reset(at=0).when(b'COMMIT', direction='to_server') on 'database'")
