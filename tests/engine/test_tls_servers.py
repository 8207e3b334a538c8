"""Servers with TLS, and what clients of the stdlib and of requests meet there."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
import requests
from engine.server_tools import connect, leave_by_reset, taken_error
from engine.tls_tools import by_hand, secured

from pytest_netfixtures import NetLab, ServerConnection, ServerError, Tls, TlsSession

VERSIONS = ("TLSv1.2", "TLSv1.3")


def agreed(lab: NetLab, server: Any) -> TlsSession:
    """What the only handshake has agreed on; a client is done with it before the server is."""
    lab.wait_for(lambda: server.connections and server.connections[0].tls)
    session: TlsSession = server.connections[0].tls
    return session


@pytest.mark.parametrize("version", VERSIONS)
def test_an_echo_over_each_version(version: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(b"hi ", tls=True)
        with secured(lab, server, context=lab.ca.client_context(minimum=version, maximum=version)) as client:
            client.sendall(b"ping")
            assert client.recv(3) + client.recv(4) == b"hi ping"
            assert client.version() == version
        assert agreed(lab, server).version == version
        assert server.traffic.to_server.sent == b"ping" == server.traffic.to_client.sent[3:]


def test_a_server_without_tls_says_so() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=False)
        with connect(server) as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"
        assert server.tls is None
        assert server.connections[0].tls is None


def test_requests_trusts_the_authority_by_its_path() -> None:
    with NetLab() as lab:
        server = lab.http_echo(tls=True)
        assert server.url == f"https://127.0.0.1:{server.port}"
        with requests.Session() as session:
            answers = [
                session.post(f"{server.url}/a", json={"n": n}, verify=lab.ca.pem_path) for n in range(3)
            ]
        assert [answer.json()["json"] for answer in answers] == [{"n": n} for n in range(3)]
        assert len(server.connections) == 1


def test_a_connection_knows_what_was_agreed_on() -> None:
    seen: list[TlsSession | None] = []
    with NetLab() as lab:
        server = lab.tcp_server(lambda conn: seen.append(conn.tls), tls=Tls(alpn=("h2", "http/1.1")))
        with secured(lab, server, context=lab.ca.client_context(alpn=("http/1.1", "h2"))) as client:
            assert client.selected_alpn_protocol() == "h2"
            assert client.cipher() is not None
            assert client.recv(1) == b""
            expected = TlsSession("TLSv1.3", client.cipher()[0], "h2", "localhost")  # type: ignore[index]
        assert seen == [expected]
        assert server.connections[0].tls == expected


def test_a_protocol_that_the_server_does_not_know_is_not_agreed_on() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(alpn=("h2",)))
        with secured(lab, server, context=lab.ca.client_context(alpn=("spdy/1",))) as client:
            assert client.selected_alpn_protocol() is None


def test_an_address_is_no_name_to_ask_for() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True, host="::1")
        with secured(lab, server, name="::1"):
            conn = server.accept()
            assert conn.tls is not None and conn.tls.server_name is None
            assert conn.peer_certificate is None


def test_the_name_that_was_asked_for_is_known_though_the_certificate_has_another() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(names=("a.test", "*.b.test")))
        with secured(lab, server, name="x.b.test"):
            assert agreed(lab, server).server_name == "x.b.test"


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (Tls(expired=True), "certificate has expired"),
        (Tls(trusted=False), "unable to get local issuer certificate"),
        (Tls(names=("elsewhere.test",)), "Hostname mismatch, certificate is not valid for 'localhost'."),
    ],
    ids=["expired", "untrusted", "wrong name"],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_certificate_gives_the_client_its_error(tls: Tls, message: str, version: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=tls)
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            with secured(lab, server, context=lab.ca.client_context(minimum=version, maximum=version)):
                pass
        assert caught.value.verify_message == message
        lab.wait_for(lambda: server.connections[0].notes)
        assert server.connections[0].notes[0].startswith("TLS with the client failed: the client refused it")
        assert server.connections[0].tls is None
        assert lab.errors() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_is_required_must_be_shown(version: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(client_cert="required", maximum=version))
        with secured(lab, server, context=lab.ca.client_context(client_cert=True)) as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required|handshake.failure"):
            with secured(lab, server) as client:
                client.recv(1)
        lab.wait_for(lambda: server.connections[1].notes)
        assert "it showed no certificate, and one is required" in server.connections[1].notes[0]


def test_a_strangers_certificate_is_not_accepted() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=Tls(client_cert="optional"))
        context = lab.ca.client_context()
        stranger = Tls(trusted=False, names=("stranger",))
        lab.tcp_echo(tls=stranger)
        import trustme

        trustme.CA().issue_cert("stranger").configure_cert(context)
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
            with secured(lab, server, context=context) as client:
                client.recv(1)
        lab.wait_for(lambda: server.connections[0].notes)
        assert "certificate is not accepted" in server.connections[0].notes[0]


@pytest.mark.parametrize("shown", [True, False])
def test_an_optional_certificate_reaches_the_connection(shown: bool) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=Tls(client_cert="optional"))
        with secured(lab, server, context=lab.ca.client_context(client_cert=shown)):
            certificate = server.accept().peer_certificate
        assert (certificate is not None) == shown
        if certificate is not None:
            assert ("commonName", "pytest-netfixtures client") in [pair for (pair,) in certificate["subject"]]


@pytest.mark.parametrize(("of_server", "of_client"), [("TLSv1.2", "TLSv1.3"), ("TLSv1.3", "TLSv1.2")])
def test_versions_that_do_not_meet(of_server: Any, of_client: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(minimum=of_server, maximum=of_server))
        context = lab.ca.client_context(minimum=of_client, maximum=of_client)
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            with secured(lab, server, context=context):
                pass
        lab.wait_for(lambda: server.connections[0].notes)


def test_an_old_version_where_openssl_still_can() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(maximum="TLSv1.1"))
        context = lab.ca.client_context(maximum="TLSv1.1")
        with secured(lab, server, context=context) as client:
            client.sendall(b"old")
            assert (client.recv(3), client.version()) == (b"old", "TLSv1.1")


def test_a_ready_context_is_used_as_it_is() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NetLab() as lab:
        issued = lab.ca.issue("own.test")
        context.load_cert_chain(issued.cert_path, issued.key_path)
        server = lab.tcp_echo(tls=context)
        assert server.tls is context
        with secured(lab, server, name="own.test") as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"


def test_a_plain_client_is_told_nothing_and_its_notes_say_why() -> None:
    with NetLab() as lab:
        server = lab.http_echo(tls=True)
        with connect(server) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while client.recv(4096):
                pass
        lab.wait_for(lambda: server.connections[0].notes)
        assert "it speaks plain HTTP" in server.connections[0].notes[0]
        assert "speaks plain HTTP" in str(server.traffic.connections[0].notes)


@pytest.mark.parametrize(
    ("given", "minimum", "hint"),
    [
        (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), None, "has no certificate: load_cert_chain()"),
        (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "TLSv1.3", "has no certificate: load_cert_chain()"),
        (Tls(maximum="TLSv1.2"), "TLSv1.3", "none of the versions that are allowed here"),
    ],
    ids=["bare", "bare and new", "old"],
)
def test_a_context_without_a_certificate_and_versions_that_do_not_meet_are_said(
    given: Any, minimum: Any, hint: str
) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=given)
        context = lab.ca.client_context(minimum=minimum)
        with connect(server) as raw, pytest.raises(OSError):
            context.wrap_socket(raw, server_hostname="localhost")
        lab.wait_for(lambda: server.connections and server.connections[0].notes)
        assert hint in server.connections[0].notes[0]


def test_a_strict_server_fails_the_test() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True, strict=True)
        with connect(server) as client:
            client.sendall(b"no TLS at all\r\n")
            client.recv(4096)
        error = taken_error(lab)
        assert isinstance(error, ServerError)
        assert "the TLS handshake of connection 1 of" in str(error)


def test_a_client_that_leaves_in_the_middle_of_the_handshake() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        connect(server).close()
        lab.wait_for(lambda: server.connections and server.connections[0].notes)
        assert "the client left before it was done" in server.connections[0].notes[0]
        leave_by_reset(connect(server))
        lab.wait_for(lambda: len(server.connections) > 1 and server.connections[1].notes)
        assert "the client reset the connection before it was done" in server.connections[1].notes[0]


def test_a_client_that_never_speaks_holds_up_nobody() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(lambda conn: conn.recv(), tls=True)
        silent = connect(server)
        with secured(lab, server) as client:
            client.sendall(b"x")
            assert client.recv(1) == b""
    with silent:
        assert silent.recv(1) == b""


def test_a_handler_never_sees_a_connection_whose_handshake_failed() -> None:
    came: list[int] = []

    def handler(conn: ServerConnection) -> None:
        came.append(conn.number)
        conn.send(b"ok")

    with NetLab() as lab:
        server = lab.tcp_server(handler, tls=True)
        for number in range(4):
            if number % 2:
                with secured(lab, server) as client:
                    assert client.recv(2) == b"ok"
            else:
                with connect(server) as plain:
                    plain.sendall(b"\x16\x03\x01\xff\xff" + b"x" * 100)
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(4096):
                        pass
        assert came == [2, 4]


def test_renegotiation_is_not_offered() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=True)
        with by_hand(lab, server, maximum="TLSv1.2") as client:
            client.send(b"ping")
            assert client.recv() == b"ping"
        assert server.tls_context is not None
        assert server.tls_context.options & ssl.OP_NO_RENEGOTIATION
