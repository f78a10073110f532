"""How many times as fast one file runs as another, on this machine's CPU, from runs that take turns."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import NamedTuple

ROUNDS = 7
SECONDS = 0.5  # a comparison takes about this long, or as long as it must

Run = Callable[[], object]


class Ratio(NamedTuple):
    """Medians of what a batch takes in both files, in milliseconds."""

    batch: int
    before_ms: float
    after_ms: float

    @property
    def ratio(self) -> float:
        """How many times as fast it is after."""
        return self.before_ms / self.after_ms


def compared(batch: int, before: Run, after: Run) -> Ratio:
    """Run both in turn, and after a round the other first: what else the machine does falls on both alike."""
    before()
    after()
    once = _timed(before) + _timed(after)
    rounds = max(ROUNDS, min(100, int(SECONDS / once)))
    times: list[tuple[float, float]] = []
    for index in range(rounds):
        if index % 2:
            second, first = _timed(after), _timed(before)
        else:
            first, second = _timed(before), _timed(after)
        times.append((first, second))
    return Ratio(batch, 1e3 * median(first for first, _ in times), 1e3 * median(second for _, second in times))


def _timed(run: Run) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start
