"""Clients of a server, good and bad, for a long time: each knows what it must be answered, and tells what was not."""

import asyncio
import gzip
import io
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

PATIENCE_S = 30.0
"""A request that is not answered by then hangs."""
HEAD = "{} HTTP/1.1\r\nhost: soak\r\n{}\r\n"


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Lost(Exception):
    """The connection ended, or nothing came, before the answer was whole."""


class Wire:
    """One connection; a request that is written whole must be answered whole."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Wire":
        async with asyncio.timeout(PATIENCE_S):
            return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, *pieces: bytes, pause: float = 0.0) -> Answer:
        """Send a request, in pieces with a pause between them, and read its answer. Raises: Lost."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                for number, piece in enumerate(pieces):
                    if number:
                        await asyncio.sleep(pause)
                    self.writer.write(piece)
                    await self.writer.drain()
                return await self._read()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Lost(repr(error)) from error

    async def _read(self) -> Answer:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End it as a client that dies does: with a reset, whatever is under way."""
        raw: socket.socket | None = self.writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def request(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    """The bytes of a request."""
    lines = "".join(f"{each}\r\n" for each in (*headers, f"content-length: {len(body)}"))
    return HEAD.format(f"{method} {path}", lines).encode() + body


def by_json(model: str, x: Any) -> bytes:
    entry = {"name": "image", "shape": list(x.shape), "datatype": "FP32", "data": x.reshape(-1).tolist()}
    return request(f"/v2/models/{model}/infer", json.dumps({"inputs": [entry]}).encode())


def by_gzip(model: str, x: Any) -> bytes:
    whole = by_json(model, x)
    return request(
        f"/v2/models/{model}/infer", gzip.compress(whole.partition(b"\r\n\r\n")[2]), "content-encoding: gzip"
    )


def by_bytes(model: str, x: Any) -> bytes:
    parameters = {"binary_data_size": x.nbytes}
    entry = {"name": "image", "shape": list(x.shape), "datatype": "FP32", "parameters": parameters}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return request(f"/v2/models/{model}/infer", head + x.tobytes(), f"inference-header-content-length: {len(head)}")


def by_picture(model: str, picture: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return request(f"/v2/models/{model}/images?top=3", file.getvalue())


def scores_of(answer: Answer) -> Any:
    """The scores of an inference, as JSON or bytes."""
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    (output,) = json.loads(answer.body[:length])["outputs"]
    if length < len(answer.body):
        return np.frombuffer(answer.body[length:], np.float32).reshape(output["shape"])
    return np.array(output["data"], np.float32).reshape(output["shape"])


def bad_requests(model: str) -> list[tuple[str, bytes, int]]:
    """What it is, its bytes, and the status it must have."""
    path = f"/v2/models/{model}/infer"
    x = np.zeros((1, 1, 4, 4), np.float32)
    good = by_json(model, x).partition(b"\r\n\r\n")[2]
    head = b'{"inputs":[{"name":"image","shape":[1,1,4,4],"datatype":"FP32","parameters":{"binary_data_size":64}}]}'
    sized = f"inference-header-content-length: {len(head)}"
    return [
        ("empty", request(path, b""), 400),
        ("not JSON", request(path, b"{nope"), 400),
        ("cut", request(path, good[:-9]), 400),
        ("trailing", request(path, good + b"x"), 400),
        ("null", request(path, b"null"), 400),
        ("deep", request(path, b"[" * 5000), 400),
        ("NaN", request(path, good.replace(b"0.0", b"NaN", 1)), 400),
        ("1e999", request(path, good.replace(b"0.0", b"1e999", 1)), 400),
        ("a dim of -1", request(path, good.replace(b"[1, 1, 4, 4]", b"[-1, 1, 4, 4]")), 400),
        ("a dim of 2^63", request(path, good.replace(b"[1, 1, 4, 4]", b"[9223372036854775808, 1, 4, 4]")), 400),
        ("wrong type", request(path, good.replace(b"FP32", b"FP64")), 400),
        ("unknown input", request(path, good.replace(b"image", b"picture")), 400),
        ("short blob", request(path, head + bytes(63), sized), 400),
        ("long blob", request(path, head + bytes(65), sized), 400),
        ("long head", request(path, head + bytes(64), "inference-header-content-length: 99999"), 400),
        ("negative head", request(path, head + bytes(64), "inference-header-content-length: -1"), 400),
        ("bomb", request(path, gzip.compress(b" " * (1 << 24)), "content-encoding: gzip"), 413),
        ("corrupt gzip", request(path, b"\x1f\x8bnope", "content-encoding: gzip"), 400),
        ("br", request(path, b"x", "content-encoding: br"), 415),
        ("no model", request("/v2/models/none/infer", good), 404),
        ("traversal", request("/v2/models/..%2f..%2fetc%2fpasswd/infer", good), 404),
        ("wrong method", request(path, b"", method="GET"), 405),
        ("no picture", request(f"/v2/models/{model}/images", b"<svg/>"), 400),
        (
            "two lengths",
            f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".encode(),
            400,
        ),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        ("a long address", f"GET /{'a' * 100_000} HTTP/1.1\r\nhost: a\r\n\r\n".encode(), 414),
        ("a long header", f"GET /v2 HTTP/1.1\r\nhost: a\r\nx: {'a' * 200_000}\r\n\r\n".encode(), 431),
        ("too large", f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n".encode(), 413),
    ]


Right = Callable[[Any, Any, float, float], str | None]
"""Says what is wrong with the scores of an input, for a request sent and answered at these times; or nothing."""


@dataclass
class Traffic:
    """Clients of the server at `port`, until `stop` is called."""

    port: int
    right: dict[str, Right]
    seed: int
    counts: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    over: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.numpy = np.random.RandomState(self.seed)

    def fail(self, what: str) -> None:
        self.wrong.append(f"{time.strftime('%H:%M:%S')} {what}")

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(self.random.random() * 2 * seconds)

    async def until_over(self, step: Callable[[], Awaitable[None]], pause: float) -> None:
        while not self.over:
            await step()
            await self.rest(pause)

    async def good(self, model: str, write: Callable[[str, Any], bytes], rows: int, pause: float) -> None:
        """A client that keeps its connection and asks on it; all it asks must be answered, and rightly."""
        wire = await Wire.open(self.port)
        kind = f"{write.__name__} {model} {rows}"

        async def step() -> None:
            nonlocal wire
            x = self.numpy.standard_normal((rows, *SIZES[model])).astype(np.float32)
            asked = write(model, x)
            pieces, between = [asked], 0.0
            if self.random.random() < 0.02:  # slowly, and well within the bound
                at = sorted(self.random.randrange(1, len(asked)) for _ in range(5))
                pieces = [asked[a:b] for a, b in zip([0, *at], [*at, len(asked)], strict=True)]
                between = 0.1
            sent = time.monotonic()
            try:
                answer = await wire.ask(*pieces, pause=between)
            except Lost as lost:
                self.fail(f"{kind}: an accepted request was lost: {lost}")
                wire = await Wire.open(self.port)
                return
            if answer.status != 200:
                self.fail(f"{kind}: {answer.status} {answer.body[:300]!r}")
            elif why := self.right[model](x, scores_of(answer), sent, time.monotonic()):
                self.fail(f"{kind}: {why}")
            self.counts[f"answered {kind}"] += 1
            if answer.headers.get("connection") == "close" or self.random.random() < 0.01:
                wire.close()
                wire = await Wire.open(self.port)

        try:
            await self.until_over(step, pause)
        finally:
            wire.close()

    async def pictures(self, model: str, label: Callable[[Any], str], pause: float) -> None:
        """A client of pictures."""
        wire = await Wire.open(self.port)

        async def step() -> None:
            picture = self.numpy.randint(0, 256, SIZES[model][1:], np.uint8)
            try:
                answer = await wire.ask(by_picture(model, picture))
            except Lost as lost:
                self.fail(f"picture: an accepted request was lost: {lost}")
                return
            self.counts["answered picture"] += 1
            if answer.status != 200:
                self.fail(f"picture: {answer.status} {answer.body[:300]!r}")
                return
            (output,) = json.loads(answer.body)["outputs"].values()
            if output["labels"][0]["label"] != label(picture):
                self.fail(f"picture: {output['labels']} for {label(picture)}")

        try:
            await self.until_over(step, pause)
        finally:
            wire.close()

    async def bad(self, model: str, pause: float) -> None:
        """A client whose requests are wrong, each in its way; the next on the connection is right."""
        requests = bad_requests(model)

        async def step() -> None:
            name, asked, status = self.random.choice(requests)
            wire = await Wire.open(self.port)
            try:
                answer = await wire.ask(asked)
                error = json.loads(answer.body)["error"]
                if answer.status != status or "Traceback" in error:
                    self.fail(f"bad ({name}): {answer.status} {answer.body[:300]!r}, expected {status}")
                self.counts["refused"] += 1
                if answer.headers.get("connection") == "close":
                    wire.close()
                    wire = await Wire.open(self.port)
                x = self.numpy.standard_normal((1, *SIZES[model])).astype(np.float32)
                sent = time.monotonic()
                answer = await wire.ask(by_json(model, x))
                if answer.status != 200:
                    self.fail(f"after bad ({name}): {answer.status} {answer.body[:300]!r}")
                elif why := self.right[model](x, scores_of(answer), sent, time.monotonic()):
                    self.fail(f"after bad ({name}): {why}")
                self.counts["answered after a bad one"] += 1
            except (Lost, ValueError, KeyError) as error:
                self.fail(f"bad ({name}): {error!r}")
            finally:
                wire.close()

        await self.until_over(step, pause)

    async def slow(self, model: str, pause: float) -> None:
        """A client that stops in the middle, of the head or of the body: 408, and the connection is closed."""

        async def step() -> None:
            asked = by_json(model, np.zeros((1, *SIZES[model]), np.float32))
            wire = await Wire.open(self.port)
            try:
                answer = await wire.ask(asked[: self.random.randrange(20, len(asked))])
                if answer.status != 408:
                    self.fail(f"slow: {answer.status} {answer.body[:300]!r}, expected 408")
                elif await asyncio.wait_for(wire.reader.read(1), PATIENCE_S):
                    self.fail("slow: more than an answer came")
                self.counts["too slow"] += 1
            except (Lost, TimeoutError, ConnectionError) as error:
                self.fail(f"slow: {error!r}")
            finally:
                wire.close()

        await self.until_over(step, pause)

    async def vanishing(self, models: list[str], pause: float) -> None:
        """A client that dies: before its request is whole, while it waits, or while the answer comes."""

        async def step() -> None:
            model = self.random.choice(models)
            rows = self.random.choice([1, 40])
            asked = self.random.choice([by_json, by_bytes])(model, np.zeros((rows, *SIZES[model]), np.float32))
            wire = await Wire.open(self.port)
            part = self.random.random()
            try:
                wire.writer.write(asked if part < 0.5 else asked[: self.random.randrange(len(asked))])
                await wire.writer.drain()
                await asyncio.sleep(self.random.choice([0.0, 0.0005, 0.002, 0.01]))
            except OSError as error:
                self.fail(f"vanishing: {error!r}")
            wire.reset()
            self.counts["vanished"] += 1

        await self.until_over(step, pause)

    async def crowd(self, model: str, pause: float) -> None:
        """Many at once, more than the queue holds: right answers, or 503 with a time to come again."""

        async def one() -> None:
            x = self.numpy.standard_normal((64, *SIZES[model])).astype(np.float32)
            wire = await Wire.open(self.port)
            try:
                sent = time.monotonic()
                answer = await wire.ask(by_bytes(model, x))
                if answer.status == 503 and int(answer.headers["retry-after"]) >= 1:
                    self.counts["told to come again"] += 1
                elif answer.status != 200:
                    self.fail(f"crowd: {answer.status} {answer.body[:300]!r}")
                elif why := self.right[model](x, scores_of(answer), sent, time.monotonic()):
                    self.fail(f"crowd: {why}")
                else:
                    self.counts["answered in a crowd"] += 1
            except Lost as lost:
                self.fail(f"crowd: an accepted request was lost: {lost}")
            finally:
                wire.close()

        async def step() -> None:
            await asyncio.gather(*(one() for _ in range(24)))

        await self.until_over(step, pause)


SIZES = {"tiny": (1, 4, 4), "crowded": (1, 4, 4), "lenet5": (1, 28, 28)}
