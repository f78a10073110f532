"""A server's process from its start to its end: signals, runs that hang or die, files that come and go."""

import json
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc_runtime
from tests.serve.conftest import Served, as_json, write_model
from tests.serve.traffic import by_json, request

GATED, HANGS, DIES = 1001.0, 1002.0, 1003.0
"""A first number that makes a run wait for the gate, hang, or end the thread that runs it."""
PROGRAM = f"""
import sys, time
from pathlib import Path
import netc_runtime.session as session
from netc_runtime.serving import served

gate, run, load = Path(sys.argv.pop(1)), session.Model.run, session.load
served.AT_ONCE_S = 0.0  # what waits here would keep the loop

def wait():
    while not gate.exists():
        time.sleep(0.002)

def gated_run(model, feed):
    first = next(iter(feed.values())).flat[0]
    if {GATED} in next(iter(feed.values())):
        wait()
    if first == {HANGS}:
        time.sleep(1000)
    if first == {DIES}:
        raise SystemExit
    return run(model, feed)

def gated_load(path, *given, **more):
    if Path(path).with_name("gated").exists():
        wait()
    return load(path, *given, **more)

session.Model.run, session.load = gated_run, gated_load
from netc_runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""
X = np.random.RandomState(3).standard_normal((3, 1, 4, 4)).astype(np.float32)


def first(number: float) -> Any:
    """A picture that begins with this."""
    x = X[:1].copy()
    x.flat[0] = number
    return x


class Client:
    """A connection: requests are sent and answers are read when a test says so."""

    def __init__(self, server: Served) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, asked: bytes) -> "Client":
        self.socket.sendall(asked)
        return self

    def answer(self) -> tuple[int, bytes]:
        """The status and the body; 0 where the connection ended instead."""
        status, length = 0, 0
        while line := self.file.readline().strip():
            name, _, value = line.partition(b":")
            status = status or int(line.split(b" ")[1])
            length = int(value) if name.lower() == b"content-length" else length
        return status, self.file.read(length)

    def scores(self) -> Any:
        status, body = self.answer()
        assert status == 200, body
        (output,) = json.loads(body)["outputs"]
        return np.array(output["data"], np.float32).reshape(output["shape"])

    def error(self) -> tuple[int, str]:
        status, body = self.answer()
        return status, json.loads(body)["error"]

    def reset(self) -> None:
        self.file.close()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Watched:
    """A server whose runs and loads wait where a test says so, and its clients."""

    def __init__(self, folder: Path, serving: Callable[..., Served]) -> None:
        self.models, self.gate = folder / "models", folder / "gate"
        self._program = folder / "program.py"
        self._program.write_text(PROGRAM)
        self._serving = serving
        self.clients: list[Client] = []
        write_model(self.models / "tiny" / "1" / "model.onnx")

    def start(self, *options: str, ready: bool = True) -> None:
        program = (str(self._program), str(self.gate))
        limits = ("--drain-seconds", "1", "--poll-seconds", "1", *options)
        self.server: Served = self._serving(self.models, *limits, program=program, ready=ready)

    def client(self) -> Client:
        self.clients.append(Client(self.server))
        return self.clients[-1]

    def ask(self, x: Any, model: str = "tiny") -> Client:
        return self.client().send(by_json(model, x))

    def right(self, x: Any, version: int = 1) -> Any:
        """What the version's file gives; a server answers within rounding of it, whatever shares the batch."""
        return netc_runtime.load(self.models / "tiny" / str(version) / "model.onnx", "cpu").predict(x)["scores"]

    def good(self, version: int = 1) -> None:
        assert np.allclose(self.ask(X).scores(), self.right(X, version), atol=1e-5)

    def status(self, path: str) -> int:
        return self.server.client.get(path).status_code

    def stats(self) -> Any:
        (found,) = as_json(self.server.client.get("/v2/models/tiny/stats"))["model_stats"]
        return found

    def holds(self, rows: int, version: int = 1) -> None:
        """Wait until so many rows were accepted and are not answered."""
        line = f'netc_queue_rows{{model="tiny",version="{version}"}} {float(rows)}'
        until(lambda: line in self.server.client.get("/metrics").text.splitlines())

    def index(self) -> dict[str, tuple[str, str]]:
        lines = as_json(self.server.client.post("/v2/repository/index"))
        return {f"{line['name']} {line['version']}": (line["state"], line["reason"]) for line in lines}

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.server.process.send_signal(number)

    def ended(self, seconds: float = 20) -> int:
        return self.server.process.wait(seconds)

    def refuses(self) -> bool:
        """Whether nobody listens any more."""
        try:
            socket.create_connection(("127.0.0.1", self.server.port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False


def until(claim: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def watched(tmp_path: Path, serving: Callable[..., Served]) -> Generator[Watched]:
    made = Watched(tmp_path, serving)
    yield made
    for each in made.clients:
        each.close()
    made.server.process.kill()
    made.server.stop()


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_is_accepted_end_and_ends_with_0(watched: Watched, number: int) -> None:
    watched.start()
    held = [watched.ask(first(GATED)) for _ in range(8)]
    watched.holds(8)
    sent = time.monotonic()
    watched.signal(number)
    until(lambda: watched.status("/v2/health/ready") == 503)
    assert watched.status("/v2/health/live") == 200
    during = watched.ask(first(GATED))  # not ready, and still there for those who have not seen it
    until(watched.refuses)
    assert time.monotonic() - sent >= 1
    assert watched.server.process.poll() is None
    watched.gate.touch()
    for each in [*held, during]:
        assert np.allclose(each.scores(), watched.right(first(GATED)), rtol=1e-4)
    assert watched.ended() == 0


def test_a_signal_while_models_load_does_not_wait_for_them(watched: Watched) -> None:
    (watched.models / "tiny" / "1" / "gated").touch()
    watched.start(ready=False)
    until(lambda: watched.index().get("tiny 1", ("", ""))[0] == "LOADING")
    assert (watched.status("/v2/health/live"), watched.status("/v2/health/ready")) == (200, 503)
    status, error = watched.ask(X).error()
    assert (status, "R544" in error) == (503, True)
    watched.signal()
    assert watched.ended() == 0
    assert "Traceback" not in watched.server.log.read_text()


def test_a_second_signal_ends_it_at_once(watched: Watched) -> None:
    watched.start("--drain-seconds", "60")
    held = watched.ask(first(HANGS))
    watched.holds(1)
    watched.signal()
    until(lambda: watched.status("/v2/health/ready") == 503)
    watched.signal()
    began = time.monotonic()
    assert watched.ended() == 0
    assert time.monotonic() - began < 5
    status, error = held.error()
    assert (status, "R531" in error) == (503, True)
    assert "Traceback" not in watched.server.log.read_text()


# --- runs


def test_a_run_that_hangs_makes_it_not_live(watched: Watched) -> None:
    watched.start("--hung-after", "1", "--timeout", "1")
    watched.good()
    hanging = watched.ask(first(HANGS))
    until(lambda: watched.status("/v2/health/live") == 503)
    status, error = watched.ask(X).error()
    assert (status, "R532" in error) == (504, True)  # its turn does not come
    assert watched.server.process.poll() is None  # who watches over it ends it
    watched.signal()
    until(lambda: watched.status("/v2/health/ready") == 503)
    watched.signal()  # the first one waits for what was accepted
    assert watched.ended() == 0
    assert hanging.error()[0] == 503


def test_a_worker_that_dies_ends_the_server_with_70(watched: Watched) -> None:
    watched.start()
    watched.good()
    status, error = watched.ask(first(DIES)).error()
    assert (status, "R535" in error) == (503, True)
    assert watched.ended() == 70
    assert "a model's worker has died" in watched.server.log.read_text()


def test_who_leaves_the_queue_frees_a_place_and_is_never_run(watched: Watched) -> None:
    watched.start("--queue-rows", "6")
    running = watched.ask(first(GATED))
    watched.holds(1)
    waiting, leaving = watched.ask(X[:2]), watched.ask(X)
    watched.holds(6)
    status, error = watched.ask(X[:1]).error()
    assert (status, "R530" in error) == (503, True)
    told = 'netc_faults_total{code="R530",model="tiny",version="1"} 1.0'
    assert told in watched.server.client.get("/metrics").text.splitlines()
    leaving.reset()
    watched.holds(3)
    later = watched.ask(X)  # has its place
    watched.holds(6)
    watched.gate.touch()
    assert np.allclose(waiting.scores(), watched.right(X[:2]), atol=1e-5)
    assert np.allclose(later.scores(), watched.right(X), atol=1e-5)
    assert running.answer()[0] == 200
    assert watched.stats()["inference_count"] == 1 + 2 + 3


def test_a_deadline_in_the_queue_is_told_in_time_and_it_is_never_run(watched: Watched) -> None:
    watched.start()
    running = watched.ask(first(GATED))
    watched.holds(1)
    body = json.loads(by_json("tiny", X).partition(b"\r\n\r\n")[2]) | {"parameters": {"timeout": 200_000}}
    began = time.monotonic()
    status, error = watched.client().send(request("/v2/models/tiny/infer", json.dumps(body).encode())).error()
    assert (status, "R532" in error) == (504, True)
    assert 0.2 <= time.monotonic() - began < 5
    watched.gate.touch()
    assert running.answer()[0] == 200
    watched.good()
    assert watched.stats()["inference_count"] == 1 + len(X)


# --- files


def test_a_file_half_written_is_not_served_until_it_is_whole(watched: Watched) -> None:
    watched.start()
    write_model(watched.models.parent / "whole.onnx", seed=7)
    whole = (watched.models.parent / "whole.onnx").read_bytes()
    path = watched.models / "tiny" / "2" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(whole[: len(whole) // 2])
    until(lambda: watched.index().get("tiny 2", ("", ""))[1].find("R1") >= 0)
    assert watched.index()["tiny 2"][0] == "UNAVAILABLE"
    watched.good(version=1)
    assert watched.status("/v2/health/ready") == 200
    path.write_bytes(whole)
    until(lambda: watched.index()["tiny 2"] == ("READY", ""))
    watched.good(version=2)


def test_a_version_that_goes_answers_what_it_has_and_then_is_404(watched: Watched) -> None:
    write_model(watched.models / "tiny" / "2" / "model.onnx", seed=5)
    watched.start("--versions", "2")
    right = watched.right(first(GATED), 2)
    second = "/v2/models/tiny/versions/2/infer"
    body = by_json("tiny", first(GATED)).partition(b"\r\n\r\n")[2]
    held = watched.client().send(request(second, body))
    watched.holds(1, version=2)
    shutil.rmtree(watched.models / "tiny" / "2")
    until(lambda: "tiny 2" not in watched.index())
    status, error = watched.client().send(request(second, body)).error()
    assert (status, "R541" in error) == (404, True)
    watched.good(version=1)
    watched.gate.touch()
    assert np.allclose(held.scores(), right, rtol=1e-4)


# --- connections


def test_idle_connections_are_bounded_and_end(watched: Watched) -> None:
    watched.start("--connections", "4", "--idle-seconds", "1")
    watched.server.client.close()
    until(lambda: watched.ask(X).answer()[0] == 200)
    until(lambda: all(each.file.read(1) == b"" for each in watched.clients))
    idle = [watched.client() for _ in range(4)]
    for each in idle:
        assert np.allclose(each.send(by_json("tiny", X)).scores(), watched.right(X), atol=1e-5)
    status, error = watched.client().error()
    assert (status, "4 connections are open" in error) == (503, True)
    for each in idle:
        assert each.file.read() == b""
    watched.good()
