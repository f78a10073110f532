"""Requests that wait for a model: what runs next, and who has waited too long."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from netc_runtime.serving.execution import Member


@dataclass(slots=True, eq=False)
class Pending(Member):
    """An accepted request and who waits for its answer; times are the event loop's, in seconds."""

    future: "asyncio.Future[Any] | None" = None
    arrived: float = 0.0
    deadline: float | None = None
    started: float | None = None


class Waiting:
    """A queue for each key, first come first served within a key, and the longest wait first between keys.

    Taking one out of the middle costs no more than taking the first.
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, OrderedDict[Pending, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, pending: Pending) -> None:
        self._count += 1
        queue = self._queues.get(pending.request.key)
        if queue is None:
            queue = self._queues[pending.request.key] = OrderedDict()
        queue[pending] = self._count

    def remove(self, pending: Pending) -> bool:
        """Take a request out; tell whether it was there."""
        key = pending.request.key
        queue = self._queues.get(key)
        if queue is None or queue.pop(pending, None) is None:
            return False
        if not queue:
            del self._queues[key]
        return True

    def first(self) -> Pending:
        """Give the one that has waited longest."""
        key = min(self._queues, key=lambda each: next(iter(self._queues[each].values())))
        return next(iter(self._queues[key]))

    def batch_of(self, first: Pending, most_rows: int) -> list[Pending]:
        """Take out the first of a key and those behind it that fit in so many rows; alone if it has more, or no key.

        A request that does not fit is not overtaken by a later one of its key.
        """
        key = first.request.key
        queue = self._queues[key]
        batch = [queue.popitem(last=False)[0]]
        rows = batch[0].request.rows
        while key is not None and queue:
            rows += next(iter(queue)).request.rows
            if rows > most_rows:
                break
            batch.append(queue.popitem(last=False)[0])
        if not queue:
            del self._queues[key]
        return batch

    def all(self) -> list[Pending]:
        """Give every request that waits, in no particular order."""
        return [pending for queue in self._queues.values() for pending in queue]
