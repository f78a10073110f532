"""One pass over all numbers of the weights: their digest, and whether each is a number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from threading import Event
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from blake3 import blake3

from netc.diagnostic import Fault
from netc.weights.safetensors_file import layout
from netc.weights.tensors import Array, Weights, as_one, maker, pieces, runs

SHOWN = 20  # names in one message


class Examined(NamedTuple):
    """The weights' digest, and the names of those that hold a NaN or an infinity."""

    digest: str
    unsound: tuple[str, ...]


def digest(weights: Weights) -> str:
    """BLAKE3 of the safetensors file that `save` writes of the weights: equal for equal ones, however stored."""
    # Each build hashes its weights and its file: SHA-256 twice would take a third of its time, at 1.9 GB/s a core.
    return examine(weights).digest


def examine(weights: Weights, stopped: Callable[[], bool] = lambda: False) -> Examined:
    """Read every tensor once, piece by piece. It ends early, with whatever it has, where `stopped` says so.

    Raises: as reading the weights does.
    """
    start, makers = layout(weights)
    total = blake3(start)
    sound = True
    with np.errstate(all="ignore"):
        for piece in (piece for run in runs(makers) for piece in pieces(as_one(run))):
            if stopped():
                return Examined(total.hexdigest(), ())
            total.update(piece.data.cast("B"))
            sound = sound and _finite(piece)
        unsound = () if sound else tuple(name for name in weights if not _all_finite(maker(weights, name)))
    return Examined(total.hexdigest(), unsound)


def _all_finite(make: Callable[[], Array]) -> bool:
    return all(_finite(piece) for piece in pieces(make))


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
