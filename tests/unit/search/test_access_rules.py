"""Every method of the ports has a rule for limited keys, or is refused to them on purpose."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from hashreel.errors import ForbiddenError, NotFoundError, RateLimitedError
from search.access.callers import Caller, Visit, set_visit
from search.access.rates import RateLimit
from search.access.scoped import ScopedEngine, ScopedQueue, _ScopedEvaluations
from search.http.scopes import action_of, needed_scope
from search.ports import EnginePort, EvaluationPort, QueuePort

# They tell, or change, what is not of one collection; no route offers them to a key.
REFUSED = {"wait_position", "collection_of", "units", "side_work"}


@pytest.mark.parametrize(
    ("port", "scoped"),
    [(EnginePort, ScopedEngine), (QueuePort, ScopedQueue), (EvaluationPort, _ScopedEvaluations)],
)
def test_every_method_has_a_rule(port: type, scoped: type) -> None:
    methods = {name for name in vars(port) if not name.startswith("_")}
    ruled = {name for name in methods if hasattr(scoped, f"_may_{name}") or name in vars(scoped)}
    assert methods - ruled <= REFUSED


def test_what_has_no_rule_is_refused_to_limited_keys() -> None:
    class Engine:
        def brand_new(self) -> int:
            return 1

    engine = ScopedEngine(Engine(), "main", RateLimit(0, 1))
    assert engine.brand_new() == 1
    set_visit(Visit(Caller("1", "n", "admin", frozenset({"main"}))))
    with pytest.raises(ForbiddenError, match="brand_new"):
        engine.brand_new()


def test_the_failures_of_a_job_and_a_video_ask_for_both() -> None:
    class Target:
        def job(self, job_id: str) -> SimpleNamespace:
            return SimpleNamespace(collection=job_id)

        def collection_of(self, video_id: int) -> str:
            return {1: "main", 2: "other"}[video_id]

        def failures(self, **which: Any) -> dict[str, Any]:
            return which

    engine = ScopedEngine(Target(), "other", RateLimit(0, 1))
    queue = ScopedQueue(Target(), "other", engine)
    set_visit(Visit(Caller("1", "n", "read", frozenset({"main"}))))
    assert queue.failures(job="main", video=1) == {"job": "main", "video": 1, "collection": None}
    assert queue.failures(collection="main") == {"job": None, "video": None, "collection": "main"}
    for which in ({"job": "main", "video": 2}, {"job": "other", "video": 1}):
        with pytest.raises(NotFoundError):
            queue.failures(**which)
    with pytest.raises(ForbiddenError):
        queue.failures()


def test_a_key_finds_its_jobs_behind_thousands_of_others() -> None:
    jobs = [SimpleNamespace(collection="main" if number % 2000 == 1999 else "other") for number in range(9000)]

    class Target:
        def jobs(self, limit: int, state: None) -> list[SimpleNamespace]:
            return jobs[:limit]

    queue = ScopedQueue(Target(), "main", ScopedEngine(Target(), "main", RateLimit(0, 1)))
    set_visit(Visit(Caller("1", "n", "read", frozenset({"main"}))))
    assert queue.jobs(limit=3) == [jobs[1999], jobs[3999], jobs[5999]]
    assert len(queue.jobs(limit=50)) == 4


def test_what_is_not_known_to_be_harmless_needs_to_write_and_is_recorded() -> None:
    assert needed_scope("/v1/brand-new", "POST") == "write"
    assert needed_scope("/v1/brand-new", "GET") == "read"
    assert action_of("/v1/brand-new", "POST") == "change"
    assert action_of("/v1/brand-new/{name}", "DELETE") == "delete"


def test_a_bucket_fills_up_again() -> None:
    rates = RateLimit(1000.0, 2)
    for _ in range(2):
        rates.take("a")
    rates.per_s = 1e-9
    with pytest.raises(RateLimitedError):
        rates.take("a")
    rates.take("b")
    rates.per_s = 1000.0
    time.sleep(0.01)
    rates.take("a")
