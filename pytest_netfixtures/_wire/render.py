"""What people read of the traffic: the face of the rooms that draw it.

Law: it only gathers. The ladder tells a conversation, the table lists connections, the hexdump shows where two byte
strings differ, and `escape` makes bytes safe to print.
"""

from __future__ import annotations

from .ladder import ladder
from .redaction import DEFAULT_REDACTIONS, masked
from .text import escape, hexdump_diff
from .traffic import table

__all__ = ["DEFAULT_REDACTIONS", "escape", "hexdump_diff", "ladder", "masked", "table"]
