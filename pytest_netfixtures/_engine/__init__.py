"""Floor 2: sockets, one thread, the clock. Knows no pytest and no file format."""
