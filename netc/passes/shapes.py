"""Elements laid out twice: the last layout alone counts."""

from __future__ import annotations

from netc.graph import Graph, Node
from netc.ops.flatten import Flatten
from netc.ops.reshape import Reshape
from netc.passes.draft import Draft
from netc.tensor import TensorType
from netc.weights import Weights

_KINDS = (Flatten, Reshape)


def merge_shapes(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Let a `flatten` or a `reshape` read what entered the ones before it, and go where that had its shape already.

    A `flatten` whose order moves nothing, as behind a `gap`, becomes the plain one.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        if not isinstance(node.op, _KINDS):
            continue
        if isinstance(node.op, Flatten) and node.op.order != "chw" and _keeps_order(node.op, draft.types(node)[0]):
            node = node._replace(op=_PLAIN)
            draft.put(node)
        if not _lays_out(node):
            continue
        before, source = draft.maker(node.inputs[0]), node.inputs[0]
        while before is not None and _lays_out(before):
            source = before.inputs[0]
            before = draft.maker(source)
        if draft.type(source) == node.type:
            draft.drop(node, source)
        elif source != node.inputs[0]:
            draft.put(
                node._replace(op=Reshape(shape=_shape(node.type)) if node.type.rank else _PLAIN, inputs=(source,))
            )
    return draft.with_weights(weights)


_PLAIN = Flatten.model_construct()


def _lays_out(node: Node) -> bool:
    # Whether it keeps the order in which the elements lie.
    return isinstance(node.op, Reshape) or (isinstance(node.op, Flatten) and node.op.order == "chw")


def _keeps_order(op: Flatten, x: TensorType) -> bool:
    # Dimensions of 1 may stand anywhere.
    sides = list(range(1, 1 + x.rank))
    dims = (x.c, *x.sides)
    moved = [*(sides if op.order == "hwc" else reversed(sides)), 0]
    return [i for i in moved if dims[i] != 1] == [i for i in range(len(dims)) if dims[i] != 1]


def _shape(x: TensorType) -> tuple[int, ...]:
    return tuple(size for size in x.dims[1:] if isinstance(size, int))
