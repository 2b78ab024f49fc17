"""Names of hosts as the guard reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.http.guard import host_name, is_loopback


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LOCALHOST", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[::1", "::1"),
        ("", ""),
        (":80", ""),
    ],
)
def test_host_headers_worked_by_hand(host, name):
    assert host_name(host) == name


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.255.0.9", "::1"])
def test_loopback_names(name):
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "evil", "2130706433", "::2"]
)
def test_names_that_are_not(name):
    assert not is_loopback(name)


@given(st.text(max_size=60))
def test_no_header_breaks_it(text):
    assert is_loopback(host_name(text)) in {True, False}
