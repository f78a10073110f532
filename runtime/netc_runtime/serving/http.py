"""uvicorn's server over our connections, with what it leaves open: the drain."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import uvicorn

from netc_runtime.serving.connection import Connection, Limits

LAST_SECONDS = 0.1
TLS_END_SECONDS = 3600.0  # a connection ends sooner where its client has everything, or takes nothing more
SIGNALS = (signal.SIGTERM, signal.SIGINT)


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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvicorn's own has no word for how long TLS may take to begin and to end."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        loop, limits = asyncio.get_running_loop(), self._connections.limits
        secure: dict[str, Any] = {}
        if self.config.ssl is not None:
            secure = {"ssl": self.config.ssl, "ssl_handshake_timeout": limits.head_seconds}
            secure["ssl_shutdown_timeout"] = TLS_END_SECONDS
        make = partial(self._connections, self.config, self.server_state, self.lifespan.state)
        self.servers = [
            await loop.create_server(make, sock=each, backlog=self.config.backlog, **secure) for each in sockets or []
        ]
        self.started = True

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
        **more,
    )
