"""Channels cut and laid side by side more often than they need to be."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import NamedTuple

from netc.graph import Graph, Node
from netc.ops.concat import Concat
from netc.ops.slice import Slice
from netc.passes.draft import Draft
from netc.passes.rewriting import readers
from netc.weights import Weights

_CONCAT = Concat.model_construct()

_KINDS = (Slice, Concat)


def merge_channels(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Cut and lay channels side by side once:

    - a `slice` of a `slice` is one of what entered that;
    - a `slice` of a `concat` takes from the values it covers alone;
    - a `concat` takes the values of one before it that nothing else reads;
    - neighbouring slices of one value, side by side again, are one slice, or the value itself.
    """
    if not any(isinstance(node.op, _KINDS) for node in graph.nodes):
        return graph, weights
    draft, reads = Draft(graph), readers(graph)
    for node in graph.nodes:
        if isinstance(node.op, Slice):
            _slice(draft, node, node.op.start)
        elif isinstance(node.op, Concat):
            _concat(draft, node, reads)
    return draft.with_weights(weights)


def _slice(draft: Draft, node: Node, start: int) -> None:
    source, stop = node.inputs[0], start + node.type.c
    while (before := draft.maker(source)) is not None:
        if isinstance(before.op, Slice):
            start, stop = start + before.op.start, stop + before.op.start
            source = before.inputs[0]
            continue
        if not isinstance(before.op, Concat):
            break
        covered = [part for part in _parts(draft, before) if part.start < stop and part.stop > start]
        if len(covered) == 1:
            start, stop = start - covered[0].start, stop - covered[0].start
            source = covered[0].value
            continue
        if (start, stop) == (covered[0].start, covered[-1].stop) and len(covered) < len(before.inputs):
            draft.put(node._replace(op=_CONCAT, inputs=tuple(part.value for part in covered)))
            return
        break
    _put(draft, node, source, start)


def _concat(draft: Draft, node: Node, reads: Mapping[str, int]) -> None:
    inputs: list[str] = []
    for name in node.inputs:
        before = draft.maker(name)
        if before is not None and isinstance(before.op, Concat) and reads[before.name] == 1:
            inputs += before.inputs
        else:
            inputs.append(name)
    pieces = [_piece(draft, name) for name in inputs]
    if all(a.value == b.value and a.stop == b.start for a, b in pairwise(pieces)):
        _put(draft, node, pieces[0].value, pieces[0].start)
    elif len(inputs) > len(node.inputs):
        draft.put(node._replace(inputs=tuple(inputs)))


class _Part(NamedTuple):
    """Channels `start` to `stop` of a value; or where in a `concat` all channels of a value lie."""

    value: str
    start: int
    stop: int


def _parts(draft: Draft, concat: Node) -> list[_Part]:
    ends = [0, *accumulate(draft.type(name).c for name in concat.inputs)]
    return [_Part(name, *end) for name, end in zip(concat.inputs, pairwise(ends), strict=True)]


def _piece(draft: Draft, name: str) -> _Part:
    made = draft.maker(name)
    if made is not None and isinstance(made.op, Slice):
        return _Part(draft.value(made.inputs[0]), made.op.start, made.op.start + made.type.c)
    return _Part(draft.value(name), 0, draft.type(name).c)


def _put(draft: Draft, node: Node, source: str, start: int) -> None:
    if draft.type(source) == node.type:
        draft.drop(node, source)
    elif not isinstance(node.op, Slice) or source != node.inputs[0]:
        draft.put(node._replace(op=Slice(start=start, stop=start + node.type.c), inputs=(source,)))
