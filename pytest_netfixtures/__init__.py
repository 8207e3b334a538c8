"""Servers, fault-injecting proxies and packet captures for tests of network code.

Law: the face, and nothing else: every public name, fetched from its room when it is first asked for, because pytest
imports this package at every start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_netfixtures import profiles
    from pytest_netfixtures._assertions import (
        assert_closed,
        assert_closed_async,
        assert_connections,
        assert_connections_async,
        assert_delivered,
        assert_delivered_async,
        assert_fired,
        assert_fired_async,
        assert_sent,
        assert_sent_async,
        assert_silent,
        assert_silent_async,
    )
    from pytest_netfixtures._capture import Capture
    from pytest_netfixtures._engine.authority import Authority, Tls
    from pytest_netfixtures._engine.connection import ServerConnection
    from pytest_netfixtures._engine.servers import DeafServer, TcpEcho, TcpServer
    from pytest_netfixtures._engine.tcp_proxy import TcpProxy
    from pytest_netfixtures._engine.udp import Later, UdpResponder
    from pytest_netfixtures._engine.udp_proxy import UdpProxy
    from pytest_netfixtures._errors import (
        CaptureIncomplete,
        CaptureUnavailable,
        ConnectionEnded,
        FaultNeverFired,
        NetlabError,
        ServerError,
        SetupError,
        WaitTimeout,
    )
    from pytest_netfixtures._netlab import NetLab
    from pytest_netfixtures._pcap.read_traffic import read_capture
    from pytest_netfixtures._wire.content import Corrupt, Insert
    from pytest_netfixtures._wire.datagrams import BurstLoss, Duplicate, Loss, MaxSize, Reorder
    from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
    from pytest_netfixtures._wire.events import (
        NEVER,
        Data,
        Datagram,
        Event,
        Fin,
        Lifted,
        Opened,
        Rst,
        Wake,
    )
    from pytest_netfixtures._wire.narrowing import narrow
    from pytest_netfixtures._wire.pieces import Coalesce, Slice
    from pytest_netfixtures._wire.pipeline import Fault, Seen
    from pytest_netfixtures._wire.replacing import Replace
    from pytest_netfixtures._wire.statistics import Count, LegStatistics, Statistics
    from pytest_netfixtures._wire.streams import Bandwidth, Delay, Retransmit, SlowClose, Stall
    from pytest_netfixtures._wire.traffic import Connection, Flow, TlsSession, Traffic

    __version__: str

__all__ = [
    "NEVER",
    "Authority",
    "Bandwidth",
    "BurstLoss",
    "Capture",
    "CaptureIncomplete",
    "CaptureUnavailable",
    "Coalesce",
    "Connection",
    "ConnectionEnded",
    "Corrupt",
    "Count",
    "Data",
    "Datagram",
    "DeafServer",
    "Delay",
    "Drop",
    "Duplicate",
    "Event",
    "Fault",
    "FaultNeverFired",
    "Fin",
    "Flow",
    "HalfClose",
    "Insert",
    "Later",
    "LegStatistics",
    "Lifted",
    "Loss",
    "MaxSize",
    "NetLab",
    "NetlabError",
    "Opened",
    "Reorder",
    "Replace",
    "Reset",
    "Retransmit",
    "Rst",
    "Seen",
    "ServerConnection",
    "ServerError",
    "SetupError",
    "Slice",
    "SlowClose",
    "Stall",
    "Statistics",
    "TcpEcho",
    "TcpProxy",
    "TcpServer",
    "Tls",
    "TlsSession",
    "Traffic",
    "Truncate",
    "UdpProxy",
    "UdpResponder",
    "WaitTimeout",
    "Wake",
    "__version__",
    "assert_closed",
    "assert_closed_async",
    "assert_connections",
    "assert_connections_async",
    "assert_delivered",
    "assert_delivered_async",
    "assert_fired",
    "assert_fired_async",
    "assert_sent",
    "assert_sent_async",
    "assert_silent",
    "assert_silent_async",
    "narrow",
    "profiles",
    "read_capture",
]

_ROOMS = {
    "_assertions": (
        "assert_closed assert_closed_async assert_connections assert_connections_async assert_delivered "
        "assert_delivered_async assert_fired assert_fired_async assert_sent assert_sent_async assert_silent "
        "assert_silent_async"
    ),
    "_capture": "Capture",
    "_engine.authority": "Authority Tls",
    "_engine.connection": "ServerConnection",
    "_engine.servers": "DeafServer TcpEcho TcpServer",
    "_engine.tcp_proxy": "TcpProxy",
    "_engine.udp": "Later UdpResponder",
    "_engine.udp_proxy": "UdpProxy",
    "_errors": (
        "CaptureIncomplete CaptureUnavailable ConnectionEnded FaultNeverFired NetlabError ServerError SetupError "
        "WaitTimeout"
    ),
    "_netlab": "NetLab",
    "_pcap.read_traffic": "read_capture",
    "_wire.datagrams": "BurstLoss Duplicate Loss MaxSize Reorder",
    "_wire.events": "NEVER Data Datagram Event Fin Lifted Opened Rst Wake",
    "_wire.narrowing": "narrow",
    "_wire.pipeline": "Fault Seen",
    "_wire.ends": "Drop HalfClose Reset Truncate",
    "_wire.content": "Corrupt Insert",
    "_wire.replacing": "Replace",
    "_wire.pieces": "Coalesce Slice",
    "_wire.statistics": "Count LegStatistics Statistics",
    "_wire.streams": "Bandwidth Delay Retransmit SlowClose Stall",
    "_wire.traffic": "Connection Flow TlsSession Traffic",
}


def __getattr__(name: str) -> Any:
    # Nothing is kept here: where pytester throws modules away, a kept class would be a stranger to those loaded anew.
    if name == "__version__":
        return _version()
    if name == "profiles":
        return _load(f"{__name__}.profiles")
    room = next((room for room, names in _ROOMS.items() if name in names.split()), None)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_load(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _load(module: str) -> Any:
    from importlib import import_module

    return import_module(module)


def _version() -> str:
    from importlib.metadata import version

    return version("pytest-netfixtures")
