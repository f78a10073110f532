"""HTTP/1.1 by uvicorn, with what it leaves open: deadlines for what a client sends, limits on all of it, and the drain.

uvicorn waits for ever for the rest of a head or of a body. Here each has a deadline, after which the client is told so
(408) and the connection ends. A head has a largest size (431, its first line 414), and there are so many connections at
most (503). Whoever is refused while still sending gets to read why: what comes after the answer is thrown away for a
moment, since closing at once would reset the connection before the answer is read.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import orjson
import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from netc_runtime.serving.requests import ID, new_id

LINGER_SECONDS = 2.0
LAST_SECONDS = 0.1
JOINED_BYTES = 1 << 16  # of a body that is copied behind its head
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Limits:
    """What a client may send, and how long it may take; sizes in bytes, times in seconds."""

    connections: int = 1024
    head_bytes: int = 32 << 10
    url_bytes: int = 8 << 10
    headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0


class _Refused(Exception):
    """Ends the parsing of a request that is answered here."""


class _Transport:
    """A connection's transport, closed so that a client that is still sending gets to read its answer."""

    def __init__(self, transport: asyncio.Transport, unread: Callable[[], bool]) -> None:
        self._inner = transport
        self._unread = unread
        self.lingering = False
        self.write = transport.write
        self.writelines = transport.writelines
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.set_protocol = transport.set_protocol

    def forget(self) -> None:
        """Let go of the connection, which is lost."""
        self._unread = _nothing

    def is_closing(self) -> bool:
        return self.lingering or self._inner.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._unread():
            self._inner.close()
            return
        self.lingering = True
        if self._inner.can_write_eof():
            self._inner.write_eof()
        self._inner.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._inner.close)


def _nothing() -> bool:
    return False


class _Cycle(RequestResponseCycle):
    """A request and its answer, which says that the connection ends where the request is not whole when it begins."""

    head: bytes | None = None
    length = 0

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of an answer; one whose length is told and whose body is in one piece goes in one write.

        uvicorn writes a head and a body apart, each a packet and a system call, and looks every header up and down.
        """
        if self.head is None:
            if message["type"] == "http.response.start" and not self.response_started:
                if self.more_body:
                    self.keep_alive = False  # what follows is thrown away: no next request may be put there
                if self._take_head(message["status"], message.get("headers", [])):
                    return
            await super().send(message)
            return
        assert message["type"] == "http.response.body"
        body = message.get("body", b"")
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.scope["method"] == "HEAD":
            body = b""
        elif len(body) != self.length or message.get("more_body", False):
            raise RuntimeError(f"an answer of {self.length} bytes has a part of {len(body)}")
        head, self.head = self.head, None
        if len(body) < JOINED_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _take_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        lines, length = [*self.default_headers, *headers], None
        for name, value in lines:
            if name == b"content-length":
                length = int(value)
            elif name in (b"connection", b"transfer-encoding"):
                return False
        if length is None:
            return False
        if not self.keep_alive:
            lines.append((b"connection", b"close"))
        head = STATUS_LINE[status] + b"".join([b"%s: %s\r\n" % line for line in lines]) + b"\r\n"
        if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2:
            raise RuntimeError("a header has a line break")
        self.head, self.length = head, length
        self.response_started = True
        self.waiting_for_100_continue = False
        return True


class Connection(HttpToolsProtocol):
    """uvicorn's connection under limits; `under` makes the class that uvicorn takes."""

    limits = Limits()
    ending = False  # whether every answer is its connection's last

    @classmethod
    def under(cls, limits: Limits) -> type["Connection"]:
        """The class of a server's connections, which have these limits."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        # Of the request that comes in: its number on the connection, whether it has begun, and is still in its head.
        self._number, self._begun, self._in_head = 1, False, True
        self._watched: tuple[int, str] | None = None
        self._head_bytes = 0
        self._answer: tuple[int, str] | None = None

    @property
    def _current(self) -> RequestResponseCycle | None:
        return self.cycle  # uvicorn says that there always is one, and begins without

    # --- the transport's events

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self._is_unread)))
        if len(self.connections) > self.limits.connections:
            self.refuse(503, f"{self.limits.connections} connections are open, and no more are taken", retry=1)
            return
        self._watch((1, "head"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)
        cycle = self._current
        if self._task is not None and not self._task.done() and cycle is not None and cycle.disconnected:
            self._task.cancel()  # nobody waits for its answer: its place in the queue is another's
        # What leads back here goes: what has come of a body is too large to wait for the collector.
        self._task = self.cycle = None  # pyright: ignore[reportAttributeAccessIssue] -- as before the first request
        cast(_Transport, self.transport).forget()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # A timer for each request, most of which come in one piece, would cost as much as reading them.
        self._watch((self._number, "head" if self._in_head else "body") if self._begun else None)
        if self._in_head and self._head_bytes > self.limits.head_bytes:
            if len(self.url or b"") > self.limits.url_bytes or not self.headers:
                self.refuse(414, f"the address is longer than {self.limits.url_bytes} bytes")
            else:
                self.refuse(431, f"the head of the request is larger than {self.limits.head_bytes} bytes")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = _Cycle  # uvicorn names the class in a place that cannot be given another one
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    # --- the parser's events

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._stop(414, f"the address is longer than {self.limits.url_bytes} bytes")

    def on_headers_complete(self) -> None:
        # Here and not at each header: what comes in one piece is bounded, and most heads are small.
        if len(self.headers) > self.limits.headers:
            self._stop(431, f"there are more than {self.limits.headers} headers")
        if self._head_bytes > self.limits.head_bytes:  # of the pieces that it came in, the body's beginning too
            head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if head_bytes > self.limits.head_bytes:
                self._stop(431, f"the head of the request is larger than {self.limits.head_bytes} bytes")
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()
        if self.ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._number += 1
        self._begun, self._in_head, self._head_bytes = False, True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_unread():
            self._forget_deadline()
            if not self.transport.is_closing():
                self.transport.close()  # what is left of the body is not waited for

    def _is_unread(self) -> bool:
        # Whether the client may be sending still: the head or the body of its request was not whole.
        cycle = self._current
        return self._answer is not None or (cycle is not None and cycle.more_body)

    # --- deadlines

    def _watch(self, part: tuple[int, str] | None) -> None:
        """Give the part of a request that is coming in its time, or none where nothing is."""
        if part == self._watched or self.transport.is_closing():
            return
        self._watched = part
        self._forget_deadline()
        if part is not None:
            self._wait(part[1], self.limits.head_seconds if part[1] == "head" else self.limits.body_seconds)

    def _wait(self, what: str, seconds: float) -> None:
        self._forget_deadline()
        self._deadline = self.loop.call_later(seconds, self._late, what, seconds)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self, what: str, seconds: float) -> None:
        if self.flow.read_paused:
            self._wait(what, seconds)  # it is us who do not read
        else:
            self.refuse(408, f"the {what} of the request was not whole after {seconds:g} s")

    # --- answers

    def _stop(self, status: int, words: str) -> None:
        self._answer = (status, words)
        raise _Refused

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser gave up on."""
        status, words = self._answer or (400, "this is not a request of HTTP/1.1")
        self.refuse(status, words)

    def end(self) -> None:
        """End the connection now, and tell whoever still waits for an answer to ask again."""
        cycle = self._current
        if cycle is not None and not cycle.response_complete:
            self.refuse(503, "the server ends", retry=1)
        else:
            self.transport.close()

    def refuse(self, status: int, words: str, *, retry: int | None = None) -> None:
        """Answer instead of the application, where it has not begun to, and end the connection."""
        if self.transport.is_closing():
            return
        self._forget_deadline()
        self._answer = (status, words)
        cycle = self._current
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = orjson.dumps({"error": words})
            known = new_id() if cycle is None or cycle.response_complete else cycle.scope.get(ID) or new_id()
            again = "" if retry is None else f"retry-after: {retry}\r\n"
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nx-request-id: {known.decode()}\r\n{again}connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server with a drain: a signal first makes it not ready, and a stated time later it takes no more.

    `on_drain` is called at the first signal. The second one ends the waiting, whatever runs.
    """

    def __init__(self, config: uvicorn.Config, *, drain_seconds: float, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._draining = False
        self._connections = cast(type[Connection], config.http)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals that end a server; the process then ends with 0, not by the signal."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.drain)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def drain(self) -> None:
        """Begin to end, or end now where that has begun."""
        if self._draining:
            self.should_exit = self.force_exit = True
            return
        self._draining = True
        self._on_drain()
        asyncio.get_running_loop().call_later(self._drain_seconds, self._stop_listening)

    def _stop_listening(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, answer what those that are open have sent, and wait until they have ended.

        uvicorn ends a connection that looks idle at once, with the request that has come and was not yet read. Here
        there is a moment for that, in which every answer says that it is the last.
        """
        self._connections.ending = True
        for each in (*self.servers, *(sockets or [])):
            each.close()
        await asyncio.sleep(LAST_SECONDS)
        await super().shutdown(sockets)
        if self.force_exit:
            for connection in list(self.server_state.connections):
                cast(Connection, connection).end()


def config(
    app: Any, *, host: str, port: int, limits: Limits, secure: ssl.SSLContext | None = None, **more: Any
) -> uvicorn.Config:
    """Give uvicorn's settings for an application: with its C parts; it neither logs requests nor names itself."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=Connection.under(limits),
        interface="asgi3",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=None if secure is None else lambda _config, _default: secure,
        timeout_keep_alive=int(limits.idle_seconds),
        **more,
    )
