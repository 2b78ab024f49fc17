"""Probes, and OpenAPI's promises."""

from __future__ import annotations

import threading

from memory_service import MemoryEngine, MemoryQueue

from search.http import make_app


def test_alive_is_not_ready(service):
    service.engine.ready = False
    assert service.http.get("/healthz").json() == {"status": "alive"}
    refused = service.http.get("/readyz")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == "loading the snapshot"
    assert refused.json()["health"]["frames"] == 22
    assert "hashreel_ready 0.0" in service.http.get("/metrics").text
    service.engine.ready = True
    ready = service.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["generation"] == "g1"
    assert service.http.head("/healthz").status_code == 200


def test_a_slow_query_holds_up_no_other(service):
    service.engine.gate = threading.Event()
    wish = {"query": {"code": "00" * 6}}
    slow = threading.Thread(target=service.http.post, args=("/v1/search",), kwargs={"json": wish})
    slow.start()
    assert service.http.get("/healthz").status_code == 200
    assert service.http.get("/v1/videos").status_code == 200
    assert slow.is_alive()
    service.engine.gate.set()
    slow.join()


def test_two_apps_live_in_one_process(settings):
    engine = MemoryEngine()
    apps = [make_app(engine, MemoryQueue(engine), settings) for _ in range(2)]
    assert apps[0].state.parts.metrics.registry is not apps[1].state.parts.metrics.registry


def test_openapi_describes_every_route_with_its_problems(service):
    schema = service.http.get("/openapi.json").json()
    assert set(schema["paths"]) >= {
        "/v1/search",
        "/v1/search/image",
        "/v1/search/batch",
        "/v1/videos",
        "/v1/videos/{video_id}",
        "/v1/videos/{video_id}/tags",
        "/v1/videos/{video_id}/source",
        "/v1/frames/{frame_id}/thumbnail",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/retry",
        "/v1/jobs/{job_id}/events",
        "/v1/evaluations",
        "/v1/evaluations/{evaluation_id}",
        "/v1/evaluations/{evaluation_id}/cancel",
        "/v1/evaluations/{evaluation_id}/report",
        "/v1/failures",
        "/v1/collections",
        "/v1/uploads",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert {"Problem", "NotReady", "SearchRequest", "Answer"} <= set(schema["components"]["schemas"])
    text = service.http.get("/openapi.json").text
    assert "HTTPValidationError" not in text
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["tags"], (method, path)
            assert operation["summary"], (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], (method, path, status)


def test_every_reference_of_openapi_leads_somewhere(service):
    schema = service.http.get("/openapi.json").json()

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in set(references(schema)):
        node = schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
