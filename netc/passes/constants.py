"""Values that are the same whatever enters the net: computed once, and added as a constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from netc.graph import Graph, Node
from netc.op import per_side
from netc.ops._window import window
from netc.ops.local import Local
from netc.ops.pad import Pad
from netc.ops.slice import Slice
from netc.ops.subsample import Subsample
from netc.passes.draft import Draft
from netc.passes.inner import Shift
from netc.passes.lines import Changes
from netc.tensor import TensorType
from netc.weights import Weights

Floats: TypeAlias = npt.NDArray[np.float64]
Constant: TypeAlias = Callable[[], Floats]
"""What computes the value for one example, (C, sides)."""

_DEEPEST = 100  # constants that are made of one another: each is a call inside the next one's
_SHIFT = Shift.model_construct()


def fold_constants(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Compute what does not depend on the input, and add or subtract it as one tensor.

    The language has no constants, and one trick for them: `softmax` over one channel is 1. What `pad`, `subsample`,
    `slice`, `concat`, `add`, `sub`, `mul` and `local` make of such ones is constant as well.
    """
    if not any(_begins(node) for node in graph.nodes):
        return graph, weights
    draft, folded = Draft(graph), Changes(weights)
    known: dict[str, Constant] = {}
    depths: dict[str, int] = {}
    for node in graph.nodes:
        if _begins(node):
            known[node.name] = _ones(node)
        elif all(name in known for name in node.inputs):
            deeper = 1 + max((depths.get(name, 0) for name in node.inputs), default=0)
            if deeper > _DEEPEST:
                continue
            made = _constant(node, draft.types(node), [known[name] for name in node.inputs], folded)
            if made is not None:
                known[node.name] = cache(made)  # asked for by each that reads it
                depths[node.name] = deeper
        elif node.op.kind in ("add", "sub"):
            _add(draft, node, known, folded)
    smaller = draft.done()
    return (graph, weights) if smaller is graph else (smaller, folded.done(smaller))


def _begins(node: Node) -> bool:
    return node.op.kind == "softmax" and node.type.c == 1 and node.type.static


def _ones(node: Node) -> Constant:
    shape = _shape(node.type)
    return lambda: np.ones(shape)


def _add(draft: Draft, node: Node, known: dict[str, Constant], folded: Changes) -> None:
    free = [name for name in node.inputs if name not in known]
    if len(free) != 1 or draft.type(free[0]) != node.type or not node.type.static:
        return
    subtracts = node.op.kind == "sub"
    if subtracts and node.inputs[0] != free[0]:
        return
    shape, parts = _shape(node.type), [known[name] for name in node.inputs if name in known]
    sign = -1 if subtracts else 1

    def total() -> npt.NDArray[np.float32]:
        return (sign * sum((part() for part in parts), np.zeros(shape))).astype(np.float32)

    folded[node.name] = total
    draft.put(node._replace(op=_SHIFT, inputs=(free[0],), weights=node.name))


def _constant(node: Node, types: Sequence[TensorType], entering: list[Constant], folded: Changes) -> Constant | None:
    # What a layer makes of constants; None where it is a layer of another kind.
    op, x, first = node.op, types[0], entering[0]
    if not node.type.static:
        return None
    if isinstance(op, Subsample):
        steps = per_side(op.stride, x.rank, "stride")
        return lambda: first()[(slice(None), *(slice(None, None, s) for s in steps))]
    if isinstance(op, Slice):
        return lambda: first()[op.start : op.start + node.type.c]
    if isinstance(op, Pad):
        ends = ((0, 0), *window(x, 1, 1, op.pad, pairs=True).pads)
        mode: Any = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}[op.mode]
        return lambda: np.pad(first(), ends, mode)
    if isinstance(op, Local):
        return lambda: _local(op, x, first(), node, folded)
    if op.kind == "concat":
        return lambda: np.concatenate([each() for each in entering])
    merge = {"add": np.add, "sub": np.subtract, "mul": np.multiply}.get(op.kind)
    if merge is None:
        return None

    def merged() -> Floats:
        total = first()
        for each in entering[1:]:
            total = merge(total, each())
        return total

    return merged


def _local(op: Local, x: TensorType, value: Floats, node: Node, folded: Changes) -> Floats:
    own = window(x, op.k, op.stride, op.pad, pairs=True)
    padded = np.pad(value, ((0, 0), *own.pads))
    sides = tuple(range(1, 1 + x.rank))
    seen = sliding_window_view(padded, own.k, sides)[(slice(None), *(slice(None, None, s) for s in own.stride))]
    places = seen.shape[1 : 1 + x.rank]
    seen = np.moveaxis(seen, 0, x.rank).reshape(prod(places), -1)  # places, then channels and the window
    weight = folded.maker(f"{node.weights}.weight")().reshape(prod(places), op.c, -1)
    found = np.einsum("pck,pk->cp", weight, seen).reshape(op.c, *places)
    return found + folded.maker(f"{node.weights}.bias")() if op.bias else found


def _shape(x: TensorType) -> tuple[int, ...]:
    return (x.c, *(side for side in x.sides if isinstance(side, int)))
