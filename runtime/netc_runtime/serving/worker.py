"""Threads beside an event loop: one that runs what it is handed, job after job, and one for a single job."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from netc_runtime.serving import threads

Result = TypeVar("Result")
Other = TypeVar("Other")
Job: TypeAlias = Callable[[], Any]


class Worker(Generic[Result]):
    """A thread whose jobs' results come back to the event loop that made it.

    A job may raise nothing: one that does ends the thread, and `died` is called with the error. The thread is a daemon,
    so that a job that hangs keeps no process from its exit.
    """

    def __init__(self, name: str, done: Callable[[Result], None], died: Callable[[BaseException], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = done
        self._died = died
        self._jobs: SimpleQueue[tuple[Job, Callable[[Any], None]] | None] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threads.start(self._work, name)

    def start(self, job: Callable[[], Result]) -> None:
        """Hand the thread a job; `done` is called with its result, in the event loop."""
        self._jobs.put((job, self._done))

    async def perform(self, job: Callable[[], Other]) -> Other:
        """Have the thread do something else between its jobs, and wait for it. Raises: what the job raises."""
        result = await self._result(job)
        try:
            if isinstance(result, BaseException):
                raise result
            return result[0]
        finally:
            del result  # an error keeps this frame, which would keep the error, and a whole model with it

    async def _result(self, job: Callable[[], Other]) -> tuple[Other] | BaseException:
        future: asyncio.Future[tuple[Other] | BaseException] = self._loop.create_future()

        def done(result: tuple[Other] | BaseException) -> None:
            if not future.done():
                future.set_result(result)

        def guarded() -> tuple[Other] | BaseException:
            try:
                return (job(),)
            except BaseException as error:
                return error

        self._jobs.put((guarded, done))
        return await future

    def finish(self) -> None:
        """End the thread after the jobs it has."""
        self._jobs.put(None)

    async def close(self) -> None:
        """End the thread after the jobs it has; wait for that."""
        self.finish()
        await asyncio.shield(self._ended)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (task := self._jobs.get()) is not None:
                job, done = task
                self._tell(done, job())
                del task, job, done  # a batch's arrays end with the batch, not with the next one
        except BaseException as error:  # even SystemExit: the thread ends, and says so
            self._tell(self._died, error)
        self._tell(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            # The loop has closed: nobody is left to hear it.
            assert self._loop.is_closed()


async def aside(job: Callable[[], Result]) -> Result:
    """Run one job on a daemon thread of its own and wait for it; unlike an executor's it does not keep a process up.

    Raises: what the job raises.
    """
    worker = Worker[None]("netc-aside", lambda _: None, lambda _: None)
    try:
        return await worker.perform(job)
    finally:
        worker.finish()
