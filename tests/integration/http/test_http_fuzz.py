"""schemathesis over the OpenAPI document against the running service: no 5xx, no status that is not documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, make_clips
from memory_service import serve

from search.engine import SearchEngine
from search.http import make_app
from search.http.access import make_access

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance  # noqa: E402

CHECKS = [status_code_conformance, content_type_conformance]
# A log position that the index has not reached is answered so by design; the client tries again.
BEHIND = "urn:hashreel:behind"
# A stream that lasts as long as its job, and what takes whole minutes by design.
LEFT_OUT = {"/v1/jobs/{job_id}/events"}
QUICK, FULL = 2, 60


@pytest.fixture
def url(farm: Farm) -> Iterator[str]:
    """Run the whole service over a real Redis, with two indexed clips."""
    make_clips(farm.folder / "clips", 2)
    farm.enqueue("clips/clip 00.mp4", "clips/clip 01.mp4", tags={"case": "17"})
    farm.run_all()
    engine = SearchEngine(farm.store, farm.settings, lambda name: farm.model)
    engine.open()
    access = make_access(farm.settings, farm.store.redis, farm.store.keys)
    try:
        with serve(make_app(engine, farm.queue, farm.settings, access)) as address:
            yield address
    finally:
        assert access.audit is not None
        access.audit.close()
        engine.close()


def campaign(url: str, examples: int) -> int:
    """Send generated requests to every operation; return how many."""
    # The first key would close the service to the rest of the campaign.
    schema = (
        schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path=["/v1/keys"]).exclude(path=sorted(LEFT_OUT))
    )
    sent = 0
    problems: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy())
        def send(case) -> None:
            nonlocal sent
            sent += 1
            response = case.call(timeout=60)
            case.validate_response(response, checks=CHECKS)
            assert response.status_code < 500 or response.json().get("type") == BEHIND, (case, response.text)

        try:
            send()
        except BaseExceptionGroup as group:
            problems.append(f"{operation.label}: {group.exceptions}")
        except AssertionError as error:
            problems.append(f"{operation.label}: {error}")
    assert not problems, "\n\n".join(problems)
    return sent


def test_no_generated_request_brings_the_service_down(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if request.config.getoption("--full"):
        assert campaign(url, FULL) >= 2000
    else:
        assert campaign(url, QUICK) >= 80
