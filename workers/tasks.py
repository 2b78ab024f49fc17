"""The Celery tasks: run a unit (see ``workers.encoding``), run an evaluation (see ``workers.evaluation``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.messages import RUN_EVALUATION, RUN_UNIT, read_evaluation_payload, read_payload

if TYPE_CHECKING:
    from celery import Celery

    from workers.encoding import UnitRunner
    from workers.evaluation import EvaluationRunner

__all__ = ["register_tasks"]


def register_tasks(app: Celery, runner: UnitRunner, evaluations: EvaluationRunner) -> None:
    """Register the tasks of a worker process on its app.

    Args:
        app: The process's Celery app.
        runner: Does units; holds the loaded model.
        evaluations: Does evaluations.
    """

    @app.task(name=RUN_UNIT)  # type: ignore[untyped-decorator]
    def run_unit(protocol: int, unit: str) -> None:
        runner.run(read_payload(protocol, unit))

    @app.task(name=RUN_EVALUATION)  # type: ignore[untyped-decorator]
    def run_evaluation(protocol: int, evaluation: str) -> None:
        evaluations.run(read_evaluation_payload(protocol, evaluation))
