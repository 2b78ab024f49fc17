"""Every refusal is a problem document, whatever refused it."""

from __future__ import annotations

import logging
import socket

import pytest

from hashreel.errors import HashreelError
from hashreel.schemas import Problem

PROBLEM = "application/problem+json"


def check(response, status: int) -> Problem:
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status
    assert problem.detail
    assert problem.request_id == response.headers["x-request-id"]
    return problem


def test_an_unknown_address_and_method(service):
    check(service.http.get("/v1/nothing"), 404)
    check(service.http.get("/static/nothing.js"), 404)
    check(service.http.get("/v1/videos/"), 404)
    refused = service.http.put("/v1/videos")
    check(refused, 405)
    assert refused.headers["allow"] == "GET"
    assert service.http.put("/v1/videos/7").headers["allow"] == "DELETE, GET"
    assert service.http.delete("/v1/jobs").headers["allow"] == "GET, POST"
    assert service.http.post("/").headers["allow"] == "GET"


def test_a_misspelt_option_is_named_and_a_picture_is_not_echoed(service):
    secret = "QUJD" * 100
    problem = check(service.http.post("/v1/search", json={"query": {"image": secret, "bx": []}, "topp": 3}), 422)
    assert {item["at"] for item in problem.errors} == {"body.query.bx", "body.topp"}
    assert "topp" in problem.detail
    assert secret not in str(problem)


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b"\xff\xfe", b'{"query":{"code":"\\ud800"}}', b"{" * 5000])
def test_a_body_that_is_no_request(service, body):
    answer = service.http.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    check(answer, answer.status_code)


def test_two_queries_in_one_are_refused(service):
    problem = check(service.http.post("/v1/search", json={"query": {"code": "00" * 6, "frame": "1"}}), 422)
    assert "exactly one" in problem.detail


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_whether_announced_or_not(service, announced):
    body = b"x" * 300_000
    content = body if announced else (body[start : start + 9000] for start in range(0, len(body), 9000))
    problem = check(service.http.post("/v1/search", content=content, headers={"Content-Type": "application/json"}), 413)
    assert "200000" in problem.detail
    assert service.http.get("/v1/videos").status_code == 200


def test_a_large_form_is_refused_while_it_streams(service):
    check(service.http.post("/v1/search/image", files={"image": b"\xff\xd8\xff" + b"x" * 300_000}), 413)
    assert service.engine.requests == []


def test_a_huge_announced_body_is_refused_before_it_is_sent(service):
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sender:
        head = f"POST /v1/search HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 99999999999\r\nExpect: 100-continue"
        sender.sendall(head.encode() + b"\r\n\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 413")


def test_our_errors_keep_their_kind_and_words(service, monkeypatch):
    def refuse(request):
        raise HashreelError("the disk is on fire")

    monkeypatch.setattr(service.engine, "search", refuse)
    problem = check(service.http.post("/v1/search", json={"query": {"code": "00" * 6}}), 500)
    assert problem.detail == "the disk is on fire"
    assert problem.type == "urn:hashreel:hashreel"


def test_an_unexpected_error_is_logged_under_the_request_id_and_not_shown(service, monkeypatch, caplog):
    def explode(*args, **kwargs):
        raise RuntimeError("secret path /srv/keys")

    monkeypatch.setattr(service.engine, "videos", explode)
    with caplog.at_level(logging.ERROR):
        answer = service.http.get("/v1/videos", headers={"X-Request-Id": "probe-1"})
    problem = check(answer, 500)
    assert problem.request_id == "probe-1"
    assert "secret" not in answer.text
    record = next(record for record in caplog.records if getattr(record, "request_id", "") == "probe-1")
    assert record.exc_info is not None
    assert service.http.get("/v1/collections").status_code == 200


def test_request_ids_are_kept_when_harmless_and_made_otherwise(service):
    assert service.http.get("/healthz", headers={"X-Request-Id": "a.B-9_"}).headers["x-request-id"] == "a.B-9_"
    for bad in ("x" * 65, "a b", "<b>"):
        assert service.http.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad
