"""The errors that users meet.

Law: every message has three parts: what happened, what was expected, what to do. This file raises nothing itself.
Every class takes its message as the only argument, so that all of them pickle (pytest-xdist sends them between processes).
"""

from __future__ import annotations

__all__ = [
    "CaptureIncomplete",
    "CaptureUnavailable",
    "ConnectionEnded",
    "FaultNeverFired",
    "NetlabError",
    "ServerError",
    "SetupError",
    "WaitTimeout",
]


class NetlabError(Exception):
    """The base of all errors of pytest-netfixtures."""


class SetupError(NetlabError):
    """A server or proxy could not be set up: no address, no descriptor, a directory that cannot be written."""


class ServerError(NetlabError):
    """A server of the test met what it was not made for, such as one connection more than it has handlers."""


class ConnectionEnded(NetlabError, EOFError):
    """The peer ended the connection before what was asked for had arrived."""


class CaptureUnavailable(NetlabError):
    """A capture was asked for that cannot be made here."""


class CaptureIncomplete(NetlabError):
    """The record was cut or packets were lost, so that equality or absence cannot be claimed."""


class WaitTimeout(AssertionError):
    """A wait reached its deadline before its condition was true."""


class FaultNeverFired(UserWarning):
    """A fault was armed and never changed anything: the test proves nothing about it."""


for _name in __all__:
    globals()[_name].__module__ = "pytest_netfixtures"  # reports name them as users import them
