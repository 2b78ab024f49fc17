"""The Python client: ``Client`` and ``AsyncClient``, the same methods with and without ``await``.

What is sent and how answers are read stands once, in ``calls``, without any I/O; the two clients only move bytes.
"""

from hashreel.client.asynchronous import AsyncClient, AsyncJob
from hashreel.client.clip_calls import Stretch, Stretches
from hashreel.client.evaluation_jobs import AsyncEvaluationJob, EvaluationJob
from hashreel.client.results import Hit, Hits
from hashreel.client.synchronous import Client, Job

__all__ = [
    "AsyncClient",
    "AsyncEvaluationJob",
    "AsyncJob",
    "Client",
    "EvaluationJob",
    "Hit",
    "Hits",
    "Job",
    "Stretch",
    "Stretches",
]
