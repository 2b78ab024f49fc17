"""The Celery app and its settings. One app a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["broker_of", "make_app"]


def broker_of(settings: Settings) -> str:
    """Return the URL of the queues in the form that Celery takes; by default database 1 beside the data's 0."""
    if settings.broker_url:
        url = settings.broker_url
    elif settings.redis_url:
        url = _other_database(settings.redis_url)
    else:
        raise ValueError("neither broker_url nor redis_url is set")
    if url.startswith("unix://"):
        path, _, query = url.removeprefix("unix://").partition("?")
        database = query.removeprefix("db=") or "0"
        return f"redis+socket://{path}?virtual_host={database}"
    return url


def _other_database(url: str) -> str:
    if url.startswith("unix://"):
        path, _, query = url.partition("?")
        database = int(query.removeprefix("db=") or 0)
        return f"{path}?db={database + 1}"
    head, _, tail = url.rpartition("/")
    if not tail.isdigit():
        # redis://host:6379 without a database means 0.
        return url.rstrip("/") + "/1"
    return f"{head}/{int(tail) + 1}"


def make_app(settings: Settings) -> Celery:
    """Return the app that sends and takes units.

    Messages are acknowledged after the work, and come back if a worker dies. What Redis as a broker can still
    lose or deliver twice is caught by our own records (see ``workers.units`` and ``workers.reconciler``).
    """
    visibility_s = settings.unit_timeout_s * 2
    app = Celery("hashreel", broker=broker_of(settings))
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": visibility_s,
            "unacked_restore_interval": 10,
            "socket_timeout": 30,
            "socket_keepalive": not broker_of(settings).startswith("redis+socket"),
        },
        visibility_timeout=visibility_s,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0},
    )
    return app
