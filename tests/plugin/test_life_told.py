"""Who learns of the files that stay: a hook, the manifest, JUnit, pytest-html, and whoever reads the last lines."""

from __future__ import annotations

import html
import json
import os
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from .conftest import Suite

TESTS = """
def test_pass(tcp_echo): assert ask(tcp_echo.address, b"a") == b"a"
def test_fail(tcp_echo):
    assert ask(tcp_echo.address, b"a") == b"a"
    assert 0
@pytest.mark.parametrize("value", ["<b>&amp;", "ü/\\n"])
def test_odd(tcp_echo, value): assert 0
"""
TELLING = """
from pathlib import Path
def pytest_netfixtures_artifact(item, path, kind):
    assert type(path) is type(Path()) and path.stat().st_size > 0
    with open("told", "a") as file: file.write(f"{item.name} {kind} {path.name} {b'RUNNING' in path.read_bytes()}\\n")
"""


def manifest(suite: Suite) -> list[dict[str, Any]]:
    """Its lines."""
    return [json.loads(line) for line in (suite.captures / "manifest.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("arguments", [[], ["-p", "xdist", "-n2"]], ids=["alone", "xdist"])
def test_the_hook_and_the_manifest_tell_of_each_file_that_stays(suite: Suite, arguments: list[str]) -> None:
    if arguments:
        pytest.importorskip("xdist")
    (suite.path / "conftest.py").write_text(TELLING)
    suite.write(TESTS)
    result = suite.run_apart("--net-capture", "-W", "error", "--junitxml=out.xml", *arguments)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["network captures kept: 3 in net-captures"])
    lines = manifest(suite)
    assert sorted(line["path"] for line in lines) == suite.files()
    told = sorted((suite.path / "told").read_text().splitlines())
    names = [line["nodeid"].partition("::")[2] for line in lines]
    assert told == sorted(
        f"{name} capture {line['path']} False" for name, line in zip(names, lines, strict=True)
    )
    for line in lines:
        assert line["bytes"] == (suite.captures / line["path"]).stat().st_size
        assert (line["outcome"], line["attempt"]) == ("failed", 1)
        assert line["worker"] in (("gw0", "gw1") if arguments else ("",))
        assert datetime.fromisoformat(line["when"]).utcoffset() is not None
    assert {line["nodeid"]: line["packets"] for line in lines}["test_it.py::test_fail"] == 9
    assert (suite.captures / "manifest.jsonl").stat().st_mode & 0o777 == 0o600
    paths = [each.get("value", "") for each in ElementTree.parse(suite.path / "out.xml").iter("property")]
    assert sorted(os.path.basename(path) for path in paths) == suite.files()


RAISING = """
import pytest
def pytest_netfixtures_artifact(item, path, kind):
    if item.name == "test_pass": pytest.fail("not mine")
    if item.name == "test_fail": raise ValueError("\\x1b[31mred")
    raise SystemExit(3)
"""


@pytest.mark.parametrize("arguments", [["-W", "error"], ["-p", "xdist", "-n1"]], ids=" ".join)
def test_a_hook_that_raises_is_a_warning_and_no_result(suite: Suite, arguments: list[str]) -> None:
    if "xdist" in arguments:
        pytest.importorskip("xdist")
    (suite.path / "conftest.py").write_text(RAISING)
    suite.write(TESTS)
    result = suite.run_apart("--net-capture-keep=all", *arguments)
    result.assert_outcomes(passed=1, failed=3, warnings=4)
    result.stdout.fnmatch_lines(["*pytest_netfixtures_artifact raised *not mine*", "*raised ValueError*red*"])
    assert "\x1b[31mred" not in result.stdout.str() and len(manifest(suite)) == 4


def test_without_a_file_nothing_is_said(suite: Suite) -> None:
    suite.write("def test_pass(tcp_echo): pass\ndef test_fail(): assert 0\n")
    result = suite.run("--net-capture")
    result.stdout.no_fnmatch_line("*network captures*")
    assert not (suite.captures / "manifest.jsonl").exists()


def test_without_a_terminal_nothing_is_said_and_all_is_written_down(suite: Suite) -> None:
    suite.write(TESTS)
    result = suite.run_apart("--net-capture", "-p", "no:terminal")
    assert result.stdout.str() == "" and len(manifest(suite)) == 3


def test_each_attempt_is_told_of_and_counted(suite: Suite) -> None:
    pytest.importorskip("pytest_rerunfailures")
    suite.write("def test_one(tcp_echo): assert 0\n")
    result = suite.run_apart("--net-capture", "-p", "pytest_rerunfailures", "--reruns=2")
    result.stdout.fnmatch_lines(["network captures kept: 3 in net-captures"])
    assert [line["attempt"] for line in manifest(suite)] == [1, 2, 3]


def test_a_marker_is_enough_for_the_line(suite: Suite) -> None:
    suite.write("@pytest.mark.netlab(capture=True, keep='all')\ndef test_one(tcp_echo): pass\n")
    suite.run("-q").stdout.fnmatch_lines(["network captures kept: 1 in net-captures"])


def test_html_has_a_link_that_leads_to_the_file(suite: Suite) -> None:
    pytest.importorskip("pytest_html")
    suite.write(TESTS)
    arguments = ["-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "--html=reports/out.html"]
    suite.run_apart(*arguments, "--net-capture").assert_outcomes(passed=1, failed=3)
    text = html.unescape((suite.path / "reports/out.html").read_text())
    links = set(re.findall(r"href=\\\"([^\"\\]*)\\\"[^>]*>network capture<", text))
    assert {os.path.normpath(suite.path / "reports" / link) for link in links} == {
        str(suite.captures / name) for name in suite.files()
    }


@pytest.mark.parametrize("how", ["link", "pipe", "folder"])
def test_a_manifest_that_is_something_else_is_left_alone(suite: Suite, how: str) -> None:
    suite.captures.mkdir()
    precious, manifest = suite.path / "precious", suite.captures / "manifest.jsonl"
    precious.write_text("mine")
    make = {
        "link": lambda: manifest.symlink_to(precious),
        "pipe": lambda: os.mkfifo(manifest),
        "folder": manifest.mkdir,
    }
    make[how]()  # type: ignore[no-untyped-call]
    suite.write(TESTS)
    suite.run("--net-capture").assert_outcomes(passed=1, failed=3)
    assert precious.read_text() == "mine" and len(suite.files()) == 3
