"""Addresses where a client gets nowhere.

Law: nobody is served here, and nothing is recorded: there is no connection.
"""

from __future__ import annotations

from .loop import Engine
from .ports import Port

__all__ = ["Refused", "Tarpit"]


class Refused:
    """A port where nobody ever listens."""

    def __init__(self, engine: Engine, host: str) -> None:
        self._port = Port(engine, host)
        self.address = (self._port.host, self._port.port)

    def close(self) -> None:
        """Give the port back."""
        self._port.engine.call(self._port.close)


class Tarpit(Refused):
    """A port where a connect hangs."""
