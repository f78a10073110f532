"""Where a size comes from: the layers that made it, back to an input."""

from __future__ import annotations

from typing import NamedTuple

from netc.graph import Graph
from netc.op import Working
from netc.tensor import Side


class Step(NamedTuple):
    """A layer that made a size, and how; at the end of the way the input whose size it was, with no `working`."""

    name: str
    size: Side
    working: Working | None


def origin(graph: Graph, value: str, dim: str) -> list[Step]:
    """The layers that made a size (`c`, `t`, `h`, `w`, `d`) of a value, the last first.

    The way ends at an input, at a layer whose argument sets the size, or where several sizes made it one: at a `concat`
    for channels, at a `flatten` or `reshape`.
    """
    steps: list[Step] = []
    while value in graph.node:
        node = graph.node[value]
        xs = graph.operands(node)
        size = node.type.side(dim)
        assert size is not None, f"{value} has no {dim}"
        working = node.op.working(node.type, *xs).get(dim)
        if working is None:
            # A merge's side is that of the operand that has it: others are repeated.
            value = next((name for name, x in zip(node.inputs, xs, strict=True) if x.side(dim) == size), node.inputs[0])
            continue
        steps.append(Step(value, size, working))
        if sets(working) or xs[0].rank != node.type.rank or (node.op.merges and dim == "c"):
            return steps
        value = node.inputs[-1 if node.op.values and len(xs) > 1 else 0]
    size = graph.types[value].side(dim)
    return [*steps, Step(value, size, None)] if size is not None else steps


def sets(working: Working) -> bool:
    """Whether an argument of the layer alone sets the size."""
    return working.symbols == "d2" or working.symbols.startswith("shape[")
