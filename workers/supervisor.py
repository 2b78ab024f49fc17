"""The parent of worker processes: one a GPU (or a few on the CPU), restarted when they die or hang."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import redis

from hashreel.errors import UnavailableError
from hashreel.processes import Child, python_command
from indexer.store import Store, connect
from workers.app import make_app
from workers.devices import device_environment
from workers.evaluation_records import EvaluationRecords
from workers.metrics import FOLDER_VARIABLE, serve_metrics
from workers.patience import REPEATS
from workers.reconciler import Reconciler
from workers.sending import BROKER_ERRORS, Sender
from workers.sizing import usable_cores, worker_sizes
from workers.slots import process_of
from workers.units import Units
from workers.webhooks import WebhookSender

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

# A worker says nothing while it loads its model.
START_S = 180.0


class Supervisor:
    """Runs worker processes and the reconciler until SIGTERM or SIGINT.

    Args:
        settings: Passed to the workers.
        gpus: Devices, one process each; empty for the CPU.
        processes: Worker processes on the CPU, 0 for as many as fit the cores; ignored with GPUs.
        drain_s: How long workers may take to finish their units, or to give them back, when asked to end.
    """

    def __init__(self, settings: Settings, gpus: Sequence[str], *, processes: int = 0, drain_s: float = 60.0) -> None:
        if settings.redis_url is None:
            raise UnavailableError("no Redis is named; set HASHREEL_REDIS_URL or --redis-url, or run `hashreel up`")
        self._sizes = worker_sizes(
            usable_cores(), len(gpus), processes=processes, threads=settings.threads, decoders=settings.decoders
        )
        self._settings = settings
        self._drain_s = drain_s
        self._stopping = threading.Event()
        # Where worker processes leave their numbers for /metrics.
        self._numbers = tempfile.TemporaryDirectory(prefix="hashreel-metrics-")
        self._store = Store(connect(settings.redis_url, repeats=REPEATS))
        self._units = Units(self._store.redis, self._store.keys)
        self._evaluations = EvaluationRecords(self._store.redis, self._store.keys, settings.job_keep_s)
        self._children = [self._child(f"gpu{gpu}", gpu) for gpu in gpus] or [
            self._child(f"cpu{number}", None) for number in range(self._sizes.processes)
        ]

    def _child(self, device: str, gpu: str | None) -> Child:
        # The name by which its lease and its units are known; machines may share a host name.
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}-{device}"
        environment = self._settings.environment()
        environment |= device_environment(gpu)
        if self._settings.metrics_port:
            environment[FOLDER_VARIABLE] = self._numbers.name
        environment["HASHREEL_DEVICE"] = "cpu" if gpu is None else "cuda"
        # Each child has its share of the cores; it cannot know how many others there are.
        environment["HASHREEL_THREADS"] = str(self._sizes.threads)
        environment["HASHREEL_DECODERS"] = str(self._sizes.decoders)
        command = python_command("worker", "--single", "--name", name, "--drain", str(self._drain_s))
        return Child(name, command, environment=environment)

    def run(self) -> None:
        """Start the children and keep them alive; returns when all have ended."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if self._settings.metrics_port:
            address, port = self._settings.metrics_host, self._settings.metrics_port
            serve_metrics(Path(self._numbers.name), address, port, self._units, self._children)
        for work in (self._reconcile, self._watch_hangs, self._send_webhooks):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        for child in self._children:
            child.start()
        while not self._stopping.wait(0.2):
            for child in self._children:
                child.keep_alive(self._on_death)
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_s
        for child in self._children:
            child.join(deadline - time.monotonic())
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._store.redis.close()
        self._numbers.cleanup()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _on_death(self, child: Child, code: int) -> None:
        logger.warning("%s ended with code %s", child.name, code, extra={"action": "worker_died", "code": code})

    def _reconcile(self) -> None:
        app = make_app(self._settings)
        while not self._stopping.is_set():
            try:
                # Celery's own connection, so that whatever it can reach can be looked into; it waits for the server.
                with app.connection_for_read() as connection:
                    broker = connection.default_channel.client
                    Reconciler(self._store, self._units, Sender(app), broker, self._settings).run(self._stopping)
            except BROKER_ERRORS as exc:
                # The server went away just then. Without this thread, nobody would find lost work.
                logger.warning("the broker does not answer: %s", exc, extra={"action": "reconcile_failed"})
                self._stopping.wait(self._settings.reconcile_s)

    def _send_webhooks(self) -> None:
        WebhookSender(self._store, self._settings).run(self._stopping)

    def _watch_hangs(self) -> None:
        """Kill a worker of ours that hangs; what it ran is tried again elsewhere."""
        heard = dict.fromkeys(self._children, time.monotonic())
        # What a killed child ran stands in the records until it is taken up again; its successor is innocent.
        killed_at = dict.fromkeys(self._children, 0.0)
        while not self._stopping.wait(min(30.0, self._settings.unit_timeout_s / 4)):
            try:
                running = [(worker, started) for _, worker, started in self._units.running()]
                running += self._evaluations.running().items()
                living = {child for child in self._children if self._units.leased(child.name) is not None}
            except redis.RedisError:
                # Nobody can be heard now.
                heard = dict.fromkeys(self._children, time.monotonic())
                continue
            for child in self._children:
                if child in living or child.pid is None:
                    heard[child] = time.monotonic()
                own = [started for worker, started in running if process_of(worker) == child.name]
                runs_s = max((time.time() - started for started in own if started > killed_at[child]), default=0.0)
                # One that hangs so badly that it cannot even renew its lease is silent instead.
                silent_s = time.monotonic() - heard[child]
                limit_s = self._settings.unit_timeout_s
                if runs_s > limit_s or silent_s > max(limit_s, START_S):
                    logger.error("%s hangs; replacing it", child.name, extra={"action": "worker_hung"})
                    child.signal(signal.SIGKILL)
                    heard[child], killed_at[child] = time.monotonic(), time.time()
