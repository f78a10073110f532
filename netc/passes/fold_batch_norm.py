"""Batch norm behind a convolution: at inference both are linear, so one convolution does both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from math import lcm, prod

import numpy as np
import numpy.typing as npt

from netc.diagnostic import Fault
from netc.graph import Graph, Node
from netc.ops.bn import Bn
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.fc import Fc
from netc.ops.local import Local
from netc.ops.upconv import Upconv
from netc.passes.rewriting import needed, readers, rewritten
from netc.weights import Array, Weights
from netc.weights.tensors import Made, changed, described, maker, pieces, step_of

Linear = Conv | Depthwise | Local | Fc | Upconv


def fold_batch_norm(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Fold each batch norm into the linear layer before it, where nothing else reads that or shares its weights.

    With s = gamma / sqrt(variance + eps): weight' = s weight, bias' = beta + s (bias - mean), computed in float64 and
    rounded once; a weight whenever it is asked for. The layer keeps its name and gets a bias.

    Raises: Fault N405 where a running variance is negative.
    """
    reads = readers(graph)
    applied = Counter(node.weights for node in graph.nodes)
    nodes: list[Node | None] = list(graph.nodes)
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    folded: dict[str, Callable[[], Array]] = {}
    biased: dict[int, Linear] = {}  # equal layers stay one
    instead: dict[str, str] = {}
    for index, norm in enumerate(graph.nodes):
        at = place.get(norm.inputs[0])
        if at is None or not isinstance(norm.op, Bn):
            continue
        layer = graph.nodes[at]
        if reads[layer.name] > 1 or applied[layer.weights] > 1 or applied[norm.weights] > 1:
            continue
        if not isinstance(layer.op, Linear):
            continue
        factor, shift = _line(norm, norm.op, weights)
        weight, bias = f"{layer.weights}.weight", f"{layer.weights}.bias"
        folded[weight] = scaled = _scaled(layer.op, weights, weight, factor)
        if layer.op.bias:
            old = weights[bias].astype(np.float64)  # (c), or of `local` (c, H', W')
            ones = (-1, *[1] * (old.ndim - 1))
            shift = shift.reshape(ones) + factor.reshape(ones) * old
        elif isinstance(layer.op, Local):
            sides = scaled.shape[: len(scaled.shape) // 2 - 1]
            shift = np.multiply.outer(shift, np.ones(sides))
        folded[bias] = partial(_held, shift.astype(np.float32))
        if id(layer.op) not in biased:
            biased[id(layer.op)] = layer.op.model_copy(update={"bias": True})
        nodes[at] = layer._replace(op=biased[id(layer.op)])
        nodes[index] = None
        instead[norm.name] = layer.name
    smaller = rewritten(graph, nodes, instead)
    return smaller, needed(changed(weights, folded), smaller)


def _held(array: Array) -> Array:
    return array


def _line(norm: Node, op: Bn, weights: Weights) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # What the batch norm does to a channel: x -> factor x + shift.
    gamma, beta, mean, variance = (
        weights[f"{norm.weights}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    if (variance + op.eps <= 0).any():
        raise Fault(
            "N405",
            f"{norm.weights}.running_var has {variance.min():.3g}, and a variance is never negative",
            help="these weights are damaged, or belong to another layer",
        )
    factor = gamma / np.sqrt(variance + op.eps)
    return factor, beta - factor * mean


class _Scaled(Made):
    """A weight times a factor for each of its rows of `inner` elements; after the last factor the first one follows."""

    def __init__(
        self, source: Callable[[], Array], shape: tuple[int, ...], factor: npt.NDArray[np.float64], inner: int
    ) -> None:
        super().__init__(shape, np.dtype("<f4"))
        self._source, self._factor, self._inner = source, factor.reshape(-1, 1), inner

    def pieces(self, of: int = 1) -> Iterable[Array]:
        of = lcm(of, self._inner)
        room = np.empty(min(prod(self.shape), step_of(of)), np.float32)
        row, count = 0, len(self._factor)
        for piece in pieces(self._source, of):
            rows = piece.reshape(-1, self._inner)
            made = room[: piece.size].reshape(rows.shape)
            last = row + len(rows)
            factor = self._factor[row:last] if last <= count else self._factor[np.arange(row, last) % count]
            np.multiply(rows, factor, out=made, casting="same_kind")  # in float64, a part of the cache at a time
            yield made.reshape(-1)
            row = last % count


def _scaled(op: Linear, weights: Weights, name: str, factor: npt.NDArray[np.float64]) -> _Scaled:
    make = maker(weights, name)
    shape, _ = described(weights, name)
    if isinstance(op, Upconv):
        # Its weight is (in, out / groups, kernel): input channels of group g make output channels of group g.
        factor = np.repeat(factor.reshape(op.groups, -1), shape[0] // op.groups, axis=0)
        return _Scaled(make, shape, factor, prod(shape[2:]))
    # `local`'s weight is (H', W', c, in, kh, kw): the sides stand on both ends of c and in.
    before = len(shape) // 2 - 1 if isinstance(op, Local) else 0
    return _Scaled(make, shape, factor, prod(shape[before + 1 :]))
