"""Uploads: streamed, bounded, whole or not there at all."""

from __future__ import annotations

import hashlib
import socket
import time

import pytest

DATA = bytes(range(256)) * 4096  # 1 MiB


def folder_of(service):
    return service.settings.data / "uploads"


def test_a_form_upload_is_stored_and_can_be_enqueued(service):
    sent = service.http.post("/v1/uploads", files={"file": ("../../böse clip?.mp4", DATA, "video/mp4")})
    assert sent.status_code == 201
    assert sent.json() == {
        "source": "uploads/böse clip_.mp4",
        "bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert (folder_of(service) / "böse clip_.mp4").read_bytes() == DATA
    job = service.http.post("/v1/jobs", json={"sources": [sent.json()["source"]]})
    assert job.status_code == 202


def test_a_bare_body_needs_a_name(service):
    sent = service.http.post("/v1/uploads", params={"filename": "a.mp4"}, content=DATA)
    assert sent.json()["source"] == "uploads/a.mp4"
    refused = service.http.post("/v1/uploads", content=DATA)
    assert refused.status_code == 422
    assert "filename" in refused.json()["detail"]


def test_other_fields_of_the_form_are_passed_over(service):
    sent = service.http.post("/v1/uploads", data={"note": "x" * 1000}, files={"file": ("a.mp4", DATA)})
    assert sent.json()["bytes"] == len(DATA)


def test_the_same_bytes_again_are_one_file_and_others_get_their_own_name(service):
    def upload(data):
        return service.http.post("/v1/uploads?filename=a.mp4", content=data).json()["source"]

    assert upload(b"one") == upload(b"one") == "uploads/a.mp4"
    other = upload(b"two")
    assert other == f"uploads/a-{hashlib.sha256(b'two').hexdigest()[:12]}.mp4"
    assert upload(b"two") == other
    assert sorted(path.read_bytes() for path in folder_of(service).iterdir()) == [b"one", b"two"]


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_above_the_bound_is_413_and_leaves_nothing(service, announced):
    body = DATA * 3 + b"x" * 100_000
    content = body if announced else (body[start : start + 65536] for start in range(0, len(body), 65536))
    refused = service.http.post("/v1/uploads?filename=big.mp4", content=content)
    assert refused.status_code == 413
    assert refused.json()["type"] == "urn:hashreel:too-large"
    assert not folder_of(service).exists() or list(folder_of(service).iterdir()) == []


def test_the_folder_is_bounded_too(service):
    for name in ("a", "b", "c"):
        assert service.http.post(f"/v1/uploads?filename={name}.mp4", content=name.encode() + DATA).status_code == 201
    refused = service.http.post("/v1/uploads?filename=d.mp4", content=DATA)
    assert refused.status_code == 507
    assert "uploads_bytes" in refused.json()["detail"]
    assert len(list(folder_of(service).iterdir())) == 3
    (folder_of(service) / "a.mp4").unlink()
    assert service.http.post("/v1/uploads?filename=d.mp4", content=DATA[:1000]).status_code == 201


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("multipart/form-data", b"", "boundary"),
        ("multipart/form-data; boundary=" + "b" * 300, b"", "boundary"),
        ("multipart/form-data; boundary=b", b"nothing like a form", "malformed"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx',
            "cut",
        ),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "no file"),
    ],
)
def test_a_broken_form_is_refused_with_a_reason(service, content_type, body, words):
    refused = service.http.post("/v1/uploads", content=body, headers={"Content-Type": content_type})
    assert refused.status_code == 422
    assert words in refused.json()["detail"]
    assert not folder_of(service).exists() or list(folder_of(service).iterdir()) == []


def test_two_files_in_one_form_are_refused(service):
    refused = service.http.post("/v1/uploads", files=[("file", ("a.mp4", DATA)), ("file", ("b.mp4", DATA))])
    assert refused.status_code == 422
    assert list(folder_of(service).iterdir()) == []


@pytest.mark.parametrize("name", ["..", "///", ". .", "%00"])
def test_a_name_of_which_nothing_is_left_is_refused(service, name):
    refused = service.http.post(f"/v1/uploads?filename={name}", content=b"x")
    assert refused.status_code == 422 or refused.json()["source"] == "uploads/_"


def test_an_empty_upload_is_refused(service):
    assert service.http.post("/v1/uploads?filename=a.mp4", content=b"").status_code == 422
    assert service.http.post("/v1/uploads", files={"file": ("a.mp4", b"")}).status_code == 422


def test_a_sender_that_goes_away_leaves_nothing(service):
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sender:
        head = f"POST /v1/uploads?filename=a.mp4 HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 2000000\r\n\r\n"
        sender.sendall(head.encode() + DATA + DATA[:500_000])
        for _ in range(500):
            if folder_of(service).exists() and list(folder_of(service).iterdir()):
                break
            time.sleep(0.01)
    for _ in range(500):
        if not list(folder_of(service).iterdir()):
            break
        time.sleep(0.01)
    assert list(folder_of(service).iterdir()) == []
    # The service goes on.
    assert service.http.post("/v1/uploads?filename=a.mp4", content=DATA).status_code == 201
