"""A small program that asks a server for its status: the port comes as an argument, or from STATUS_PORT.

It prints the answer and ends with 0, or says what went wrong and ends with 1.
"""

from __future__ import annotations

import os
import socket
import sys


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"STATUS\n")
        line = connection.makefile("rb").readline()
    if not line.endswith(b"\n"):
        raise EOFError(f"the answer ends after {len(line)} bytes")
    return line.decode().strip()


def main(arguments: list[str]) -> int:
    try:
        print(ask(int(arguments[0] if arguments else os.environ["STATUS_PORT"])))
    except (OSError, EOFError) as error:
        print(f"no status: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
