"""Batch norm behind a convolution: at inference both are linear, so one convolution does both."""

from __future__ import annotations

from collections import Counter

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

Linear = Conv | Depthwise | Local | Fc | Upconv


def fold_batch_norm(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Fold each batch norm into the linear layer before it, where nothing else reads that or shares its weights.

    With s = gamma / sqrt(variance + eps): weight' = s weight, bias' = beta + s (bias - mean), computed in float64 and
    rounded once. The layer keeps its name and gets a bias.

    Raises: Fault N405 where a running variance is negative.
    """
    reads = readers(graph)
    applied = Counter(node.weights for node in graph.nodes)
    nodes: list[Node | None] = list(graph.nodes)
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    folded = dict(weights)
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
        op = layer.op.model_copy(update={"bias": True})
        weight, bias = f"{layer.weights}.weight", f"{layer.weights}.bias"
        folded[weight] = _scaled(layer.op, weights[weight], factor)
        shape = op.params(*graph.operands(layer))["bias"].shape  # (c), or of `local` (c, H', W')
        ones = (-1, *[1] * (len(shape) - 1))
        old = weights[bias].astype(np.float64) if layer.op.bias else np.zeros(shape)
        folded[bias] = (shift.reshape(ones) + factor.reshape(ones) * old).astype(np.float32)
        nodes[at] = layer._replace(op=op)
        nodes[index] = None
        instead[norm.name] = layer.name
    smaller = rewritten(graph, nodes, instead)
    return smaller, needed(folded, smaller)


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


def _scaled(op: Linear, weight: Array, factor: npt.NDArray[np.float64]) -> Array:
    if isinstance(op, Upconv):
        # Its weight is (in, out / groups, kernel): input channels of group g make output channels of group g.
        each = np.repeat(factor.reshape(op.groups, -1), weight.shape[0] // op.groups, axis=0)
        shape = (*each.shape, *[1] * (weight.ndim - 2))
    else:
        # `local`'s weight is (H', W', c, in, kh, kw): the sides stand on both ends of c and in.
        behind = weight.ndim // 2 if isinstance(op, Local) else weight.ndim - 1
        each, shape = factor, (-1, *[1] * behind)
    return (weight.astype(np.float64) * each.reshape(shape)).astype(np.float32)
