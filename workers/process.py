"""One worker process: one model, one Celery consumer, and as many units at a time as there are slots.

Each slot is a thread that takes one message, decodes its chunk and waits for its codes; the message is acknowledged
when the chunk is committed. The network is run by threads of its own on whatever the slots have decoded.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis
from celery.signals import task_prerun, worker_shutting_down

from encoder.batching import Batcher
from encoder.model import Model, load_model
from encoder.model_files import DEFAULT_MODEL
from encoder.onnx_runtime import onnx_is_installed
from encoder.runtime import pick_device
from hashreel.errors import UnavailableError
from hashreel.traces import end_traces, set_up_traces
from indexer.store import Store, connect
from workers.app import make_app
from workers.encoding import UnitRunner
from workers.evaluation import EvaluationRunner
from workers.messages import EVALUATION_QUEUE, LANES, queue_name
from workers.patience import REPEATS
from workers.pool import WakingPool
from workers.room import Room
from workers.sending import Dispatcher, Sender
from workers.sizing import Sizes, usable_cores, worker_sizes
from workers.slots import Slots, slot_name
from workers.tasks import register_tasks
from workers.units import Units

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from workers.messages import Unit

__all__ = ["run_worker"]

logger = logging.getLogger(__name__)

DRAIN_SHARE = 0.8
"""After this share of the time to end, units go back to the queue; the rest is for their last batch and the goodbye."""


def run_worker(settings: Settings, name: str = "", *, drain_s: float = 60.0) -> None:
    """Serve units of one model until SIGTERM; the units that run then are finished, or go back to the queue.

    The model is the one that the settings name, else the one of the default collection.

    Args:
        settings: Which Redis, model and device.
        name: Name of this worker; no other may have it. Empty: one is made up.
        drain_s: How long it may take to end.

    Raises:
        UnavailableError: If Redis does not answer or the device does not exist.
        NotFoundError: If there is no such model.
    """
    if settings.redis_url is None:
        raise UnavailableError("no Redis is named; set HASHREEL_REDIS_URL or --redis-url, or run `hashreel up`")
    set_up_traces(settings, "hashreel-worker")
    store = Store(connect(settings.redis_url, repeats=REPEATS))
    store.check_server()
    model = _load_model(store, settings)
    sizes = worker_sizes(usable_cores(), gpus=1, threads=settings.threads, decoders=settings.decoders)
    app = make_app(settings)
    dispatcher = Dispatcher(store, Sender(app))
    name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    batcher = Batcher(model, threads=sizes.threads)
    slots = _make_slots(store, batcher, settings, name, dispatcher, sizes)
    register_tasks(app, slots, EvaluationRunner(store, settings, name))
    stop = threading.Event()
    drain = _draining(slots, DRAIN_SHARE * drain_s)
    worker_shutting_down.connect(drain)
    fill_up = _filling_up(dispatcher, model.fingerprint)
    task_prerun.connect(fill_up)
    lease = threading.Thread(target=_keep_lease, args=(slots, settings, stop), daemon=True)
    lease.start()
    logger.info("worker ready", extra={"action": "worker_ready", "worker": name, "model": model.name})
    try:
        worker = app.Worker(
            pool_cls=WakingPool,
            concurrency=len(slots),
            queues=[*(queue_name(model.fingerprint, lane) for lane in LANES), EVALUATION_QUEUE],
            hostname=f"{name}@hashreel",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel=settings.log_level.upper(),
        )
        worker.start()
    finally:
        end_traces()
        task_prerun.disconnect(fill_up)
        worker_shutting_down.disconnect(drain)
        stop.set()
        lease.join(timeout=5)
        with suppress(redis.RedisError):  # then they run out by themselves
            slots.end_leases()
        batcher.close()


def _load_model(store: Store, settings: Settings) -> Model:
    device = None if settings.device == "auto" else settings.device
    live = store.collections().get(settings.collection)
    wanted = settings.model or (live.model if live else DEFAULT_MODEL)
    # onnxruntime is run by several threads with a core each, which compute more than one call on all cores does.
    is_onnx = pick_device(device).type == "cpu" and onnx_is_installed()
    threads = 1 if is_onnx else settings.threads or None
    return load_model(wanted, device=device, threads=threads)


def _make_slots(
    store: Store, batcher: Batcher, settings: Settings, name: str, dispatcher: Dispatcher, sizes: Sizes
) -> Slots:
    room, units = Room(settings.decode_bytes), Units(store.redis, store.keys)

    def send(more: Sequence[Unit]) -> None:
        try:
            dispatcher.dispatch(more, batcher.model.fingerprint)
        except redis.RedisError as exc:
            # No loss: they are recorded as queued, and the reconciler sends them.
            logger.warning("units stay queued: %s", exc, extra={"action": "send_failed"})

    names = [slot_name(name, number) for number in range(sizes.decoders)]
    return Slots([UnitRunner(store, units, batcher, settings, slot, send, room) for slot in names], room)


def _draining(slots: Slots, patience_s: float) -> Callable[..., None]:
    """Return what is called on SIGTERM: nothing else begins, and what is not done in time goes back to the queue."""

    def drain(**_: Any) -> None:
        slots.begin_nothing()
        timer = threading.Timer(patience_s, slots.give_back)
        timer.daemon = True
        timer.start()

    return drain


def _filling_up(dispatcher: Dispatcher, fingerprint: str) -> Callable[..., None]:
    """Return what puts another message where one was taken, so that the others do not wait for the reconciler."""

    def fill_up(**_: Any) -> None:
        try:
            dispatcher.feed(fingerprint)
        except redis.RedisError as exc:
            logger.warning("queues not filled up: %s", exc, extra={"action": "feed_failed"})

    return fill_up


def _keep_lease(slots: Slots, settings: Settings, stop: threading.Event) -> None:
    """Renew the leases while the process lives, also in the middle of a long unit."""
    while not stop.wait(settings.worker_lease_s / 4):
        try:
            slots.renew()
        except redis.RedisError as exc:
            logger.warning("lease not renewed: %s", exc, extra={"action": "lease_failed"})
