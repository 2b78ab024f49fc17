"""One worker process: one model, one Celery consumer, one unit at a time."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis
from celery.signals import task_prerun

from encoder.model import load_model
from encoder.model_files import DEFAULT_MODEL
from hashreel.errors import UnavailableError
from indexer.store import Store, connect
from workers.app import make_app
from workers.encoding import UnitRunner
from workers.evaluation import EvaluationRunner
from workers.messages import EVALUATION_QUEUE, LANES, queue_name
from workers.sending import Dispatcher, Sender
from workers.tasks import register_tasks
from workers.units import Units

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["run_worker"]

logger = logging.getLogger(__name__)


def run_worker(settings: Settings, name: str = "") -> None:
    """Serve units of one model until SIGTERM; the unit that runs then is finished first.

    The model is the one that the settings name, else the one of the default collection.

    Args:
        settings: Which Redis, model and device.
        name: Name of this worker; no other may have it. Empty: one is made up.

    Raises:
        UnavailableError: If Redis does not answer or the device does not exist.
        NotFoundError: If there is no such model.
    """
    if settings.redis_url is None:
        raise UnavailableError("no Redis is named; set HASHREEL_REDIS_URL or --redis-url, or run `hashreel up`")
    store = Store(connect(settings.redis_url))
    store.check_server()
    device = None if settings.device == "auto" else settings.device
    live = store.collections().get(settings.collection)
    wanted = settings.model or (live.model if live else DEFAULT_MODEL)
    model = load_model(wanted, device=device, threads=settings.threads or None)
    app = make_app(settings)
    units, dispatcher = Units(store.redis, store.keys), Dispatcher(store, Sender(app))
    name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    runner = UnitRunner(store, units, model, settings, name, lambda more: dispatcher.dispatch(more, model.fingerprint))
    register_tasks(app, runner, EvaluationRunner(store, settings, name))
    stop = threading.Event()
    fill_up = _filling_up(dispatcher, model.fingerprint)
    task_prerun.connect(fill_up)
    lease = threading.Thread(target=_keep_lease, args=(runner, settings, stop), daemon=True)
    lease.start()
    logger.info("worker ready", extra={"action": "worker_ready", "worker": name, "model": model.name})
    try:
        worker = app.Worker(
            pool_cls="solo",
            concurrency=1,
            queues=[*(queue_name(model.fingerprint, lane) for lane in LANES), EVALUATION_QUEUE],
            hostname=f"{name}@hashreel",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel=settings.log_level.upper(),
        )
        worker.start()
    finally:
        task_prerun.disconnect(fill_up)
        stop.set()
        lease.join(timeout=5)
        with suppress(redis.RedisError):  # then it runs out by itself
            units.end_lease(name)


def _filling_up(dispatcher: Dispatcher, fingerprint: str) -> Callable[..., None]:
    """Return what puts another message where one was taken, so that the others do not wait for the reconciler."""

    def fill_up(**_: Any) -> None:
        try:
            dispatcher.feed(fingerprint)
        except redis.RedisError as exc:
            logger.warning("queues not filled up: %s", exc, extra={"action": "feed_failed"})

    return fill_up


def _keep_lease(runner: UnitRunner, settings: Settings, stop: threading.Event) -> None:
    """Renew the lease while the process lives, also in the middle of a long unit."""
    while not stop.wait(settings.worker_lease_s / 4):
        try:
            runner.renew()
        except redis.RedisError as exc:
            logger.warning("lease not renewed: %s", exc, extra={"action": "lease_failed"})
