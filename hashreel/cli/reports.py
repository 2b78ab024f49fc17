"""How jobs and failures read on the command line."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click

from hashreel.cli.options import print_table
from hashreel.cli.texts import visible
from hashreel.schemas import Failure, JobModel

if TYPE_CHECKING:
    from hashreel.client import Client

__all__ = ["clock", "failure_table", "job_progress", "job_table", "report_job", "tell_failures", "when"]

LINE_EVERY_S = 10.0
FAILURES_SHOWN = 10


def clock(time_ms: int) -> str:
    """Return a time in a video as ``h:mm:ss.t``."""
    seconds, rest = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{rest // 100}"


def when(timestamp: float) -> str:
    """Return a point in time as local date and time."""
    if not timestamp:
        return ""
    return datetime.datetime.fromtimestamp(timestamp).strftime("%Y-%m-%d %H:%M:%S")


def job_table(jobs: Iterable[JobModel]) -> None:
    """Print jobs, one a row."""
    counts = ("sources", "indexed", "failed", "cancelled", "skipped", "chunks", "frames")
    columns = ("job", "state", "lane", "done", *counts, "created")
    rows = [
        (
            job.id,
            job.state,
            job.lane,
            f"{job.progress:.0%}",
            job.counts.total,
            job.counts.indexed,
            job.counts.failed,
            job.counts.cancelled,
            job.counts.skipped,
            f"{job.chunks_done}/{job.chunks}",
            job.frames,
            when(job.created_at),
        )
        for job in jobs
    ]
    print_table(columns, rows, right=range(3, 11))


def job_progress(*, as_json: bool) -> bool | Callable[[JobModel], object]:
    """Return how a wait shows a job: a bar on a terminal, else a line now and then, nothing where JSON is asked for."""
    if as_json or sys.stderr.isatty():
        return not as_json
    from hashreel.client.job_waits import words

    told_at = -LINE_EVERY_S

    def tell(job: JobModel) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= LINE_EVERY_S:
            told_at = time.monotonic()
            click.echo(f"job {job.id} {job.state}: {job.progress:.0%}, {words(job)}", err=True)

    return tell


def failure_table(failures: Iterable[Failure]) -> None:
    """Print failures, one a row."""
    rows = [
        (
            failure.source,
            "in part" if failure.partial else "failed",
            failure.stage,
            failure.reason,
            "yes" if failure.retryable else "no",
        )
        for failure in failures
    ]
    print_table(("source", "outcome", "stage", "reason", "retry"), rows)


MAX_COPIES = 20


def tell_failures(client: Client, job_id: str, count: int) -> None:
    """Print the first failures of a job that has just begun, on standard error."""
    for failure in islice(client.failures(job=job_id), FAILURES_SHOWN):
        click.echo(visible(f"failed {failure.source}: {failure.reason}"), err=True)
    if count > FAILURES_SHOWN:
        click.echo(f"... and {count - FAILURES_SHOWN} more; see `hashreel failures`", err=True)


def report_job(client: Client, job: JobModel) -> None:
    """Print how a job ended: the counts, and every failure of it."""
    counts = job.counts
    parts = [f"{counts.indexed} indexed"]
    parts += [f"{number} {name}" for name in ("failed", "cancelled", "skipped") if (number := getattr(counts, name))]
    click.echo(f"job {job.id} {job.state}: {counts.total} sources = {' + '.join(parts)}; {job.frames} key-frames")
    if job.chunks_done:
        click.echo(
            f"spent, over all workers: {job.decode_s:.2f} s decoding, {job.encode_s:.2f} s in the network, "
            f"{job.commit_s:.2f} s on the rest (planning, commits)"
        )
    copies = [video for video in client.videos(state="skipped") if video.job == job.id] if counts.skipped else []
    for video in copies[:MAX_COPIES]:
        click.echo(visible(f"skipped {video.source}: {video.reason}"))
    if len(copies) > MAX_COPIES:
        click.echo(f"... and {len(copies) - MAX_COPIES} more; `hashreel videos --state skipped` lists them")
    failures = list(client.failures(job=job.id))
    if failures:
        failure_table(failures)
