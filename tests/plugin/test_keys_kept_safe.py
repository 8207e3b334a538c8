"""Keys of others: shown by no frame, and not taken away by a second run in the same directory."""

from __future__ import annotations

from .conftest import Suite

GIVEN = """
import pathlib

def test_one(net_capture):
    net_capture.add_keys(pathlib.Path("given.log").read_text())
"""
TWICE = """
import os, subprocess, sys

def test_one(netlab, net_capture):
    path = net_capture.keylog_path
    path.write_text("of this run")
    assert net_capture.path.is_file()
    if "AGAIN" not in os.environ:
        command = [sys.executable, "-m", "pytest", "-p", "pytest_netfixtures.plugin", "--net-capture", __file__]
        again = dict(os.environ, AGAIN="1")
        done = subprocess.run(command, env=again, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done
        assert path.read_text() == "of this run"
"""


def test_no_frame_of_ours_shows_keys_that_were_given(suite: Suite) -> None:
    secret = "c0ffee" * 16
    lines = [f"CLIENT_RANDOM {'ab' * 32} {secret}", f"CLIENT_RANDOM none of them {secret}"]
    (suite.path / "given.log").write_text("\n".join(lines))
    suite.write(GIVEN)
    result = suite.run("-vv", "--showlocals", "--full-trace", "--junitxml=report.xml")
    result.assert_outcomes(failed=1)
    assert "line 2 of the key log is none" in result.stdout.str()
    assert secret[:12] not in result.stdout.str() + (suite.path / "report.xml").read_text()


def test_a_second_run_leaves_the_keys_of_the_first_one_alone(suite: Suite) -> None:
    suite.write(TWICE)
    suite.run().assert_outcomes(passed=1)
