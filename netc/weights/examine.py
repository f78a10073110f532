"""One pass over all numbers of the weights: their digest, and whether each is a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from threading import Event
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from netc.diagnostic import Fault
from netc.weights.tensors import PIECE, Array, Weights, described, maker, pieces

SHOWN = 20  # names in one message


class Examined(NamedTuple):
    """SHA-256 of the weights, and the names of those that hold a NaN or an infinity."""

    sha256: str
    unsound: tuple[str, ...]


def digest(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes, sorted by name: equal for equal weights, however they are stored."""
    return examine(weights).sha256


def examine(weights: Weights, stopped: Callable[[], bool] = lambda: False) -> Examined:
    """Read every tensor once, piece by piece. It ends early, with whatever it has, where `stopped` says so.

    Raises: as reading the weights does.
    """
    total = hashlib.sha256()
    waiting = bytearray()  # small tensors are hashed together: a call for each would take longer
    unsound: list[str] = []
    for name in sorted(weights):
        shape, dtype = described(weights, name)
        waiting += json.dumps([name, dtype.newbyteorder("<").str, shape]).encode()
        sound = True
        for piece in pieces(maker(weights, name)):
            if stopped():
                return Examined(total.hexdigest(), tuple(unsound))
            if piece.nbytes < PIECE:
                waiting += piece.data
            else:
                total.update(waiting)
                waiting.clear()
                total.update(piece.data)
            sound = sound and finite(piece)
        if not sound:
            unsound.append(name)
        if len(waiting) > 2 * PIECE:
            total.update(waiting)
            waiting.clear()
    total.update(waiting)
    return Examined(total.hexdigest(), tuple(unsound))


def finite(array: Array) -> bool:
    """Whether every element is a number."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        total = np.add.reduce(array, axis=None)
    # A NaN or an infinity leaves its mark in the sum; numbers may overflow there.
    return isfinite(total) or bool(np.isfinite(array).all())


def refuse_unsound(names: tuple[str, ...], prefix: str = "") -> None:
    """Raises: Fault N404 where there are such tensors."""
    if not names:
        return
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise Fault(
        "N404",
        f"{prefix}a NaN or an infinity stands in {', '.join(names[:SHOWN])}{more}",
        help="the training diverged, or a number is beyond f32; --allow-nonfinite takes them as they are",
    )


class Examining:
    """The examination of weights in a second thread, while others read them; leaving the block ends it."""

    def __init__(self, weights: Weights) -> None:
        self._stopped = Event()
        self._thread = ThreadPoolExecutor(1, "netc-examine")
        self._examined = self._thread.submit(examine, weights, self._stopped.is_set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stopped.set()
        self._thread.shutdown()

    def result(self) -> Examined:
        """What was found, as soon as it is. Raises: as `examine` does."""
        return self._examined.result()
