"""Which request and job a message is about: in the headers of the message, and around the work it starts.

The headers are an addition: a worker that does not know them passes them over, and one that finds none works without.
So they need no other protocol version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from hashreel.log_context import bound, bound_fields
from hashreel.traces import carrier, span

if TYPE_CHECKING:
    from indexer.store import Store
    from workers.messages import Unit

__all__ = [
    "JOB_HEADER",
    "REQUEST_HEADER",
    "TRACE_HEADER",
    "headers_of_units",
    "in_message_context",
    "job_fields",
    "message_context",
]

JOB_HEADER, REQUEST_HEADER, TRACE_HEADER = "hashreel_job", "hashreel_request", "hashreel_traceparent"
HEADERS = (JOB_HEADER, REQUEST_HEADER, TRACE_HEADER)


def job_fields() -> dict[str, str]:
    """Return what a job's record keeps of the request that made it."""
    return {"request": bound_fields().get("request_id", ""), "traceparent": carrier()}


def headers_of_units(store: Store, units: Sequence[Unit]) -> list[dict[str, str]]:
    """Return the headers of each unit's message; a unit whose job is not known any more has none."""
    with store.redis.pipeline(transaction=False) as pipe:
        for unit in units:
            pipe.hget(store.keys.video(unit.video), "job")
        jobs = [raw.decode() if raw else "" for raw in pipe.execute()]
        known = sorted(set(filter(None, jobs)))
        for job in known:
            pipe.hmget(store.keys.job(job), ["request", "traceparent"])
        rows = cast("list[list[bytes | None]]", pipe.execute())
    texts = {job: [part.decode() if part else "" for part in row] for job, row in zip(known, rows, strict=True)} | {
        "": ["", ""]
    }
    named = ({JOB_HEADER: job, REQUEST_HEADER: texts[job][0], TRACE_HEADER: texts[job][1]} for job in jobs)
    return [{name: value for name, value in headers.items() if value} for headers in named]


def in_message_context(run: Callable[[int, str], None]) -> Callable[[Any, int, str], None]:
    """Return a task's function of (task, protocol, unit) that runs inside its message's context."""

    def run_in_context(task: Any, protocol: int, unit: str) -> None:
        # Celery hands custom headers over as attributes of the request.
        headers = {name: getattr(task.request, name, None) or "" for name in HEADERS}
        with message_context(headers, unit):
            run(protocol, unit)

    return run_in_context


@contextmanager
def message_context(headers: Mapping[str, Any], unit: str) -> Iterator[None]:
    """Let everything that is logged and traced inside say which request, job and unit it is of."""
    given = {name: str(headers.get(name) or "") for name in HEADERS}
    job, request = given[JOB_HEADER], given[REQUEST_HEADER]
    facts = {"hashreel.unit": unit, "hashreel.job": job, "hashreel.request_id": request}
    with (
        bound(job=job, request_id=request, unit=unit),
        span("unit", kind="consumer", parent=given[TRACE_HEADER], attributes=facts),
    ):
        yield
