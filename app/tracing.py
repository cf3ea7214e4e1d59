"""Traces by OpenTelemetry, where they are wanted: runs with their pages and batches, requests to remotes and to us.

Off, this costs nothing: OpenTelemetry is imported only where `CONCORD_TRACES` says so.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from app.secrets import redact
from app.settings import BadSettings, Settings
from connectors.contract import Tell, Watch

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

PREFIX: Final = "concord."
"""Before names of ours; those with a dot are OpenTelemetry's."""


def watching(watch: Watch, settings: Settings) -> Watch:
    """That watch, and one that traces, where the settings say so. Raises BadSettings where the extra is missing."""
    if settings.traces == "off":
        return watch
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise BadSettings("CONCORD_TRACES=otlp needs the extra: pip install 'concord[otel]'") from None
    os.environ.setdefault("OTEL_SERVICE_NAME", "concord")
    resource = Resource.create({"service.version": version("concord")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(provider.shutdown)
    return both(watch, traced(provider.get_tracer("concord")))


def traced(tracer: Tracer) -> Watch:
    """A watch that makes a span of everything. Errors are told by their kinds: their words may quote people's data."""
    from opentelemetry.trace import Status, StatusCode

    @contextmanager
    def watch(what: str, facts: Mapping[str, Any]) -> Iterator[Tell]:
        with tracer.start_as_current_span(what, record_exception=False, set_status_on_exception=False) as span:

            def tell(name: str, value: Any) -> None:
                key = name if "." in name else PREFIX + name
                span.set_attribute(
                    key, value if isinstance(value, bool | int | float) else redact(None, "", str(value))
                )
                if (name, value) == ("outcome", "failed") or (name == "http.response.status_code" and value >= 500):
                    span.set_status(Status(StatusCode.ERROR))

            for name, value in facts.items():
                tell(name, value)
            try:
                yield tell
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    return watch


def both(one: Watch, other: Watch) -> Watch:
    """Two watches as one."""

    @contextmanager
    def watch(what: str, facts: Mapping[str, Any]) -> Iterator[Tell]:
        with one(what, facts) as first, other(what, facts) as second:

            def tell(name: str, value: Any) -> None:
                first(name, value)
                second(name, value)

            yield tell

    return watch
