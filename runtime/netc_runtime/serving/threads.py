"""Work in threads: beside the event loop, and in threads that keep no process from its end."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakSet

T = TypeVar("T")
Given = TypeVar("Given")
ASIDE_BYTES = 1 << 17  # of JSON, or of what becomes JSON, from which it is worth a thread: a millisecond or two

_started: WeakSet[threading.Thread] = WeakSet()


def start(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that is counted."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    _started.add(thread)
    thread.start()
    return thread


async def aside(work: Callable[..., T], *args: object) -> T:
    """Do it in a thread, as `asyncio.to_thread` does; whoever is cancelled meanwhile waits for its end.

    What the thread works on is in memory until then, and is counted as long as its request is there.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        working.exception()  # nobody waits for it
        raise
    finally:
        del working  # a fault keeps this frame, which would keep the fault, and with it a model


async def together(do: Callable[[Given], Awaitable[T]], given: list[Given]) -> list[T]:
    """Do it for each at once, and give the results in order; `given` is emptied. What fails ends the others first.

    `asyncio.gather` keeps what its tasks gave until the collector comes: pictures, here. Raises: what the first raises.
    """
    found: dict[int, T] = {}
    failed: BaseException | None = None

    async def one(index: int, each: Given) -> None:
        found[index] = await do(each)

    count = len(given)
    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                group.create_task(one(index, given.pop(0)))
    except BaseExceptionGroup as errors:
        failed = errors.exceptions[0]
    if failed is None:
        return [found.pop(index) for index in range(count)]
    try:
        raise failed
    finally:
        found.clear()
        del failed  # it keeps this frame


def any_left() -> bool:
    """Whether one of them still runs."""
    return any(thread.is_alive() for thread in list(_started))
