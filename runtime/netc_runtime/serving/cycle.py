"""One request of a connection and its answer, as an ASGI application sees them.

An answer tells its length and has its body in one message, so that it goes out in one write; all of ours do.
"""

import asyncio
import logging
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Protocol

from netc_runtime.serving.requests import Application, Message, Scope

HIGH_WATER_BYTES = 1 << 16  # of a body that waits for the application, from which no more is read
JOINED_BYTES = 1 << 16  # of a body that is copied behind its head
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_log = logging.getLogger(__name__)


class Way(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    congested: bool
    sent: "asyncio.Future[None]"  # done: what a coroutine that never waits would cost is saved

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]: ...
    def resume_reading(self) -> None: ...
    async def drain(self) -> None: ...
    def answered(self, cycle: "Cycle") -> None: ...
    def failed(self, cycle: "Cycle") -> None: ...
    def ended(self, cycle: "Cycle") -> None: ...


class Cycle:
    """A request, from the end of its head on, and its answer.

    `more_body` says that some of the body is still to come, `complete` that the answer has been sent, and `gone` that
    nobody reads it.
    """

    __slots__ = (
        "_body",
        "_event",
        "_expects",
        "_head",
        "_length",
        "_told",
        "_way",
        "complete",
        "gone",
        "keep_alive",
        "more_body",
        "scope",
        "task",
    )

    def __init__(self, way: Way, scope: Scope, *, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.more_body = True
        self.gone = self.complete = False
        self.task: asyncio.Task[None] | None = None
        self._way = way
        self._expects = expects  # to be told that its body may come
        self._body: bytes | bytearray = b""  # what the application does not have yet
        self._told = False  # whether the application has the end of the body
        self._event: asyncio.Event | None = None  # made where somebody waits: most bodies come with their heads
        self._head = b""
        self._length = 0

    async def run(self, app: Application) -> None:
        """Have the application answer."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.complete and not self.gone:
                raise RuntimeError("the application has not answered")
        except asyncio.CancelledError:
            if not self.gone:
                self._way.failed(self)
                raise
        except Exception:
            _log.exception("a request to %s failed", self.scope["path"])
            self._way.failed(self)
        finally:
            self._way.ended(self)

    # --- what the connection tells

    def take(self, piece: bytes) -> bool:
        """Keep a piece of the body; tell whether that is enough for now."""
        if not self._body:
            self._body = piece  # mostly all of it
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece
        if self._event is not None:
            self._event.set()
        return len(self._body) > HIGH_WATER_BYTES

    def end_body(self) -> None:
        """The body is whole."""
        self.more_body = False
        if self._event is not None:
            self._event.set()

    def leave(self) -> None:
        """The client has gone, or has had another answer."""
        self.gone = True
        if self._event is not None:
            self._event.set()

    # --- what the application calls

    async def receive(self) -> Message:
        """Wait for what there is of the body, or for the client to leave."""
        if self._expects and not self.gone:
            self._expects = False
            self._way.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._body or self.gone or self.complete) and (self.more_body or self._told):
            self._way.resume_reading()
            if self._event is None:
                self._event = asyncio.Event()
            await self._event.wait()
            self._event.clear()
        if self.gone or self.complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), b""
        self._told = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def send(self, message: Message) -> Awaitable[None]:
        """Send an answer: its head, which is kept, and then its body, with which it goes.

        Raises: RuntimeError where the answer has no length or another one, or a header a line break.
        """
        way = self._way
        if way.congested and not self.gone:
            return self._send_later(message)
        if self.gone:
            return way.sent
        if not self._head:
            self._begin(message)
            return way.sent
        if self.complete:
            raise RuntimeError("an answer has been sent already")
        body = message.get("body", b"")
        if self.scope["method"] == "HEAD":
            body = b""
        elif len(body) != self._length or message.get("more_body", False):
            raise RuntimeError(f"an answer of {self._length} bytes has a part of {len(body)}")
        if len(body) < JOINED_BYTES:
            way.transport.write(self._head + body)
        else:
            way.transport.writelines((self._head, body))
        self.complete = True
        if self._event is not None:
            self._event.set()
        way.answered(self)
        return way.sent

    async def _send_later(self, message: Message) -> None:
        await self._way.drain()
        await self.send(message)

    def _begin(self, message: Message) -> None:
        if self.more_body:
            self.keep_alive = False  # what follows is thrown away: no next request may be put there
        headers = message["headers"]
        for name, value in reversed(headers):
            if name == b"content-length":
                self._length = int(value)
                break
        else:
            raise RuntimeError("an answer does not tell its length")
        lines = [*map(b": ".join, self._way.default_headers), *map(b": ".join, headers)]
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join([STATUS_LINES[message["status"]], *lines, b"\r\n"])
        if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2:
            raise RuntimeError("a header has a line break")
        self._head = head
        self._expects = False
