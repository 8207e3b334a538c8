"""Where addresses are shown."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._pcap.places import Places, is_stand_in, readable


def test_ip_addresses_are_themselves_without_their_zone() -> None:
    assert Places().of(("127.0.0.1", 80), 1) == ("127.0.0.1", 80)
    assert Places().of(("fe80::1%lo", 80), 1) == ("fe80::1", 80)


@given(st.lists(st.text(st.characters(exclude_categories=()), min_size=1), max_size=20))
def test_every_path_has_a_place_of_its_own_on_loopback(names: list[str]) -> None:
    given_out = Places()
    found = {name: given_out.of(name, 1) for name in names}
    assert len(set(found.values())) == len(set(names))
    assert all(found[name] == given_out.of(name, 2) for name in names)
    for host, port in found.values():
        assert ipaddress.ip_address(host).is_loopback and 1024 <= port < 65536


def test_paths_that_collide_get_different_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlib.crc32", lambda data: 7)
    given_out = Places()
    assert len({given_out.of(f"/run/{number}.sock", 1) for number in range(300)}) == 300


def test_unnamed_clients_differ_by_connection() -> None:
    given_out = Places()
    assert given_out.of("", 1) != given_out.of("", 2)
    assert given_out.of("", 1) == given_out.of("", 1)


def test_a_name_that_was_never_resolved_is_a_stand_in() -> None:
    assert is_stand_in(("db.test", 5432)) and not is_stand_in(("::1", 5432))
    assert readable(("db.test", 5432)) == "db.test:5432"
    assert readable(("::1", 5432)) == "[::1]:5432"
    assert readable("") == "an unnamed Unix socket"
