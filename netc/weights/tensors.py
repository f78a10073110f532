"""Tensors by `state_dict` name: in memory, read from a file piece by piece, or made each time they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Weights: TypeAlias = Mapping[str, Array]

PIECE = 1 << 17  # elements: half a MiB of f32, which a core's own cache holds twice, as it is read and as it is made


class Made(ABC):
    """A tensor that is made when it is asked for: whole by a call, or in pieces, of which one is in memory at a time.

    Its shape and its type, little end first, are known before. Several threads may make it at once.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.size = prod(shape)
        self.dtype = dtype

    @abstractmethod
    def pieces(self, of: int = 1) -> Iterable[Array]:
        """Its elements in order, flat; each time about PIECE, a multiple of `of`, of which the size is one."""

    def then(self, following: Made) -> Made | None:
        """This tensor and another one behind it as one, where they lie so: what reads many reads them at once."""
        return None

    def __call__(self) -> Array:
        whole = np.empty(self.shape, self.dtype)
        flat, at = whole.reshape(-1), 0
        for piece in self.pieces():
            flat[at : at + piece.size] = piece
            at += piece.size
        return whole


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
    """What gives a tensor of any weights when it is called; may be a `Made`. Raises KeyError."""
    if isinstance(weights, Lazy):
        return weights.maker(name)
    array = weights[name]
    return lambda: array


def pieces(make: Callable[[], Array], of: int = 1) -> Iterable[Array]:
    """What a maker makes, flat and little end first, piece by piece; as `Made.pieces`."""
    return make.pieces(of) if isinstance(make, Made) else cut(make(), of)


def cut(array: Array, of: int = 1) -> Iterable[Array]:
    """An array, flat and little end first, piece by piece; as `Made.pieces`."""
    flat, step = little(array).reshape(-1), step_of(of)
    if flat.size <= step:
        return (flat,)
    return (flat[at : at + step] for at in range(0, flat.size, step))


def step_of(multiple: int) -> int:
    """How many elements a piece has: about PIECE, and a multiple of the number given."""
    return max(PIECE // multiple, 1) * multiple


def chosen(weights: Weights, names: Iterable[str]) -> Weights:
    """Some of the weights, in the order of the names; those that are made are not made. Raises KeyError."""
    if isinstance(weights, Lazy):
        return Lazy({name: weights.maker(name) for name in names})
    return {name: weights[name] for name in names}


def changed(weights: Weights, makers: Mapping[str, Callable[[], Array]]) -> Lazy:
    """The weights with those that are named made in another way, or added."""
    return Lazy({**{name: maker(weights, name) for name in weights}, **makers})


def described(weights: Weights, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """A tensor's shape and type; it is made only where that is the only way to know. Raises KeyError."""
    make = maker(weights, name)
    if isinstance(make, Made):
        return make.shape, make.dtype
    array = make()
    return tuple(array.shape), array.dtype


def little(array: Array) -> Array:
    """The array with its elements in order and their bytes little end first; itself where it is so."""
    # Not ascontiguousarray, which gives a single number a dimension.
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")
