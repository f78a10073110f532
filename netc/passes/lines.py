"""Layers that do a line to each channel, x -> factor x + shift, and the weights of the layer that takes one over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from math import lcm
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from netc.diagnostic import Fault
from netc.graph import Graph, Node
from netc.ops.bn import Bn
from netc.ops.scale import Scale
from netc.passes.inner import Normalise
from netc.passes.rewriting import needed
from netc.weights import Array, Weights
from netc.weights.tensors import Lazy, Made, changed, described, flat, pieces

Floats: TypeAlias = npt.NDArray[np.float64]
Maker: TypeAlias = Callable[[], Array]

LINES = (Bn, Scale, Normalise)
_F4 = np.dtype("<f4")


class Line(NamedTuple):
    """A factor a channel and a shift a channel; None where nothing is ever added."""

    factor: Floats
    shift: Floats | None


class Changes:
    """Weights while a pass changes some; none of them is made before somebody asks for it."""

    def __init__(self, weights: Weights) -> None:
        self._lazy = weights if isinstance(weights, Lazy) else None  # asked once: a net may have thousands
        self._weights = weights
        self._changed: dict[str, Maker] = {}

    def maker(self, name: str) -> Maker:
        """What makes a tensor as it is now."""
        if name in self._changed:
            return self._changed[name]
        return partial(_itself, self._weights[name]) if self._lazy is None else self._lazy.maker(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape."""
        return described(self.maker(name))[0]

    def __setitem__(self, name: str, make: Maker) -> None:
        self._changed[name] = make

    def done(self, graph: Graph) -> Weights:
        """The weights that a graph has a place for, with the changes, in its order."""
        return needed(changed(self._weights, self._changed), graph)


def _itself(array: Array) -> Array:
    return array


def lines(nodes: Sequence[Node], weights: Weights) -> dict[str, Line]:
    """What layers do to a channel, by the layer's name; batch norms all at once, as there may be a thousand.

    Raises: Fault N405 where a running variance is negative.
    """
    found: dict[str, Line] = {}
    norms = [(node, node.op) for node in nodes if isinstance(node.op, Bn)]
    if norms:
        ends = [0, *accumulate(node.type.c for node, _ in norms)]
        # In the order in which a file of safetensors has them: then the four are read at once.
        names = ("bias", "running_mean", "running_var", "weight")
        read = flat(weights, [f"{node.weights}.{name}" for node, _ in norms for name in names])
        beta, mean, variance, gamma = (np.concatenate(read[i :: len(names)]).astype(np.float64) for i in range(4))
        variance += np.repeat([op.eps for _, op in norms], np.diff(ends))
        if (variance <= 0).any():
            raise _negative(norms, weights)
        factor = gamma / np.sqrt(variance)
        shift = beta - factor * mean
        found |= {
            node.name: Line(factor[a:b], shift[a:b]) for (node, _), (a, b) in zip(norms, pairwise(ends), strict=True)
        }
    for node in nodes:
        if isinstance(node.op, Scale):
            found[node.name] = Line(weights[node.weights].astype(np.float64).reshape(-1), None)
        elif isinstance(node.op, Normalise):
            mean, std = (np.broadcast_to(np.array(numbers), node.type.c) for numbers in (node.op.mean, node.op.std))
            found[node.name] = Line(node.op.scale / std, -mean / std if mean.any() else None)
    return found


def _negative(norms: Iterable[tuple[Node, Bn]], weights: Weights) -> Fault:
    least = (
        (f"{node.weights}.running_var", np.fmin.reduce(weights[f"{node.weights}.running_var"]), op.eps)
        for node, op in norms
    )
    name, variance, _ = next(each for each in least if each[1] + each[2] <= 0)
    return Fault(
        "N405",
        f"{name} has {variance:.3g}, and a variance is never negative",
        help="these weights are damaged, or belong to another layer",
    )


class Scaled(Made):
    """A tensor, seen as rows of `inner` elements, times a factor for each row, or for each element of a row.

    `factor` is (rows, 1) or (rows, inner); after its last row the first one follows.
    """

    def __init__(self, source: Maker, shape: tuple[int, ...], factor: Floats, inner: int) -> None:
        super().__init__(shape, _F4)
        self._source, self._factor, self._inner = source, factor, inner

    def pieces(self, of: int = 1) -> Iterable[Array]:
        of = lcm(of, self._inner)
        row, count = 0, len(self._factor)
        for piece in pieces(self._source, of):
            rows = piece.reshape(-1, self._inner)
            made = np.empty(rows.shape, np.float32)
            last = row + len(rows)
            factor = self._factor[row:last] if last <= count else self._factor[np.arange(row, last) % count]
            np.multiply(rows, factor, out=made, casting="same_kind")  # in float64, a part of the cache at a time
            yield made.reshape(-1)
            row = last % count


class Shifted(Made):
    """The bias of a layer whose inputs are shifted: b + the sum over a kernel of w t.

    `weight` gives rows of kernels, one an output; `shift` is (groups, elements of a kernel), and each group's outputs
    are neighbours.
    """

    def __init__(self, weight: Maker, outputs: int, shift: Floats, bias: Maker | None) -> None:
        super().__init__((outputs,), _F4)
        self._weight, self._shift, self._bias = weight, shift, bias

    def pieces(self, of: int = 1) -> Iterable[Array]:
        made = np.zeros(self.shape) if self._bias is None else self._bias().astype(np.float64)
        groups, inner = self._shift.shape
        each, row = self.shape[0] // groups, 0
        for piece in pieces(self._weight, inner):
            rows = piece.reshape(-1, inner)
            last = row + len(rows)
            shift = self._shift[np.arange(row, last) // each] if groups > 1 else self._shift
            made[row:last] += (rows * shift).sum(axis=1)
            row = last
        return pieces(lambda: made.astype(np.float32), of)
