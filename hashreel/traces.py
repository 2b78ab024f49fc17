"""OpenTelemetry spans, for who asks for them (``HASHREEL_TRACES``); otherwise one comparison a span and no import.

The context travels as a W3C ``traceparent``: in the header of a request, in the record of a job, in the headers of
a Celery message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from hashreel.errors import MissingExtraError

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["carrier", "end_traces", "set_up_traces", "span"]

Kind = Literal["internal", "server", "producer", "consumer"]

HEADER = "traceparent"
_tracer: Any = None
_provider: Any = None


def set_up_traces(settings: Settings, service: str) -> None:
    """Send the spans of this process where the settings say; does nothing where they say "off".

    Args:
        settings: ``traces``: "off", "otlp" (the ``OTEL_EXPORTER_OTLP_*`` variables say where to) or "console".
        service: Name of the part, e.g. ``hashreel-search``; ``OTEL_SERVICE_NAME`` wins over it.

    Raises:
        MissingExtraError: If OpenTelemetry is not installed.
    """
    global _tracer, _provider
    if settings.traces == "off":
        return
    try:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as exc:
        raise MissingExtraError(f"HASHREEL_TRACES={settings.traces} needs hashreel[traces]; install it") from exc
    named = Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())
    _provider = TracerProvider(resource=named)
    _provider.add_span_processor(_processor(settings.traces))
    _tracer = _provider.get_tracer("hashreel")


def _processor(where: str) -> Any:
    import sys

    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if where == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return BatchSpanProcessor(OTLPSpanExporter())


def end_traces() -> None:
    """Send what is still waiting, and stop."""
    global _tracer, _provider
    if _provider is not None:
        _provider.shutdown()
    _tracer = _provider = None


def span(
    name: str, *, kind: Kind = "internal", parent: str = "", attributes: Mapping[str, str | int] | None = None
) -> AbstractContextManager[Any]:
    """Return a context that is one span; of no cost where there are no traces.

    Args:
        name: Of few different ones: a route, a kind of work; ids are attributes.
        kind: Its role, in OpenTelemetry's words.
        parent: The ``traceparent`` of a span in another process; empty for the one around it here.
        attributes: What else is known of it.

    Returns:
        A context; what it gives is the OpenTelemetry span, or None.
    """
    if _tracer is None:
        return nullcontext()
    return _span(name, kind, parent, attributes or {})


@contextmanager
def _span(name: str, kind: Kind, parent: str, attributes: Mapping[str, str | int]) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({HEADER: parent}) if parent else None
    which = SpanKind[kind.upper()]
    with _tracer.start_as_current_span(name, context=context, kind=which, attributes=dict(attributes)) as current:
        yield current


def carrier() -> str:
    """Return the ``traceparent`` of the span around the caller; empty without one."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers.get(HEADER, "")
