"""Traces: a span for each inference, within the one that its request names."""

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from PIL import Image

import netc_runtime
from netc_runtime.serving.app import App
from netc_runtime.serving.metrics import Metrics
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.repository import Repository
from netc_runtime.serving.requests import with_ids
from netc_runtime.serving.tracing import with_spans
from tests.processes import environment
from tests.serve.asking import BODY, INFER, Asked
from tests.serve.conftest import Served, write_model

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # the example of W3C's Trace Context
PARENTS = f"00-{TRACE}-{PARENT}-01"


def spans(models: Path, path: str, method: str = "POST", body: bytes = BODY, **headers: str) -> list[ReadableSpan]:
    """The spans of one request to an application over a model."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    write_model(models / "tiny" / "1" / "model.onnx")

    async def ask() -> None:
        registry = Registry(Repository(models), lambda path: netc_runtime.load(path, "cpu", threads=1, cache=False))
        await registry.start()
        app = with_ids(with_spans(App(registry, Metrics()), provider))
        await Asked(app, path, method, **headers).body(body).answer()
        await registry.drain()

    asyncio.run(ask())
    return list(exporter.get_finished_spans())


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


def test_an_inference_is_a_span_of_its_request_s_trace(tmp_path: Path) -> None:
    (span,) = spans(tmp_path, INFER, traceparent=PARENTS, x_request_id="one")
    assert (span.name, span.kind) == ("POST /v2/models/{model}/infer", SpanKind.SERVER)
    assert span.parent is not None
    assert (format_trace_id(span.parent.trace_id), format_span_id(span.parent.span_id)) == (TRACE, PARENT)
    assert dict(attributes(span)) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "url.path": INFER,
        "url.scheme": "http",
        "netc.request_id": "one",
        "netc.model": "tiny",
        "netc.version": "1",
        "netc.rows": 1,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("given", [{}, {"traceparent": "nonsense"}, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}])
def test_without_a_trace_it_begins_one(tmp_path: Path, given: dict[str, str]) -> None:
    (span,) = spans(tmp_path, "/v2/models/tiny/versions/1/infer", "POST", BODY, **given)
    assert span.parent is None
    assert span.name == "POST /v2/models/{model}/versions/{version}/infer"


def test_a_picture_is_an_inference(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    (span,) = spans(tmp_path, "/v2/models/tiny/images", body=file.getvalue())
    assert span.name == "POST /v2/models/{model}/images"
    found = attributes(span)
    assert (found["netc.model"], found["netc.version"], found["netc.rows"]) == ("tiny", "1", 1)


def test_a_refused_one_says_its_status(tmp_path: Path) -> None:
    (span,) = spans(tmp_path, "/v2/models/tiny/images", body=b"no picture")
    assert (span.name, attributes(span)["http.response.status_code"]) == ("POST /v2/models/{model}/images", 400)
    assert ("netc.rows" in attributes(span), span.status.status_code) == (False, StatusCode.UNSET)
    (span,) = spans(tmp_path, "/v2/models/none/infer")
    assert (attributes(span)["http.response.status_code"], "netc.model" in attributes(span)) == (404, False)


def test_what_fails_at_our_side_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Registry, "held", broken)
    (span,) = spans(tmp_path, INFER)
    assert attributes(span)["http.response.status_code"] == 500
    assert (attributes(span)["error.type"], span.status.status_code) == ("500", StatusCode.ERROR)


@pytest.mark.parametrize(("method", "name"), [("GET", "GET"), ("BREW", "HTTP")])
def test_a_method_of_nobody_s_is_no_name(tmp_path: Path, method: str, name: str) -> None:
    (span,) = spans(tmp_path, INFER, method)
    assert span.name == f"{name} /v2/models/{{model}}/infer"
    assert attributes(span)["http.request.method"] == ("_OTHER" if name == "HTTP" else name)


@pytest.mark.parametrize("path", ["/v2", "/metrics", "/v2/models/tiny", "/nowhere"])
def test_only_inferences_are_traced(tmp_path: Path, path: str) -> None:
    assert spans(tmp_path, path, "GET") == []


# --- the server


class Collector(ThreadingHTTPServer):
    """What takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.taken: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Taking)


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Collector)
        if self.path == "/v1/traces" and self.headers.get("content-encoding") is None:
            self.server.taken.append(ExportTraceServiceRequest.FromString(body))
        self.server.came.set()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet; the base class prints."""


@pytest.fixture
def collector() -> Generator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_server_sends_its_spans_where_the_variables_say(
    tmp_path: Path, serving: Callable[..., Served], collector: Collector
) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    server = serving(tmp_path / "models", "--trace", "--drain-seconds", "1", **variables)
    assert server.client.post(INFER, content=BODY, headers={"traceparent": PARENTS}).status_code == 200
    assert server.stop() == 0  # what waits is sent at the end
    assert collector.came.wait(20)
    (resource,) = collector.taken[0].resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "netc-runtime"
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "POST /v2/models/{model}/infer",
        TRACE,
        PARENT,
    )


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from netc_runtime.cli import main
sys.exit(main(["serve", sys.argv[1], *sys.argv[2:]]))
"""


def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny" / "1" / "model.onnx")
    line = [sys.executable, "-c", WITHOUT, str(tmp_path), "--trace"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 3
    assert "error[R406]: a package of --trace cannot be imported: " in done.stderr
    assert 'pip install "netc-runtime[otel]"' in done.stderr


def test_without_it_nothing_of_it_is_loaded() -> None:
    code = "import sys, json, netc_runtime.serving.server; print(json.dumps('opentelemetry' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert json.loads(done.stdout) is False
