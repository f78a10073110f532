"""What each request is known by: an id that its answer and its log lines carry, and its line of the access log."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any, TypeAlias

from netc_runtime.serving import logs

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ID, MODEL, ROWS = "netc.id", "netc.model", "netc.rows"  # a scope's own keys: (name, version), and a count
BUG = "sorry, this is our bug; the server's log says more"
_HEADER = b"x-request-id"
_good = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
# With a count behind it: a random number for each would cost more than all the rest.
_OURS = secrets.token_hex(8).encode()
_next = count(1).__next__
_log = logging.getLogger("netc_runtime.access")


def new_id() -> bytes:
    """Give an id that no other request has."""
    return b"%s-%x" % (_OURS, _next())


def with_ids(app: Application, *, access: bool = False) -> Application:
    """Give an application whose every answer carries X-Request-Id: the client's where it is sound, else a new one."""
    # A function, no coroutine of its own, bytes throughout: it is in the way of every request.
    handle, set_id = _logged(app) if access else app, logs.request_id.set

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return app(scope, receive, send)
        known = dict(scope["headers"]).get(_HEADER)
        if known is None or not _good(known):
            known = new_id()
        scope[ID] = known
        set_id(known)
        header = (_HEADER, known)

        def tagged(message: Message) -> Awaitable[None]:
            if "status" in message:
                message["headers"] = [*message["headers"], header]
            return send(message)

        return handle(scope, receive, tagged)

    return answer


def _logged(app: Application) -> Application:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status, got, gave = 0, 0, 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message

        def noted(message: Message) -> Awaitable[None]:
            nonlocal status, gave
            status = message.get("status", status)
            gave += len(message.get("body", b""))
            return send(message)

        try:
            await app(scope, counted, noted)
        finally:
            _say(scope, status, got, gave, round((time.perf_counter() - began) * 1e3, 3))

    return answer


def _say(scope: Scope, status: int, got: int, gave: int, ms: float) -> None:
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status or None,  # nothing: the client had gone before it was answered
        "bytes_in": got,
        "bytes_out": gave,
        "ms": ms,
    }
    model = ""
    if MODEL in scope:
        fields["model"], fields["version"] = scope[MODEL]
        model = f" {fields['model']}/{fields['version']}"
    _log.info(
        "%s %s %s in=%d out=%d %.3f ms%s",
        scope["method"],
        scope["path"],
        status or "-",
        got,
        gave,
        ms,
        model,
        extra={logs.FIELDS: fields},
    )
