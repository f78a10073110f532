"""What a stranger sends over a raw socket: each has its answer, in time, and the next good request is right."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from netc_runtime.serving import http
from netc_runtime.serving.connection import MOST_PIPELINED

LIMITS = http.Limits(connections=8, head_seconds=0.5, body_seconds=0.5, idle_seconds=1)
GOOD = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"


async def app(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Give the body back; `/refuse` answers before it reads, `/hold` when it is told to, `/wait` and `/fail` do not."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, status = bytearray(), 413 if scope["path"] == "/refuse" else 200
    while status == 200:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    if scope["path"] == "/hold":
        scope["app_state"].held.set()
        await asyncio.to_thread(scope["app_state"].go.wait)
    if scope["path"] == "/wait":
        scope["app_state"].held.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            scope["app_state"].left.set()
            raise
    if scope["path"] == "/fail":
        raise ValueError("as asked")
    headers = [] if scope["path"] == "/endless" else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(body)})


class Running:
    """The server on a port of its own, in a thread."""

    def __init__(self, limits: http.Limits, secure: ssl.SSLContext | None = None) -> None:
        self.held, self.go, self.drained = threading.Event(), threading.Event(), threading.Event()
        self.left = threading.Event()

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "app_state": self}, receive, send)

        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self.server = http.Server(
            http.config(with_state, host="127.0.0.1", port=0, limits=limits, secure=secure),
            drain_seconds=0.2,
            on_drain=self.drained.set,
        )
        self.loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,))
        self._thread.start()
        assert self._started.wait(10)

    def _run(self, listening: socket.socket) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.loop.call_soon(self._started.set)
            await self.server._serve([listening])  # pyright: ignore[reportPrivateUsage] -- without signals: a thread

        with asyncio.Runner(loop_factory=self.server.config.get_loop_factory()) as runner:
            runner.run(serve())

    def drain(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.server.drain)

    def stop(self) -> None:
        self.go.set()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def ask(self, *parts: bytes) -> bytes:
        """All that comes back until the server ends the connection."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return rest(client)


def rest(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def answer(client: socket.socket) -> bytes:
    """One answer with a body of known length."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += client.recv(1)
    length = next(int(line[15:]) for line in found.split(b"\r\n") if line.startswith(b"content-length:"))
    while length:
        part = client.recv(length)
        found, length = found + part, length - len(part)
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    made = Running(LIMITS)
    yield made
    made.stop()


def good(running: Running) -> None:
    with running.connect() as client:
        client.sendall(GOOD)
        found = answer(client)
    assert found.startswith(b"HTTP/1.1 200 OK\r\n")
    assert found.endswith(b"\r\n\r\nhi")


LARGE = 20 << 20
BIG = b"POST /echo HTTP/1.1\r\nhost: a\r\n"
CASES: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "garbage": (400, (b"\x00\xff\x16\x03 hello\r\n\r\n",)),
    "content-length twice": (400, (BIG + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi",)),
    "content-length and chunked": (
        400,
        (BIG + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",),
    ),
    "negative content-length": (400, (BIG + b"content-length: -1\r\n\r\n",)),
    "chunk of no size": (400, (BIG + b"transfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n",)),
    "a long address": (414, (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",)),
    "a long header": (431, (BIG + b"x: " + b"a" * (1 << 20) + b"\r\n\r\n",)),
    "many headers": (431, (BIG + b"x: y\r\n" * 200 + b"\r\n",)),
    "headers without end": (431, (BIG, *[b"x: " + b"a" * 1000 + b"\r\n"] * 50)),
    "a trailer without end": (431, (BIG + b"transfer-encoding: chunked\r\n\r\n0\r\n", *[b"x: y\r\n" * 1000] * 100)),
    "a long trailer": (431, (BIG + b"transfer-encoding: chunked\r\n\r\n0\r\nx: ", *[b"a" * 10_000] * 100)),
    "chunks with long words": (431, (BIG + b"transfer-encoding: chunked\r\n\r\n5;x=", *[b"a" * 10_000] * 100)),
    "CONNECT": (400, (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",)),
    "no address": (400, (b"GET http:// HTTP/1.1\r\nhost: a\r\n\r\n",)),
    "no host": (400, (GOOD.replace(b"host: a\r\n", b""),)),
    "two hosts": (400, (GOOD.replace(b"host: a\r\n", b"host: a\r\nHost: b\r\n"),)),
    "an application that fails": (500, (GOOD.replace(b"/echo", b"/fail"),)),
    "an answer without a length": (500, (GOOD.replace(b"/echo", b"/endless"),)),
    "a slow head": (408, (BIG,)),
    "a slow body": (408, (BIG + b"content-length: 5\r\n\r\n", b"hi")),
    "a slow chunk": (408, (BIG + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nhi\r\n")),
    "silence": (408, ()),
    "empty lines": (408, (b"\r\n", b"\r\n")),
    "refused before it is read": (
        413,
        (b"POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n", b"a" * 4_000_000),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_request_has_its_answer_and_ends_its_connection(running: Running, name: str) -> None:
    status, parts = CASES[name]
    found = running.ask(*parts)
    assert found.startswith(f"HTTP/1.1 {status} ".encode()), found[:200]
    assert found.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in found
    assert b"\r\nx-request-id: " in found or name == "refused before it is read"  # its application gives none
    assert b"Traceback" not in found
    good(running)


def test_a_refusal_has_no_body_where_its_request_asks_for_none(running: Running) -> None:
    found = running.ask(b"HEAD /fail HTTP/1.1\r\nhost: a\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 500 ")
    assert found.partition(b"\r\n\r\n")[2] == b""


def test_requests_follow_one_another_on_a_connection(running: Running) -> None:
    with running.connect() as client:
        for _ in range(3):
            client.sendall(GOOD)
            assert answer(client).endswith(b"hi")
        client.sendall(GOOD + GOOD)  # the second is sent before the first is answered
        assert answer(client).endswith(b"hi")
        assert answer(client).endswith(b"hi")


def test_a_body_in_many_chunks_is_one_body(running: Running) -> None:
    with running.connect() as client:
        client.sendall(BIG + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 70_000 + b"0\r\n\r\n")
        assert answer(client).endswith(b"\r\n\r\n" + b"a" * 70_000)


def test_a_trailer_is_left_out(running: Running) -> None:
    with running.connect() as client:
        client.sendall(BIG + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-request-id: b\r\n\r\n")
        assert answer(client).endswith(b"\r\n\r\nhi")
        client.sendall(GOOD)
        assert answer(client).endswith(b"\r\n\r\nhi")


def test_requests_that_came_whole_are_answered_before_one_that_is_refused(running: Running) -> None:
    found = running.ask(GOOD * 3 + b"what?\r\n\r\n")
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"200", b"400"]
    found = running.ask(GOOD * 2 + BIG + b"content-length: 5\r\n\r\nhi")
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"408"]


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"], ids=["kept", "its last"])
def test_an_answer_that_nobody_takes_is_not_kept(running: Running, more: bytes) -> None:
    with slow(running, more) as client:
        time.sleep(4 * LIMITS.body_seconds)
        found = 0
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(1 << 16):
                found += len(part)
        assert found < LARGE
    good(running)


def test_an_answer_that_is_taken_slowly_is_sent_to_its_end(running: Running) -> None:
    with slow(running, b"connection: close\r\n") as client:
        found = b""
        while len(found) < LARGE:  # for several times as long as nothing may be taken
            part = client.recv(1 << 20, socket.MSG_WAITALL)
            assert part
            found += part
            time.sleep(0.1)
    assert found.endswith(b"\r\n\r\n" + b"a" * LARGE)


def slow(running: Running, more: bytes) -> socket.socket:
    """A client to whom an answer is sent that is larger than what the system keeps of it."""
    client = running.connect()
    client.sendall(BIG + more + b"content-length: %d\r\n\r\n" % LARGE + b"a" * LARGE)
    return client


def test_a_request_that_asks_for_another_protocol_is_answered_in_this_one(running: Running) -> None:
    asked = GOOD.replace(b"host: a", b"host: a\r\nconnection: upgrade\r\nupgrade: h2c")
    with running.connect() as client:
        client.sendall(asked * 2 + GOOD)
        for _ in range(3):
            assert answer(client).endswith(b"\r\n\r\nhi")


def test_a_connection_in_use_is_not_idle(running: Running) -> None:
    with running.connect() as client:
        for _ in range(4):
            client.sendall(GOOD)
            assert answer(client).endswith(b"hi")
            time.sleep(0.6 * LIMITS.idle_seconds)
        began = time.monotonic()
        assert rest(client) == b""
        assert time.monotonic() - began < LIMITS.idle_seconds


@pytest.mark.parametrize("size", [1 << 10, 600_000, 3 << 20])
def test_it_is_seen_that_a_client_leaves_whose_request_was_whole(running: Running, size: int) -> None:
    running.held.clear()
    running.left.clear()
    with running.connect() as client:
        client.sendall(b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
        assert running.held.wait(10)
    assert running.left.wait(10)


@pytest.mark.parametrize("address", [b"http://a", b"http://a?b=c", b"/?b=c"])
def test_an_address_without_a_path_is_that_of_the_root(running: Running, address: bytes) -> None:
    found = running.ask(b"GET " + address + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 200 ")


def test_only_so_many_requests_wait_on_a_connection() -> None:
    running = Running(LIMITS)
    with running.connect() as client:
        client.sendall(GOOD.replace(b"/echo", b"/hold") + GOOD * 1000)
        assert running.held.wait(10)
        running.go.set()
        found = rest(client)
    statuses = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200"] * MOST_PIPELINED + [b"503"]
    good(running)
    running.stop()


def test_connections_that_were_refused_do_not_count() -> None:
    running = Running(replace(LIMITS, idle_seconds=20))
    held = [running.connect() for _ in range(LIMITS.connections)]
    for client in held:
        client.sendall(GOOD)
        answer(client)
    refused = [running.connect() for _ in range(LIMITS.connections)]
    for client in refused:
        assert answer(client).startswith(b"HTTP/1.1 503 ")
    held.pop().close()
    ends = time.monotonic() + 1  # they are there for longer
    while True:
        with running.connect() as client:
            client.sendall(GOOD)
            if answer(client).startswith(b"HTTP/1.1 200 "):
                break
        assert time.monotonic() < ends
    for client in (*held, *refused):
        client.close()
    running.stop()


def test_half_a_head_is_answered_at_the_end() -> None:
    running = Running(replace(LIMITS, head_seconds=20))
    with running.connect() as client:
        client.sendall(BIG)
        good(running)
        running.drain()
        found = rest(client)
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in found
    running.stop()


def test_1_0_is_answered_without_what_it_does_not_know(running: Running) -> None:
    found = running.ask(GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"host: a", b"expect: 100-continue"))
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close\r\n" in found


def test_an_idle_connection_is_ended(running: Running) -> None:
    with running.connect() as client:
        client.sendall(GOOD)
        answer(client)
        assert rest(client) == b""


def test_connections_beyond_the_most_are_told_to_come_again() -> None:
    running = Running(replace(LIMITS, connections=2, head_seconds=30))
    try:
        with running.connect() as first, running.connect() as second:
            first.sendall(GOOD)
            answer(first)
            second.sendall(GOOD)
            answer(second)
            found = running.ask(GOOD)
            assert found.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nretry-after: 1\r\n" in found
        good(running)
    finally:
        running.stop()


def test_a_client_that_leaves_in_the_middle_harms_nobody(running: Running) -> None:
    for part in (BIG, BIG + b"content-length: 100\r\n\r\nhalf"):
        with running.connect() as client:
            client.sendall(part)
        good(running)


def test_a_connection_that_is_over_leaves_nothing_for_the_collector(running: Running) -> None:
    gc.collect()
    gc.disable()
    try:
        with running.connect() as client:
            client.sendall(GOOD)
            answer(client)
        for part in (b"", BIG, BIG + b"content-length: 100\r\n\r\nhalf"):
            with running.connect() as client:
                client.sendall(part)
        ends = time.monotonic() + 10
        while any(issubclass(type(each), http.Connection) for each in gc.get_objects()):
            assert time.monotonic() < ends
            time.sleep(0.01)
    finally:
        gc.enable()


def test_what_was_accepted_is_answered_after_the_drain_began() -> None:
    running = Running(LIMITS)
    with running.connect() as client:
        client.sendall(GOOD.replace(b"/echo", b"/hold"))
        assert running.held.wait(10)
        running.drain()
        assert running.drained.wait(10)
        good(running)  # the listener is there until the stated time is over
        running.go.set()
        found = rest(client)
    assert found.startswith(b"HTTP/1.1 200 OK\r\n")
    assert found.endswith(b"hi")
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        running.connect()
