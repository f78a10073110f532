"""The server as a process: its parts put together, from the socket to the models, and what ends it."""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import uvloop
from uvicorn import Config

from netc_runtime.errors import EnvironmentFault, RuntimeFault
from netc_runtime.serving import admission, http, layers, logs, threads, tls
from netc_runtime.serving.app import App, AppLimits
from netc_runtime.serving.bearer import reaches_others, token_of
from netc_runtime.serving.loading import HeadStart
from netc_runtime.serving.metrics import Metrics
from netc_runtime.serving.options import Options
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.requests import Application
from netc_runtime.serving.settings import Settings

MIB = 1 << 20
DIED = 70
# The collector's three thresholds. Requests and connections leave no cycles: to look for them after every 700 new
# objects, as Python does unless told otherwise, takes a sixteenth of a small request.
COLLECT = (50_000, 20, 20)
_log = logging.getLogger(__name__)


def serve(settings: Settings, ahead: HeadStart, say: Callable[[str], None]) -> int:
    """Serve until a signal comes, and give the exit code; `say` is told the address once the server listens.

    Raises: EnvironmentFault R406 where a package of --trace is missing, R408 where the address cannot be had, R410 or
    R411 where the token or the certificate cannot.
    """
    options = settings.options
    logs.begin(options.log_format, options.log_level)
    # What is not right is told before a port is taken.
    token = token_of(options)
    secure = tls.context(options.tls_cert, options.tls_key)
    gc.set_threshold(*COLLECT)
    with layers.tracing(options) as traced:
        listening = _listen(options.host, options.port)
        config = http.config(_unset, host=options.host, port=options.port, limits=_limits(options), secure=secure)
        _log.info("settings: %s", settings.told())
        if token is None and reaches_others(options.host):
            _log.warning(
                "no token is asked for, and %s may be reached from elsewhere: whoever reaches it may use, load and "
                "unload models; --token-file asks for one",
                options.host,
            )

        def around(app: Application) -> Application:
            return layers.around(app, options, token, traced)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_serve(options, ahead, config, around, listening, say))
    if threads.any_left():
        # A run or a load that goes on in C++ aborts the process where the interpreter ends in the ordinary way.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


async def _serve(
    options: Options,
    ahead: HeadStart,
    config: Config,
    around: layers.Layer,
    listening: socket.socket,
    say: Callable[[str], None],
) -> int:
    died = asyncio.Event()
    metrics = Metrics()
    registry = Registry(
        ahead.repository,
        ahead.load,
        ahead=ahead.take,
        limits=admission.Limits(options.queue_rows, options.queue_mib * MIB, options.timeout, options.hung_after),
        latest=options.versions,
        died=died.set,
    )
    metrics.watch(registry)
    app = App(registry, metrics, AppLimits(options.body_mib * MIB, options.reading_mib * MIB), options.cors_origin)
    config.app = around(app)

    def drain() -> None:
        app.draining = True

    server = http.Server(config, drain_seconds=options.drain_seconds, on_drain=drain)
    threading.Thread(target=_guard, args=(registry,), name="netc-guard", daemon=True).start()
    watching = [asyncio.create_task(_poll(registry, options.poll_seconds)), asyncio.create_task(_end(died, server))]
    host, port = listening.getsockname()[:2]
    address = f"{'https' if config.is_ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    if options.log_format == "json":
        _log.info("listening at %s", address)  # every line is an object
    else:
        say(address)
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
        except Exception:  # the next time it may go well
            _log.exception("looking for models fails")


def _guard(registry: Registry) -> None:
    """End the process where a run keeps the loop, which can then neither say so nor hear a signal."""
    while True:
        time.sleep(1)
        try:
            hanging = [served.name for served in registry.at_work() if served.batcher.hangs_in_the_loop]
        except RuntimeError:
            continue  # the loop has changed what is looked through, so it does not hang
        if hanging:
            _log.error("a run of %s does not end: the server ends", hanging[0])
            os._exit(DIED)


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
