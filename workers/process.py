"""One worker process: one model, one Celery consumer, one unit at a time."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from typing import TYPE_CHECKING

import redis

from encoder.model import load_model
from hashreel.errors import UnavailableError
from indexer.store import Store, check_fingerprint, connect
from workers.app import make_app
from workers.encoding import UnitRunner
from workers.messages import queue_name
from workers.queue import Sender
from workers.tasks import register_tasks
from workers.units import Units

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["run_worker"]

logger = logging.getLogger(__name__)


def run_worker(settings: Settings, name: str = "") -> None:
    """Serve units until SIGTERM; the unit that runs then is finished first.

    Args:
        settings: Which Redis, model and device.
        name: Name of this worker; no other may have it. Empty: one is made up.

    Raises:
        UnavailableError: If Redis does not answer or the device does not exist.
        FingerprintMismatchError: If the collection was made by another model.
    """
    if settings.redis_url is None:
        raise UnavailableError("no Redis is named; set HASHREEL_REDIS_URL or --redis-url, or run `hashreel up`")
    store = Store(connect(settings.redis_url))
    store.check_server()
    device = None if settings.device == "auto" else settings.device
    model = load_model(settings.model, device=device, threads=settings.threads or None)
    generation = store.ensure_collection(
        settings.collection, model=model.name, fingerprint=model.fingerprint, bits=model.bits
    )
    check_fingerprint(generation, model.name, model.fingerprint)
    app = make_app(settings)
    units, sender = Units(store.redis, store.keys), Sender(app)
    name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    runner = UnitRunner(store, units, model, settings, name, lambda lost: sender(lost, model.fingerprint))
    register_tasks(app, runner)
    stop = threading.Event()
    lease = threading.Thread(target=_keep_lease, args=(runner, settings, stop), daemon=True)
    lease.start()
    logger.info("worker ready", extra={"action": "worker_ready", "worker": name, "model": model.name})
    try:
        worker = app.Worker(
            pool_cls="solo",
            concurrency=1,
            queues=[queue_name(model.fingerprint)],
            hostname=f"{name}@hashreel",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel=settings.log_level.upper(),
        )
        worker.start()
    finally:
        stop.set()
        lease.join(timeout=5)
        units.end_lease(name)


def _keep_lease(runner: UnitRunner, settings: Settings, stop: threading.Event) -> None:
    """Renew the lease while the process lives, also in the middle of a long unit."""
    while not stop.wait(settings.worker_lease_s / 4):
        try:
            runner.renew()
        except redis.RedisError as exc:
            logger.warning("lease not renewed: %s", exc, extra={"action": "lease_failed"})
