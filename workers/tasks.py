"""The Celery tasks: run a unit (see ``workers.encoding``), run an evaluation (see ``workers.evaluation``)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from workers.message_context import in_message_context
from workers.messages import RUN_EVALUATION, RUN_UNIT, read_evaluation_payload, read_payload

if TYPE_CHECKING:
    from celery import Celery

    from workers.evaluation import EvaluationRunner
    from workers.slots import Slots

__all__ = ["register_tasks"]


def register_tasks(app: Celery, slots: Slots, evaluations: EvaluationRunner) -> None:
    """Register the tasks of a worker process on its app.

    Args:
        app: The process's Celery app.
        slots: Do units, as many at a time as there are slots; they hold the loaded model.
        evaluations: Does evaluations, one at a time: each may take much memory.
    """
    one_evaluation = threading.Lock()

    @app.task(name=RUN_UNIT, bind=True)  # type: ignore[untyped-decorator]
    @in_message_context
    def run_unit(protocol: int, unit: str) -> None:
        slots.run(read_payload(protocol, unit))

    @app.task(name=RUN_EVALUATION)  # type: ignore[untyped-decorator]
    def run_evaluation(protocol: int, evaluation: str) -> None:
        with one_evaluation:
            evaluations.run(read_evaluation_payload(protocol, evaluation))
