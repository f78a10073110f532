"""Ratios of runs that alternate: what slows the machine down for a while slows both sides down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import median, quantiles
from typing import NamedTuple

FEWEST = 5
"""Rounds whose median and quartiles are worth printing."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of processes that are timed: each may keep its compiled bytecode; some machines are set not to write it."""


class Ratio(NamedTuple):
    """The median of ratios taken pair by pair, with their middle half."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ours over theirs: below 1, ours is faster. The two are of equal length, and a pair ran one after the other."""
    return middle([a / b for a, b in zip(ours, theirs, strict=True)])


def middle(ratios: Sequence[float]) -> Ratio:
    """The median of some ratios and their quartiles."""
    low, _, high = quantiles(ratios, n=4)
    return Ratio(median(ratios), low, high)


def alternate(
    turns: Mapping[str, Callable[[], float]], seconds: float, fewest: int = FEWEST, most: int = 25
) -> dict[str, list[float]]:
    """What each turn answers, round by round, in an order drawn anew each time; for so many seconds, within the bounds.

    In a fixed order, or one that turns back and forth, some side always runs behind the same one, or behind itself.
    """
    names, random = list(turns), Random(0)
    found: dict[str, list[float]] = {name: [] for name in names}
    end = time.monotonic() + seconds
    for number in range(max(fewest, most)):
        if number >= fewest and time.monotonic() > end:
            break
        random.shuffle(names)
        for name in names:
            found[name].append(turns[name]())
    return found
