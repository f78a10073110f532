"""A line before a linear layer, as of a batch norm that nothing stands before, or of a recipe: one layer does both."""

from __future__ import annotations

from math import prod

import numpy as np

from netc.graph import Graph, Node
from netc.ops._window import window
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.fc import Fc
from netc.ops.flatten import Flatten
from netc.ops.local import Local
from netc.ops.upconv import Upconv
from netc.passes.draft import Draft
from netc.passes.inner import Normalise
from netc.passes.lines import LINES, Changes, Floats, Line, Scaled, Shifted, lines
from netc.passes.rewriting import applications, readers
from netc.weights import Weights

_LINEAR = (Conv, Depthwise, Fc, Local, Upconv)


def fold_forward(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Fold a batch norm, a `scale` or a recipe's arithmetic into the linear layer that alone reads it, where exact.

    Weights take any factor: weight' = weight s. A shift t goes to the bias, bias' = bias + the sum over a kernel of
    weight t, and only where the kernel lies within the image: a padded convolution sees zeros that nothing shifts. Of
    a recipe, such a convolution takes the scale, and the graph keeps the subtraction of mean / scale. A `flatten` may
    stand between the line and an `fc`. Layers that share weights are left alone.

    Raises: Fault N405 where a running variance is negative.
    """
    if not any(isinstance(node.op, LINES) for node in graph.nodes):
        return graph, weights
    draft, reads, applied = Draft(graph), readers(graph), applications(graph)
    folded = Changes(weights)
    for node in graph.nodes:
        if not isinstance(node.op, _LINEAR) or applied[node.weights] > 1:
            continue
        behind = node
        before = draft.maker(node.inputs[0])
        if isinstance(node.op, Fc) and before is not None and isinstance(before.op, Flatten):
            if before.op.order != "chw" or reads[node.inputs[0]] > 1:
                continue
            behind, before = before, draft.maker(before.inputs[0])
        if before is None or not isinstance(before.op, LINES) or reads[behind.inputs[0]] > 1:
            continue
        _fold(draft, folded, node, before, lines([before], weights)[before.name])
    smaller = draft.done()
    return (graph, weights) if smaller is graph else (smaller, folded.done(smaller))


def _fold(draft: Draft, folded: Changes, node: Node, before: Node, done: Line) -> None:
    op = before.op
    if done.shift is None:
        _scale(folded, node, done.factor)
        draft.drop(before, before.inputs[0])
        return
    if _sees_image_alone(draft, node):
        _shift(draft, folded, node, done)  # reads the weight as it is before the factor
        _scale(folded, node, done.factor)
        draft.drop(before, before.inputs[0])
    elif isinstance(op, Normalise) and not op.subtracts_alone:
        _scale(folded, node, done.factor)
        draft.put(before._replace(op=Normalise(scale=1.0, mean=tuple(m / op.scale for m in op.mean), std=(1.0,))))


def _sees_image_alone(draft: Draft, node: Node) -> bool:
    # Whether no element of the kernel ever meets padding, and each output sums over the whole kernel.
    op = node.op
    if isinstance(op, Conv | Depthwise):
        pads = window(draft.types(node)[0], op.k, op.stride, op.pad, op.dilation, pairs=True).pads
        return not any(end for pair in pads for end in pair)
    return isinstance(op, Fc)


def _scale(folded: Changes, node: Node, factor: Floats) -> None:
    op, name = node.op, f"{node.weights}.weight"
    shape = folded.shape(name)
    if isinstance(op, Upconv):  # (in, out / groups, kernel)
        rows, inner = factor.reshape(-1, 1), prod(shape[1:])
    elif isinstance(op, Local):  # (H', W', c, in, kh, kw)
        rows, inner = factor.reshape(-1, 1), prod(shape[len(shape) // 2 + 1 :])
    elif isinstance(op, Fc):  # (c, in), and behind a flatten each channel is as many features as an image has pixels
        rows, inner = np.repeat(factor, shape[1] // len(factor)).reshape(1, -1), shape[1]
    else:  # (c, in / groups, kernel)
        rows, inner = _of_kernels(factor, shape).reshape(-1, 1), prod(shape[2:])
    folded[name] = Scaled(folded.maker(name), shape, rows, inner)


def _shift(draft: Draft, folded: Changes, node: Node, done: Line) -> None:
    op, weight, bias = node.op, f"{node.weights}.weight", f"{node.weights}.bias"
    assert done.shift is not None
    assert isinstance(op, Conv | Depthwise | Fc), node.name
    shape = folded.shape(weight)
    # What a group's kernel is shifted by, element by element.
    each = np.repeat(done.shift, prod(shape[1:]) * _groups(op, done) // len(done.shift))
    shift = each.reshape(_groups(op, done), -1)
    folded[bias] = Shifted(folded.maker(weight), shape[0], shift, folded.maker(bias) if op.bias else None)
    if not op.bias:
        draft.put(node._replace(op=op.model_copy(update={"bias": True})))


def _groups(op: Conv | Depthwise | Fc, done: Line) -> int:
    return 1 if isinstance(op, Fc) else op.groups if isinstance(op, Conv) else len(done.factor)


def _of_kernels(factor: Floats, shape: tuple[int, ...]) -> Floats:
    # (c, in / groups): which factor belongs to each kernel of a grouped convolution.
    groups = len(factor) // shape[1]
    return np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0)
