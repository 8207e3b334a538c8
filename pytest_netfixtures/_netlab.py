"""The maker of servers and proxies, for one test, a session or a script.

Law: what a lab makes it owns, and closes in reverse order. It is usable without pytest, and knows nothing of it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from re import Pattern
from typing import TYPE_CHECKING, Any

from ._engine.journal import Book, Sink
from ._engine.loop import Engine, current_engine
from ._engine.proxy import Proxy
from ._engine.scope import Scope
from ._engine.waiting import check_condition, not_true
from ._errors import NEVER_FIRED, FaultNeverFired, SetupError, append, is_for_the_user
from ._makers import Makers, Owned
from ._wire.checks import check_count, check_seconds
from ._wire.entries import LegOpened, Logged, TlsStarted
from ._wire.recorder import Recorder
from ._wire.redaction import with_defaults
from ._wire.traffic import Traffic
from ._wire_log import WireLog, is_wanted

if TYPE_CHECKING:
    from ._engine.authority import Authority

__all__ = ["NetLab"]

__tracebackhide__ = is_for_the_user


class NetLab(Makers):
    """Makes servers and proxies, and closes all of them at the end.

    `seed` is the source of every random decision, together with `node_id`. `wait` is the default deadline of all waits in
    seconds. `record_bytes` bounds what is kept of each direction of a connection; beyond it bytes are counted.
    `strict`: that a client has left is an error of the handler. `must_fire`: at the end of a `with` block a fault that was
    armed and never fired is the warning `FaultNeverFired`. `redact`: regular expressions; what they match is masked in
    messages and in lines of the logger `pytest_netfixtures.wire`, beside HTTP Authorization, RESP AUTH and others.

    >>> import socket
    >>> from pytest_netfixtures import NetLab
    >>> with NetLab() as lab:
    ...     server = lab.tcp_echo()
    ...     with socket.create_connection(server.address) as client:
    ...         client.sendall(b"ping")
    ...         client.recv(4)
    b'ping'
    """

    def __init__(
        self,
        *,
        name: str = "netlab",
        seed: int = 0,
        node_id: str = "",
        wait: float = 5.0,
        record_bytes: int = 4 << 20,
        strict: bool = False,
        must_fire: bool = True,
        redact: Iterable[str] = (),
    ) -> None:
        check_count("seed", seed, least=-(2**63), unit="as a seed")
        check_seconds("wait", wait, positive=True)
        check_count("record_bytes", record_bytes)
        self.name = name
        self.seed = seed
        self.node_id = node_id
        self.strict = strict
        self.must_fire = must_fire
        self.engine: Engine = current_engine()
        self.recorder = Recorder(record_bytes)
        self._book = Book(self.engine.journal, self.recorder)
        self._scope = Scope(self.engine, self._book, (seed, node_id), wait)
        self._scope.redactions = with_defaults(redact)
        self._owned: list[Any] = []
        self.places: set[tuple[Any, ...]] = set()
        """The addresses of everything that it has ever made."""
        self.closed = False
        self._wire_log: WireLog | None = None

    # Looking.

    @property
    def ca(self) -> Authority:
        """The authority that issues the certificates of servers with `tls=`; one for the process, made at first use.

        Raises SetupError where trustme is not installed: `pip install "pytest-netfixtures[tls]"`.
        """
        from ._engine.authority import authority

        return authority()

    @property
    def wait(self) -> float:
        """The default deadline of all waits, in seconds."""
        return self._scope.wait

    @property
    def redactions(self) -> tuple[Pattern[bytes], ...]:
        """What is masked in messages."""
        return self._scope.redactions

    @property
    def traffic(self) -> Traffic:
        """An immutable snapshot of all connections of all endpoints."""
        return self._scope.traffic

    @property
    def endpoints(self) -> tuple[Any, ...]:
        """Everything this lab has made and not closed, oldest first."""
        return tuple(self._owned)

    def wait_for(self, condition: Callable[[], object], within: float | None = None) -> None:
        """Wait until `condition()` is true; looked at again at every event, and at least every 20 ms.

        Raises WaitTimeout at the deadline, and NetlabError in a thread with a running event loop when it is not yet true:
        use `wait_for_async` there.
        """
        __tracebackhide__ = True
        check_condition(condition)
        self._scope.wait_until(condition, within, lambda: not_true(condition))

    async def wait_for_async(self, condition: Callable[[], object], within: float | None = None) -> None:
        """`wait_for` for async code, under asyncio and trio; `condition` is called in another thread."""
        __tracebackhide__ = True
        check_condition(condition)
        await self._scope.wait_until_async(condition, within, lambda: not_true(condition))

    def mark(self, text: str) -> None:
        """A moment of the test, for report and capture."""
        self._scope.mark(text)

    # For those who run the tests.

    def log(self, level: str, logger: str, text: str) -> None:
        """A record of Python's logging, for report and capture."""
        with self._book.lock:
            self._book.write(Logged(time.monotonic(), level, logger, text))

    def heed_logger(self) -> None:
        """From now on all traffic is logged, if the logger `pytest_netfixtures.wire` is enabled for DEBUG now."""
        if self._wire_log is None and is_wanted():
            self._wire_log = WireLog(self.engine, self._scope.redactions)
            self.add_sink(self._wire_log)

    def flush_log(self) -> None:
        """What has happened up to now is logged."""
        if self._wire_log is not None:
            self._wire_log.flush()

    def add_sink(self, sink: Sink) -> None:
        """Feed every entry to `sink` from now on; open connections are told of first."""
        self.engine.call(self._add_sink, sink)

    def remove_sink(self, sink: Sink) -> None:
        """Feed it no more."""
        with self._book.lock:
            self._book.sinks = [each for each in self._book.sinks if each is not sink]

    def errors(self) -> list[BaseException]:
        """The errors of handlers, faults and callables that have not been taken yet."""
        with self._book.lock:
            errors = [*self._scope.errors, *self.engine.crashes]
            self._scope.errors.clear()
            self.engine.crashes.clear()
        return errors

    def never_fired(self) -> list[str]:
        """The faults that had to fire and never did, as code with their place."""
        proxies = [endpoint for endpoint in self._owned if isinstance(endpoint, Proxy)]
        return [text for proxy in proxies for text in proxy.never_fired()]

    def reset_all(self, reason: str) -> None:
        """Reset every open connection, so that whoever waits for one returns."""
        self._scope.note(reason)
        for endpoint in reversed(self._owned):
            if hasattr(endpoint, "cut"):
                endpoint.cut(reset=True)

    def forget(self) -> None:
        """Start all records and numbers afresh; faults armed by tests are lifted, open connections stay."""
        self.engine.call(self._forget)

    def _forget(self) -> None:
        """All at once, so that no connection comes in between."""
        for endpoint in self._owned:
            if hasattr(endpoint, "forget"):
                endpoint.forget()
        with self._book.lock:
            self.recorder.forget({entry.connection for entry in self._open_entries()})
            self._scope.in_test = True

    def test_ended(self) -> None:
        """What is armed from now on is armed by a fixture that outlives tests."""
        self._scope.in_test = False

    def close(self) -> None:
        """Close everything in reverse order; waits for no peer. Idempotent."""
        if self.closed:
            return
        self.closed = True
        problems = [problem for endpoint in self._reversed() if (problem := _close(endpoint))]
        self.flush_log()
        if problems:
            raise problems[0]

    def _reversed(self) -> Iterator[Any]:
        """What is still to be closed, the youngest first; nothing in a child made by `fork`."""
        while self._owned:
            endpoint = self._owned.pop()
            if self.engine.alive:
                yield endpoint

    def __enter__(self) -> NetLab:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        unfired = self.never_fired() if error is None and self.must_fire else []
        self.close()
        found = [*([error] if error is not None else []), *self.errors()]
        for other in found[1:]:
            append(found[0], other)
        if error is None and found:
            raise found[0]
        for text in unfired:
            warnings.warn(NEVER_FIRED.format(text), FaultNeverFired, stacklevel=2)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    # Inside.

    def _open(self) -> Scope:
        if self.closed:
            raise SetupError(
                "the lab is closed; expected an open one: make servers within the test or `with` block"
            )
        self.heed_logger()
        return self._scope

    def _own(self, endpoint: Owned) -> Owned:
        self._owned.append(endpoint)
        self.places.add(tuple(getattr(endpoint, "address", ())))
        return endpoint

    def _open_entries(self) -> list[LegOpened | TlsStarted]:
        listed = [endpoint.open_entries() for endpoint in self._owned if hasattr(endpoint, "open_entries")]
        return [entry for entries in listed for entry in entries]

    def _add_sink(self, sink: Sink) -> None:
        with self._book.lock:
            for entry in self._open_entries():
                sink(entry, None)
            self._book.sinks = [*self._book.sinks, sink]


def _close(endpoint: Any) -> Exception | None:
    """Close it; what went wrong, such as a warning that is an error here, must not keep the others open."""
    try:
        endpoint.close()
    except Exception as problem:
        return problem
    return None
