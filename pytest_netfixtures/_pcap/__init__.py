"""Floor 2: capture files.

Law: this floor knows the entries of floor 1 and the pcapng format. It knows no engine, no socket and no pytest.
"""

from __future__ import annotations
