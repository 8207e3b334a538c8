"""The options and ini keys that pytest learns from us.

Law: names, types, defaults and help, nothing else: it is loaded at every start of pytest. What a value means is in
`_values.py`, which one holds in `_options.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

_SEED_TYPE: Any = int | str if pytest.version_tuple >= (9, 2) else "string"
INI: tuple[tuple[str, Any, Any, str], ...] = (
    ("net_capture", "bool", False, "write what went over the wire into a pcapng for each test"),
    ("net_capture_keep", "string", "failed", "which captures stay: failed or all"),
    ("net_capture_backend", "string", "tap", "what captures: tap (our servers and proxies) or kernel"),
    ("net_capture_dir", "string", "", "where captures go (default: net-captures below rootdir)"),
    ("net_capture_max_bytes", "int", 64 << 20, "the longest capture of a test, in bytes"),
    ("net_capture_no_secrets", "bool", False, "leave TLS keys out of captures"),
    ("net_capture_log", "string", "off", "rows of Python logging in captures: off, or the lowest level"),
    ("net_seed", _SEED_TYPE, "0", "the seed of all random faults, or random"),
    (
        "net_test_timeout",
        "float",
        60.0,
        "seconds until the connections of a hanging test are reset; 0 is off",
    ),
    ("net_wait", "float", 5.0, "seconds that assertions and waits give at most"),
    ("net_report", "string", "full", "the traffic in failure reports: full, sizes or off"),
    ("net_redact", "linelist", [], "regular expressions; what they match is left out of reports"),
    ("net_must_fire", "bool", True, "warn when an armed fault never fired"),
)


def add_options(parser: pytest.Parser) -> None:
    """Options with one prefix; none of them swallows a path that stands behind it."""
    group = parser.getgroup("netfixtures", "network servers, faults and captures")
    for flag, name, value, text in (
        ("--net-capture", "net_capture", True, "write a pcapng for each test that uses the network fixtures"),
        ("--no-net-capture", "net_capture", False, "write none, whatever ini and environment say"),
        ("--net-capture-no-secrets", "net_capture_no_secrets", True, "leave TLS keys out of captures"),
    ):
        group.addoption(flag, dest=name, action="store_const", const=value, default=None, help=text)
    for flag, metavar, text in (
        ("--net-capture-keep", "failed|all", "which captures stay (implies --net-capture)"),
        ("--net-capture-backend", "tap|kernel", "our servers and proxies, or the kernel (with privileges)"),
        ("--net-capture-dir", "DIR", "where captures go (default: net-captures below rootdir)"),
        ("--net-capture-max-bytes", "N", "the longest capture of a test, in bytes"),
        (
            "--net-capture-log",
            "LEVEL",
            "logging records from this level on become rows of captures (default: off)",
        ),
        ("--net-seed", "N|random", "the seed of all random faults (default: 0)"),
        ("--net-test-timeout", "SECONDS", "reset the connections of a test that hangs; 0 is off"),
    ):
        name = flag[2:].replace("-", "_")
        group.addoption(flag, dest=name, action="store", default=None, metavar=metavar, help=text)
    for name, kind, default, text in INI:
        parser.addini(name, text, type=kind, default=default)
