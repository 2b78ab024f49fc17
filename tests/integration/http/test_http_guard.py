"""What a page of somebody else cannot do: reach the service by a rebound name, or post to it."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.7", "a@b", ""])
def test_a_foreign_host_header_is_421(service, host):
    refused = service.http.get("/v1/videos", headers={"Host": host})
    assert refused.status_code == 421
    assert refused.headers["content-type"] == "application/problem+json"
    assert "allowed_hosts" in refused.json()["detail"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9", "127.0.0.1:1", "127.8.8.8", "[::1]:8000", "archive.example", "Archive.Example:80"],
)
def test_loopback_and_allowed_names_pass(service, host):
    assert service.http.get("/v1/videos", headers={"Host": host}).status_code == 200


def test_probes_pass_under_any_address_and_the_page_does_not(service):
    for address in ("/healthz", "/readyz"):
        assert service.http.get(address, headers={"Host": "10.1.2.3:8000"}).status_code == 200
    assert service.http.get("/", headers={"Host": "10.1.2.3:8000"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_a_request_of_a_foreign_page_changes_nothing(service, headers):
    for method, address in (("POST", "/v1/search"), ("DELETE", "/v1/videos/1"), ("PATCH", "/v1/videos/1/tags")):
        refused = service.http.request(method, address, headers=headers, json={"query": {"code": "00" * 6}})
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
    assert 1 in service.engine.catalogue


def test_the_service_s_own_page_and_programs_pass(service):
    own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    for headers in (own, {}, {"Origin": service.url.upper()}, {"Sec-Fetch-Site": "none"}):
        wish = {"query": {"code": "00" * 6}}
        assert service.http.post("/v1/search", headers=headers, json=wish).status_code == 200


def test_behind_a_proxy_that_ends_tls_the_page_passes(service):
    headers = {"Host": "archive.example", "Origin": "https://archive.example"}
    assert service.http.delete("/v1/videos/1", headers=headers).status_code == 200


def test_pages_are_told_to_run_nothing_inline_and_to_be_shown_nowhere_else(service):
    for address in ("/", "/v1/videos", "/nowhere"):
        headers = service.http.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
