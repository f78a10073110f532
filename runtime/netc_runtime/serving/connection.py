"""A connection of HTTP/1.1, with deadlines for what a client sends and limits on all of it.

A head and a body have a deadline each, after which the client is told so (408) and the connection ends; it ends as well
where the client takes nothing of its answer for so long. A head has a largest size (431, its first line 414), and there
are so many connections at most (503). Whoever is refused while still
sending gets to read why: what comes after the answer is thrown away for a moment, since closing at once would reset the
connection before the answer is read. Requests that were whole before one that is refused have their answers first.

llhttp parses, and uvicorn's server accepts, counts and ends connections. Its own protocol takes a fifth of a small
request longer, has no deadlines, and cannot be told either.
"""

import asyncio
import logging
import socket
import sys
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from struct import Struct
from typing import Any, NamedTuple, NoReturn, cast
from urllib.parse import unquote

import httptools
import orjson
import uvicorn
from uvicorn.server import ServerState

from netc_runtime.serving.cycle import Cycle
from netc_runtime.serving.requests import BUG, ID, Application, new_id

LINGER_SECONDS = 2.0
MOST_PIPELINED = 64
TLS_END_SECONDS = 1.0  # between looks at whether a client has everything
ENDS = "the server ends"
_ASGI = {"version": "3.0", "spec_version": "2.3"}
# Of Linux's tcp_info: packets that are on their way, bytes that the client's system has, bytes that wait.
_tcp_info = Struct("24x I 92x Q 16x I").unpack
_log = logging.getLogger(__name__)


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


class _Sending(NamedTuple):
    """How far a client is with what is sent to it: a number that grows, and whether it has all."""

    taken: int
    all_taken: bool


class _Refused(Exception):
    """Ends the parsing of a request that is answered here."""


class Connection(asyncio.Protocol):
    """A client's connection; `under` makes the class that uvicorn takes, which gives it its arguments."""

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
        self._app = cast(Application, config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._server = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = self._new_parser()
        self._reads_again = False
        # The requests that are to be answered, the one whose turn it is first; the last may still be read.
        self._cycles: deque[Cycle] = deque()
        # Of the request that comes in: its number on the connection, whether it has begun, and is still in its head.
        self._number, self._begun, self._in_head = 1, False, True
        self._unread_bytes = 0  # that have come since something was taken: a head, or a piece of a body
        self._url, self._headers, self._hosts, self._expects = b"", list[tuple[bytes, bytes]](), 0, False
        self._answer: tuple[int, str] | None = None
        self._refusal = b""  # what is said when the requests before it have their answers
        self._watched: tuple[int, str] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._closing = self._lost = self._reading_paused = False
        self._writable: asyncio.Event | None = None
        self.congested = False
        self.sent: asyncio.Future[None] = self._loop.create_future()
        self.sent.set_result(None)

    # --- the transport's events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._server.connections.add(self)  # pyright: ignore[reportArgumentType] -- it is typed for uvicorn's own
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "scheme": "https" if self._secure else "http",
            "server": _address(transport, "sockname"),
            "client": _address(transport, "peername"),
            "root_path": "",
        }
        if len(self._server.connections) > self.limits.connections:
            self._server.connections.discard(self)  # which are those that may ask
            self.refuse(503, f"{self.limits.connections} connections are open, and no more are taken", retry=1)
            return
        self._watch((1, "head"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closing = self._lost = True
        self._forget_deadline()
        self.resume_writing()
        for timer in (self._idle, self._taking):
            if timer is not None:
                timer.cancel()
        self._idle = self._taking = None
        for cycle in self._cycles:
            cycle.leave()
            if cycle.task is not None:
                cycle.task.cancel()  # nobody waits for its answer: its place in the queue is another's
                self.ended(cycle)  # here, since one that has not begun does not say so
        # What leads back here goes: what has come of a body is too large to wait for the collector.
        self._cycles.clear()
        del self._parser

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refusal:
            return
        self._unread_bytes += len(data)
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = self._read_again() + data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                if self._answer is None and isinstance(error, httptools.HttpParserCallbackError):
                    _log.exception("a request cannot be taken")
                    self._answer = (500, BUG)
                self.refuse(*(self._answer or (400, "this is not a request of HTTP/1.1")))
                return
        # A timer for each request, most of which come in one piece, would cost as much as reading them.
        if self._begun or self._number == 1:
            self._watch((self._number, "head" if self._in_head else "body"))
        elif self._watched is not None:
            self._watch(None)
        if self._unread_bytes > self.limits.head_bytes:
            if not self._in_head:
                self.refuse(431, f"the trailer of the request is larger than {self.limits.head_bytes} bytes")
            elif len(self._url) > self.limits.url_bytes or not self._headers:
                self.refuse(414, f"the address is longer than {self.limits.url_bytes} bytes")
            else:
                self.refuse(431, f"the head of the request is larger than {self.limits.head_bytes} bytes")

    def pause_writing(self) -> None:
        self.congested = True
        self._see_it_taken()

    def resume_writing(self) -> None:
        self.congested = False
        if self._taking is not None and not self._closing:
            self._taking.cancel()
            self._taking = None
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    async def drain(self) -> None:
        """Wait until there is room for more to send, or the client has gone."""
        if self.congested:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self.transport.resume_reading()

    # --- the parser and its events

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # it is thrown away
        return parser

    def _read_again(self) -> bytes:
        """Give a head for the body of a request that asks for another protocol, which it does not get.

        llhttp stops behind the first head then, and has no word for going on in HTTP/1.1. Java's client asks so.
        """
        self._parser = self._new_parser()
        self._reads_again = True
        framing = [line for line in self._headers if line[0] in (b"content-length", b"transfer-encoding")]
        return b"\r\n".join([b"POST / HTTP/1.1", *map(b": ".join, framing), b"\r\n"])

    def on_message_begin(self) -> None:
        if self._reads_again:
            return
        self._begun = self._in_head = True
        self._url, self._headers, self._hosts, self._expects = b"", [], 0, False

    def on_url(self, url: bytes) -> None:
        if self._reads_again:
            return
        self._url += url
        if len(self._url) > self.limits.url_bytes:
            self._stop(414, f"the address is longer than {self.limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer, which nobody asks for
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._reads_again:
            self._reads_again = False
            return
        # Here and not at each header: what comes in one piece is bounded, and most heads are small.
        if len(self._headers) > self.limits.headers:
            self._stop(431, f"there are more than {self.limits.headers} headers")
        if self._unread_bytes > self.limits.head_bytes:  # of the pieces that it came in, the body's beginning too
            head_bytes = len(self._url) + sum(len(name) + len(value) for name, value in self._headers)
            if head_bytes > self.limits.head_bytes:
                self._stop(431, f"the head of the request is larger than {self.limits.head_bytes} bytes")
        self._in_head, self._unread_bytes = False, 0
        try:
            path, raw_path, query = _target(self._url)
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._stop(400, "the address of the request is none")
        scope = {
            **self._scope,
            "method": self._parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
        }
        if len(self._cycles) == MOST_PIPELINED:
            self._stop(503, f"{MOST_PIPELINED} requests wait on this connection, and no more are taken")
        keep_alive = self._parser.should_keep_alive() and not self.ending
        version = self._parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
            keep_alive = self._expects = False  # which 1.0 does not know
        elif self._hosts != 1:
            self._stop(400, f"the request has {self._hosts or 'no'} Host headers, and has to have one")
        cycle = Cycle(self, scope, keep_alive=keep_alive, expects=self._expects)
        self._cycles.append(cycle)
        if len(self._cycles) == 1:
            self._run(cycle)
        else:
            self.pause_reading()  # those that came together with others are answered in turn

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        if self._cycles[-1].take(body):
            self.pause_reading()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # its body comes yet
        self._number += 1
        self._begun, self._in_head, self._unread_bytes = False, True, 0
        self._cycles[-1].end_body()
        if len(self._cycles) == 1:
            self.resume_reading()  # a client that leaves is seen by reading

    # --- answers

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer bears, such as the date."""
        return self._server.default_headers

    def answered(self, cycle: Cycle) -> None:
        """An answer has been sent: it is the next one's turn, if there is one."""
        self._server.total_requests += 1
        self._cycles.popleft()
        if self._closing:
            return
        if cycle.more_body or not cycle.keep_alive:
            self._close(unread=cycle.more_body)  # what is left of the body is not waited for
        elif self._cycles:
            self._run(self._cycles[0])
        elif self._refusal:
            self._say_last(self._refusal, unread=True)
        else:
            self.resume_reading()
            self._idle_since = self._loop.time()
            if self._idle is None:  # one timer, which looks again: one for each answer would cost more than its head
                self._idle = self._loop.call_later(self.limits.idle_seconds, self._look_whether_idle)

    def failed(self, cycle: Cycle) -> None:
        """The application has raised an error; where it has not answered before, that is answered."""
        if not (cycle.complete or cycle.gone):
            self._say_last(_refusal(500, BUG, cycle), unread=cycle.more_body)

    def ended(self, cycle: Cycle) -> None:
        """The application has returned."""
        if cycle.task is not None:
            self._server.tasks.discard(cycle.task)
            cycle.task = None

    def shutdown(self) -> None:
        """End the connection, after the requests that it has (uvicorn's server calls this)."""
        if self._cycles:
            self._cycles[-1].keep_alive = False
        elif self._begun:
            self.refuse(503, ENDS, retry=1)
        else:
            self._close()

    def end(self) -> None:
        """End the connection now, and tell whoever still waits for an answer to ask again."""
        if self._cycles:
            words = _refusal(503, ENDS, self._cycles[0], retry=1)
            self._say_last(words, unread=self._cycles[-1].more_body)
        else:
            self._close()

    def refuse(self, status: int, words: str, *, retry: int | None = None) -> None:
        """Answer the request that comes in instead of the application, after those before it, and end the connection.

        Nothing of the application's answer has gone out: it goes in one piece, after which the request is no more.
        """
        if self._closing:
            return
        self._forget_deadline()
        cycle = self._cycles.pop() if self._cycles and self._cycles[-1].more_body else None
        if cycle is not None:
            cycle.leave()
        said = _refusal(status, words, cycle, retry)
        if self._cycles:
            self._refusal = said
            self.pause_reading()
        else:
            self._say_last(said, unread=True)

    def _run(self, cycle: Cycle) -> None:
        cycle.task = self._loop.create_task(cycle.run(self._app))
        self._server.tasks.add(cycle.task)

    def _stop(self, status: int, words: str) -> NoReturn:
        self._answer = (status, words)
        raise _Refused

    def _say_last(self, words: bytes, *, unread: bool) -> None:
        if self._closing:
            return
        for cycle in self._cycles:
            cycle.leave()
        self.transport.write(words)
        self._close(unread=unread)

    def _close(self, *, unread: bool = False) -> None:
        """End the connection; where the client may be sending still, so that it gets to read its answer."""
        if self._closing:
            return
        self._forget_deadline()
        self._closing = True
        if not (unread or self._begun or self._reading_paused):
            self._end()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._reading_paused:
            self.transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self._end)

    def _end(self) -> None:
        if not self._lost:
            self.transport.close()
            self._see_it_taken()

    # --- deadlines

    def _watch(self, part: tuple[int, str] | None) -> None:
        """Give the part of a request that is coming in its time, or none where nothing is."""
        if part == self._watched or self._closing:
            return
        self._watched = part
        self._forget_deadline()
        if part is not None:
            self._wait(part[1], self.limits.head_seconds if part[1] == "head" else self.limits.body_seconds)

    def _wait(self, what: str, seconds: float) -> None:
        self._forget_deadline()
        self._deadline = self._loop.call_later(seconds, self._late, what, seconds)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self, what: str, seconds: float) -> None:
        if self._reading_paused:
            self._wait(what, seconds)  # it is us who do not read
        else:
            self.refuse(408, f"the {what} of the request was not whole after {seconds:g} s")

    def _see_it_taken(self) -> None:
        """Give what is still to be sent its time: a client must take some of it."""
        # Behind TLS it is not to be seen whether there is anything.
        if self._taking is None and (self._secure or self.transport.get_write_buffer_size()):
            self._look_again(self._sending(), self._loop.time())

    def _look_again(self, sending: _Sending, since: float) -> None:
        seconds = self.limits.body_seconds
        if self._closing and self._secure:
            seconds = min(seconds, TLS_END_SECONDS)
        self._taking = self._loop.call_later(seconds, self._look_whether_taken, sending, since)

    def _look_whether_taken(self, before: _Sending, since: float) -> None:
        self._taking = None
        now = self._sending()
        if self._closing and now.all_taken and now == before:  # twice: what had no room meanwhile is sent in between
            self.transport.abort()  # it has everything; a client of TLS that does not say so is not waited for
        elif now.taken > before.taken:
            self._look_again(now, self._loop.time())
        elif self._loop.time() < since + self.limits.body_seconds:
            self._look_again(before, since)
        else:
            self.transport.abort()

    def _sending(self) -> _Sending:
        if sys.platform != "linux":
            return _Sending(-self.transport.get_write_buffer_size(), all_taken=False)
        told = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 148)
        unacknowledged, acknowledged, unsent = _tcp_info(told)
        return _Sending(acknowledged, all_taken=not (unacknowledged or unsent))

    def _look_whether_idle(self) -> None:
        self._idle = None
        if self._cycles or self._begun:
            return  # it is looked for again after the answer
        left = self._idle_since + self.limits.idle_seconds - self._loop.time()
        if left > 0:
            self._idle = self._loop.call_later(left, self._look_whether_idle)
        else:
            self._close()


def _refusal(status: int, words: str, cycle: Cycle | None, retry: int | None = None) -> bytes:
    known = None if cycle is None else cycle.scope.get(ID)
    body = orjson.dumps({"error": words})
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"x-request-id: {(known or new_id()).decode()}",
        *([] if retry is None else [f"retry-after: {retry}"]),
        "connection: close",
    ]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if cycle is not None and cycle.scope["method"] == "HEAD" else head + body


def _address(transport: asyncio.Transport, which: str) -> tuple[str, int] | None:
    found: Any = transport.get_extra_info(which)
    return None if found is None else (str(found[0]), int(found[1]))


@lru_cache(maxsize=256)
def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Give the path, as it is and as it was written, and the query. Raises: HttpParserError, UnicodeDecodeError."""
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b"/"
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parsed.query or b""
