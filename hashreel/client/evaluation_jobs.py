"""``EvaluationJob`` and ``AsyncEvaluationJob``: an evaluation that goes on in the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from hashreel.client import evaluation_calls as calls
from hashreel.client.evaluation_calls import ReportFormat
from hashreel.client.exchange import error_of_problem
from hashreel.client.waiting import wait_for, wait_for_async
from hashreel.errors import ConflictError
from hashreel.schemas import EvaluationModel

if TYPE_CHECKING:
    from hashreel.client.asynchronous import AsyncClient
    from hashreel.client.synchronous import Client

__all__ = ["AsyncEvaluationJob", "EvaluationJob", "EvaluationProgress"]

ENDED = frozenset({"done", "failed", "cancelled"})
EvaluationProgress = bool | Callable[[EvaluationModel], object]


class EvaluationView:
    """An evaluation as it was when last looked at.

    Attributes:
        model: The whole record.
    """

    def __init__(self, model: EvaluationModel) -> None:
        self.model = model
        self._result: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.state}>"

    @property
    def id(self) -> str:
        """The evaluation's id; ``evaluate(..., against=id)`` compares with it."""
        return self.model.id

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``done``, ``failed`` or ``cancelled``."""
        return self.model.state

    def _check_done(self) -> None:
        if self.model.problem is not None:
            raise error_of_problem(self.model.problem)
        if self.state == "cancelled":
            raise ConflictError(f"evaluation {self.id} is cancelled; it has no report")
        if self.state != "done":
            raise ConflictError(f"evaluation {self.id} is {self.state}; wait() for its end")


class EvaluationJob(EvaluationView):
    """An evaluation that was asked for."""

    def __init__(self, client: Client, model: EvaluationModel) -> None:
        super().__init__(model)
        self._client = client

    def status(self) -> EvaluationModel:
        """Look at the evaluation and return it."""
        self.model = self._client._run(calls.evaluation(self.id))
        return self.model

    def wait(self, progress: EvaluationProgress = False, timeout_s: float | None = None) -> Self:
        """Wait until the evaluation has ended, and return it; ``result`` raises if it failed.

        Args:
            progress: True shows a bar on stderr; a function is called with every look at the evaluation.
            timeout_s: Give up after so many seconds; None waits without end.

        Raises:
            WaitTimeoutError: after ``timeout_s``; the evaluation goes on.
        """
        wait_for(self, ENDED, shown(progress), timeout_s)
        return self

    def cancel(self) -> EvaluationModel:
        """Stop the evaluation; one that has ended stays as it is."""
        self.model = self._client._run(calls.cancel(self.id))
        return self.model

    @property
    def result(self) -> dict[str, Any]:
        """The whole result as one document: means, scores of every query, examples (see docs/evaluation.md).

        Raises:
            HashreelError: why the evaluation failed, as the class it was.
            ConflictError: if it has not ended, or was cancelled.
        """
        if self._result is None:
            self._result = json.loads(self.report("json"))
        return self._result

    def report(self, format: ReportFormat = "html") -> str:
        """Return the report as a page, a document, a table of numbers ("csv") or text ("markdown").

        Raises:
            HashreelError: as for ``result``.
        """
        self._check_done()
        return self._client._run(calls.report(self.id, format))


class AsyncEvaluationJob(EvaluationView):
    """An evaluation that was asked for; see ``EvaluationJob``."""

    def __init__(self, client: AsyncClient, model: EvaluationModel) -> None:
        super().__init__(model)
        self._client = client

    async def status(self) -> EvaluationModel:
        """Look at the evaluation and return it."""
        self.model = await self._client._run(calls.evaluation(self.id))
        return self.model

    async def wait(self, progress: EvaluationProgress = False, timeout_s: float | None = None) -> Self:
        """Wait until the evaluation has ended, and return it; see ``EvaluationJob.wait``."""
        await wait_for_async(self, ENDED, shown(progress), timeout_s)
        return self

    async def cancel(self) -> EvaluationModel:
        """Stop the evaluation; one that has ended stays as it is."""
        self.model = await self._client._run(calls.cancel(self.id))
        return self.model

    async def result(self) -> dict[str, Any]:
        """Return the whole result as one document; see ``EvaluationJob.result``."""
        if self._result is None:
            self._result = json.loads(await self.report("json"))
        return self._result

    async def report(self, format: ReportFormat = "html") -> str:
        """Return the report; see ``EvaluationJob.report``."""
        self._check_done()
        return await self._client._run(calls.report(self.id, format))


@contextmanager
def shown(progress: EvaluationProgress) -> Iterator[Callable[[EvaluationModel], object]]:
    """Yield a function that shows an evaluation: a bar, the given function, or nothing."""
    if progress is True:
        with _bar() as show:
            yield show
    else:
        yield progress or (lambda evaluation: None)


@contextmanager
def _bar() -> Iterator[Callable[[EvaluationModel], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # On stderr: what a script prints stays clean.
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("queued", total=None)

        def show(evaluation: EvaluationModel) -> None:
            words = evaluation.step or evaluation.state
            progress.update(task, description=words, total=evaluation.total or None, completed=evaluation.done)

        yield show
