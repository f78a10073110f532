"""What a server says of its requests: ids on every answer, log lines that no stranger can forge, the access log."""

import asyncio
import io
import json
import logging
import re
import socket
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from netc_runtime.serving import logs
from netc_runtime.serving.requests import new_id, with_ids
from tests.serve.asking import INFER, Asked
from tests.serve.conftest import Served, write_model

ZEROS = [[[[0.0] * 4] * 4]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Served]) -> Generator[Served]:
    """A server that logs every request, as JSON."""
    models = tmp_path_factory.mktemp("told") / "models"
    write_model(models / "tiny" / "1" / "model.onnx")
    made = serving(models, "--log-format", "json", "--access-log", "--drain-seconds", "1")
    yield made
    assert made.stop() == 0
    for line in made.log.read_text().splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys(), line


def lines(server: Served, known: str) -> list[dict[str, Any]]:
    """The lines about a request: an answer may be read a moment before its line is written."""
    for _ in range(200):
        found = [json.loads(line) for line in server.log.read_text().splitlines()]
        if about := [each for each in found if each.get("request_id") == known]:
            return about
        server.client.get("/v2/health/live")
    raise AssertionError(server.log.read_text())


# --- ids


@pytest.mark.parametrize("given", ["a", "Az0._-", "x" * 128])
def test_a_sound_id_comes_back(server: Served, given: str) -> None:
    for method, path in (("GET", "/v2"), ("GET", "/nowhere"), ("POST", INFER), ("GET", INFER), ("GET", "/metrics")):
        response = server.client.request(method, path, headers={"x-request-id": given})
        assert response.headers.get_list("x-request-id") == [given], path


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", "é", "a\tb", "a/b"])
def test_another_id_is_replaced(server: Served, given: str) -> None:
    response = server.client.get("/v2", headers={b"x-request-id": given.encode("latin-1")})
    (found,) = response.headers.get_list("x-request-id")
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", found)


def test_every_request_has_an_id_of_its_own(server: Served) -> None:
    found = [server.infer(ZEROS).headers["x-request-id"] for _ in range(20)]
    assert len(set(found)) == 20
    assert len({new_id() for _ in range(1000)}) == 1000


def test_what_the_application_never_sees_has_an_id_too(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as client:
        client.sendall(b"no HTTP\r\n\r\n")
        found = client.makefile("rb").read()
    assert found.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{16}-[0-9a-f]+\r\n", found)


def test_what_is_logged_in_a_request_has_its_id() -> None:
    stream = io.StringIO()
    logger = logging.Logger("x")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Json())
    handler.addFilter(logs.with_request_id)
    logger.addHandler(handler)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)  # others come between
        await asyncio.to_thread(logger.error, "failed at %s", scope["path"])
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> list[str]:
        asked = [Asked(with_ids(app), f"/{number}") for number in range(5)]
        return [(await each.answer()).headers["x-request-id"] for each in asked]

    known = asyncio.run(ask())
    logger.error("outside")
    seen = [json.loads(line) for line in stream.getvalue().splitlines()]
    about = {each["message"]: each.get("request_id", "") for each in seen}
    assert about == {**{f"failed at /{number}": known[number] for number in range(5)}, "outside": ""}


# --- lines

FORGED = 'x\n2026-01-01 00:00:00,000 INFO all is well\r\x1b[2J\u2028\x85{"level": "info"}\x7f'


def logged(formatter: logging.Formatter, *, failing: bool = False) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(logs.with_request_id)
    logger = logging.Logger("netc_runtime.x")
    logger.addHandler(handler)
    token = logs.request_id.set(b"id-1")
    try:
        if failing:
            try:
                raise ValueError(FORGED)
            except ValueError:
                logger.exception("no model %s", FORGED)
        else:
            logger.warning("no model %s", FORGED)
    finally:
        logs.request_id.reset(token)
    return stream.getvalue()


def test_a_line_of_text_cannot_be_forged() -> None:
    found = logged(logs.Text())
    (line,) = found.splitlines()  # which ends a line at every character that any reader may
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING \[id-1\] no model x\\n2026-01-01.*", line)
    assert line.isprintable()


def test_the_lines_of_an_exception_are_set_in() -> None:
    first, *others = logged(logs.Text(), failing=True).splitlines()
    assert " ERROR [id-1] no model x" in first
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert any("2026-01-01 00:00:00,000 INFO all is well" in line for line in others)


@pytest.mark.parametrize("failing", [False, True])
def test_a_line_of_json_is_one_object(failing: bool) -> None:
    found = logged(logs.Json(), failing=failing)
    (line,) = found.splitlines()
    assert line.isprintable()
    assert line.isascii()
    values = json.loads(line)
    assert values.pop("time").endswith("Z")
    trace = values.pop("exception", None)
    assert values == {
        "level": "error" if failing else "warning",
        "logger": "netc_runtime.x",
        "message": f"no model {FORGED}",
        "request_id": "id-1",
    }
    assert (trace is not None and f"ValueError: {FORGED}" in trace) == failing


def test_times_are_utc_to_the_millisecond() -> None:
    record = logging.makeLogRecord({"created": 1_790_000_000.25, "msecs": 250.0, "name": "x", "levelname": "INFO"})
    # 1,790,000,000 s after 1970: date -u -d @1790000000
    assert json.loads(logs.Json().format(record))["time"] == "2026-09-21T14:13:20.250Z"
    assert datetime.fromisoformat("2026-09-21T14:13:20.250Z").timestamp() == 1_790_000_000.25


# --- the access log


def test_a_request_is_a_line(told: Served) -> None:
    response = told.client.post(INFER, content=b"{}", headers={"x-request-id": "bad-one"})
    (line,) = lines(told, "bad-one")
    assert line.pop("ms") > 0
    assert line.pop("time").endswith("Z")
    size = len(response.content)
    assert line.pop("message").startswith(f"POST {INFER} 400 in=2 out={size} ")
    assert line == {
        "level": "info",
        "logger": "netc_runtime.access",
        "request_id": "bad-one",
        "method": "POST",
        "path": INFER,
        "status": 400,
        "bytes_in": 2,
        "bytes_out": size,
        "model": "tiny",
        "version": "1",
    }


def test_a_request_without_a_model_is_a_line(told: Served) -> None:
    response = told.client.get("/v2/models/none/ready%0aforged", headers={"x-request-id": "none"})
    (line,) = lines(told, "none")
    assert (line["status"], line["path"]) == (response.status_code, "/v2/models/none/ready\nforged")
    assert "model" not in line


def test_a_client_that_leaves_is_a_line_without_a_status(told: Served) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: a\r\nx-request-id: left\r\ncontent-length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(told.url.rpartition(":")[2])), timeout=20) as client:
        client.sendall(head.encode())
        told.client.get("/v2")  # the server has seen the head by then, or will see it ended
    (line,) = lines(told, "left")
    assert (line["status"], line["bytes_out"]) == (None, 0)


def test_requests_are_not_logged_unless_it_is_said(server: Served) -> None:
    server.infer(ZEROS)
    assert INFER not in server.log.read_text()


def test_the_level_holds_for_all_that_is_logged(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    server = serving(tmp_path / "models", "--log-level", "warning", "--access-log", "--drain-seconds", "1")
    assert server.stop() == 0
    assert re.fullmatch(r"listening at \S+\n", server.log.read_text())
