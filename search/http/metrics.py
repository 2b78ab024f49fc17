"""What Prometheus reads: how long each stage of a query took, what was asked, what the gallery holds."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hashreel.schemas import Answer, Health, IdsAnswer, Query
from search.http.problems import EXPECTED
from search.ports import EnginePort, QueuePort

__all__ = ["Metrics"]

# From an index in memory (tens of microseconds) to a waiting network on a busy machine.
QUERY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STAGES = ("decode_query", "encode", "search", "total")


class Metrics:
    """The metrics of one app, in a registry of their own, so that two apps can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stage = Histogram(
            "hashreel_query_seconds",
            "Time of a query by stage: decoding the picture, the network, the index, all together.",
            ["stage"],
            buckets=QUERY_BUCKETS,
            registry=self.registry,
        )
        self._stages = {name: stage.labels(name) for name in STAGES}
        kinds = Counter("hashreel_queries", "Answered queries by kind.", ["kind"], registry=self.registry)
        self._kinds = {name: kinds.labels(name) for name in ("image", "url", "frame", "code", "none")}
        self._behind = Counter(
            "hashreel_queries_behind", "Answers that gave up waiting for the log's tail.", registry=self.registry
        )
        self._stale = Counter("hashreel_queries_stale", "Answers given while Redis was down.", registry=self.registry)
        self._requests = Counter(
            "hashreel_http_requests", "HTTP requests.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "hashreel_http_request_seconds", "Time to answer an HTTP request.", ["route"], registry=self.registry
        )
        self.uploaded = Counter("hashreel_uploaded_bytes", "Bytes of stored uploads.", registry=self.registry)
        self.enqueued = Counter("hashreel_jobs_enqueued", "Jobs that were enqueued here.", registry=self.registry)
        self._frames = Gauge("hashreel_frames", "Live frames in the gallery.", registry=self.registry)
        self._lag = Gauge("hashreel_lag_entries", "Log entries that are not applied yet.", registry=self.registry)
        self._ready = Gauge("hashreel_ready", "1 when queries are answered.", registry=self.registry)
        self._redis = Gauge("hashreel_redis_up", "1 when Redis answers.", registry=self.registry)

        units = Gauge("hashreel_units", "Units of work by state.", ["state"], registry=self.registry)
        self._units = {state: units.labels(state) for state in ("queued", "running")}
        # Workers tell the second one as well; but it has to be seen where none runs, so that some are started.
        self._evaluations = Gauge("hashreel_evaluations_open", "Evaluations that wait or run.", registry=self.registry)
        self._webhooks = Gauge("hashreel_webhooks_waiting", "Webhook messages that wait.", registry=self.registry)

    def answered(self, query: Query, answer: Answer | IdsAnswer, seconds: float) -> None:
        """Record one answered query.

        Args:
            query: What was asked.
            answer: What was answered; its stage times are in milliseconds.
            seconds: From the complete request to the answer.
        """
        kind = next((name for name in ("code", "frame", "image", "url") if getattr(query, name) is not None), "none")
        self._kinds[kind].inc()
        if kind in {"image", "url"}:
            self._stages["decode_query"].observe(answer.decode_ms / 1000)
            self._stages["encode"].observe(answer.encode_ms / 1000)
        self._stages["search"].observe(answer.search_ms / 1000)
        self._stages["total"].observe(seconds)
        if answer.behind:
            self._behind.inc()
        if answer.stale:
            self._stale.inc()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Record one HTTP request; ``route`` is the path's template, so that ids do not become labels."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self, engine: EnginePort, queue: QueuePort) -> bytes:
        """Return all metrics in Prometheus's text format, with the state of gallery and queue as of now."""
        self._observe(_health(engine))
        with suppress(*EXPECTED):  # while Redis is away, the last numbers stand
            for gauge, count in zip(self._units.values(), queue.units(), strict=True):
                gauge.set(count)
            for gauge, count in zip((self._evaluations, self._webhooks), queue.side_work(), strict=True):
                gauge.set(count)
        return generate_latest(self.registry)

    def _observe(self, health: Health) -> None:
        self._frames.set(health.frames)
        self._lag.set(health.lag)
        self._ready.set(health.ready)
        self._redis.set(health.redis)


def _health(engine: EnginePort) -> Health:
    try:
        return engine.health()
    except EXPECTED as error:
        return Health(ready=False, version="", redis=False, detail=str(error))
