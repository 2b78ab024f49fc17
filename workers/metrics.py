"""What Prometheus reads from workers: the stages of a chunk, outcomes, and how much work waits.

Worker processes have no port. They write their numbers into a folder that their supervisor made, and the
supervisor adds them up and serves them (prometheus_client's multi-process mode).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import redis
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hashreel.processes import Child
    from workers.units import Units

__all__ = ["FOLDER_VARIABLE", "chunk_committed", "serve_metrics", "unit_failed"]

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Read by prometheus_client when a child imports it."""
# From a short clip on a GPU to an hour of video on a busy CPU.
CHUNK_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

_CHUNK_SECONDS = Histogram(
    "hashreel_chunk_seconds",
    "Time of a chunk by stage: decoding, the network, the rest (planning, waiting for Redis).",
    ["stage"],
    buckets=CHUNK_BUCKETS,
)
_CHUNKS = Counter("hashreel_chunks", "Committed chunks.")
_KEY_FRAMES = Counter("hashreel_key_frames", "Key-frames that were encoded.")
_FAILURES = Counter("hashreel_unit_failures", "Units of work that were given up, by stage.", ["stage"])
_RETRIES = Counter("hashreel_unit_retries", "Units of work that are tried again later, by stage.", ["stage"])
for _stage in ("decode", "encode", "source", "worker"):
    # There from the start, so that a first failure is an increase.
    _FAILURES.labels(_stage)
    _RETRIES.labels(_stage)


def chunk_committed(frames: int, decode_s: float, encode_s: float, rest_s: float) -> None:
    """Record a committed chunk."""
    _CHUNKS.inc()
    _KEY_FRAMES.inc(frames)
    for stage, seconds in (("decode", decode_s), ("encode", encode_s), ("rest", rest_s)):
        _CHUNK_SECONDS.labels(stage).observe(seconds)


def unit_failed(stage: str, *, is_final: bool) -> None:
    """Record a unit that failed, for good or until it is tried again."""
    (_FAILURES if is_final else _RETRIES).labels(stage).inc()


class _Work(Collector):
    """What stands in the records now."""

    def __init__(self, units: Units, children: Sequence[Child]) -> None:
        self._units, self._children = units, children

    def collect(self) -> Iterator[Metric]:
        """Yield gauges; none of the records while Redis is away."""
        alive = sum(child.pid is not None for child in self._children)
        yield GaugeMetricFamily("hashreel_worker_processes", "Worker processes of this machine that run.", alive)
        starts = sum(child.starts for child in self._children)
        yield GaugeMetricFamily("hashreel_worker_starts", "Starts of worker processes, restarts included.", starts)
        try:
            queued, running = self._units.counts()
            totals, waiting = self._watch_counts()
        except redis.RedisError as exc:
            logger.warning("no counts of units: %s", exc, extra={"action": "metrics"})
            return
        yield GaugeMetricFamily("hashreel_worker_units_queued", "Units of work that wait, everywhere.", queued)
        yield GaugeMetricFamily("hashreel_worker_units_running", "Units of work that run, everywhere.", running)
        yield from _watch_metrics(totals, waiting)

    def _watch_counts(self) -> tuple[dict[str, int], int]:
        """Return how often what happened with watch-lists since the beginning, and how many messages wait."""
        client, keys = self._units.redis, self._units.keys
        raw = cast("dict[bytes, bytes]", client.hgetall(keys.watch_totals))
        return {name.decode(): int(count) for name, count in raw.items()}, client.zcard(keys.deliveries)


def _watch_metrics(totals: Mapping[str, int], waiting: int) -> Iterator[Metric]:
    """Yield what watch-lists found and sent, of all machines together: the records count it."""
    yield CounterMetricFamily("hashreel_watch_hits", "Hits of watch-lists, everywhere.", totals.get("hits", 0))
    tries = CounterMetricFamily("hashreel_webhooks", "Tries of webhooks by outcome, everywhere.", labels=["outcome"])
    for outcome in ("delivered", "failed", "dead"):
        tries.add_metric([outcome], totals.get(outcome, 0))
    yield tries
    yield GaugeMetricFamily("hashreel_webhooks_waiting", "Webhook messages that wait, everywhere.", waiting)


def serve_metrics(folder: Path, address: str, port: int, units: Units, children: Sequence[Child]) -> None:
    """Serve the metrics of worker processes in threads of this one, until it ends.

    Raises:
        OSError: If the port is taken.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    registry.register(_Work(units, children))
    start_http_server(port, addr=address, registry=registry)
