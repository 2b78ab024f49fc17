"""Evaluations over HTTP and through the clients: options, rows of wrong ground truths, reports and their policy."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from hashreel import AsyncClient, Client
from hashreel.errors import BadInputError, ConflictError, NotFoundError
from hashreel.processes import python_command
from hashreel.schemas import EvaluationModel, Problem

TRUTH = "video,start_s,end_s,concepts\na.mp4,0,5,sea\n"
WRONG = "video,start_s,end_s,concepts\na.mp4,5,2,sea\nb.mp4,x,,sea\n"


@pytest.fixture
def client(service):
    with Client(service.url) as opened:
        yield opened


def test_an_evaluation_is_asked_for_followed_and_read(service, client):
    seen: list[str] = []
    job = client.evaluate(TRUTH, top=[1, 7], exclude="video", queries_per_concept="all", name="mine", by="me")
    assert job.state == "queued"
    assert job.wait(progress=lambda model: seen.append(model.state)) is job
    assert seen == ["done"]
    assert job.result == {"title": job.id}
    assert job.report("csv") == f"csv of {job.id}"
    assert job.report().startswith("<!doctype html>")
    wish = service.queue.evaluations.wishes[job.id]
    assert (wish.top, wish.exclude, wish.queries_per_concept, wish.name) == ([1, 7], "video", "all", "mine")
    assert (wish.truth, wish.format, wish.by, wish.seed) == (TRUTH, "csv", "me", 0)
    assert [other.id for other in client.evaluations()] == [job.id]
    assert client.evaluation(job.id).model == job.model


def test_files_are_read_by_their_suffix_and_shots_by_their_frame_rate(service, client, tmp_path):
    table, lines = tmp_path / "truth.csv", tmp_path / "truth.jsonl"
    table.write_text("\ufeff" + TRUTH, encoding="utf-8")
    lines.write_text('{"video": "a.mp4", "concepts": ["sea"]}\n')
    calls = []

    def create(request):
        calls.append(request)
        raise ConflictError("enough")

    service.queue.evaluations.create = create
    for arguments in ((table, {}), (str(lines), {}), (table, {"frame_rate": 25})):
        with pytest.raises(ConflictError):
            client.evaluate(arguments[0], **arguments[1])
    assert [(call.format, call.source, call.frame_rate) for call in calls] == [
        ("csv", "truth.csv", None),
        ("jsonl", "truth.jsonl", None),
        ("shots", "truth.csv", 25.0),
    ]
    assert calls[0].truth == TRUTH


def test_wrong_rows_are_named_by_http_client_and_command(service, client, tmp_path):
    answer = service.http.post("/v1/evaluations", json={"truth": WRONG, "source": "t.csv"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    for part in ("t.csv", "row 3", "expected a number of seconds"):
        assert part in answer.json()["detail"]
    with pytest.raises(BadInputError, match="row 3: start_s is 'x'"):
        client.evaluate(WRONG)
    file = tmp_path / "wrong.csv"
    file.write_text(WRONG)
    done = subprocess.run(
        python_command("evaluate", str(file), "--url", service.url), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "wrong.csv" in done.stderr
    assert "row 3: start_s is 'x'" in done.stderr
    assert service.queue.evaluations.records == {}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"truth": ""},
        {"truth": TRUTH, "tops": [1]},
        {"truth": TRUTH, "top": []},
        {"truth": TRUTH, "top": [0]},
        {"truth": TRUTH, "exclude": "clip"},
        {"truth": TRUTH, "queries_per_concept": 0},
        {"truth": TRUTH, "queries_per_concept": "some"},
        {"truth": TRUTH, "format": "shots"},
        {"truth": TRUTH, "frame_rate": 24},
        {"truth": TRUTH, "against": "../x"},
    ],
)
def test_options_that_do_not_fit_are_refused(service, document):
    answer = service.http.post("/v1/evaluations", json=document)
    assert answer.status_code == 422
    assert Problem.model_validate_json(answer.content).errors


def test_what_is_missing_on_this_machine_is_said_by_the_client(client, tmp_path):
    with pytest.raises(BadInputError, match=r"nowhere.csv.*No such file"):
        client.evaluate(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes("video,concepts\nä.mp4,x\n".encode("latin-1"))
    with pytest.raises(BadInputError, match="not UTF-8"):
        client.evaluate(tmp_path / "latin.csv")


def test_reports_are_pages_of_no_origin_that_load_and_run_nothing(service, client):
    job = client.evaluate(TRUTH).wait()
    answer = service.http.get(f"/v1/evaluations/{job.id}/report")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    (policy,) = answer.headers.get_list("content-security-policy")
    parts = policy.split("; ")
    assert {"default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "sandbox"} <= set(parts)
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    kinds = {"json": "application/json", "csv": "text/csv", "markdown": "text/markdown"}
    for format_, kind in kinds.items():
        answer = service.http.get(f"/v1/evaluations/{job.id}/report", params={"format": format_})
        assert answer.headers["content-type"].startswith(kind)
        assert len(answer.headers.get_list("content-security-policy")) == 1
    assert service.http.get(f"/v1/evaluations/{job.id}/report", params={"format": "pdf"}).status_code == 422
    (usual,) = service.http.get("/v1/jobs").headers.get_list("content-security-policy")
    assert "script-src 'self'" in usual


def test_a_report_is_there_only_when_it_is_done(service, client):
    service.queue.evaluations.paused = True
    job = client.evaluate(TRUTH)
    with pytest.raises(ConflictError, match="is queued"):
        job.report()
    assert service.http.get(f"/v1/evaluations/{job.id}/report").status_code == 409
    assert job.cancel().state == "cancelled"
    with pytest.raises(ConflictError, match="is cancelled"):
        _ = job.result
    with pytest.raises(NotFoundError):
        client.evaluation("feedface")
    assert service.http.get("/v1/evaluations/feedface/report").status_code == 404


def test_the_reason_of_a_failure_is_raised_as_the_class_it_was(service, client):
    job = client.evaluate(TRUTH)
    failed = {"state": "failed", "problem": Problem.of(BadInputError("'a.mp4' is not in the collection"))}
    record: EvaluationModel = service.queue.evaluations.records[job.id]
    service.queue.evaluations.records[job.id] = record.model_copy(update=failed)
    assert job.wait().state == "failed"
    with pytest.raises(BadInputError, match="not in the collection"):
        _ = job.result


def test_the_asynchronous_client_does_the_same(service, tmp_path: Path):
    async def run() -> None:
        async with AsyncClient(service.url) as client:
            job = await client.evaluate(TRUTH, top=(3,))
            await job.wait()
            assert await job.result() == {"title": job.id}
            assert await job.report("markdown") == f"markdown of {job.id}"
            assert [other.id for other in await client.evaluations()] == [job.id]
            assert (await client.evaluation(job.id)).state == "done"
            assert (await job.cancel()).state == "cancelled"

    asyncio.run(run())


def test_an_interrupted_command_cancels_its_evaluation(service, tmp_path):
    service.queue.evaluations.paused = True
    (tmp_path / "truth.csv").write_text(TRUTH)
    command = python_command("evaluate", str(tmp_path / "truth.csv"), "--url", service.url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "evaluation e1\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert service.queue.evaluations.records["e1"].state == "cancelled"
