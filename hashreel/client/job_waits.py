"""Waiting for a job: how often to look, when to give up, and the bar that shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hashreel.errors import WaitTimeoutError
from hashreel.schemas import JobCounts, JobModel

__all__ = ["ENDED", "JobView", "Progress", "pauses", "shown", "span", "words"]

ENDED = frozenset({"done", "cancelled"})
Progress = bool | Callable[[JobModel], object]
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 1.0


class JobView:
    """A job as it was when last looked at.

    Attributes:
        model: The whole record.
    """

    def __init__(self, model: JobModel) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.state}, {words(self.model)}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.model.id

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``done`` or ``cancelled``."""
        return self.model.state

    @property
    def counts(self) -> JobCounts:
        """How the sources stand."""
        return self.model.counts

    @property
    def videos(self) -> list[int]:
        """Numbers of the job's videos, in order of the sources: the first 1000; ``iter_videos`` yields all."""
        return self.model.videos


def pauses(job_id: str, timeout_s: float | None) -> Iterator[float]:
    """Yield the seconds between two looks at a job, without end.

    Raises:
        WaitTimeoutError: once ``timeout_s`` has passed.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(
                f"job {job_id} is not done after {timeout_s:g} s; it goes on without being waited for"
            )
        yield min(pause, left)
        pause = min(pause * 1.3, LAST_PAUSE_S)


@contextmanager
def shown(progress: Progress) -> Iterator[Callable[[JobModel], object]]:
    """Yield a function that shows a job: a bar, the given function, or nothing."""
    if progress is False:
        yield lambda job: None
    elif progress is True:
        with _bar() as show:
            yield show
    else:
        yield progress


@contextmanager
def _bar() -> Iterator[Callable[[JobModel], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
    # On stderr: what a script prints stays clean.
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("indexing", total=None, words="")

        def show(job: JobModel) -> None:
            progress.update(task, total=1.0 if job.progress else None, completed=job.progress, words=words(job))

        yield show


def words(job: JobModel) -> str:
    """Return how far a job is, in a few words."""
    counts = job.counts
    text = f"{counts.indexed + counts.skipped}/{counts.total} sources, {job.frames} frames"
    if job.rate:
        text += f", {job.rate:.1f} frames/s"
    if job.eta_s is not None:
        text += f", {span(job.eta_s)} left"
    return text + (f", {counts.failed} failed" if counts.failed else "")


def span(seconds: float) -> str:
    """Return a length of time in the two largest units that matter."""
    whole = round(seconds)
    for size, name, inner_size, inner in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // inner_size} {inner}"
    return f"{whole} s"
