"""OpenTelemetry: a span for each inference, within the trace that its request names."""

import re
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import netc_runtime
from netc_runtime.serving.requests import ID, MODEL, ROWS, Application, Message, Receive, Scope, Send

_INFERENCE = re.compile(r"/v2/models/[^/]*(/versions/[^/]*)?/(infer|images)")
_propagator = TraceContextTextMapPropagator()


def provider() -> TracerProvider:
    """Give what sends spans by OTLP over HTTP; the OTEL_ variables say where to, and under which name.

    `shutdown` sends those that wait.
    """
    named = Resource.create().attributes.get(SERVICE_NAME, "")
    ours = {} if not str(named).startswith("unknown_service") else {SERVICE_NAME: "netc-runtime"}
    made = TracerProvider(resource=Resource.create(ours))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def with_spans(app: Application, provider: TracerProvider) -> Application:
    """Give an application whose inferences have a span each, named and described as HTTP servers' are."""
    tracer = provider.get_tracer("netc_runtime", netc_runtime.__version__)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        found = _INFERENCE.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        route = f"/v2/models/{{model}}{'/versions/{version}' if found[1] else ''}/{found[2]}"
        attributes: dict[str, Any] = {
            "http.request.method": "_OTHER" if method == "HTTP" else method,
            "http.route": route,
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
            "netc.request_id": scope.get(ID, b"").decode(),
        }
        with tracer.start_as_current_span(
            f"{method} {route}", _propagator.extract(_carried(scope)), SpanKind.SERVER, attributes
        ) as span:

            async def noted(message: Message) -> None:
                if "status" in message:
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_attribute("error.type", str(message["status"]))
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                if MODEL in scope:
                    name, version = scope[MODEL]
                    span.set_attribute("netc.model", name)
                    span.set_attribute("netc.version", version)
                if ROWS in scope:
                    span.set_attribute("netc.rows", scope[ROWS])

    return answer


def _carried(scope: Scope) -> dict[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
