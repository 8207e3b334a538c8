"""Which captures stay, what they are called, and what a machine that fails does to the tests: nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import Suite

FATES: list[tuple[str, str, str]] = [
    ("passes", "def test_one(tcp_echo): ask(tcp_echo.address, b'a')\n", ""),
    ("fails", "def test_one(tcp_echo): assert 0\n", "failed"),
    (
        "setup fails",
        "@pytest.fixture\ndef broken(tcp_echo): assert 0\ndef test_one(broken): pass\n",
        "error",
    ),
    (
        "teardown fails",
        "@pytest.fixture\ndef broken(tcp_echo):\n    yield\n    assert 0\ndef test_one(broken): pass\n",
        "error",
    ),
    (
        "a fixture torn down later fails",
        "@pytest.fixture\ndef broken():\n    yield\n    assert 0\ndef test_one(broken, tcp_echo): pass\n",
        "error",
    ),
    ("skips", "def test_one(tcp_echo): pytest.skip('no')\n", ""),
    (
        "skips in a fixture",
        "@pytest.fixture\ndef away(tcp_echo): pytest.skip('no')\ndef test_one(away): pass\n",
        "",
    ),
    ("fails as expected", "@pytest.mark.xfail\ndef test_one(tcp_echo): assert 0\n", ""),
    ("xfails by itself", "def test_one(tcp_echo): pytest.xfail('known')\n", ""),
    (
        "passes where it must not",
        "@pytest.mark.xfail(strict=True)\ndef test_one(tcp_echo): pass\n",
        "failed",
    ),
    ("is ended by pytest.fail", "def test_one(tcp_echo): pytest.fail('no')\n", "failed"),
]


@pytest.mark.parametrize(("source", "outcome"), [fate[1:] for fate in FATES], ids=[fate[0] for fate in FATES])
def test_a_capture_stays_when_the_test(
    suite: Suite, source: str, outcome: str, referee: Callable[[str], str]
) -> None:
    suite.write(source)
    suite.run("--net-capture")
    assert len(suite.files()) == bool(outcome)
    for name in suite.files():
        assert outcome_of(suite.captures / name, referee) == outcome


def outcome_of(path: Path, referee: Callable[[str], str]) -> str:
    """What the section header says, as capinfos reads it."""
    done = subprocess.run([referee("capinfos"), str(path)], capture_output=True, text=True, check=True)
    return done.stdout.partition("outcome: ")[2].split()[0]


def test_all_captures_stay_where_that_is_said(suite: Suite) -> None:
    suite.write(
        "def test_one(tcp_echo): ask(tcp_echo.address, b'a')\ndef test_two(tcp_echo): pytest.skip('no')\n"
    )
    suite.run("--net-capture-keep=all")
    assert len(suite.files()) == 2


def test_no_file_without_a_use_of_the_network(suite: Suite) -> None:
    suite.write("def test_one(): assert 0\n")
    suite.run("--net-capture")
    assert suite.files() == []


def test_the_marker_switches_a_capture_on(suite: Suite) -> None:
    suite.write(
        "@pytest.mark.netlab(capture=True)\ndef test_one(tcp_echo): assert 0\ndef test_two(tcp_echo): assert 0\n"
    )
    suite.run()
    assert len(suite.files()) == 1


def test_the_directory_is_kept_out_of_version_control(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo): pass\n")
    suite.run("--net-capture")
    assert (suite.captures / ".gitignore").read_text() == "*\n"


def test_a_directory_that_was_there_is_left_as_it_is(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo): assert 0\n")
    suite.run("--net-capture", "--net-capture-dir=.")
    assert not (suite.path / ".gitignore").exists()
    assert len(list(suite.path.glob("*.pcapng"))) == 1


IDS = [
    "a/b",
    "a-b",
    "A-b",
    "..",
    "../../up",
    "x" * 300,
    "ü",
    "\\0",
    "con",
    "a:b*?",
    "",
    " ",
    ".hidden",
    "a\\nb",
]


def test_every_node_id_has_a_file_of_its_own_below_the_directory(suite: Suite) -> None:
    ids = ", ".join(f"'{text}'" for text in IDS)
    suite.write(f"@pytest.mark.parametrize('value', [{ids}])\ndef test_p(tcp_echo, value): assert 0\n")
    before = set(suite.path.parent.rglob("*.pcapng"))
    suite.run("--net-capture").assert_outcomes(failed=len(IDS))
    new = set(suite.path.parent.rglob("*.pcapng")) - before
    assert {path.parent for path in new} == {suite.captures}
    assert len({path.name.lower() for path in new}) == len(IDS)
    assert all(len(path.name) <= 120 and path.name.isascii() for path in new)


def test_an_older_capture_of_the_same_test_is_replaced(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo):\n    ask(tcp_echo.address, b'a')\n    assert 0\n")
    suite.run("--net-capture")
    suite.run("--net-capture")
    assert len(suite.files()) == 1


def test_a_link_in_the_place_of_the_file_is_not_followed(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo): assert 0\n")
    suite.run("--net-capture")
    (name,) = suite.files()
    target = suite.path / "precious"
    target.write_text("mine")
    (suite.captures / name).unlink()
    (suite.captures / name).symlink_to(target)
    result = suite.run("--net-capture")
    result.assert_outcomes(failed=1)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("warnings", [[], ["-W", "error"]])
def test_a_directory_that_cannot_be_made_is_one_warning_and_no_lost_result(
    suite: Suite, warnings: list[str]
) -> None:
    (suite.path / "net-captures").write_text("a file in its way")
    suite.write(
        "def test_one(tcp_echo): pass\ndef test_two(tcp_echo): assert 0\ndef test_three(tcp_echo): pass\n"
    )
    result = suite.run("--net-capture", *warnings)
    result.assert_outcomes(passed=2, failed=1, warnings=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*captures cannot be written into*net-captures*"])


def test_workers_do_not_repeat_that_warning(suite: Suite) -> None:
    pytest.importorskip("xdist")
    (suite.path / "net-captures").write_text("a file in its way")
    suite.write("@pytest.mark.parametrize('n', range(4))\ndef test_one(tcp_echo, n): pass\n")
    result = suite.run_apart("-p", "xdist", "-n2", "--net-capture")
    result.assert_outcomes(passed=4, warnings=1)


@pytest.mark.parametrize("warnings", [[], ["-W", "error"]])
def test_a_full_disk_in_mid_test_is_one_warning_and_no_lost_result(
    suite: Suite, warnings: list[str], referee: Callable[[str], str]
) -> None:
    suite.write(
        "import resource, signal\n"
        "@pytest.fixture(autouse=True)\n"
        "def small():\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))\n"
        "    yield\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
        "def talk(tcp_echo):\n"
        "    for _ in range(100):\n"
        "        assert ask(tcp_echo.address, b'x' * 50) == b'x' * 50\n"
        "def test_one(tcp_echo): talk(tcp_echo)\n"
        "def test_two(tcp_echo):\n    talk(tcp_echo)\n    assert 0\n"
        "def test_three(tcp_echo): talk(tcp_echo)\n"
    )
    result = suite.run_apart("--net-capture", "-p", "no:cacheprovider", *warnings)
    result.assert_outcomes(passed=2, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["*could not be written after byte*"])
    for name in suite.files():
        done = subprocess.run(
            [referee("tshark"), "-r", str(suite.captures / name)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_subtest_that_fails_keeps_the_capture(suite: Suite) -> None:
    if pytest.version_tuple < (9,):
        pytest.skip("subtests came with pytest 9")
    suite.write(
        "def test_one(tcp_echo, subtests):\n"
        "    with subtests.test('a'):\n        assert ask(tcp_echo.address, b'a') == b'b'\n"
        "    with subtests.test('b'):\n        assert ask(tcp_echo.address, b'a') == b'a'\n"
    )
    suite.run("--net-capture")
    assert len(suite.files()) == 1


def test_attempts_of_a_rerun_have_files_of_their_own(suite: Suite) -> None:
    pytest.importorskip("pytest_rerunfailures")
    suite.write("def test_one(tcp_echo): assert 0\n")
    result = suite.run_apart(
        "-p", "pytest_rerunfailures", "--reruns=2", "--net-capture", "--junitxml=out.xml"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    ends = {name.rpartition("-")[2].partition(".")[2] for name in suite.files()}
    assert ends == {"pcapng", "attempt2.pcapng", "attempt3.pcapng"}
    paths = [p.get("value", "") for p in ElementTree.parse(suite.path / "out.xml").iter("property")]
    assert sorted(Path(path).name for path in paths) == suite.files()


def test_under_dist_each_every_worker_has_a_file_of_its_own(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write("def test_one(tcp_echo): assert 0\n")
    suite.run_apart("-p", "xdist", "--dist=each", "--tx=2*popen", "--net-capture")
    assert sorted(name.rsplit(".", 2)[1] for name in suite.files()) == ["gw0", "gw1"]


def test_a_file_is_private(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo): assert 0\n")
    suite.run("--net-capture")
    (name,) = suite.files()
    assert os.stat(suite.captures / name).st_mode & 0o077 == 0
