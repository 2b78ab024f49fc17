"""The Celery tasks. There is one: run a unit. What that means is in ``workers.encoding``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.messages import RUN_UNIT, read_payload

if TYPE_CHECKING:
    from celery import Celery

    from workers.encoding import UnitRunner

__all__ = ["register_tasks"]


def register_tasks(app: Celery, runner: UnitRunner) -> None:
    """Register the tasks of a worker process on its app.

    Args:
        app: The process's Celery app.
        runner: Does the work; holds the loaded model.
    """

    @app.task(name=RUN_UNIT)  # type: ignore[untyped-decorator]
    def run_unit(protocol: int, unit: str) -> None:
        runner.run(read_payload(protocol, unit))
