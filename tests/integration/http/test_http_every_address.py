"""Every operation of the OpenAPI document, over the real engine: what key opens it, and what another one's learns.

A new operation has to be written into the table below, or the first test fails.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from farm import Farm, make_clips
from memory_service import serve

from hashreel.schemas import EvaluationRequest, SuppressionRequest, WatchRequest
from search.engine import SearchEngine
from search.http import make_app
from search.http.access import Access, make_access

CODE = {"query": {"code": "00" * 6}}
THEIRS = {"collection": "hidden"}
TRUTH = "video,start_s,end_s,concepts\nclips/classified/film.mp4,0,5,sea\n"
PUBLIC = {"GET /healthz", "GET /readyz"}
SCOPES = ("read", "write", "admin")


@dataclass(frozen=True)
class Case:
    """How an operation is asked for something of the collection ``hidden``.

    Attributes:
        scope: The least scope that opens it; None for any key.
        query: Parameters of the address.
        send: Body, as httpx takes it.
        told: What a key for another collection gets: the statuses, of which 200 must name nothing of theirs.
        good: What a key for everything gets.
    """

    scope: str | None
    query: dict[str, str] = field(default_factory=dict)
    send: dict[str, Any] = field(default_factory=dict)
    told: tuple[int, ...] = (403, 404)
    good: tuple[int, ...] = (200, 201, 202)


def read(query: dict[str, str] | None = None, **options: Any) -> Case:
    return Case("read", query or {}, **options)


def write(query: dict[str, str] | None = None, **options: Any) -> Case:
    return Case("write", query or {}, **options)


def admin(query: dict[str, str] | None = None, **options: Any) -> Case:
    return Case("admin", query or {}, **options)


def body(document: dict[str, Any]) -> dict[str, Any]:
    return {"json": document}


# In this order: what removes something comes after what looks at it.
TABLE = {
    "GET /metrics": read(told=(200,)),
    "GET /v1/session": Case(None, told=(200,)),
    "POST /v1/session": Case(None, told=(200,)),
    "DELETE /v1/session": Case(None, told=(204,), good=(204,)),
    "GET /v1/audit": admin(),
    "GET /v1/keys": admin(),
    "POST /v1/keys": admin(send=body({"name": "more", "collections": ["hidden"]})),
    "DELETE /v1/keys/{key_id}": admin(),
    "GET /v1/collections": read(told=(200,)),
    "GET /v1/collections/{name}": read(),
    "POST /v1/collections": admin(send=body({"name": "hidden-too"})),
    "POST /v1/collections/{name}/reencode": admin(send=body({"model": "default"}), good=(409,)),  # it is of that model
    "POST /v1/collections/{name}/cutover": admin(send=body({"generation": "2"}), good=(409,)),  # it is the live one
    "POST /v1/collections/{name}/rollback": admin(good=(409,)),  # nothing was cut over to
    "POST /v1/search": read(send=body(CODE | THEIRS)),
    "POST /v1/search/ids": read(send=body(CODE | THEIRS)),
    "POST /v1/search/batch": read(send=body({"requests": [CODE | THEIRS]}), told=(200,)),  # a problem in its place
    "POST /v1/search/image": read(THEIRS, send={"files": {"image": "picture"}}),
    "POST /v1/search/clip": read(THEIRS, send={"files": {"clip": "clip"}}),
    "POST /v1/evidence": read(send=body(CODE | THEIRS)),
    "POST /v1/evidence/clip": read(THEIRS, send={"files": {"clip": "clip"}}),
    "GET /v1/videos": read(THEIRS),
    "GET /v1/videos/{video_id}": read(),
    "GET /v1/videos/{video_id}/source": read(),
    "PATCH /v1/videos/{video_id}/tags": write(send=body({"tags": {"seen": "yes"}})),
    "POST /v1/videos/relocate": admin(send=body({"video": 2, "new": "clips/film.mp4", "dry_run": True} | THEIRS)),
    "POST /v1/frames": read(send=body({"frames": ["{frame_id}"]} | THEIRS)),
    "GET /v1/frames/{frame_id}/thumbnail": read(),
    "GET /v1/frames/{frame_id}/mask": read(good=(404,)),  # the model does not segment
    "GET /v1/failures": read(THEIRS),
    "GET /v1/index": read(THEIRS),
    "GET /v1/index/export": read(THEIRS),
    "POST /v1/index/verify": admin(THEIRS),
    "POST /v1/index/compact": admin(THEIRS),
    "POST /v1/index/snapshot": admin(THEIRS),
    "POST /v1/index/rebuild": admin(THEIRS),
    "POST /v1/index/import": admin({"source": "uploads/gallery.npz"} | THEIRS, good=(404,)),  # nothing was uploaded
    "POST /v1/uploads": write({"filename": "own.mp4"}, send={"content": b"x"}, told=(201,)),
    "GET /v1/suppressions": read(THEIRS),
    "POST /v1/suppressions": write(send=body({"query": {"frame": "{frame_id}"}} | THEIRS)),
    "DELETE /v1/suppressions/{suppression_id}": write(THEIRS),
    "GET /v1/watches": read(THEIRS),
    "POST /v1/watches": write(send=body({"queries": [CODE["query"]]} | THEIRS)),
    "GET /v1/watches/{watch_id}": read(),
    "PATCH /v1/watches/{watch_id}": write(send=body({"note": "changed"})),
    "GET /v1/watches/{watch_id}/hits": read(),
    "POST /v1/watches/{watch_id}/hits/mark": write(send=body({"frames": ["{frame_id}"]})),
    "GET /v1/watches/{watch_id}/pictures/{number}": read(),
    "POST /v1/watches/{watch_id}/rotate-secret": write(send=body({"grace_s": 0})),
    "POST /v1/watches/{watch_id}/test-webhook": write(good=(409,)),  # it has none
    "GET /v1/watches/{watch_id}/deliveries": read(),
    "POST /v1/watches/{watch_id}/deliveries/{delivery_id}/retry": write(good=(404,)),
    "DELETE /v1/watches/{watch_id}": write(),
    "GET /v1/evaluations": read(told=(200,)),
    "POST /v1/evaluations": write(send=body({"truth": TRUTH} | THEIRS)),
    "GET /v1/evaluations/{evaluation_id}": read(),
    "GET /v1/evaluations/{evaluation_id}/report": read(good=(409,)),  # it waits
    "POST /v1/evaluations/{evaluation_id}/cancel": write(),
    "GET /v1/jobs": read(told=(200,)),
    "POST /v1/jobs": write(send=body({"sources": ["clips/classified/film.mp4"]} | THEIRS)),
    "GET /v1/jobs/{job_id}": read(),
    "GET /v1/jobs/{job_id}/videos": read(),
    "GET /v1/jobs/{job_id}/events": read(),
    "POST /v1/jobs/{job_id}/retry": write(),
    "POST /v1/jobs/{job_id}/cancel": write(),
    "DELETE /v1/jobs/{job_id}": write(),
    "DELETE /v1/videos/{video_id}": write(),
    "DELETE /v1/collections/{name}": admin(),
}

# Ways round: something of theirs is named from the caller's own collection.
FRAME, OWN_FRAME = str(2 << 32), str(1 << 32)
ROUND = [
    ("POST", "/v1/search", body({"query": {"frame": FRAME}})),
    ("POST", "/v1/search", body(CODE | {"more": [FRAME]})),
    ("POST", "/v1/search", body(CODE | {"less": [FRAME]})),
    ("POST", "/v1/search/ids", body({"query": {"frame": FRAME}})),
    ("POST", "/v1/frames", body({"frames": [FRAME]})),
    ("POST", "/v1/evidence", body({"query": {"frame": FRAME}})),
    ("POST", "/v1/suppressions", body({"query": {"frame": FRAME}})),
    ("POST", "/v1/watches", body({"queries": [CODE["query"], {"frame": FRAME}]})),
    ("GET", "/v1/failures?job={job_id}", {}),
    ("GET", "/v1/failures?video={hurt_id}", {}),
    ("GET", "/v1/failures?job={own_job}&video={hurt_id}", {}),
    ("GET", "/v1/failures?job={job_id}&video={own_video}", {}),
    ("POST", "/v1/evaluations", body({"truth": TRUTH, "generation": "2"})),
    ("POST", "/v1/evaluations", body({"truth": TRUTH, "against": "{evaluation_id}"})),
    ("POST", "/v1/collections/main/cutover", body({"generation": "2"})),
    ("DELETE", "/v1/collections/main?generation=2", {}),
    ("POST", "/v1/videos/relocate", body({"video": 2, "new": "clips/clip 00.mp4"})),
]


class Stage:
    """A service with a collection that some keys must not touch, and with one of everything in it."""

    def __init__(self, farm: Farm, engine: SearchEngine, access: Access, url: str) -> None:
        assert access.keyring is not None
        self.farm, self.url, self.keyring = farm, url, access.keyring
        self.root = self.key("admin")
        own, theirs = self._indexed()
        old, _ = self.keyring.create("classified reader", "read", ["hidden"])
        query = {"frame": FRAME}
        watch = engine.add_watch(WatchRequest.model_validate({"queries": [query], "name": "classified"} | THEIRS))
        example = engine.suppress(SuppressionRequest.model_validate({"query": query, "name": "classified"} | THEIRS))
        score = farm.queue.evaluations.create(EvaluationRequest(truth=TRUTH, name="classified", collection="hidden"))
        self.names = {
            "key_id": old.id,
            "name": "hidden",
            "video_id": "2",
            "frame_id": FRAME,
            "own_job": own,
            "own_video": "1",
            "job_id": theirs,
            "hurt_id": "3",
            "watch_id": watch.id,
            "number": "0",
            "delivery_id": "0" * 24,
            "suppression_id": example.id,
            "evaluation_id": score.id,
        }

    def _indexed(self) -> tuple[str, str]:
        farm, clips = self.farm, self.farm.folder / "clips"
        make_clips(clips, 2)
        (clips / "classified").mkdir()
        (clips / "clip 01.mp4").rename(clips / "classified" / "film.mp4")
        (clips / "classified" / "hurt.mp4").write_bytes(b"classified, and no video")
        facts = {"model": farm.model.name, "fingerprint": farm.model.fingerprint, "bits": farm.model.bits}
        farm.store.ensure_collection("hidden", **facts)
        own = farm.enqueue("clips/clip 00.mp4")
        theirs = farm.enqueue("clips/classified", collection="hidden", tags={"level": "classified"})
        farm.run_all()
        return own.id, theirs.id

    def key(self, scope: str, collections: list[str] | None = None) -> str:
        return self.keyring.create(f"{scope}'s", scope, collections)[1]  # type: ignore[arg-type]

    def ask(self, operation: str, case: Case, key: str | None) -> httpx.Response:
        method, _, path = operation.partition(" ")
        return self.send(method, path, case.send, key, {name: self.filled(text) for name, text in case.query.items()})

    def send(
        self, method: str, path: str, send: dict[str, Any], key: str | None, query: dict[str, str] | None = None
    ) -> httpx.Response:
        options = dict(send)
        if "json" in options:
            options["json"] = json.loads(self.filled(json.dumps(options["json"])))
        if "files" in options:
            options["files"] = {name: self._file(kind) for name, kind in options["files"].items()}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address = self.url + self.filled(path)
        return httpx.request(
            method, address, params=query or None, headers=headers, trust_env=False, timeout=120, **options
        )

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _file(self, kind: str) -> io.BytesIO:
        if kind == "clip":
            return io.BytesIO((self.farm.folder / "clips" / "clip 00.mp4").read_bytes())
        # One white pixel.
        return io.BytesIO(b"P6 1 1 255 \xff\xff\xff")


@pytest.fixture
def stage(farm: Farm) -> Iterator[Stage]:
    engine = SearchEngine(farm.store, farm.settings, lambda name: farm.model)
    engine.open()
    access = make_access(farm.settings, farm.store.redis, farm.store.keys)
    try:
        with serve(make_app(engine, farm.queue, farm.settings, access)) as url:
            yield Stage(farm, engine, access, url)
    finally:
        assert access.audit is not None
        access.audit.close()
        engine.close()


def names_theirs(answer: httpx.Response) -> bool:
    """Return whether an answer tells of what is hidden; a refusal may repeat the collection's name, which was sent."""
    told = answer.content.lower()
    return b"classified" in told or (answer.is_success and b"hidden" in told.replace(b"'hidden' is none of them", b""))


def test_no_operation_opens_to_a_key_that_is_not_good_for_it(stage: Stage) -> None:
    document = httpx.get(f"{stage.url}/openapi.json", trust_env=False).json()
    there = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert there - PUBLIC == TABLE.keys(), "the table lacks an operation, or has one too many"
    keys = {scope: stage.key(scope) for scope in SCOPES}
    limited = {scope: stage.key(scope, ["main"]) for scope in SCOPES}
    wrong = []
    for operation, case in TABLE.items():
        answer = stage.ask(operation, case, None)
        wrong += [] if answer.status_code == 401 else [(operation, "no key", answer.status_code)]
        for scope in SCOPES[: SCOPES.index(case.scope)] if case.scope else ():
            answer = stage.ask(operation, case, keys[scope])
            is_refused = answer.status_code == 403 and f"scope {case.scope}" in answer.json()["detail"]
            wrong += [] if is_refused else [(operation, scope, answer.status_code)]
        answer = stage.ask(operation, case, limited[case.scope or "read"])
        is_refused = answer.status_code in case.told and not names_theirs(answer)
        wrong += [] if is_refused else [(operation, "limited", answer.status_code, answer.text[:300])]
    for method, path, send in ROUND:
        answer = stage.send(method, path, send, limited["admin"])
        is_missing = answer.is_success and answer.json().get("missing") == [FRAME]
        is_refused = (is_missing or answer.status_code in {403, 404}) and not names_theirs(answer)
        wrong += [] if is_refused else [(method, path, send, answer.status_code, answer.text[:300])]
    assert wrong == []
    # Everything is still there, and it was asked for in the right way: the key for everything gets it.
    for operation, case in TABLE.items():
        answer = stage.ask(operation, case, stage.root)
        wrong += [] if answer.status_code in case.good else [(operation, "root", answer.status_code, answer.text[:300])]
    assert wrong == []
