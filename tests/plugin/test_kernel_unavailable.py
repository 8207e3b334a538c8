"""Where the kernel backend cannot be: who says so, when, and what helps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Suite

KERNEL = "--net-capture-backend=kernel"
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-net_raw",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
"""Somebody without rights, who can read this Python wherever it lies."""


def without_pcapy(suite: Suite) -> list[str]:
    """A pytest that finds no pcapy."""
    (suite.path / "pcapy.py").write_text("raise ImportError('hidden by the test')\n")
    return ["-p", "no:cacheprovider"]


@pytest.mark.parametrize("where", ["option", "environment", "ini"])
def test_a_missing_package_is_a_usage_error_before_any_test(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    suite.write("def test_one(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    arguments = [*without_pcapy(suite), *([KERNEL] if where == "option" else [])]
    if where == "ini":
        suite.ini("net_capture_backend = kernel")
    if where == "environment":
        monkeypatch.setenv("PYTEST_NET_CAPTURE_BACKEND", "kernel")
    result = suite.run_apart(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ['*not available: pcapy-ng cannot be imported: hidden*pip install "pytest-netfixtures?kernel?"*']
    )
    assert "test_one" not in result.stdout.str()


def test_runs_that_only_look_ask_the_kernel_for_nothing(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write("def test_one(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    for looking in ("--collect-only", "--fixtures", "--help"):
        assert suite.run_apart(*without_pcapy(suite), KERNEL, looking).ret == 0


def test_the_controller_says_it_once_for_all_workers(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xdist")
    suite.write("def test_one(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    result = suite.run_apart(*without_pcapy(suite), "-p", "xdist.plugin", "-n", "2", KERNEL)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (result.stderr.str() + result.stdout.str()).count("not available") == 1


def test_a_marker_that_cannot_be_followed_is_an_error_of_its_test(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write(
        "@pytest.mark.netlab(backend='kernel')\ndef test_one(net_capture): pass\ndef test_two(net_capture): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    result = suite.run_apart(*without_pcapy(suite))
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*CaptureUnavailable: the kernel backend of captures is not available: pcapy-ng*"]
    )


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else"
)
def test_without_the_right_a_run_says_what_gives_it_and_the_tap_needs_none(
    suite: Suite, kernel: None
) -> None:
    suite.write(
        "def test_one(tcp_echo, net_capture):\n    ask(tcp_echo.address, b'x')\n    net_capture.path\n"
    )
    suite.path.chmod(0o777)
    command = [
        *NOBODY,
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "pytest_netfixtures.plugin",
        "-p",
        "no:cacheprovider",
    ]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=suite.path)

    refused = run(KERNEL)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR, refused
    assert "ermission" in refused.stderr or "permitted" in refused.stderr, refused
    assert "setcap cap_net_raw+ep" in refused.stderr or "--cap-add=NET_RAW" in refused.stderr, refused
    assert "test_it.py" not in refused.stdout
    assert run("--net-capture").returncode == pytest.ExitCode.OK


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can give up a capability"
)
def test_root_without_the_capability_is_sent_to_the_container(kernel: None) -> None:
    capless = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", UNAVAILABLE]
    done = subprocess.run(capless, capture_output=True, text=True)
    assert "--cap-add=NET_RAW" in done.stdout, done


UNAVAILABLE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pytest_netfixtures import CaptureUnavailable
from pytest_netfixtures._kernel_hub import probe
try:
    probe()
except CaptureUnavailable as problem:
    print(problem)
"""


def test_a_device_that_is_not_there_is_named(kernel: None) -> None:
    from pytest_netfixtures import CaptureUnavailable
    from pytest_netfixtures._kernel_hub import probe

    with pytest.raises(CaptureUnavailable, match=r"not available: nolo: No such device.*ip link show"):
        probe("nolo")
