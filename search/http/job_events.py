"""A job's progress as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
from starlette.concurrency import run_in_threadpool

from hashreel.schemas import JobModel
from search.http.problems import EXPECTED, problem_of
from search.ports import QueuePort

__all__ = ["job_events"]

POLL_S = 0.5
PACE_S = 5.0
KEEP_ALIVE_S = 15.0  # proxies cut streams that are silent for a minute, some for half of one
ENDED = frozenset({"done", "cancelled"})


async def job_events(queue: QueuePort, job: JobModel) -> AsyncIterator[bytes]:
    """Yield an event for the job and for each change of it, until it has ended.

    Args:
        queue: Where the job is looked up.
        job: Its first state, looked up by the caller so that an unknown job is a proper 404.

    Yields:
        Event-stream text: ``job`` events, comments that keep the connection, at worst one ``problem``.
    """
    yield _event("job", job.model_dump_json())
    sent_at = time.monotonic()
    while job.state not in ENDED:
        await anyio.sleep(POLL_S)
        try:
            latest = await run_in_threadpool(queue.job, job.id)
        except EXPECTED as error:
            yield _event("problem", problem_of(error).model_dump_json())
            return
        # Rate and time left change with every look; alone they are worth an event now and then.
        silent_s = time.monotonic() - sent_at
        if _told(latest) != _told(job) or (latest != job and silent_s > PACE_S):
            job = latest
            yield _event("job", job.model_dump_json())
        elif silent_s > KEEP_ALIVE_S:
            yield b": still here\n\n"
        else:
            continue
        sent_at = time.monotonic()


def _told(job: JobModel) -> JobModel:
    return job.model_copy(update={"rate": 0.0, "eta_s": None})


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
