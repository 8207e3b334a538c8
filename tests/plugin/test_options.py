"""Options, ini keys, environment and marker: which one wins, what a wrong value says, and what the header shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Suite

PROBE = """
def test_settings(request):
    from pytest_netfixtures._options import settings_for
    settings = settings_for(request.node)
    print("seed", settings.seed, "capture", settings.capture, "keep", settings.keep, "timeout", settings.timeout)
    print("directory", settings.directory, "wait", settings.wait, "max", settings.max_bytes)
"""


def shown(suite: Suite, *arguments: str, expected: str) -> None:
    result = suite.run("-s", *arguments)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*{expected}*"])


def test_the_defaults_are_those_of_the_table(suite: Suite) -> None:
    suite.write(PROBE)
    shown(suite, expected="seed 0 capture False keep failed timeout 60.0")
    shown(suite, expected=f"directory {suite.path / 'net-captures'} wait 5.0 max {64 << 20}")


def test_the_environment_wins_over_the_ini_file(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.ini("net_seed = 1", "net_capture = true")
    suite.write(PROBE)
    shown(suite, expected="seed 1 capture True")
    monkeypatch.setenv("PYTEST_NET_SEED", "2")
    monkeypatch.setenv("PYTEST_NET_CAPTURE", "0")
    shown(suite, expected="seed 2 capture False")


def test_the_command_line_wins_over_the_environment(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_NET_SEED", "2")
    monkeypatch.setenv("PYTEST_NET_CAPTURE", "1")
    suite.write(PROBE)
    shown(suite, "--net-seed=3", "--no-net-capture", expected="seed 3 capture False")


def test_the_marker_wins_over_the_command_line(suite: Suite) -> None:
    suite.write("pytestmark = pytest.mark.netlab(seed=4, timeout=5, capture=False)\n" + PROBE)
    shown(
        suite,
        "--net-seed=3",
        "--net-capture",
        "--net-test-timeout=9",
        expected="seed 4 capture False keep failed timeout 5",
    )


def test_the_nearest_of_several_markers_wins(suite: Suite) -> None:
    suite.write("pytestmark = pytest.mark.netlab(seed=4, timeout=5)\n@pytest.mark.netlab(seed=7)" + PROBE)
    shown(suite, expected="seed 7 capture False keep failed timeout 5")


@pytest.mark.parametrize("source", ["command line", "environment", "marker"])
def test_what_to_keep_implies_a_capture(suite: Suite, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    arguments = ["--net-capture-keep=all"] if source == "command line" else []
    if source == "environment":
        monkeypatch.setenv("PYTEST_NET_CAPTURE_KEEP", "all")
    suite.write(("@pytest.mark.netlab(keep='all')" if source == "marker" else "") + PROBE)
    shown(suite, *arguments, expected="capture True keep all")


def test_what_to_keep_in_the_ini_file_waits_for_a_capture(suite: Suite) -> None:
    suite.ini("net_capture_keep = all")
    suite.write(PROBE)
    shown(suite, expected="capture False keep all")
    shown(suite, "--net-capture", expected="capture True keep all")


@pytest.mark.parametrize("option", ["--net-capture", "--no-net-capture", "--net-capture-no-secrets"])
def test_an_option_does_not_swallow_the_path_behind_it(suite: Suite, option: str) -> None:
    suite.write("def test_one(): pass\n")
    suite.write("def test_two(): assert 0\n", "test_other.py")
    suite.run(option, "test_it.py").assert_outcomes(passed=1)


def test_the_directory_is_below_the_root_however_deep_pytest_is_called(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.ini("net_capture_dir = out/captures")
    suite.write(PROBE, "deep/test_it.py")
    monkeypatch.chdir(suite.path / "deep")
    shown(suite, expected=f"directory {suite.path / 'out' / 'captures'} ")
    shown(suite, "--net-capture-dir=here", expected=f"directory {suite.path / 'deep' / 'here'} ")


WRONG: list[tuple[str, str]] = [
    ("--net-capture-keep=some", "--net-capture-keep is 'some'; expected one of failed, all"),
    ("--net-capture-backend=wire", "--net-capture-backend is 'wire'; expected one of tap, kernel"),
    ("--net-capture-max-bytes=3", "--net-capture-max-bytes is '3'; expected a number of bytes, 4096 or more"),
    ("--net-capture-max-bytes=x", "--net-capture-max-bytes is 'x'"),
    ("--net-seed=luck", "--net-seed is 'luck'; expected a whole number or the word random"),
    ("--net-test-timeout=-1", "--net-test-timeout is '-1'; expected a number of seconds"),
    ("--net-test-timeout=nan", "--net-test-timeout is 'nan'; expected a number of seconds"),
    ("-onet_wait=0", "the ini key net_wait*expected a number of seconds greater than 0"),
    ("-onet_report=loud", "the ini key net_report*expected one of full, sizes, off"),
    ("-onet_redact=(", "the ini key net_redact*regular expressions"),
]


@pytest.mark.parametrize(("argument", "message"), WRONG)
def test_a_wrong_value_is_a_usage_error_that_says_where(suite: Suite, argument: str, message: str) -> None:
    suite.write("def test_one(): pass\n")
    result = suite.run(argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize("key", ["net_wait", "net_test_timeout", "net_capture_max_bytes", "net_capture"])
def test_a_wrong_type_in_the_ini_file_is_a_usage_error_that_names_the_key(suite: Suite, key: str) -> None:
    suite.ini(f"{key} = soon")
    suite.write("def test_one(): pass\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*the ini key {key} in *pytest.ini cannot be used: *soon*"])


def test_a_wrong_value_in_the_environment_is_named(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_NET_SEED", "luck")
    suite.write("def test_one(): pass\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the environment variable PYTEST_NET_SEED is 'luck'*"])


MARKS: list[tuple[str, str]] = [
    ("color='red'", "*netlab of *test_one*color*"),
    ("'red'", "*netlab of *test_one*'red'*"),
    ("seed='x'", "*seed= of the marker netlab of *test_one is 'x'*"),
    ("timeout=-1", "*timeout= of the marker netlab of *test_one is -1*"),
    ("capture='maybe'", "*capture= of the marker netlab of *test_one is 'maybe'*"),
    ("backend='wire'", "*backend= of the marker netlab of *test_one is 'wire'; expected one of tap, kernel*"),
    ("watch=[0]", "*watch= of the marker netlab of *test_one is ?0?; expected a list of ports*"),
]


@pytest.mark.parametrize(("argument", "message"), MARKS)
def test_a_wrong_argument_of_the_marker_names_test_and_argument(
    suite: Suite, argument: str, message: str
) -> None:
    suite.write(f"@pytest.mark.netlab({argument})\ndef test_one(): pass\ndef test_two(): pass\n")
    result = suite.run()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([message])


def test_native_toml_takes_numbers_and_booleans(suite: Suite) -> None:
    if pytest.version_tuple < (9,):
        pytest.skip("[tool.pytest] came with pytest 9")
    seed = "7" if pytest.version_tuple >= (9, 2) else '"7"'
    lines = [f"net_seed = {seed}", "net_wait = 2", "net_test_timeout = 1.5", "net_capture = true"]
    lines += ["net_capture_max_bytes = 5000", "net_must_fire = false", "net_redact = ['a', 'b']"]
    (suite.path / "pyproject.toml").write_text("\n".join(["[tool.pytest]", *lines, "strict = true"]))
    suite.write(PROBE)
    shown(suite, expected="seed 7 capture True keep failed timeout 1.5")
    shown(suite, expected="wait 2.0 max 5000")


def test_the_header_is_silent_when_nothing_is_on(suite: Suite) -> None:
    suite.write("def test_one(): pass\n")
    suite.run().stdout.no_fnmatch_line("netfixtures:*")


def test_the_header_says_what_is_on(suite: Suite) -> None:
    suite.write("def test_one(): pass\n")
    result = suite.run("--net-capture", "--net-seed=9")
    result.stdout.fnmatch_lines(["netfixtures: capture of failed tests into net-captures; seed 9"])


def test_a_drawn_seed_is_printed_and_repeats_the_run(suite: Suite) -> None:
    suite.write("def test_one(netlab): print('has', netlab.seed)\n")
    result = suite.run("--net-seed=random", "-s")
    header = next(line for line in result.outlines if line.startswith("netfixtures:"))
    seed = header.split("seed ")[1].split()[0]
    result.stdout.fnmatch_lines([f"*has {seed}*"])
    shown_again = suite.run(f"--net-seed={seed}", "-s")
    shown_again.stdout.fnmatch_lines([f"*has {seed}*"])


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--fixtures"], ["--help"], ["--markers"]])
def test_looking_around_opens_no_socket_and_makes_no_directory(suite: Suite, arguments: list[Any]) -> None:
    (suite.path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    print('engine' if 'pytest_netfixtures._engine.loop' in sys.modules else 'no sockets')\n"
    )
    suite.write("def test_one(netlab, tcp_echo): pass\n", "suite/test_lazy.py")
    text = (suite.path / "suite" / "test_lazy.py").read_text().replace("from pytest_netfixtures import *", "")
    Path(suite.path / "suite" / "test_lazy.py").write_text(text)
    result = suite.run_apart("--net-capture", *arguments)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*no sockets*"])
    assert not suite.captures.exists()


def test_every_fixture_has_a_docstring(suite: Suite) -> None:
    suite.write("def test_one(): pass\n")
    result = suite.run("--fixtures")
    for name in ("netlab", "netlab_session", "tcp_echo", "udp_responder", "fault_proxy", "net_capture"):
        assert any(line.startswith(name) for line in result.outlines), name
    result.stdout.no_fnmatch_line("*no docstring available*")
