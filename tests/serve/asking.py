"""An application asked without a socket: ASGI's messages made and read by hand."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

INFER = "/v2/models/tiny/infer"
BODY = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 1, 4, 4], "datatype": "FP32", "data": [0.5] * 16}]}
).encode()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return json.loads(self.body)["error"]


class Asked:
    """A request whose body comes when the test says so."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], path: str = INFER, method: str = "POST", **headers: str
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self._messages: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._status, self._headers, self._body = 0, dict[str, str](), b""
        self.task = asyncio.ensure_future(self._run(app))

    async def _run(self, app: Callable[..., Awaitable[None]]) -> None:
        await app(self.scope, self._messages.get, self._send)

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self._body += message.get("body", b"")

    def body(self, part: bytes, *, more: bool = False) -> "Asked":
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": more})
        return self

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def answer(self) -> Answer:
        await asyncio.wait_for(self.task, 30)
        return Answer(self._status, self._headers, self._body)
