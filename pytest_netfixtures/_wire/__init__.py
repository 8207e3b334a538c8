"""Floor 1: pure values and functions. No socket, no thread, no clock, no sleep, no global randomness, no I/O."""
