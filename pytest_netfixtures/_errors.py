"""The errors that users meet.

Law: every message has three parts: what happened, what was expected, what to do. This file raises nothing itself.
Every class takes its message as the only argument, so that all of them pickle (pytest-xdist sends them between processes).
Where two errors meet, the second is hung at the end of the first one's chain, where tracebacks show both.
"""

from __future__ import annotations

from typing import Any

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
    """A capture was asked for that cannot be made here, or a file was to be read that is no capture."""


class CaptureIncomplete(NetlabError):
    """The record was cut or packets were lost, so that equality or absence cannot be claimed."""


class WaitTimeout(AssertionError):
    """A wait reached its deadline before its condition was true."""


class FaultNeverFired(UserWarning):
    """A fault was armed and never changed anything: the test proves nothing about it."""


NEVER_FIRED = (
    "{} was armed and never fired, so that this test proves nothing about it. Expected it to change something at least "
    "once. Make the client send what the fault waits for, or arm it with .optional()."
)


for _name in __all__:
    globals()[_name].__module__ = "pytest_netfixtures"  # reports name them as users import them


def is_for_the_user(info: Any) -> bool:
    """Whether an error (as pytest's ExceptionInfo) is about a call of the user's, so that tracebacks may end there.

    Rooms that check arguments or wait say `__tracebackhide__ = is_for_the_user`; `--full-trace` shows their frames.
    """
    return isinstance(info.value, (TypeError, ValueError, NetlabError, AssertionError))


def append(error: BaseException, other: BaseException) -> None:
    """Hang `other` at the end of the chain that Python and pytest print for `error`."""
    chain = _chain(error)
    if {id(link) for link in chain} & {id(link) for link in _chain(other)}:
        return
    last = chain[-1]
    last.__context__ = other
    last.__suppress_context__ = False


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and all(link is not seen for seen in chain):
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain
