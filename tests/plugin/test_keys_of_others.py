"""`net_capture.keylog_path` and `add_keys`: what clients and servers that are not ours said under TLS, readable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Suite

pytest.importorskip("trustme")
from pcap import walk
from pcap.tls_scene import decrypted

Referee = Callable[[str], str]
KEYS = ".keys"

TALK = '''
import ssl, threading
QUESTION = b"GET /hidden HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 6\\r\\n\\r\\nhidden"


@pytest.fixture
def not_ours(netlab):
    """A TLS server of the standard library: its address and its context."""
    issued = netlab.ca.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert_path, issued.key_path)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)

    def serve():
        raw, _ = listener.accept()
        raw.settimeout(30)
        with context.wrap_socket(raw, server_side=True) as connection:
            while connection.recv(1000):
                connection.sendall(ANSWER)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname(), context
    thread.join()
    listener.close()


def talk(netlab, address, during=lambda: None):
    """Through a proxy that passes the bytes on as they are."""
    proxy = netlab.tcp_proxy(address)
    context = netlab.ca.client_context()
    raw = socket.create_connection(proxy.address, 30)
    with context.wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(QUESTION)
        assert client.recv(1000) == ANSWER
        during()
        client.shutdown(socket.SHUT_WR)


def test_one(netlab, net_capture, not_ours):
    address, context = not_ours
'''
BOTH_LEGS = [(0, "hidden"), (1, "hidden"), (1, "hidden"), (0, "hidden")]


def only(suite: Suite, ending: str = ".pcapng") -> Path:
    (path,) = suite.captures.glob(f"*{ending}")
    return path


def left(suite: Suite) -> list[str]:
    """What is in the directory beside captures."""
    names = (entry.name for entry in suite.captures.iterdir())
    return [name for name in names if name.endswith((KEYS, ".merging"))]


def write(suite: Suite, *lines: str) -> None:
    suite.write(TALK + "".join(f"    {line}\n" for line in lines))


def test_a_passthrough_proxy_before_a_server_that_is_not_ours_decrypts(
    suite: Suite, referee: Referee
) -> None:
    write(suite, "context.keylog_filename = net_capture.keylog_path", "talk(netlab, address)", "assert 0")
    suite.run("-W", "error").assert_outcomes(failed=1)
    assert decrypted(referee("tshark"), only(suite)) == BOTH_LEGS
    assert left(suite) == []
    assert only(suite).stat().st_mode & 0o777 == 0o600


def test_keys_are_in_the_capture_and_in_nothing_else_that_a_failing_test_leaves(suite: Suite) -> None:
    write(
        suite,
        "context.keylog_filename = net_capture.keylog_path",
        "ours = netlab.tcp_proxy(netlab.tcp_echo(tls=True), tls=True, to_client=Truncate(after=3))",
        "raw = socket.create_connection(ours.address, 30)",
        "with netlab.ca.client_context().wrap_socket(raw, server_hostname='localhost') as client:",
        "    client.sendall(b'hello')",
        "    assert client.recv(3) == b'hel'",
        "talk(netlab, address)",
        "assert not repr((net_capture, vars(net_capture), net_capture.traffic, list(ours.connections)))",
    )
    result = suite.run(
        *(
            "-vv",
            "-rA",
            "--showlocals",
            "--junitxml=report.xml",
            "--log-level=DEBUG",
            "--log-file=run.log",
            "--net-capture-log=DEBUG",
        )
    )
    result.assert_outcomes(failed=1)
    secrets = [line.split()[2] for line in "".join(walk.keys(only(suite))).splitlines() if "#" not in line]
    assert len(secrets) >= 4 * 4, "the server's, both legs of a proxy of ours, and those of the other server"
    files = [path for path in suite.path.rglob("*") if path.is_file() and path != only(suite)]
    text = result.stdout.str() + "".join(path.read_text("latin-1") for path in files)
    assert {"report.xml", "run.log"} <= {path.name for path in files}
    assert not [secret for secret in secrets if secret in text]
    assert not [secret for secret in secrets if secret.encode() in walk.without_keys(only(suite))]


def test_without_keys_it_does_not(suite: Suite, referee: Referee) -> None:
    write(suite, "talk(netlab, address)", "assert 0")
    suite.run().assert_outcomes(failed=1)
    assert decrypted(referee("tshark"), only(suite)) == []


def test_a_test_that_passes_leaves_neither_capture_nor_keys(suite: Suite) -> None:
    write(
        suite,
        "path = net_capture.keylog_path",
        "context.keylog_filename = path",
        "assert path == net_capture.keylog_path and path.suffix == '.keys'",
        "assert path.parent == net_capture.path.parent and path.stat().st_mode & 0o777 == 0o600",
        "talk(netlab, address)",
        "assert 'SECRET' in path.read_text()",
    )
    suite.run("-W", "error").assert_outcomes(passed=1)
    assert suite.files() == [] and left(suite) == []


def test_where_secrets_are_unwanted_there_is_a_path_and_nothing_of_it_is_kept(
    suite: Suite, referee: Referee
) -> None:
    write(
        suite,
        "context.keylog_filename = net_capture.keylog_path",
        "server = netlab.tcp_echo(tls=True)",
        "talk(netlab, address)",
        "text = net_capture.keylog_path.read_text()",
        "net_capture.add_keys(text)",
        "net_capture.save('saved.pcapng')",
        "with open('secrets', 'w') as file: file.write(text)",
        "assert 0",
    )
    suite.run("--net-capture-no-secrets").assert_outcomes(failed=1)
    assert left(suite) == []
    secrets = [
        line.split()[2] for line in (suite.path / "secrets").read_text().splitlines() if "#" not in line
    ]
    for path in (only(suite), suite.path / "saved.pcapng"):
        data = path.read_bytes()
        assert secrets and not [secret for secret in secrets if secret.encode() in data]
        assert b"keys: of TLS are left out" in data
        assert decrypted(referee("tshark"), path) == []


def test_a_copy_decrypts_as_it_is_while_the_test_runs(suite: Suite, referee: Referee) -> None:
    write(
        suite,
        "context.keylog_filename = net_capture.keylog_path",
        "talk(netlab, address, lambda: net_capture.save('saved.pcapng'))",
    )
    suite.run("-W", "error").assert_outcomes(passed=1)
    saved = suite.path / "saved.pcapng"
    assert decrypted(referee("tshark"), saved) == BOTH_LEGS
    assert saved.stat().st_mode & 0o777 == 0o600
    assert suite.files() == []


@pytest.mark.parametrize(
    "given",
    [
        "'own.log'",
        "__import__('pathlib').Path('own.log')",
        "__import__('pathlib').Path('own.log').read_text()",
    ],
)
def test_keys_may_be_added_as_a_path_or_as_text(suite: Suite, given: str, referee: Referee) -> None:
    write(
        suite,
        "context.keylog_filename = 'own.log'",
        "talk(netlab, address)",
        f"net_capture.add_keys({given})",
        "assert 0",
    )
    suite.run("-W", "error").assert_outcomes(failed=1)
    assert decrypted(referee("tshark"), only(suite)) == BOTH_LEGS
    assert left(suite) == []


def test_a_line_that_is_none_is_named_and_not_shown(suite: Suite) -> None:
    suite.write(
        "def test_one(net_capture):\n"
        "    net_capture.add_keys('# keys\\nCLIENT_RANDOM 00' + '11 22' + 'ab' * 20)\n"
    )
    result = suite.run("--showlocals")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: line 2 of the key log is none*"])
    result.stdout.no_fnmatch_line("*" + "ab" * 10 + "*")


def test_what_a_killed_process_leaves_becomes_readable(suite: Suite, referee: Referee) -> None:
    write(
        suite,
        "context.keylog_filename = net_capture.keylog_path",
        "talk(netlab, address, lambda: net_capture.path and os.kill(os.getpid(), 9))",
    )
    suite.run_apart()
    tshark, capture = referee("tshark"), only(suite)
    assert only(suite, KEYS).stem == capture.stem and only(suite, KEYS).stat().st_mode & 0o777 == 0o600
    assert decrypted(tshark, capture) == []
    log = f"tls.keylog_file:{only(suite, KEYS)}"
    assert decrypted(tshark, capture, "-o", log) == BOTH_LEGS
    from pytest_netfixtures._pcap.keyfile import read_keys
    from pytest_netfixtures._pcap.merge import merge_keys

    assert merge_keys(capture, read_keys(only(suite, KEYS))) > 3
    assert decrypted(tshark, capture) == BOTH_LEGS
    assert b"outcome: RUNNING" in capture.read_bytes()


def test_a_program_of_its_own_writes_into_the_file(suite: Suite, referee: Referee) -> None:
    openssl = referee("openssl")
    suite.write(
        "import subprocess\n"
        "def test_one(netlab, net_capture):\n"
        "    server = netlab.tcp_server(lambda conn: conn.send(b'secret answer'), tls=True)\n"
        "    proxy = netlab.tcp_proxy(server.address)\n"
        f"    client = [{openssl!r}, 's_client', '-quiet', '-connect', proxy.netloc]\n"
        "    keys = ['-keylogfile', str(net_capture.keylog_path)]\n"
        "    done = subprocess.run(client + keys, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)\n"
        "    assert b'secret answer' in done.stdout, done.stderr\n"
        "    assert 'CLIENT_TRAFFIC_SECRET_0' in net_capture.keylog_path.read_text()\n"
        "    assert 0\n"
    )
    suite.run().assert_outcomes(failed=1)
    assert left(suite) == []


HOSTILE = """
@pytest.fixture
def hostile(request, pytestconfig):
    import pathlib
    from pytest_netfixtures._directory import file_name
    name = pathlib.Path("net-captures", file_name(request.node.nodeid))
    name.parent.mkdir(exist_ok=True)
    name.with_suffix("{}").symlink_to(pathlib.Path("precious").absolute())
"""


def test_a_symlink_in_the_place_of_the_keys_is_not_followed(suite: Suite) -> None:
    (suite.path / "precious").write_text("keep")
    suite.write(
        HOSTILE.format(KEYS) + "def test_one(hostile, net_capture):\n"
        "    for act in (lambda: net_capture.keylog_path, lambda: net_capture.add_keys('RSA ' + '0' * 16 + ' ' + '1' * 96)):\n"
        "        with pytest.raises(CaptureUnavailable, match='symbolic link, which is not followed'): act()\n"
        "    net_capture.mark('still there')\n"
        "    assert b'still there' in net_capture.path.read_bytes()\n"
    )
    suite.run("--net-capture-keep=all", "-W", "error").assert_outcomes(passed=1)
    assert (suite.path / "precious").read_text() == "keep"
    assert only(suite, KEYS).is_symlink()


def test_a_symlink_in_the_place_of_the_capture_is_not_followed(suite: Suite) -> None:
    (suite.path / "precious").write_text("keep")
    suite.write(
        HOSTILE.format(".pcapng")
        + "def test_one(hostile, net_capture, tcp_echo):\n"
        + "    assert ask(tcp_echo.address, b'hello') == b'hello'\n"
    )
    result = suite.run("--net-capture-keep=all")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*could not be written: *symbolic link*"])
    assert (suite.path / "precious").read_text() == "keep"


def test_a_symlink_that_took_the_place_of_the_keys_is_said_and_not_followed(suite: Suite) -> None:
    (suite.path / "precious").write_text("keep")
    suite.write(
        "def test_one(net_capture):\n"
        "    path = net_capture.keylog_path\n"
        "    path.unlink()\n"
        "    path.symlink_to(os.path.abspath('precious'))\n"
    )
    result = suite.run("--net-capture-keep=all")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*TLS keys*could not be read: *symbolic link*"])
    assert (suite.path / "precious").read_text() == "keep" and len(suite.files()) == 1


def test_saving_to_a_symlink_or_onto_the_capture_itself_is_refused(suite: Suite) -> None:
    (suite.path / "precious").write_text("keep")
    (suite.path / "link").symlink_to(suite.path / "precious")
    suite.write(
        "import shutil\n"
        "def test_one(net_capture):\n"
        "    with pytest.raises(OSError, match='symbolic link, which is not followed'): net_capture.save('link')\n"
        "    with pytest.raises(shutil.SameFileError): net_capture.save(net_capture.path)\n"
        "    with pytest.raises(OSError): net_capture.save(os.devnull)\n"
        "    with pytest.raises(FileNotFoundError): net_capture.save('nowhere/x')\n"
        "    net_capture.save('x'); net_capture.mark('more'); net_capture.save('x')\n"
        "    assert os.stat('x').st_mode & 0o777 == 0o600\n"
    )
    suite.run("-W", "error").assert_outcomes(passed=1)
    assert (suite.path / "precious").read_text() == "keep"
    assert b"more" in (suite.path / "x").read_bytes()
    assert not os.path.isfile(os.devnull)


def test_without_a_directory_there_is_no_file_for_keys(suite: Suite) -> None:
    (suite.path / "net-captures").write_text("a file in its way")
    suite.write(
        "def test_one(net_capture):\n"
        "    with pytest.raises(CaptureUnavailable, match='no file for TLS keys'): net_capture.keylog_path\n"
    )
    suite.run().assert_outcomes(passed=1, warnings=1)
