"""Jobs, their events, failures and collections over HTTP."""

from __future__ import annotations

import json


def enqueue(service, *sources: str) -> str:
    sent = service.http.post("/v1/jobs", json={"sources": list(sources), "tags": {"case": "9"}})
    assert sent.status_code == 202
    return sent.json()["id"]


def events_of(service, job: str) -> list[tuple[str, dict]]:
    events = []
    with service.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for block in stream.read().decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if lines:
                events.append((lines["event"], json.loads(lines["data"])))
    return events


def test_a_job_is_followed_until_it_ends(service):
    job = enqueue(service, "archive/a.mp4", "archive/broken.mp4")
    states = [(name, document["state"]) for name, document in events_of(service, job)]
    assert states == [("job", "running"), ("job", "done")]
    counts = service.http.get(f"/v1/jobs/{job}").json()["counts"]
    assert counts["indexed"] + counts["failed"] == counts["total"] == 2


def test_the_events_of_an_ended_job_are_its_last_state(service):
    job = enqueue(service, "archive/a.mp4")
    events_of(service, job)
    assert [document["state"] for _, document in events_of(service, job)] == ["done"]


def test_a_job_that_vanishes_while_followed_ends_the_stream_with_a_problem(service):
    job = enqueue(service, "archive/a.mp4")
    service.queue.paused = True
    with service.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        pieces = stream.iter_text()
        assert "event: job" in next(pieces)
        del service.queue.records[job]
        rest = "".join(pieces)
    assert "event: problem" in rest
    assert "urn:hashreel:not-found" in rest


def test_unknown_jobs_are_404_also_as_a_stream(service):
    for address in ("/v1/jobs/nope", "/v1/jobs/nope/events"):
        missing = service.http.get(address)
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"


def test_jobs_are_listed_newest_first(service):
    first, second = enqueue(service, "archive/a.mp4"), enqueue(service, "archive/b.mp4")
    assert [job["id"] for job in service.http.get("/v1/jobs").json()["jobs"]] == [second, first]
    assert [job["id"] for job in service.http.get("/v1/jobs?limit=1").json()["jobs"]] == [second]


def test_a_job_is_cancelled_once(service):
    service.queue.paused = True
    job = enqueue(service, "archive/a.mp4")
    cancelled = service.http.post(f"/v1/jobs/{job}/cancel?keep_partial=true").json()
    assert cancelled["counts"]["cancelled"] == 1


def test_a_finished_job_cannot_be_cancelled(service):
    job = enqueue(service, "archive/a.mp4")
    events_of(service, job)
    refused = service.http.post(f"/v1/jobs/{job}/cancel")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:hashreel:conflict"


def test_a_job_is_tried_again(service):
    job = enqueue(service, "archive/broken.mp4")
    events_of(service, job)
    assert service.http.post(f"/v1/jobs/{job}/retry").json()["state"] == "queued"


def test_an_ended_job_is_forgotten_and_one_that_goes_on_is_not(service):
    service.queue.paused = True
    job = enqueue(service, "archive/a.mp4")
    refused = service.http.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:hashreel:conflict")
    service.queue.paused = False
    events_of(service, job)
    videos = service.http.get(f"/v1/jobs/{job}/videos").json()
    assert (videos["total"], len(videos["videos"])) == (1, 1)
    assert service.http.get(f"/v1/jobs/{job}/videos?offset=1").json()["videos"] == []
    assert [one["id"] for one in service.http.get("/v1/jobs?state=done").json()["jobs"]] == [job]
    assert service.http.get("/v1/jobs?state=running").json()["jobs"] == []
    assert service.http.delete(f"/v1/jobs/{job}").json()["id"] == job
    for address in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/videos"):
        assert service.http.get(address).status_code == 404
    assert service.http.get("/v1/jobs?state=over").status_code == 422


def test_a_lane_that_does_not_exist_is_refused(service):
    refused = service.http.post("/v1/jobs", json={"sources": ["a.mp4"], "lane": "fast"})
    assert refused.status_code == 422
    assert "interactive" in refused.text


def test_failures_say_why(service):
    job = enqueue(service, "archive/a.mp4", "archive/broken.mp4")
    events_of(service, job)
    page = service.http.get("/v1/failures", params={"job": job}).json()
    assert page["total"] == 1
    assert page["failures"][0]["reason"] == "no video stream"
    assert service.http.get("/v1/failures?job=other").json()["failures"] == []


def test_sources_with_a_zero_byte_are_refused(service):
    refused = service.http.post("/v1/jobs", json={"sources": ["a\x00b"]})
    assert refused.status_code == 422


def test_collections_are_listed(service):
    found = service.http.get("/v1/collections").json()["collections"]
    assert [(entry["name"], entry["frames"]) for entry in found] == [("main", 22)]
