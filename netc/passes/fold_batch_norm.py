"""A line behind a linear layer, as batch norm is at inference: one layer does both."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from netc.graph import Graph, Node
from netc.op import Layer
from netc.ops.bn import Bn
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.fc import Fc
from netc.ops.local import Local
from netc.ops.scale import Scale
from netc.ops.upconv import Upconv
from netc.passes.draft import Draft
from netc.passes.lines import Changes, Floats, Line, Maker, Scaled, lines
from netc.passes.rewriting import applications, readers
from netc.weights import Array, Weights

# Tuples: there may be thousands of layers, and a union takes as long as all else that is asked of one.
_LINES = (Bn, Scale)
BIASED = (Conv, Depthwise, Local, Fc, Upconv)
_TAKE_OVER = {"bn": (*BIASED, Bn), "scale": (*BIASED, Bn, Scale)}


def fold_batch_norm(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Fold each batch norm, and each `scale`, into the linear layer before it, where nothing else reads that or shares
    its weights. Another batch norm is such a layer as well, and for a `scale` another one is.

    With s = gamma / sqrt(variance + eps): weight' = s weight, bias' = beta + s (bias - mean), computed in float64 and
    rounded once; a weight whenever it is asked for. The layer keeps its name and gets a bias.

    Raises: Fault N405 where a running variance is negative.
    """
    norms = [node for node in graph.nodes if isinstance(node.op, _LINES)]
    if not norms:
        return graph, weights
    draft, reads, applied = Draft(graph), readers(graph), applications(graph)
    biased: dict[int, Layer] = {}  # equal layers stay one
    pairs: list[tuple[Node, Node]] = []  # a line, and the layer that takes it over
    for norm in norms:
        if reads[norm.inputs[0]] > 1 or applied[norm.weights] > 1:
            continue
        layer = draft.maker(norm.inputs[0])
        if layer is None or not isinstance(layer.op, _TAKE_OVER[norm.op.kind]) or applied[layer.weights] > 1:
            continue
        pairs.append((norm, layer))
        draft.drop(norm, layer.name)
        if isinstance(norm.op, Bn) and isinstance(layer.op, BIASED) and not layer.op.bias:
            if id(layer.op) not in biased:
                biased[id(layer.op)] = layer.op.model_copy(update={"bias": True})
            draft.put(layer._replace(op=biased[id(layer.op)]))
    if not pairs:
        return graph, weights
    folded, found = Changes(weights), lines([norm for norm, _ in pairs], weights)
    for norm, layer in pairs:
        _scale(folded, layer, found[norm.name].factor)
        _shift(folded, layer, found[norm.name])
    smaller = draft.done()
    return smaller, folded.done(smaller)


def _scale(folded: Changes, layer: Node, factor: Floats) -> None:
    op = layer.op
    name = layer.weights if isinstance(op, Scale) else f"{layer.weights}.weight"
    shape = folded.shape(name)
    inner = prod(shape[1:])
    if isinstance(op, Upconv):
        # Its weight is (in, out / groups, kernel): input channels of group g make output channels of group g.
        factor, inner = np.repeat(factor.reshape(op.groups, -1), shape[0] // op.groups, axis=0), prod(shape[2:])
    elif isinstance(op, Local):
        inner = prod(shape[len(shape) // 2 :])  # (H', W', c, in, kh, kw): the sides stand on both ends of c and in
    folded[name] = Scaled(folded.maker(name), shape, factor.reshape(-1, 1), inner)


def _shift(folded: Changes, layer: Node, line: Line) -> None:
    op, bias = layer.op, f"{layer.weights}.bias"
    if isinstance(op, Bn) or (isinstance(op, BIASED) and op.bias):
        folded[bias] = partial(_moved, folded.maker(bias), line)
    elif line.shift is not None:
        sides = [side for side in layer.type.sides if isinstance(side, int)] if isinstance(op, Local) else []
        folded[bias] = partial(_spread, line.shift, sides)


def _moved(bias: Maker, line: Line) -> Array:
    old = bias()  # (c), or of `local` (c, H', W')
    ones = (-1, *[1] * (old.ndim - 1))
    made = line.factor.reshape(ones) * old
    if line.shift is not None:
        made += line.shift.reshape(ones)
    return made.astype(np.float32)


def _spread(shift: Floats, sides: list[int]) -> Array:
    if not sides:  # as nearly always: to broadcast takes longer than to fold
        return shift.astype(np.float32)
    ones = (-1, *[1] * len(sides))
    return np.broadcast_to(shift.reshape(ones), (len(shift), *sides)).astype(np.float32)
