"""Tensors by `state_dict` name: in memory, mapped from a file, or made each time they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Weights: TypeAlias = Mapping[str, Array]


class Lazy(Mapping[str, Array]):
    """Weights some of which are made anew each time they are asked for, so that no more than one need be in memory."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> Array:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def maker(self, name: str) -> Callable[[], Array]:
        """What makes a tensor. Raises KeyError."""
        return self._makers[name]


def maker(weights: Weights, name: str) -> Callable[[], Array]:
    """What gives a tensor of any weights when it is called. Raises KeyError."""
    if isinstance(weights, Lazy):
        return weights.maker(name)
    array = weights[name]
    return lambda: array


def little(array: Array) -> Array:
    """The array with its elements in order and their bytes little end first; itself where it is so."""
    # Not ascontiguousarray, which gives a single number a dimension.
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")
