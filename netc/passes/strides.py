"""Pixels that are thrown away: the layer before does not compute them, or the one behind steps over them."""

from __future__ import annotations

from netc.graph import Graph, Node
from netc.op import Layer, per_side
from netc.ops._window import window
from netc.ops.avgpool import Avgpool
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.maxpool import Maxpool
from netc.ops.subsample import Subsample
from netc.passes.draft import Draft
from netc.passes.rewriting import applications, readers
from netc.tensor import TensorType
from netc.weights import Weights

Strided = Conv | Depthwise | Avgpool | Maxpool


def fold_strides(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Let a layer step over what a `subsample` throws away:

    - a convolution or a pooling whose result goes to a `subsample` alone steps as far as both did;
    - so does a 1x1 convolution, and another `subsample`, behind one.

    A maximum of one pixel that steps is a `subsample`. Layers that share weights are left alone, and so are poolings
    that round up.
    """
    stepping = {node.name for node in graph.nodes if _steps(node)}
    if not stepping:
        return graph, weights
    draft, applied, reads = Draft(graph), applications(graph), readers(graph)
    for node in graph.nodes:
        if node.name not in stepping and stepping.isdisjoint(node.inputs):
            continue
        before = draft.maker(node.inputs[0])
        if before is None or applied[node.weights] > 1:
            continue
        far = _steps(node)
        if far and reads[node.inputs[0]] == 1 and applied[before.weights] == 1:
            longer = _longer(before.op, draft.type(before.inputs[0]), far)
            if longer is not None and longer.infer(*draft.types(before)) == node.type:
                draft.put(before._replace(op=longer, type=node.type))
                draft.drop(node, before.name)
                continue
        far = _steps(before)
        if far and _takes_pixels_alone(node.op, before.type):
            x = draft.type(before.inputs[0])
            longer = _longer(node.op, before.type, far)
            if longer is not None and longer.infer(x) == node.type:
                draft.put(node._replace(op=longer, inputs=before.inputs))
    return draft.with_weights(weights)


def _steps(node: Node) -> tuple[int, ...]:
    # How far a layer that only throws pixels away steps; empty for any other.
    op, rank = node.op, node.type.rank
    if isinstance(op, Subsample):
        return per_side(op.stride, rank, "stride")
    if isinstance(op, Maxpool) and _one(op.k, rank) and _one(op.dilation, rank):
        steps = per_side(op.k if op.stride is None else op.stride, rank, "stride")
        return steps if any(s > 1 for s in steps) else ()
    return ()


def _takes_pixels_alone(op: Layer, x: TensorType) -> bool:
    if isinstance(op, Subsample):
        return True
    if not isinstance(op, Conv | Depthwise) or not _one(op.k, x.rank):
        return False
    return not any(end for pair in window(x, op.k, op.stride, op.pad, pairs=True).pads for end in pair)


def _longer(op: Layer, x: TensorType, far: tuple[int, ...]) -> Layer | None:
    # The layer with steps `far` times as long; a padding that depends on the step stays as it is in numbers.
    if isinstance(op, Subsample):
        return op.model_copy(update={"stride": _times(per_side(op.stride, x.rank, "stride"), far)})
    if not isinstance(op, Strided) or (isinstance(op, Avgpool | Maxpool) and op.round == "ceil"):
        return None
    stride = op.k if op.stride is None else op.stride
    longer: dict[str, object] = {"stride": _times(per_side(stride, x.rank, "stride"), far)}
    if isinstance(op, Conv | Depthwise):
        pads = window(x, op.k, stride, op.pad, op.dilation, pairs=True).pads
        longer["pad"] = tuple(end for pair in pads for end in pair)
    return op.model_copy(update=longer)


def _times(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(m * n for m, n in zip(a, b, strict=True))


def _one(sides: int | tuple[int, ...], rank: int) -> bool:
    return set(per_side(sides, rank, "k")) == {1}
