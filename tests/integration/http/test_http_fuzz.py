"""schemathesis over the OpenAPI document against the running service: every answer is one that the document tells of.

Half of the requests name what is there (a video, a frame, a watch ...), since made-up ids only ever find nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from farm import Farm, make_clips
from memory_service import serve

from hashreel.schemas import EvaluationRequest, SuppressionRequest, WatchRequest
from search.access.keyring import Keyring
from search.engine import SearchEngine
from search.http import make_app
from search.http.access import make_access

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance  # noqa: E402

jsonschema_rs = pytest.importorskip("jsonschema_rs")  # schemathesis comes with it

CHECKS = [status_code_conformance, content_type_conformance]
# A log position that the index has not reached is answered so by design; the client tries again.
BEHIND = "urn:hashreel:behind"
# A stream that lasts as long as its job.
LEFT_OUT = ["/v1/jobs/{job_id}/events"]
# The first key would close the service to whoever has none.
KEYS = ["/v1/keys"]
QUICK, FULL, WITH_KEY = 2, 60, 30
TRUTH = "video,start_s,end_s,concepts\nclips/clip 00.mp4,0,5,sea\n"


@dataclass
class Stage:
    """A service over a real Redis, and what there is in it, by the names of parameters."""

    farm: Farm
    engine: SearchEngine
    keyring: Keyring
    url: str
    there: dict[str, str] = field(default_factory=dict)

    def stock(self) -> None:
        """Put one of everything in: an earlier campaign has deleted it."""
        farm = self.farm
        facts = {"model": farm.model.name, "fingerprint": farm.model.fingerprint, "bits": farm.model.bits}
        farm.store.ensure_collection("spare", **facts)
        job = farm.enqueue("clips/clip 00.mp4", "clips/clip 01.mp4", tags={"case": "17"}, again=True)
        farm.run_all()
        video = farm.queue.job(job.id).videos[0]
        query = {"frame": str(video << 32)}
        watch = self.engine.add_watch(WatchRequest.model_validate({"queries": [query], "radius": 4}))
        example = self.engine.suppress(SuppressionRequest.model_validate({"query": query, "radius": 0}))
        self.there = {
            "video_id": str(video),
            "frame_id": str((video << 32) + 1),
            "job_id": job.id,
            "watch_id": watch.id,
            "number": "0",
            "suppression_id": example.id,
            "evaluation_id": farm.queue.evaluations.create(EvaluationRequest(truth=TRUTH)).id,
            "name": "spare",
        }

    def key(self, scope: str, collections: list[str] | None = None) -> str:
        return self.keyring.create(f"{scope}'s", scope, collections)[1]  # type: ignore[arg-type]

    def named(self, case: Any) -> None:
        """Let a request name what is there."""
        if case.path_parameters:
            case.path_parameters = {name: self.there.get(name, value) for name, value in case.path_parameters.items()}
        if isinstance(case.body, dict):
            case.body = copy.deepcopy(case.body)
            for body in (case.body, *(one for one in case.body.get("requests", ()) if isinstance(one, dict))):
                self._named_in(body)

    def _named_in(self, body: dict[str, Any]) -> None:
        frame = self.there["frame_id"]
        real = {"query": {"frame": frame}, "queries": [{"frame": frame}], "frames": [frame, "1"], "code": "00" * 6}
        body |= {name: value for name, value in real.items() if name in body}
        for name in ("collection", "min_position"):
            body.pop(name, None)


@pytest.fixture
def stage(farm: Farm) -> Iterator[Stage]:
    make_clips(farm.folder / "clips", 2)
    engine = SearchEngine(farm.store, farm.settings, lambda name: farm.model)
    engine.open()
    access = make_access(farm.settings, farm.store.redis, farm.store.keys)
    try:
        with serve(make_app(engine, farm.queue, farm.settings, access)) as url:
            assert access.keyring is not None
            yield Stage(farm, engine, access.keyring, url)
    finally:
        assert access.audit is not None
        access.audit.close()
        engine.close()


class Answers:
    """Says whether answers are what the document tells of them; schemathesis itself fails over ``prefixItems``."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Any] = {}

    def check(self, path: str, method: str, response: Any) -> None:
        told = self._document["paths"][path][method.lower()]["responses"].get(str(response.status_code), {})
        kind = response.headers.get("content-type", [""])[0].partition(";")[0]
        schema = told.get("content", {}).get(kind, {}).get("schema")
        if not schema or not kind.endswith("json"):
            return
        whole = schema | {"components": self._document["components"]}
        name = json.dumps(schema, sort_keys=True)
        if name not in self._validators:
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole)
        wrong = [
            f"{list(one.instance_path)}: {one.message}" for one in self._validators[name].iter_errors(response.json())
        ]
        assert not wrong, (method, path, response.status_code, wrong[:5], response.text[:500])


def campaign(stage: Stage, examples: int, key: str | None = None) -> int:
    """Send generated requests to every operation; return how many."""
    stage.stock()
    left_out = LEFT_OUT if key else LEFT_OUT + KEYS
    schema = schemathesis.openapi.from_url(f"{stage.url}/openapi.json").exclude(path=left_out)
    operations = [result.ok() for result in schema.get_all_operations()]
    answers = Answers(schema.raw_schema)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sent = 0
    problems: list[str] = []
    for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy(), is_named=st.booleans())
        def send(case, is_named) -> None:
            nonlocal sent
            sent += 1
            if is_named:
                stage.named(case)
            response = case.call(timeout=60, headers=headers)
            case.validate_response(response, checks=CHECKS)
            answers.check(case.operation.path, case.operation.method, response)
            assert response.status_code < 500 or response.json().get("type") == BEHIND, (case, response.text)

        try:
            send()
        except BaseExceptionGroup as group:
            problems.append(f"{operation.label}: {group.exceptions}")
        except AssertionError as error:
            problems.append(f"{operation.label}: {error}")
    assert not problems, "\n\n".join(problems)
    return sent


def test_no_generated_request_brings_the_service_down(stage: Stage, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--full"):
        assert campaign(stage, QUICK) >= 80
        return
    sent = {"no key": campaign(stage, FULL)}
    assert sent["no key"] >= 2000
    for scope, collections in (("admin", None), ("admin", ["main"]), ("admin", ["spare"]), ("read", None)):
        sent[f"{scope} of {collections or 'all'}"] = campaign(stage, WITH_KEY, stage.key(scope, collections))
    print(*(f"{count} requests with {who}" for who, count in sent.items()), f"{sum(sent.values())} in all", sep="\n")
