"""The server's ASGI application: the Open Inference Protocol over HTTP, and a picture in place of a tensor.

The route that matters for speed, `infer`, is a plain ASGI function; the others are Starlette's. Every answer that is no
success is JSON, `{"error": "..."}`, as the protocol has it.
"""

import asyncio
import gc
import logging
import math
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import netc_runtime
from netc_runtime.errors import EnvironmentFault, ImageFault, RequestFault, RuntimeFault, ServeFault
from netc_runtime.oip import InferRequest
from netc_runtime.oip.datatypes import NAMES
from netc_runtime.oip.repository import MOST_BYTES, read_index, read_load, read_unload
from netc_runtime.providers import usable_threads
from netc_runtime.serving import images
from netc_runtime.serving.batcher import Answer
from netc_runtime.serving.form import boundary_of, read_form
from netc_runtime.serving.metrics import Metrics
from netc_runtime.serving.page import page
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.requests import BUG, MODEL, ROWS
from netc_runtime.serving.room import Part, Room
from netc_runtime.serving.served import Served
from netc_runtime.serving.threads import ASIDE_BYTES, aside

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

JSON_TIMES = 10  # as many bytes as its text JSON of numbers takes when it is read
BRIEF_BYTES = 1 << 16  # of a body that a connection may hold before it is asked for
JSON, OCTETS = (b"content-type", b"application/json"), (b"content-type", b"application/octet-stream")
HEADER = b"inference-header-content-length"
EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "statistics"]
_log = logging.getLogger(__name__)
_INFER = re.compile(r"/v2/models/([^/]*)(?:/versions/([^/]*))?/infer")
_UNHELD = {b"expect", b"content-encoding"}  # whose bodies are to come, or to grow
_LARGE = {"R305", "R309"}


@dataclass(frozen=True, slots=True)
class AppLimits:
    """The largest body, as it comes and as it is inflated, and all that are read at once, in bytes."""

    body_bytes: int = 64 << 20
    reading_bytes: int = 1 << 30


class App:
    """The application over a registry; `ready` is false from the moment that the server drains.

    Pages of `origins` may have models loaded and unloaded, as those of the server's own may.
    """

    def __init__(
        self, registry: Registry, metrics: Metrics, limits: AppLimits | None = None, origins: Iterable[str] = ()
    ) -> None:
        self.registry = registry
        self.draining = False
        self._metrics = metrics
        self._limits = limits or AppLimits()
        self._room = Room(self._limits.reading_bytes)
        # Of so many bodies a thousand take no more than the room, and need not be counted.
        self._brief_bytes = min(BRIEF_BYTES, self._limits.body_bytes, self._limits.reading_bytes >> 10)
        self._decoder = images.Decoder()
        self._parsing = asyncio.Semaphore(usable_threads())
        self._origins = frozenset(origins)
        self._loading: asyncio.Task[None] | None = None
        self._others = Starlette(
            routes=self._routes(), exception_handlers=dict[Any, Any]({HTTPException: _no_route, Exception: _bug})
        )
        self._others.router.redirect_slashes = False  # its redirects name the scheme that a proxy has hidden

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request, as ASGI calls an application."""
        # No coroutine of its own: it is in the way of every request.
        if scope["type"] == "http" and scope["method"] == "POST":
            found = _named(scope["raw_path"])
            if found is not None:
                return self._infer(scope, receive, send, *found)
        return self._other(scope, receive, send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "lifespan":
                await self._lifespan(receive, send)
            elif _named(scope["raw_path"]) is not None:
                await _answer(send, 405, _error("infer takes POST"), [JSON, (b"allow", b"POST")])
            else:
                await self._others(scope, receive, send)
        except asyncio.CancelledError:
            return  # the client has gone, or the server ends at once: nobody reads an answer

    # --- its life

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        # Models load while the server listens: until they are there it is live, and not ready.
        self._loading = asyncio.create_task(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._loading.cancel()
        await self.registry.drain()
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> None:
        try:
            await self.registry.start()
        except RuntimeFault as fault:
            _log.error("%s", fault)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
        for entry in self.registry.index():
            _log.info("model %s version %s: %s %s", entry.name, entry.version, entry.state, entry.reason)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return not self.draining and self.registry.ready

    # --- inference

    async def _infer(self, scope: Scope, receive: Receive, send: Send, name: str, version: str | None) -> None:
        status, headers = 200, [JSON]
        try:
            with self.registry.held(name, version) as served:
                began = time.perf_counter()
                try:
                    scope[MODEL] = served.label
                    given = dict(scope["headers"])
                    size = _length(given)
                    first = None
                    if size is not None and size <= self._brief_bytes and _UNHELD.isdisjoint(given):
                        first = await receive()
                        served.batcher.admit(1, size)
                    if first is not None and not first.get("more_body", True):
                        asked = served.reader.read(first["body"], _header(given, scope["headers"]))
                    else:
                        asked = await self._asked(served, receive, given, scope["headers"], first)
                    timeout_s = None if asked.timeout_us is None else asked.timeout_us / 1e6
                    answer = await served.infer(asked.feed, timeout_s, asked.like)
                    scope[ROWS] = answer.rows
                    parts, length = served.writer.known(asked.like, answer.outputs, asked.wanted) or await _written(
                        served, asked, answer
                    )
                except Exception as error:
                    _count(served, error, began)
                    raise
                finally:
                    self._metrics.took(served, time.perf_counter() - began)
            told = b"".join(parts)
            if length is not None:
                headers = [OCTETS, (HEADER, str(length).encode())]
        except asyncio.CancelledError:
            return  # nobody reads an answer
        except _BodyError as error:
            status, told = error.status, _error(error.words)
        except RuntimeFault as fault:
            status, told, headers = status_of(fault), _error(str(fault)), [JSON, *_retry(fault)]
        except Exception:
            _log.exception("a request to %s failed", name)
            status, told = 500, _error(BUG)
        try:
            await _answer(send, status, told, headers)
        except asyncio.CancelledError:
            return

    async def _asked(
        self,
        served: Served,
        receive: Receive,
        given: dict[bytes, bytes],
        headers: Headers,
        first: MutableMapping[str, Any] | None,
    ) -> InferRequest:
        """Read a request whose body is large or comes in parts, of which the first is there: if it will be taken."""
        size, most = _length(given), self._limits.body_bytes
        served.batcher.admit(1, min(size or 0, most))
        with Part(self._room) as part:
            body = await _body(receive, given, size, most, part, first)
            header = _header(given, headers)
            # Of a request by bytes only the head is parsed: here, where its length has five digits at most.
            if len(body) < ASIDE_BYTES or (header is not None and len(header) < 6):
                return served.reader.read(body, header)
            text = len(body)
            if header is not None and len(header) < 12 and header.isascii() and header.isdigit():
                text = min(text, int(header))
            async with self._parsing:  # what waits for its turn takes no more than it has
                part.grow(len(body) + JSON_TIMES * text)
                return await aside(served.reader.read, body, header)

    async def _images(self, request: Request) -> Response:
        name, version = request.path_params["model"], request.path_params.get("version")
        headers = dict(request.scope["headers"])
        with self.registry.held(name, version) as served:
            told = {"model_name": name, "model_version": str(served.version)}
            if request.method != "POST":
                return _json(200, {**told, "image": images.recipe(served)})
            began = time.perf_counter()
            try:
                request.scope[MODEL] = served.label
                boundary, top = boundary_of(headers.get(b"content-type", b"")), request.query_params.get("top")
                images.read_top(top)
                served.batcher.admit(1, 0)
                with Part(self._room) as part:
                    body = await _body(request.receive, headers, _length(headers), self._limits.body_bytes, part)
                    if boundary is None:
                        if not isinstance(body, bytes):
                            part.grow(2 * len(body))
                            body = bytes(body)
                        feed = await self._decoder.read(served, body)
                        del body  # what is read counts in the queue
                        seeing = images.see(served, feed, images.read_top(top))
                    else:
                        part.grow(2 * len(body))
                        form = await aside(read_form, body, boundary, ("top",))
                        del body
                        asked = images.read_top(top, form.fields.get("top"))
                        served.batcher.admit(len(form.files), 0)
                        feeds = await self._decoder.read_all(served, form.files, part)
                        names = [file.name for file in form.files]
                        del form
                        seeing = images.see_all(served, names, feeds, asked)
                seen, answers = await seeing
                request.scope[ROWS] = sum(answer.rows for answer in answers)
            except Exception as error:
                _count(served, error, began)
                raise
            finally:
                self._metrics.took(served, time.perf_counter() - began)
        response = _json(200, {**told, **seen})
        response.headers["server-timing"] = images.timing(answers)
        return response

    # --- everything else

    def _routes(self) -> list[Route]:
        model = "/v2/models/{model}"
        versioned = model + "/versions/{version}"
        return [
            Route("/", page),
            *(Route(path, self._server) for path in ("/v2", "/v2/")),  # as the protocol writes it, and as clients do
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._is_ready),
            Route("/v2/models/stats", _guarded(self._statistics)),
            *(Route(f"{path}/stats", _guarded(self._statistics)) for path in (model, versioned)),
            *(Route(f"{path}/ready", _guarded(self._model_ready)) for path in (model, versioned)),
            *(Route(f"{path}/images", _guarded(self._images), methods=["GET", "POST"]) for path in (model, versioned)),
            *(Route(path, _guarded(self._model)) for path in (model, versioned)),
            Route("/v2/repository/index", _guarded(self._index), methods=["POST"]),
            Route("/v2/repository/models/{model}/load", _guarded(self._load_model), methods=["POST"]),
            Route("/v2/repository/models/{model}/unload", _guarded(self._unload_model), methods=["POST"]),
            Route("/metrics", self._exposition),
        ]

    async def _server(self, _: Request) -> Response:
        return _json(200, {"name": "netc-runtime", "version": netc_runtime.__version__, "extensions": EXTENSIONS})

    async def _live(self, _: Request) -> Response:
        return _json(200 if self.registry.live else 503, {"live": self.registry.live})

    async def _is_ready(self, _: Request) -> Response:
        return _json(200 if self.ready else 503, {"ready": self.ready})

    async def _model_ready(self, request: Request) -> Response:
        name = request.path_params["model"]
        with self.registry.held(name, request.path_params.get("version")) as served:
            ready = not self.draining and served.batcher.open
        return _json(200 if ready else 503, {"name": name, "ready": ready})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        with self.registry.held(name, request.path_params.get("version")) as served:
            return _json(200, described(name, served, self.registry.versions(name)))

    async def _statistics(self, request: Request) -> Response:
        parameters = request.path_params
        return _json(200, self.registry.statistics(parameters.get("model"), parameters.get("version")))

    async def _index(self, request: Request) -> Response:
        ready = read_index(await _little(request))
        lines = [
            {"name": each.name, "version": str(each.version), "state": each.state, "reason": each.reason}
            for each in self.registry.index()
            if each.state == "READY" or not ready
        ]
        return Response(orjson.dumps(lines), media_type="application/json")

    async def _load_model(self, request: Request) -> Response:
        self._see_origin(request)
        read_load(await _little(request))
        await self.registry.load(request.path_params["model"])
        return _json(200, {})

    async def _unload_model(self, request: Request) -> Response:
        self._see_origin(request)
        read_unload(await _little(request))
        await self.registry.unload(request.path_params["model"])
        return _json(200, {})

    def _see_origin(self, request: Request) -> None:
        """See that no strange page asks: a browser sends such a call without asking the server whether it may.

        Raises: HTTPException 403.
        """
        origin = request.headers.get("origin")
        if request.headers.get("sec-fetch-site") == "same-origin":  # whatever name a proxy gives the host
            return
        if origin is None or self._origins & {origin, "*"} or origin.partition("://")[2] == request.headers.get("host"):
            return
        raise HTTPException(403, "pages of other origins may not load and unload models; --cors-origin lets them")

    async def _exposition(self, _: Request) -> Response:
        return Response(self._metrics.exposition(), media_type=self._metrics.media_type)


def described(name: str, served: Served, versions: list[int]) -> dict[str, Any]:
    """Give a model's metadata as the protocol has it: -1 is a side of any size."""

    def tensor(each: Any) -> dict[str, Any]:
        sides = [side if isinstance(side, int) else -1 for side in each.shape]
        return {"name": each.name, "datatype": NAMES[each.dtype], "shape": sides}

    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": "onnxruntime_onnx",
        "inputs": [tensor(each) for each in served.model.inputs],
        "outputs": [tensor(each) for each in served.model.outputs],
    }


@lru_cache(maxsize=256)
def _named(raw_path: bytes) -> tuple[str, str | None] | None:
    """Give the model and the version that a path asks to infer, or nothing where it asks for something else."""
    found = _INFER.fullmatch(raw_path.decode("latin-1"))
    return None if found is None else (unquote(found[1]), found[2])


# --- bodies


class _BodyError(Exception):
    """A body that is not read, or cannot be."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def _count(served: Served, error: Exception, began: float) -> None:
    """Count an answer that is a fault, which the queue has not counted, in the model's tally."""
    if isinstance(error, ServeFault) and error.counted:
        return
    if isinstance(error, RuntimeFault):
        code = error.code
    else:
        code = str(error.status) if isinstance(error, _BodyError) else "500"
    served.batcher.tally.failed(code, int((time.perf_counter() - began) * 1e9))


def _length(headers: dict[bytes, bytes]) -> int | None:
    text = headers.get(b"content-length")
    return None if text is None else int(text)  # the parser has seen that it is digits


def _header(headers: dict[bytes, bytes], all_of_them: Headers) -> str | None:
    found = headers.get(HEADER)
    if found is None:
        return None
    if len(headers) < len(all_of_them) and sum(name == HEADER for name, _ in all_of_them) > 1:
        raise ServeFault("R507", "Inference-Header-Content-Length stands twice", "send it once")
    return found.decode("latin-1")


async def _body(
    receive: Receive,
    headers: dict[bytes, bytes],
    size: int | None,
    most: int,
    part: Part | None = None,
    first: MutableMapping[str, Any] | None = None,
) -> bytes | bytearray:
    part = part or Part(Room(most * 2))  # of a call without arguments: too little to count
    if size is not None and size > most:
        raise _BodyError(413, f"the body has {size} bytes, at most {most} are taken")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b"deflate", b"x-gzip"):
        raise _BodyError(415, f"the body's encoding is {encoding[:40]!r}, expected gzip, deflate or none")
    part.grow(size or 0)
    message = first or await receive()
    if message["type"] == "http.disconnect":
        raise asyncio.CancelledError
    body: bytes | bytearray = message["body"]
    if message["more_body"]:
        body = bytearray(body)
        while message["more_body"]:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            body += message["body"]
            if len(body) > most:
                raise _BodyError(413, f"the body is larger than the {most} bytes that are taken")
            part.grow(len(body))
    if encoding == b"identity":
        return body
    inflated = await aside(_inflated, body, encoding, most)
    part.grow(len(body) + len(inflated))
    return inflated


def _inflated(body: bytes | bytearray, encoding: bytes, most: int) -> bytes:
    # gzip has a header of its own; of deflate both readings are about, with zlib's and without.
    kinds = [16 + zlib.MAX_WBITS] if encoding.endswith(b"gzip") else [zlib.MAX_WBITS, -zlib.MAX_WBITS]
    for kind in kinds:
        inflater = zlib.decompressobj(kind)
        try:
            found = inflater.decompress(body, most + 1)
        except zlib.error:
            continue
        if len(found) > most:
            raise _BodyError(413, f"the body inflates to more than the {most} bytes that are taken")
        if inflater.eof and not inflater.unused_data:
            return found
    raise _BodyError(400, f"the body is not {encoding.decode('latin-1')}, or not all of it")


async def _little(request: Request) -> bytes:
    """Read the body of a call that says little. Raises: _BodyError where it is large."""
    headers = dict(request.scope["headers"])
    return bytes(await _body(request.receive, headers, _length(headers), MOST_BYTES))


# --- answers


async def _written(served: Served, asked: InferRequest, answer: Answer) -> tuple[list[bytes | memoryview], int | None]:
    write = partial(served.writer.write, asked.id, answer.outputs, asked.wanted, asked.like)
    text = sum(answer.outputs[each.name].nbytes for each in asked.wanted if not each.binary or each.classes)
    return write() if text < ASIDE_BYTES else await aside(write)


async def _answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def status_of(fault: RuntimeFault) -> int:
    """Give the HTTP status of a fault's answer."""
    if isinstance(fault, ServeFault):
        return fault.status
    if isinstance(fault, ImageFault):
        return 413 if fault.code in _LARGE else 400
    if isinstance(fault, RequestFault) or fault.code == "R112":  # a picture for a model that takes none
        return 400
    return 503 if isinstance(fault, EnvironmentFault) else 500


def _retry(fault: RuntimeFault) -> Headers:
    after = fault.retry_after_s if isinstance(fault, ServeFault) else None
    return [] if after is None else [(b"retry-after", str(max(1, math.ceil(after))).encode())]


def _error(words: str) -> bytes:
    return orjson.dumps({"error": words})


def _json(status: int, values: dict[str, Any]) -> Response:
    return Response(orjson.dumps(values), status, media_type="application/json")


def _fault_response(status: int, words: str) -> Response:
    return Response(_error(words), status, media_type="application/json")


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _fault_response(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _bug(_: Request, _error_that_is_logged: Exception) -> Response:
    return _fault_response(500, BUG)


def _guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except _BodyError as error:
            return _fault_response(error.status, error.words)
        except RuntimeFault as fault:
            response = _fault_response(status_of(fault), str(fault))
            for name, value in _retry(fault):
                response.headers[name.decode()] = value.decode()
            return response

    return answer
