"""A `pad` before a convolution or a pooling: the window's own padding does it, and no larger image is laid out."""

from __future__ import annotations

from netc.graph import Graph, Node
from netc.op import Layer, Reject
from netc.ops._window import Window, window
from netc.ops.avgpool import Avgpool
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.local import Local
from netc.ops.maxpool import Maxpool
from netc.ops.pad import Pad
from netc.passes.draft import Draft
from netc.passes.rewriting import applications
from netc.passes.signs import never_negative
from netc.tensor import TensorType
from netc.weights import Weights

Ends = tuple[tuple[int, int], ...]


def fold_padding(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Let layers pad for themselves what a `pad` before them pads, where that is the same:

    - a convolution (`conv`, `depthwise`, `local`) pads with zeros, so it takes any `pad` of zeros;
    - an average takes zeros that are the same on both ends of a side, at most half of its window, if they count;
    - a maximum pads with what never wins: it takes zeros where nothing is below zero, and a repeated border always;
    - a `pad` takes one before it of zeros, or of a repeated border, where it is of that kind itself.

    Layers that share weights are left alone: they are one module in torch.
    """
    if not any(isinstance(node.op, Pad) for node in graph.nodes):
        return graph, weights
    draft, applied = Draft(graph), applications(graph)
    for node in graph.nodes:
        before = draft.maker(node.inputs[0])
        if before is None or not isinstance(before.op, Pad) or applied[node.weights] > 1:
            continue
        taken = _taken(draft, before, before.op, node)
        if taken is not None and _same(taken, draft.type(before.inputs[0]), node.type):
            draft.put(node._replace(op=taken, inputs=(draft.value(before.inputs[0]), *node.inputs[1:])))
    return draft.with_weights(weights)


def _taken(draft: Draft, before: Node, pad: Pad, node: Node) -> Layer | None:
    # The layer with the padding before it as its own, None where that would be another thing.
    op, padded = node.op, before.type
    ends = _ends(pad, draft.type(before.inputs[0]))
    if isinstance(op, Conv | Depthwise | Local):
        if pad.mode != "zeros":
            return None
        dilation = 1 if isinstance(op, Local) else op.dilation
        own = window(padded, op.k, op.stride, op.pad, dilation, pairs=True)
        return op.model_copy(update={"pad": _flat(_sum(ends, own.pads))})
    if isinstance(op, Pad):
        if op.mode != pad.mode or pad.mode == "reflect":
            return None
        return op.model_copy(update={"pad": _flat(_sum(ends, _ends(op, padded)))})
    if not isinstance(op, Avgpool | Maxpool) or op.round == "ceil":
        return None
    own = window(padded, op.k, op.k if op.stride is None else op.stride, op.pad)
    if any(begin != end for begin, end in ends):
        return None
    half = tuple(begin for begin, _ in _sum(ends, own.pads))
    if any(p > k // 2 for p, k in zip(half, own.k, strict=True)):
        return None
    if isinstance(op, Avgpool):
        counts = pad.mode == "zeros" and (op.count_pad or not _any(own))
        return op.model_copy(update={"pad": half, "count_pad": True}) if counts else None
    # Every window sees at least one pixel of the image, and one that sees a repeated border sees the border itself.
    plain = set(own.dilation) == {1} and op.dilation in (1, (1,) * padded.rank)
    never_wins = pad.mode == "replicate" or (pad.mode == "zeros" and never_negative(draft, before.inputs[0]))
    return op.model_copy(update={"pad": half}) if plain and never_wins else None


def _same(op: Layer, x: TensorType, y: TensorType) -> bool:
    try:
        return op.infer(x) == y
    except Reject:  # as of a three-dimensional average whose window is larger than the image without its border
        return False


def _ends(pad: Pad, x: TensorType) -> Ends:
    return window(x, 1, 1, pad.pad, pairs=True).pads


def _sum(a: Ends, b: Ends) -> Ends:
    return tuple((i + m, j + n) for (i, j), (m, n) in zip(a, b, strict=True))


def _flat(ends: Ends) -> tuple[int, ...]:
    return tuple(end for pair in ends for end in pair)


def _any(own: Window) -> bool:
    return any(end for pair in own.pads for end in pair)
