"""What a server that has enough to do answers: 503 with a time to come again, and nothing is lost for good."""

import asyncio
import gc
import gzip
import io
import json
import select
import socket
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import netc_runtime
from netc_runtime.errors import ModelFault, ServeFault
from netc_runtime.providers import usable_threads
from netc_runtime.serving import images, served
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.app import App, AppLimits
from netc_runtime.serving.form import File
from netc_runtime.serving.metrics import Metrics
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.repository import Repository
from netc_runtime.serving.room import Part, Room
from netc_runtime.serving.threads import aside
from tests.serve.asking import BODY, INFER, Answer, Asked
from tests.serve.conftest import Served, write_model


class Gated:
    """An application over one model, whose loading and running wait for gates."""

    def __init__(self, models: Path, limits: AppLimits, queue: Limits) -> None:
        self.loads, self.runs = threading.Event(), threading.Event()
        self.loads.set()
        self.runs.set()
        self.started = threading.Event()
        write_model(models / "tiny" / "1" / "model.onnx")
        self.registry = Registry(Repository(models), self._load, limits=queue)
        self.app = App(self.registry, Metrics(), limits)

    def _load(self, path: Path) -> netc_runtime.Model:
        assert self.loads.wait(30)
        model = netc_runtime.load(path, "cpu", threads=1, cache=False)
        run = model.run

        def gated(feed: Any) -> Any:
            self.started.set()
            assert self.runs.wait(30)
            return run(feed)

        model.run = gated
        return model

    def ask(self, **headers: str) -> Asked:
        return Asked(self.app, **headers)

    async def good(self) -> Answer:
        return await self.ask(content_length=str(len(BODY))).body(BODY).answer()

    @property
    def taken(self) -> int:
        return self.app._room.taken  # pyright: ignore[reportPrivateUsage] -- what is left behind is seen nowhere else


Make = Callable[..., Any]


@pytest.fixture
def gated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(served, "AT_ONCE_S", 0.0)  # a gate in the loop would stop the test

    @asynccontextmanager
    async def make(limits: AppLimits | None = None, queue: Limits | None = None) -> AsyncGenerator[Gated]:
        made = Gated(tmp_path / "models", limits or AppLimits(), queue or Limits())
        try:
            yield made
        finally:
            made.loads.set()
            made.runs.set()
            await made.registry.drain()

    return make


def run(claim: Coroutine[Any, Any, None]) -> None:
    asyncio.run(claim)


async def at(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def until(claim: Callable[[], bool]) -> None:
    for _ in range(3000):
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in 30 s")


# --- who is told when to come again


def told_to_come_again(answer: Answer, code: str) -> bool:
    assert (answer.status, f"[{code}]" in answer.error) == (503, True), answer
    return answer.headers["retry-after"].isdigit() and int(answer.headers["retry-after"]) >= 1


def test_a_full_queue_says_when_to_come_again(gated: Make) -> None:
    async def claim() -> None:
        async with gated(queue=Limits(rows=1)) as server:
            await server.registry.start()
            server.started.clear()
            server.runs.clear()
            first = server.ask().body(BODY)
            await at(server.started)
            assert told_to_come_again(await server.good(), "R530")
            picture = await Asked(server.app, "/v2/models/tiny/images").answer()
            assert told_to_come_again(picture, "R530")
            (tally,) = [each.batcher.tally for each in server.registry.served()]
            assert (tally.refused, tally.fail.count) == ({"R530": 2}, 2)
            server.runs.set()
            assert (await first.answer()).status == 200
            assert (await server.good()).status == 200

    run(claim())


def test_a_server_that_drains_says_when_to_come_again(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            server.started.clear()
            server.runs.clear()
            first = server.ask().body(BODY)
            await at(server.started)
            drained = asyncio.ensure_future(server.registry.drain())
            await asyncio.sleep(0)
            assert told_to_come_again(await server.good(), "R531")
            server.runs.set()
            assert (await first.answer()).status == 200
            await drained

    run(claim())


def test_a_model_that_is_being_loaded_says_when_to_come_again(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            assert told_to_come_again(await server.good(), "R544")  # nothing has begun to load
            server.loads.clear()
            started = asyncio.ensure_future(server.registry.start())
            await until(lambda: bool(server.registry.index()))
            assert told_to_come_again(await server.good(), "R544")
            other = await Asked(server.app, "/v2/models/other/infer").answer()
            assert told_to_come_again(other, "R544")  # its turn may not have come
            server.loads.set()
            await started
            assert (await server.good()).status == 200
            assert (await Asked(server.app, "/v2/models/other/infer").answer()).status == 404

    run(claim())


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (2.5, "3")])
def test_the_time_is_in_whole_seconds_from_1(
    gated: Make, monkeypatch: pytest.MonkeyPatch, seconds: float, told: str
) -> None:
    def full(*_: object) -> None:
        raise ServeFault("R530", "full", "come again", seconds)

    async def claim() -> None:
        async with gated() as server:
            monkeypatch.setattr(server.registry, "held", full)
            for path in (INFER, "/v2/models/tiny/images", "/v2/models/tiny/ready"):
                answer = await Asked(server.app, path, "GET" if path.endswith("ready") else "POST").answer()
                assert (answer.status, answer.headers["retry-after"]) == (503, told)

    run(claim())


# --- bodies that are read at once

SMALL = AppLimits(body_bytes=10_000, reading_bytes=15_000)


def test_a_room_is_shared_and_given_back() -> None:
    room = Room(100)
    with Part(room) as first, Part(room) as second:
        first.grow(60)
        first.grow(40)  # it never shrinks
        second.grow(40)
        with pytest.raises(ServeFault) as caught:
            second.grow(41)
        assert (caught.value.code, caught.value.status, caught.value.retry_after_s) == ("R537", 503, 1.0)
        assert room.taken == 100
    assert room.taken == 0


def test_a_body_that_would_pass_the_bound_is_told_to_come_again_unread(gated: Make) -> None:
    async def claim() -> None:
        async with gated(SMALL) as server:
            await server.registry.start()
            slow = server.ask(content_length="10000")
            await until(lambda: server.taken == 10_000)
            refused = await server.ask(content_length="10000").answer()  # none of its body was there to be read
            assert told_to_come_again(refused, "R537")
            picture = await Asked(server.app, "/v2/models/tiny/images", content_length="10000").answer()
            assert told_to_come_again(picture, "R537")
            assert (await server.good()).status == 200  # a smaller one has room beside it
            assert (await server.ask(content_length="10001").answer()).status == 413
            slow.body(BODY.ljust(10_000))
            assert (await slow.answer()).status == 200
            assert server.taken == 0

    run(claim())


def test_chunks_count_as_they_come(gated: Make) -> None:
    async def claim() -> None:
        async with gated(SMALL) as server:
            await server.registry.start()
            slow = server.ask(content_length="10000")
            growing = server.ask().body(b" " * 3000, more=True).body(b" " * 1500, more=True)
            await until(lambda: server.taken == 14_500)
            growing.body(b" " * 501, more=True)
            assert told_to_come_again(await growing.answer(), "R537")
            assert server.taken == 10_000
            slow.leave()
            await slow.answer()
            assert server.taken == 0

    run(claim())


def test_what_a_body_inflates_to_counts_as_well(gated: Make) -> None:
    async def claim() -> None:
        async with gated(SMALL) as server:
            await server.registry.start()
            slow = server.ask(content_length="8000")
            await until(lambda: server.taken == 8000)
            squeezed = gzip.compress(b" " * 9000)
            answer = await server.ask(content_encoding="gzip").body(squeezed).answer()
            assert told_to_come_again(answer, "R537")
            slow.task.cancel()
            await slow.answer()  # cancelled, and the application has ended it in silence
            assert server.taken == 0

    run(claim())


@pytest.mark.parametrize("end", ["cancelled", "left", "too large", "not JSON", "not gzip"])
def test_every_way_out_gives_the_bytes_back(gated: Make, end: str) -> None:
    async def claim() -> None:
        async with gated(SMALL) as server:
            await server.registry.start()
            encoding = {"content_encoding": "gzip"} if end == "not gzip" else {}
            asked = server.ask(**encoding).body(b"{" * 9000, more=True).body(b"", more=True)
            await until(lambda: server.taken == 9000)
            if end == "cancelled":
                asked.task.cancel()
            elif end == "left":
                asked.leave()
            else:
                asked.body(b"{" * (2000 if end == "too large" else 1))
            answer = await asked.answer()
            assert answer.status == {"too large": 413, "not JSON": 400, "not gzip": 400}.get(end, 0)
            assert server.taken == 0
            assert (await server.good()).status == 200

    run(claim())


def test_work_beside_the_loop_that_fails_leaves_nothing_for_the_collector() -> None:
    def fail() -> None:
        raise ValueError("as asked")

    async def asking(kept: Room) -> None:
        await aside(fail)
        kept.taken += 1

    async def claim() -> None:
        kept = Room(1)
        weak = weakref.ref(kept)
        with pytest.raises(ValueError, match="as asked") as caught:
            await asking(kept)
        del caught, kept
        await until(lambda: weak() is None)

    gc.disable()
    try:
        run(claim())
    finally:
        gc.enable()


class Stuck(Asked):
    """A client that reads none of its answer."""

    writes = False

    async def _send(self, message: Mapping[str, Any]) -> None:
        self.writes = True
        await asyncio.Event().wait()


def test_a_client_that_leaves_while_its_answer_is_written_is_no_error(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            asked = Stuck(server.app)
            asked.body(BODY)
            await until(lambda: asked.writes)
            asked.task.cancel()  # as the connection does
            await asked.answer()  # a task that is still cancelled would be logged with its traceback
            assert server.taken == 0

    run(claim())


def json_of(numbers: int) -> bytes:
    tensor = {"name": "image", "shape": [numbers // 16, 1, 4, 4], "datatype": "FP32", "data": [1.5] * numbers}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


def test_json_counts_for_what_reading_it_takes(gated: Make) -> None:
    async def claim() -> None:
        async with gated(AppLimits(body_bytes=1 << 20, reading_bytes=2 << 20)) as server:
            await server.registry.start()
            for numbers, status in ((16_000, 200), (64_000, 413)):
                body = json_of(numbers)
                answer = await server.ask(content_length=str(len(body))).body(body).answer()
                assert answer.status == status
            assert "[R536]; send it in parts" in answer.error
            assert server.taken == 0
            assert (await server.good()).status == 200

    run(claim())


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    return file.getvalue()


PICTURE, PICTURES = png(), f"{INFER.removesuffix('infer')}images"


def noted(model: netc_runtime.Model) -> list[weakref.ref[Any]]:
    """The memory of what a model's `picture` gives from now on."""
    kept: list[weakref.ref[Any]] = []
    decode = model.picture

    def picture(source: Any) -> Any:
        tensor, found = decode(source)
        kept.append(weakref.ref(found if found.base is None else found.base))
        return tensor, found

    model.picture = picture
    return kept


class Decoder:
    """A model's `picture` that says how many of it ran at once."""

    def __init__(self, picture: Callable[[Any], Any]) -> None:
        self.now = self.most = 0
        self._picture, self._lock = picture, threading.Lock()

    def __call__(self, content: Any) -> Any:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        return self._picture(content)


def test_only_so_many_pictures_are_decoded_at_once(gated: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "usable_threads", lambda: 2)

    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            with server.registry.held("tiny") as one:
                decoder = one.model.picture = Decoder(one.model.picture)
            asked = [Asked(server.app, PICTURES).body(PICTURE) for _ in range(12)]
            assert [(await each.answer()).status for each in asked] == [200] * 12
            assert decoder.most == 2
            assert server.taken == 0

    run(claim())


def test_pictures_of_a_form_count_until_they_are_answered(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            files, room = [File("a.png", PICTURE)] * 4, Room(200)  # each is 64 bytes for the model
            with server.registry.held("tiny") as one:
                with Part(room) as part:
                    part.grow(20)
                    feeds = await images.Decoder().read_all(one, files, part)
                    refused = [isinstance(each, ServeFault) for each in feeds]
                    assert refused.count(False) == 2  # which two is whose thread was first
                    told, _ = await images.see_all(one, ["a.png"] * 4, feeds, 5)
                    assert ["[R536]" in each.get("error", "") for each in told["results"]] == refused
                ran = one.batcher.tally.executions
                with Part(room) as part, Part(room) as other:
                    other.grow(100)
                    feeds = await images.Decoder().read_all(one, files, part)
                    with pytest.raises(ServeFault) as caught:
                        await images.see_all(one, ["a.png"] * 4, feeds, 5)
                assert caught.value.code == "R537"
                assert one.batcher.tally.executions == ran  # nothing was run for it
                assert room.taken == 0

    run(claim())


def test_a_picture_whose_turn_does_not_come_is_504(gated: Make) -> None:
    async def claim() -> None:
        async with gated(queue=Limits(timeout_s=0.1)) as server:
            await server.registry.start()
            free = threading.Event()
            with server.registry.held("tiny") as one:
                decode = one.model.picture

                def held(content: Any) -> Any:
                    assert free.wait(30)
                    return decode(content)

                one.model.picture = held
            first = [
                Asked(server.app, PICTURES).body(PICTURE) for _ in range(min(images.MAX_WORKERS, usable_threads()))
            ]
            await asyncio.sleep(0.05)
            late = await Asked(server.app, PICTURES).body(PICTURE).answer()
            assert late.status == 504
            assert "R532" in late.error
            free.set()
            assert {(await each.answer()).status for each in first} == {200}
            assert server.taken == 0

    run(claim())


def test_a_form_whose_pictures_do_not_fit_keeps_none_of_them(gated: Make) -> None:
    async def claim() -> None:
        async with gated(queue=Limits(size_bytes=100)) as server:
            await server.registry.start()
            with server.registry.held("tiny") as one:
                kept = noted(one.model)
                with Part(Room(1 << 20)) as part:
                    feeds = await images.Decoder().read_all(one, [File("a.png", PICTURE)] * 20, part)
                assert [isinstance(each, ServeFault) for each in feeds].count(False) == 1
                # The rest were not even read, but for those that were on their way.
                assert len(kept) <= 1 + usable_threads()
                assert sum(each() is not None for each in kept) == 1

    run(claim())


def test_a_form_that_is_to_come_again_leaves_nothing_for_the_collector(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            whole, broken = File("a.png", PICTURE), File("b.png", PICTURE[:-30])
            with server.registry.held("tiny") as one:
                kept = noted(one.model)
                room = Room(250)
                gc.collect()
                gc.disable()
                try:
                    with Part(room) as part, Part(room) as other:
                        other.grow(150)
                        feeds = await images.Decoder().read_all(one, [broken, whole, whole], part)
                    with pytest.raises(ServeFault, match="R537"):
                        await images.see_all(one, ["a"] * 3, feeds, 5)
                    del feeds
                    assert len(kept) == 2
                    assert all(each() is None for each in kept)
                finally:
                    gc.enable()

    run(claim())


def test_a_model_without_pictures_says_so_without_a_turn(gated: Make) -> None:
    async def claim() -> None:
        async with gated() as server:
            await server.registry.start()
            with server.registry.held("tiny") as one:
                one.model.inputs = tuple(replace(each, image=None) for each in one.model.inputs)
                decoder = images.Decoder()
                decoder._turns = asyncio.Semaphore(0)  # pyright: ignore[reportPrivateUsage] -- a turn that never comes
                files, part = [File("a", b"x")] * 3, Part(Room(1000))
                for reading in (decoder.read(one, b"x"), decoder.read_all(one, files, part)):
                    with pytest.raises(ModelFault) as caught:
                        await asyncio.wait_for(reading, 10)
                    assert caught.value.code == "R112"

    run(claim())


def test_a_fault_that_the_queue_has_not_seen_is_counted(gated: Make) -> None:
    async def claim() -> None:
        async with gated(AppLimits(body_bytes=1 << 20, reading_bytes=2 << 20)) as server:
            await server.registry.start()
            for body, more in ((b"{", {}), (BODY, {"content_encoding": "br"})):
                await Asked(server.app, **more).body(body).answer()
            await Asked(server.app, PICTURES).body(b"no picture").answer()
            with server.registry.held("tiny") as one:
                assert one.batcher.tally.refused == {"R501": 1, "415": 1, "R303": 1}
                assert one.batcher.tally.fail.count == 3

    run(claim())


def test_many_large_bodies_at_once_are_bounded_over_all_clients(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    server = serving(tmp_path / "models", "--body-mib", "1", "--reading-mib", "2", "--drain-seconds", "1")
    held: list[socket.socket] = []
    try:
        head = f"POST {INFER} HTTP/1.1\r\nhost: a\r\ncontent-length: {1 << 20}\r\n\r\n".encode()
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        held += [socket.create_connection(address, timeout=20) for _ in range(3)]
        for client in held:
            client.sendall(head)
        (refused,), _, _ = select.select(held, [], [], 20)  # two are waited for
        found = b""
        while not found.endswith(b"}"):
            found += refused.recv(1 << 16)
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in found
        assert b"R537" in found
        close_all(held)
        answers = (server.infer([[[[0.5] * 4] * 4]]).status_code for _ in range(1000))
        assert 200 in answers  # once the server has seen that they are gone
    finally:
        close_all(held)  # a server that ends waits for bodies that may still come
        assert server.stop() == 0


def close_all(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()
