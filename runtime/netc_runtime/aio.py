"""The asynchronous twin of a model: the event loop goes on while the graph runs in threads."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy.typing as npt

from netc_runtime import image
from netc_runtime.pictures import ImageResult
from netc_runtime.session import Model, Outputs
from netc_runtime.settings import check_counts

_T = TypeVar("_T")


class AsyncModel:
    """A loaded model whose methods are awaited: `async with AsyncModel(load(path)) as model`.

    At most `workers` calls run at once and `waiting` more wait; who comes then waits to be let in, so that arrays of
    calls that cannot run yet do not pile up. A call that is cancelled before it runs is never run; one that runs is run
    to its end, since nothing stops a graph, and its answer goes nowhere. Leaving the block waits for what runs.

    Raises: EnvironmentFault R404 on numbers below 1.
    """

    def __init__(self, model: Model, *, workers: int = 1, waiting: int = 64) -> None:
        check_counts({"workers": workers, "waiting": waiting})
        self.model = model
        self._threads = ThreadPoolExecutor(workers, "netc-model")
        self._room = asyncio.Semaphore(workers + waiting)
        self._free = asyncio.Semaphore(workers)  # what waits does so here, where a cancelled call leaves nothing behind
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def predict(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Outputs:
        """As `Model.predict`. The arrays must stay as they are until this returns."""
        return await self._call(partial(self.model.predict, x))

    async def predict_images(self, sources: image.Source | Iterable[image.Source], top: int = 5) -> list[ImageResult]:
        """As `Model.predict_images`."""
        return await self._call(partial(self.model.predict_images, sources, top))

    async def close(self) -> None:
        """Wait for what runs, and end the threads; what waits is cancelled."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    async def _call(self, work: Callable[[], _T]) -> _T:
        async with self._room:
            await self._free.acquire()
            if self._closed:
                self._free.release()
                raise asyncio.CancelledError
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Any] = loop.run_in_executor(self._threads, self._run, loop, work)
            # A call that is given up runs on, and its thread is free when it ends.
            return await asyncio.shield(future)

    def _run(self, loop: asyncio.AbstractEventLoop, work: Callable[[], _T]) -> _T:
        try:
            return work()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._free.release)
