"""The server as a process: its parts put together, from the socket to the models, and what ends it."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import uvloop
from uvicorn import Config

from netc_runtime.errors import EnvironmentFault, RuntimeFault
from netc_runtime.serving import admission, http
from netc_runtime.serving.app import App, AppLimits
from netc_runtime.serving.metrics import Metrics
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.repository import Repository
from netc_runtime.session import load

MIB = 1 << 20
DIED = 70
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a server runs, as `netc-runtime serve --help` says."""

    models: str
    host: str = "127.0.0.1"
    port: int = 8000
    batch: int = 64
    device: str = "auto"
    threads: int | None = None
    cache: bool = True
    queue_rows: int = 1024
    queue_mib: int = 1024
    timeout: int = 30
    hung_after: int = 60
    body_mib: int = 64
    connections: int = 1024
    head_seconds: int = 10
    body_seconds: int = 60
    idle_seconds: int = 75
    drain_seconds: int = 5
    poll_seconds: int = 5
    versions: int = 1


def serve(options: Options, say: Callable[[str], None]) -> int:
    """Serve until a signal comes, and give the exit code; `say` is told the address once the server listens.

    Raises: EnvironmentFault R408 where the address cannot be had; ServeFault R542 where there is no such folder.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    Repository(options.models).scan()  # what is not there is told before a port is taken
    listening = _listen(options.host, options.port)
    config = http.config(_unset, host=options.host, port=options.port, limits=_limits(options))
    _log.info("settings: %s", ", ".join(f"{name}={value}" for name, value in asdict(options).items()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options, config, listening, say))


async def _serve(options: Options, config: Config, listening: socket.socket, say: Callable[[str], None]) -> int:
    died = asyncio.Event()
    metrics = Metrics()
    registry = Registry(
        Repository(options.models),
        lambda path: load(path, options.device, max_batch=options.batch, threads=options.threads, cache=options.cache),
        limits=admission.Limits(options.queue_rows, options.queue_mib * MIB, options.timeout, options.hung_after),
        latest=options.versions,
        died=died.set,
    )
    metrics.watch(registry)
    app = App(registry, metrics, AppLimits(options.body_mib * MIB))
    config.app = app

    def drain() -> None:
        app.draining = True

    server = http.Server(config, drain_seconds=options.drain_seconds, on_drain=drain)
    watching = [asyncio.create_task(_poll(registry, options.poll_seconds)), asyncio.create_task(_end(died, server))]
    host, port = listening.getsockname()[:2]
    say(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    await server.serve([listening])
    for task in watching:
        task.cancel()
    return DIED if died.is_set() else 0


async def _unset(*_: object) -> None:
    raise AssertionError("the application is there before the server listens")


async def _poll(registry: Registry, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await registry.poll()
        except RuntimeFault as fault:
            _log.error("%s", fault)


async def _end(died: asyncio.Event, server: http.Server) -> None:
    """End the server when a model's worker has died: whoever watches over it starts another one."""
    await died.wait()
    _log.error("a model's worker has died: the server ends")
    server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        help = "end what listens there, or name another --port; 0 takes a free one"
        raise EnvironmentFault("R408", f"{host}:{port} cannot be listened at: {reason}", help) from error


def _limits(options: Options) -> http.Limits:
    return http.Limits(
        connections=options.connections,
        head_seconds=options.head_seconds,
        body_seconds=options.body_seconds,
        idle_seconds=options.idle_seconds,
    )
