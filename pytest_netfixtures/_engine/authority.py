"""Certificates for tests: what a TLS server shows, and the authority that vouches for it.

Law: a `Tls` is a value and does nothing. An `Authority` lives as long as its process, is made at first use, and writes only
into a private directory of its own, which it removes at the end; a child made by `fork` may use it and removes nothing.
Neither `ssl` nor trustme is imported before TLS is asked for.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._errors import SetupError, is_for_the_user
from .._wire.checks import check_choice, check_flag
from . import contexts

if TYPE_CHECKING:
    import ssl

__all__ = ["Authority", "Issued", "Tls", "authority", "server_context_of"]

__tracebackhide__ = is_for_the_user

Version = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


@dataclass(frozen=True, repr=False)
class Tls:
    """What a server does with TLS: its certificate, whether it wants one of clients, and what it agrees to.

    `names` are the host names and IP addresses in the certificate; a client that asks for another one refuses it.
    `expired`: valid until yesterday. `trusted=False`: issued by an authority that nobody trusts. `client_cert`: None,
    "optional" or "required", of clients with a certificate from `lab.ca`. `alpn`: the protocols that are offered, such as
    ("h2", "http/1.1"), the best one first. `minimum` and `maximum`: "TLSv1.2" or "TLSv1.3", or "TLSv1" or "TLSv1.1" where OpenSSL
    still can; without them Python's own limits hold.

    No session tickets are sent, so that a client that closes without reading ends with FIN and not with RST. To test
    resumption, pass an `ssl.SSLContext` of your own wherever `tls=` is taken.

    Raises TypeError or ValueError for anything else.

    >>> Tls(expired=True, alpn=("h2",))
    Tls(expired=True, alpn=('h2',))
    """

    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    expired: bool = False
    trusted: bool = True
    client_cert: Literal["optional", "required"] | None = None
    alpn: tuple[str, ...] = ()
    minimum: Version | None = None
    maximum: Version | None = None

    def __post_init__(self) -> None:
        contexts.check_texts(
            "names", self.names, "host names and IP addresses, such as ('localhost', '127.0.0.1')", 1
        )
        contexts.check_names(self.names)
        check_flag("expired", self.expired)
        check_flag("trusted", self.trusted)
        check_choice("client_cert", self.client_cert, (None, "optional", "required"))
        contexts.check_alpn(self.alpn)
        contexts.check_versions(self.minimum, self.maximum)

    def __repr__(self) -> str:
        given = (each for each in fields(self) if getattr(self, each.name) != each.default)
        return f"Tls({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in given)})"


class Issued(NamedTuple):
    """The files of a certificate, readable by this user alone: the chain and the key, both PEM."""

    cert_path: str
    key_path: str


class Authority:
    """The certificate authority of this process, made when it is first needed: `lab.ca`.

    A client that shall trust our servers takes `client_context()`, or `pem_path` where a path is wanted:
    `requests.get(server.url, verify=lab.ca.pem_path)`. For a server that is not ours there is `issue()`.

    Raises SetupError where trustme is not installed: `pip install "pytest-netfixtures[tls]"`.
    """

    def __init__(self) -> None:
        self._trustme = _load_trustme()
        self._ca = self._trustme.CA(organization_name="pytest-netfixtures")
        self._stranger: Any = None
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._lock = threading.RLock()
        self._directory: str | None = None
        self._pem: str | None = None
        self._made_here = os.getpid()
        self._issued = 0

    def client_context(
        self,
        *,
        alpn: tuple[str, ...] = (),
        client_cert: bool = False,
        minimum: Version | None = None,
        maximum: Version | None = None,
    ) -> ssl.SSLContext:
        """A context for clients that trusts this authority alone, and checks names.

        `alpn`: the protocols that are offered. `client_cert`: show a certificate of this authority to a server that asks.
        `minimum`, `maximum`: as in `Tls`. Raises TypeError or ValueError for anything else.
        """
        contexts.check_alpn(alpn)
        check_flag("client_cert", client_cert)
        contexts.check_versions(minimum, maximum)
        context = contexts.for_clients()
        contexts.limit(context, minimum, maximum)
        contexts.offer(context, alpn)
        self._ca.configure_trust(context)
        if client_cert:
            self.certify(context)
        return context

    def certify(self, context: ssl.SSLContext) -> None:
        """Give a client's context a certificate of this authority, to show to a server that asks."""
        self._ca.issue_cert(common_name="pytest-netfixtures client").configure_cert(context)

    @property
    def pem_path(self) -> str:
        """The path of the authority's certificate, as PEM: for `verify=`, `cafile=`, and other programs."""
        with self._lock:
            if self._pem is None or not os.path.exists(self._pem):
                self._pem = self._write("ca.pem", self._ca.cert_pem.bytes())
            return self._pem

    def issue(self, *names: str) -> Issued:
        """A certificate for a server that is not ours, as files; by default for localhost, 127.0.0.1 and ::1.

        `names` are host names and IP addresses. The files are readable by this user alone and go when the process ends.
        """
        tls = Tls(names=names) if names else Tls()
        leaf = self._ca.issue_cert(*tls.names)
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        with self._lock:
            self._issued += 1
            number = self._issued
            return Issued(
                self._write(f"cert-{number}.pem", chain),
                self._write(f"key-{number}.pem", leaf.private_key_pem.bytes()),
            )

    def server_context(self, tls: Tls) -> ssl.SSLContext:
        """The context of servers with this `Tls`; one for all of them."""
        with self._lock:
            if tls not in self._contexts:
                self._contexts[tls] = self._make(tls)
            return self._contexts[tls]

    def __repr__(self) -> str:
        return "<the certificate authority of this process>"

    # Inside.

    def _make(self, tls: Tls) -> ssl.SSLContext:
        context = contexts.for_servers()
        contexts.limit(context, tls.minimum, tls.maximum)
        contexts.offer(context, tls.alpn)
        contexts.ask_clients(context, tls.client_cert)
        if tls.client_cert:
            self._ca.configure_trust(context)
        issuer = self._ca if tls.trusted else self._nobody()
        issuer.issue_cert(*tls.names, **contexts.validity(tls.expired)).configure_cert(context)
        return context

    def _nobody(self) -> Any:
        """An authority that nobody trusts."""
        if self._stranger is None:
            self._stranger = self._trustme.CA(organization_name="nobody trusts this")
        return self._stranger

    def _write(self, name: str, data: bytes) -> str:
        path = os.path.join(self._private(), name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return path

    def _private(self) -> str:
        """A directory of this user and this process alone; in a child made by `fork` a new one."""
        if self._directory is None or self._made_here != os.getpid() or not os.path.isdir(self._directory):
            self._directory, self._made_here = tempfile.mkdtemp(prefix="netfixtures-ca-"), os.getpid()
            atexit.register(_remove, self._directory, self._made_here)
        return self._directory

    def after_fork(self) -> None:
        """In the child: the contexts that write their keys into the parent's memory stay behind."""
        self._contexts = {}
        self._lock = threading.RLock()


def _remove(directory: str, made_by: int) -> None:
    if made_by == os.getpid():
        shutil.rmtree(directory, ignore_errors=True)


def _load_trustme() -> Any:
    try:
        import trustme
    except ImportError as error:
        raise SetupError(
            "TLS was asked for and trustme is not installed; expected it, to make certificates: run"
            ' pip install "pytest-netfixtures[tls]", or pass an ssl.SSLContext of your own as tls='
        ) from error
    return trustme


_current: Authority | None = None
_starting = threading.Lock()


def authority() -> Authority:
    """The authority of this process; made at first use."""
    global _current
    with _starting:
        if _current is None:
            _current = Authority()
        return _current


def server_context_of(tls: object) -> ssl.SSLContext | None:
    """The context of a server with this `tls=`: None (or False) for none, True, a `Tls`, or a ready context."""
    if tls is None or tls is False:
        return None
    if tls is True or isinstance(tls, Tls):
        return authority().server_context(Tls() if tls is True else tls)
    return contexts.check_ready(tls)


def _after_fork_in_child() -> None:
    global _starting
    _starting = threading.Lock()
    if _current is not None:
        _current.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
