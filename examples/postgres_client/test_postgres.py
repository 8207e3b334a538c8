"""psycopg meets a bad network: a real PostgreSQL, started once, and a proxy in front of it with faults for each test.

To copy it, take conftest.py along. The question of most of these tests: a COMMIT was sent and no answer came. Was it
done? Nobody on this side of the line can know. So a payment has a key, and whoever pays again finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pytest_netfixtures import Delay, Reset, TcpProxy, Truncate, assert_connections, assert_fired

Address = tuple[str, int]

# What PostgreSQL answers to a COMMIT: CommandComplete, and ReadyForQuery with "I", outside of a transaction.
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00" + b"Z\x00\x00\x00\x05I"
# What psycopg sends behind a statement: Sync.
END_OF_STATEMENT = b"S\x00\x00\x00\x04"

INSERT = "INSERT INTO payment VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"


# The program.


def pay(database: str, key: str, amount: int, attempts: int = 3) -> str:
    """Pay once, however often we try: gives "paid", or "was paid" when an earlier attempt had come through."""
    for left in reversed(range(attempts)):
        try:
            with psycopg.connect(database) as connection:
                new = connection.execute(INSERT, (key, amount)).rowcount
            return "paid" if new else "was paid"
        except psycopg.OperationalError:
            if not left:
                raise
    raise ValueError(f"attempts is {attempts}; expected 1 or more")


class Reader:
    """One connection for all questions; where it is dead, a question is asked again on a new one."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.connection = self.connect()

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database, autocommit=True)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(question).fetchall()
        except psycopg.OperationalError:
            self.connection = self.connect()
            return self.connection.execute(question).fetchall()


# Its tests.


def place(host: str, port: int) -> str:
    """Without TLS, so that a fault can look for what is said."""
    return f"host={host} port={port} user=postgres dbname=postgres sslmode=disable gssencmode=disable"


@pytest.fixture
def store(postgres: Address) -> Iterator[psycopg.Connection[Any]]:
    """The database without the proxy: to set up, and to look at what is true. No payments at the start of each test."""
    with psycopg.connect(place(*postgres), autocommit=True) as store:
        store.execute("DROP TABLE IF EXISTS payment")
        store.execute("CREATE TABLE payment (key text PRIMARY KEY, amount int)")
        yield store


@pytest.fixture
def database(proxy: TcpProxy, store: psycopg.Connection[Any]) -> str:
    """Where the program finds its database: behind the proxy."""
    return place(proxy.host, proxy.port)


def payments(store: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return store.execute("SELECT key, amount FROM payment ORDER BY key").fetchall()


def test_a_commit_is_done_and_not_one_byte_of_its_answer_arrives(
    proxy: TcpProxy, database: str, store: psycopg.Connection[Any]
) -> None:
    answer_lost = Reset(at=0).when(b"COMMIT", direction="to_server")
    proxy.set_faults(to_client=answer_lost)
    with psycopg.connect(database) as connection:
        connection.execute(INSERT, ("rent", 900))
        before = proxy.traffic.connection(1).to_client.delivered
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    answer = proxy.traffic.connection(1).to_client
    assert answer.sent == before + COMMITTED
    assert answer.delivered == before
    assert payments(store) == [("rent", 900)]


def test_who_pays_again_after_a_lost_answer_has_paid_once(
    proxy: TcpProxy, database: str, store: psycopg.Connection[Any]
) -> None:
    proxy.set_faults(to_client=Reset(at=0).when(b"COMMIT", direction="to_server").times(1))
    assert pay(database, "rent", 900) == "was paid"
    assert payments(store) == [("rent", 900)]
    assert_connections(proxy, 2)


def test_who_pays_again_after_a_lost_commit_has_paid_once(
    proxy: TcpProxy, database: str, store: psycopg.Connection[Any]
) -> None:
    commit_lost = Reset(at=0).when(END_OF_STATEMENT).on_connections(1)
    proxy.set_faults(to_server=commit_lost)
    assert pay(database, "rent", 900) == "paid"
    assert payments(store) == [("rent", 900)]
    assert b"COMMIT" not in proxy.traffic.connection(1).to_server.delivered
    assert b"COMMIT" in proxy.traffic.connection(2).to_server.delivered


def test_an_answer_that_is_cut_is_asked_for_again_on_a_new_connection(
    proxy: TcpProxy, database: str, store: psycopg.Connection[Any]
) -> None:
    cut = Truncate(after=50).when(b"SELECT", direction="to_server").on_connections(1)
    proxy.set_faults(to_client=cut)
    reader = Reader(database)
    with reader.connection:
        assert reader.ask("SELECT repeat('long ', 20)") == [("long " * 20,)]
    reader.connection.close()
    assert_connections(proxy, 2)
    assert_fired(proxy, cut, times=1)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_whichever_runs_second_meets_nothing_of_the_first(proxy: TcpProxy, database: str, turn: str) -> None:
    assert pay(database, turn, 1) == "paid"
    assert_connections(proxy, 1)
    proxy.set_faults(to_client=Reset(after=0))
    with pytest.raises(psycopg.OperationalError):
        pay(database, turn, 2)
    assert_connections(proxy, 4)


def test_an_answer_later_than_our_patience_is_a_timeout_and_the_next_one_works(
    proxy: TcpProxy, database: str
) -> None:
    connecting = psycopg.AsyncConnection.connect(database)
    with proxy.fault(to_client=Delay(30)), pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(connecting, timeout=0.2))
    assert proxy.traffic.connection(1).to_client.delivered == b""
    assert pay(database, "rent", 900) == "paid"


def test_a_payer_on_a_slow_line_does_not_keep_its_locks(
    proxy: TcpProxy, database: str, store: psycopg.Connection[Any]
) -> None:
    proxy.set_faults(to_server=Delay(30).when(END_OF_STATEMENT))
    patience = "-c idle_in_transaction_session_timeout=200ms"
    with pytest.raises(psycopg.Error, match=r"idle-in-transaction|closed"):
        with psycopg.connect(database, options=patience) as connection:
            connection.execute(INSERT, ("rent", 900))
    late = proxy.traffic.connection(1).to_server
    assert b"COMMIT" in late.sent
    assert b"COMMIT" not in late.delivered
    assert store.execute(INSERT, ("rent", 950)).rowcount == 1
