"""One pass over all numbers of the weights: their digest, and whether each is a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import isfinite
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from netc.diagnostic import Fault
from netc.weights.tensors import Array, Made, Weights, cut, maker

SHOWN = 20  # names in one message
SMALL = 4096  # bytes; less than that is hashed together with what follows


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
    waiting = bytearray()
    unsound: list[str] = []
    with np.errstate(all="ignore"):
        for name in sorted(weights):
            make = maker(weights, name)
            tensor = make if isinstance(make, Made) else make()
            waiting += f"{json.dumps(name)} {_word(tensor.dtype)} {list(tensor.shape)}\n".encode()
            sound = True
            for piece in tensor.pieces() if isinstance(tensor, Made) else cut(tensor):
                if stopped():
                    return Examined(total.hexdigest(), tuple(unsound))
                if piece.nbytes < SMALL:
                    waiting += piece.data
                else:
                    total.update(waiting)
                    waiting.clear()
                    total.update(piece.data)
                sound = sound and _finite(piece)
            if not sound:
                unsound.append(name)
    total.update(waiting)
    return Examined(total.hexdigest(), tuple(unsound))


@lru_cache
def _word(dtype: np.dtype[Any]) -> str:
    return dtype.newbyteorder("<").str


def finite(array: Array) -> bool:
    """Whether every element is a number."""
    with np.errstate(all="ignore"):
        return _finite(array)


def _finite(array: Array) -> bool:
    # A NaN or an infinity leaves its mark in the sum; numbers may overflow there.
    return array.dtype.kind != "f" or isfinite(np.add.reduce(array, axis=None)) or bool(np.isfinite(array).all())


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
