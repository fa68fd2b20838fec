"""Spans of the server, made and sent by OpenTelemetry's SDK (`pip install balsa[tracing]`), in batches, by gRPC.

A trace that the client has begun is gone on with for administrators and monitoring only: anybody else could make
the server trace as much as they like. Their requests begin a trace of their own, sampled at the configured rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.messages import Request
from control_plane.apiserver.routes import RequestInfo
from control_plane.apiserver.tracing.configuration import MILLION, BadTracing, TracingConfiguration
from control_plane.apiserver.tracing.context import TRACEPARENT, TRACESTATE, Span, entered

MONITORING_GROUP = "system:monitoring"
FLUSH_TIMEOUT_MS = 2000


class _Span:
    def __init__(self, tracing: Tracing, span: Any) -> None:
        self._tracing = tracing
        self.span = span

    def child(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Span]:
        return self._tracing.begun(name, self.span, attributes)

    def headers(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        self._tracing.inject(found, self.span)
        return found


class Tracing:
    """Raises BadTracing where the SDK is not installed."""

    def __init__(self, configuration: TracingConfiguration, instance: str) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise BadTracing(
                f"--tracing-config-file needs OpenTelemetry: pip install 'balsa[tracing]' ({error})"
            ) from error
        self._trace = trace
        rate = configuration.sampling_rate_per_million / MILLION
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(rate)),
            resource=Resource.create({"service.name": "apiserver", "service.instance.id": instance}),
        )
        exporter = OTLPSpanExporter(endpoint=configuration.endpoint, insecure=True)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("balsa/apiserver")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, request: Request, info: RequestInfo, user: UserInfo) -> Iterator[None]:
        """The span of a request, from its authentication on."""
        parent = None
        if TRACEPARENT in request.headers and _trusted(user):
            carrier = {key: request.headers.get(key, "") for key in (TRACEPARENT, TRACESTATE)}
            parent = self._propagator.extract(carrier)
        span = self._tracer.start_span(
            span_name(request.method, info), context=parent, kind=self._trace.SpanKind.SERVER
        )
        span.set_attributes(
            {
                "http.method": request.method,
                "http.target": request.raw_path + (f"?{request.raw_query}" if request.raw_query else ""),
                "http.user_agent": request.headers.get("User-Agent", "").encode("utf-8", "replace").decode(),
                "audit-id": request.audit_id,
            }
        )
        request.on_end.append(span.end)
        with entered(_Span(self, span)):
            try:
                yield
            except Exception as error:
                span.set_attribute("http.status_code", int(getattr(error, "code", 500)))
                raise

    @contextmanager
    def begun(self, name: str, parent: Any, attributes: Mapping[str, str]) -> Iterator[Span]:
        context = self._trace.set_span_in_context(parent)
        with self._tracer.start_as_current_span(name, context=context, attributes=dict(attributes)) as span:
            yield _Span(self, span)

    def inject(self, carrier: dict[str, str], span: Any) -> None:
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))

    def close(self) -> None:
        """Send what has been gathered; takes up to FLUSH_TIMEOUT_MS. Not for the event loop."""
        self._provider.force_flush(FLUSH_TIMEOUT_MS)
        self._provider.shutdown()


def _trusted(user: UserInfo) -> bool:
    return not {PRIVILEGED_GROUP, MONITORING_GROUP}.isdisjoint(user.groups)


def span_name(method: str, info: RequestInfo) -> str:
    """`GET /api/v1/namespaces/{:namespace}/pods/{:name}`: the same for all objects of a resource."""
    if not info.is_resource:
        return method
    parts = ["/apis", info.group, info.version] if info.group else ["/api", info.version]
    if info.namespace:
        parts += ["namespaces", "{:namespace}"]
    parts.append(info.resource)
    if info.name:
        parts.append("{:name}")
    if info.subresource:
        parts.append(info.subresource)
    return f"{method} {'/'.join(parts)}"
