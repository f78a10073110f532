"""Tensors by `state_dict` name: in memory, read from a file piece by piece, or made each time they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Weights: TypeAlias = Mapping[str, Array]

PIECE = 1 << 17  # elements: half a MiB of f32, which a core's own cache holds twice, as it is read and as it is made


class Made:
    """A tensor that is made when it is asked for: whole by a call, or in pieces, of which one is in memory at a time.

    Its shape and its type, little end first, are known before. Several threads may make it at once. A subclass says
    `pieces`. It is no abstract class: `isinstance` is asked of each of thousands of tensors.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.size = prod(shape)
        self.dtype = dtype

    def pieces(self, of: int = 1) -> Iterable[Array]:
        """Its elements in order, flat; each time about PIECE, a multiple of `of`, of which the size is one."""
        raise NotImplementedError(type(self).__name__)

    def continues(self, before: Made) -> bool:
        """Whether it lies right behind another one of its type, so that both can be read at once."""
        return False

    def through(self, last: Made) -> Made:
        """All from this tensor to the last of those that continue it, flat."""
        raise NotImplementedError(type(self).__name__)

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

    def makers(self, names: Iterable[str]) -> list[Callable[[], Array]]:
        """What makes each of several. Raises KeyError."""
        makers = self._makers
        return [makers[name] for name in names]

    def chosen(self, names: Iterable[str]) -> Lazy:
        """Some of them, in the order of the names. Raises KeyError."""
        makers = self._makers
        return Lazy({name: makers[name] for name in names})

    def changed(self, makers: Mapping[str, Callable[[], Array]]) -> Lazy:
        """Those that are named made in another way, or added."""
        return Lazy({**self._makers, **makers})


def maker(weights: Weights, name: str) -> Callable[[], Array]:
    """What gives a tensor of any weights when it is called; may be a `Made`. Raises KeyError."""
    if isinstance(weights, Lazy):
        return weights.maker(name)
    array = weights[name]
    return lambda: array


def makers(weights: Weights, names: Iterable[str]) -> list[Callable[[], Array]]:
    """What gives several tensors, as `maker` does, in the order of the names. Raises KeyError."""
    return weights.makers(names) if isinstance(weights, Lazy) else [maker(weights, name) for name in names]


def pieces(make: Callable[[], Array], of: int = 1) -> Iterable[Array]:
    """What a maker makes, flat and little end first, piece by piece; as `Made.pieces`."""
    return make.pieces(of) if isinstance(make, Made) else cut(make(), of)


def runs(makers: Iterable[Callable[[], Array]]) -> Iterator[list[Callable[[], Array]]]:
    """Makers in their order, those together that continue one another: a net may have thousands of small tensors."""
    run: list[Callable[[], Array]] = []
    before = None
    for make in makers:
        made = make if isinstance(make, Made) else None
        if run and (made is None or before is None or not made.continues(before)):
            yield run
            run = []
        run.append(make)
        before = made
    if run:
        yield run


def as_one(run: Sequence[Callable[[], Array]]) -> Callable[[], Array]:
    """What makes all tensors of a run at once: flat, where they are several."""
    first, last = run[0], run[-1]
    return first.through(last) if first is not last and isinstance(first, Made) and isinstance(last, Made) else first


def flat(weights: Weights, names: Iterable[str]) -> list[Array]:
    """Several tensors, each flat, those at once that lie together. Raises KeyError."""
    found: list[Array] = []
    for run in runs(makers(weights, names)):
        whole, at = as_one(run)().reshape(-1), 0
        for make in run:
            size = make.size if isinstance(make, Made) else whole.size
            found.append(whole[at : at + size])
            at += size
    return found


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
        return weights.chosen(names)
    return {name: weights[name] for name in names}


def changed(weights: Weights, makers: Mapping[str, Callable[[], Array]]) -> Lazy:
    """The weights with those that are named made in another way, or added."""
    lazy = weights if isinstance(weights, Lazy) else Lazy({name: maker(weights, name) for name in weights})
    return lazy.changed(makers)


def described(make: Callable[[], Array]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """A tensor's shape and type; it is made only where that is the only way to know."""
    if isinstance(make, Made):
        return make.shape, make.dtype
    array = make()
    return tuple(array.shape), array.dtype


def little(array: Array) -> Array:
    """The array with its elements in order and their bytes little end first; itself where it is so."""
    # Not ascontiguousarray, which gives a single number a dimension.
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")
