"""The asynchronous twin: the same answers, bounded, and a call that is given up is not run."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc_runtime
from netc_runtime.aio import AsyncModel
from netc_runtime.errors import EnvironmentFault, RequestFault

X = np.zeros((2, 1, 4, 4), np.float32)


class Held(netc_runtime.Model):
    """A model whose runs wait until they may go on, and are counted."""

    go: threading.Event
    began: list[int]

    def predict(self, x: Any) -> Any:
        self.began.append(len(x))
        assert self.go.wait(10)
        return super().predict(x)


def held(path: Path) -> Held:
    model = netc_runtime.load(path, "cpu")
    model.__class__ = Held
    assert isinstance(model, Held)
    model.go, model.began = threading.Event(), []
    return model


async def until(done: Callable[[], bool]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within 10 s")


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(main())


def test_answers_are_the_models(digits: Path) -> None:
    plain = netc_runtime.load(digits, "cpu")
    picture = Image.new("L", (4, 4), 200)

    async def work() -> None:
        async with AsyncModel(plain) as model:
            found = await asyncio.gather(*(model.predict(X + i) for i in range(9)))
            for i, each in enumerate(found):
                assert np.array_equal(each["scores"], plain.predict(X + i)["scores"])
            (found_picture,), (expected,) = await model.predict_images([picture]), plain.predict_images([picture])
            assert str(found_picture.outputs) == str(expected.outputs)
            with pytest.raises(RequestFault):
                await model.predict(np.zeros((1, 1, 4, 5), np.float32))

    run(work)


def test_a_call_that_is_cancelled_while_it_waits_is_not_run(digits: Path) -> None:
    async def work() -> None:
        inner = held(digits)
        async with AsyncModel(inner) as model:
            running, given_up, waiting = (asyncio.create_task(model.predict(X[:n])) for n in (1, 2, 1))
            await until(lambda: len(inner.began) == 1)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            inner.go.set()
            assert (await running)["scores"].shape == (await waiting)["scores"].shape == (1, 3)
        assert inner.began == [1, 1]

    run(work)


def test_no_more_are_let_in_than_may_wait(digits: Path) -> None:
    async def work() -> None:
        inner = held(digits)
        async with AsyncModel(inner, workers=1, waiting=2) as model:
            tasks = [asyncio.create_task(model.predict(X)) for _ in range(6)]
            await until(lambda: len(inner.began) == 1)
            room = model._room  # pyright: ignore[reportPrivateUsage]
            assert room.locked()
            inner.go.set()
            assert len(await asyncio.gather(*tasks)) == 6
            assert not room.locked()

    run(work)


def test_leaving_waits_for_what_runs_and_cancels_the_rest(digits: Path) -> None:
    async def work() -> None:
        inner = held(digits)
        model = AsyncModel(inner)
        running, waiting = (asyncio.create_task(model.predict(X)) for _ in range(2))
        await until(lambda: len(inner.began) == 1)
        closing = asyncio.create_task(model.close())
        await asyncio.sleep(0)
        inner.go.set()
        await closing
        assert (await running)["scores"].shape == (2, 3)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert inner.began == [2]

    run(work)


def test_numbers_below_1_are_refused(digits: Path) -> None:
    with pytest.raises(EnvironmentFault, match="R404"):
        AsyncModel(netc_runtime.load(digits, "cpu"), workers=0)


def test_calls_that_are_given_up_leave_nothing_behind(digits: Path) -> None:
    async def work() -> None:
        inner = held(digits)
        async with AsyncModel(inner, workers=1, waiting=4) as model:
            running = asyncio.create_task(model.predict(X))
            await until(lambda: len(inner.began) == 1)
            given: list[weakref.ref[Any]] = []
            for _ in range(50):
                x = X.copy()
                given.append(weakref.ref(x))
                task = asyncio.create_task(model.predict(x))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del x, task
            gc.collect()
            await until(lambda: all(each() is None for each in given))  # the loop lets go of the last one's task
            inner.go.set()
            assert (await running)["scores"].shape == (2, 3)
            assert (await model.predict(X))["scores"].shape == (2, 3)
        assert inner.began == [2, 2]

    run(work)


def test_a_thread_is_not_free_before_the_call_that_was_given_up_ends(digits: Path) -> None:
    async def work() -> None:
        inner = held(digits)
        async with AsyncModel(inner, workers=1) as model:
            given_up = asyncio.create_task(model.predict(X))
            await until(lambda: len(inner.began) == 1)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            waiting = asyncio.create_task(model.predict(X[:1]))
            await asyncio.sleep(0.05)
            assert inner.began == [2]
            inner.go.set()
            assert (await waiting)["scores"].shape == (1, 3)

    run(work)
