"""The first layer at which two sides part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, lcm, prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc import passes
from netc.backends.compare.inputs import converted
from netc.backends.compare.pairing import Pairing
from netc.backends.compare.sides import FileSide, NetSide, Side
from netc.backends.verify.cases import Feed
from netc.backends.verify.figures import agreement, distance
from netc.backends.verify.sizes import sides
from netc.diagnostic import Fault
from netc.graph import Graph, Node
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.tensor import at
from netc.weights import Array, Weights

if TYPE_CHECKING:
    from netc.backends.compare.values import Model

EXAMPLES = 4
AT_ONCE = 2**25  # elements of values that are held at once on each side: 256 MiB in float64
SHARE = 0.5  # of a net's layers that a file must name as we do


class Parting(NamedTuple):
    """A layer whose value differs though all that it reads is alike; without a `label`, why none is named."""

    label: str = ""
    kind: str = ""
    place: str = ""
    figure: float = 0.0
    reads: Mapping[str, float] = {}
    """The figures of what enters it, where they were measured."""
    why_not: str = ""


class _Value(NamedTuple):
    """One value on both sides, by its name on each."""

    label: str
    kind: str
    place: str
    names: tuple[str, str]
    reads: tuple[str, ...]
    size: int


Get = Callable[[Sequence[str]], Mapping[str, Array]]


def parting(a: Side, b: Side, pairing: Pairing, feed: Feed, example: int, bound: float) -> Parting:
    """The first layer, in the net's order, whose value is beyond `bound` on an example of the feed and a few others.

    A net and a file that netc wrote of it are compared layer by layer, with the passes that the file shows; so are two
    nets, by the names of their layers, and two files, by the names of their values.
    """
    step = _step(a, b, feed)
    few = _few(feed, example, step)
    try:
        values, gets = _paired(a, b, pairing, few, step)
    except _Strange as error:
        return Parting(why_not=str(error))
    figures: dict[str, float] = {}
    for chunk in _chunks(values, len(next(iter(few.values())))):
        ours, theirs = (get([value.names[i] for value in chunk]) for i, get in enumerate(gets))
        for value in chunk:
            figures[value.label] = _figure(ours[value.names[0]], theirs[value.names[1]])
            if figures[value.label] > bound:
                reads = {name: figures[name] for name in value.reads if name in figures}
                return Parting(value.label, value.kind, value.place, figures[value.label], reads)
    return Parting(
        why_not=f"all {len(values)} layers agree on {len(next(iter(few.values())))} examples when each is looked at: "
        "the difference is at other examples, in how ONNX Runtime fuses layers, or behind the last of them"
    )


def _few(feed: Feed, example: int, step: int) -> dict[str, Array]:
    # The batch that holds the example, and others up to EXAMPLES.
    count = len(next(iter(feed.arrays.values())))
    batches = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    first = example // step
    chosen = (batches[first:] + batches[:first])[: max(1, EXAMPLES // step)]
    return {name: np.concatenate([array[part] for part in chosen]) for name, array in feed.arrays.items()}


class _Strange(Exception):
    """The two have no layers in common that could be compared."""


def _paired(
    a: Side, b: Side, pairing: Pairing, feed: Mapping[str, Array], step: int
) -> tuple[list[_Value], tuple[Get, Get]]:
    theirs = converted(feed, b, pairing)
    if isinstance(a, NetSide) and isinstance(b, NetSide):
        common = [n for n in a.graph.nodes if n.name in b.graph.node and b.graph.node[n.name].type == n.type]
        if len(common) < SHARE * len(a.graph.nodes):
            raise _Strange("the two nets' layers have other names")
        found = [_value(a.graph, node, node.name, feed) for node in common]
        return found, (_of_net(a.graph, a.weights, feed), _of_net(b.graph, b.weights, theirs))
    from netc.backends.compare.values import Model

    assert isinstance(b, FileSide)
    model = Model(b.path)
    if isinstance(a, NetSide):
        graph, weights, names = _as_written(a, model)
        found = [_value(graph, n, names[n.name], feed) for n in graph.nodes if names[n.name] in model.kinds]
        taken = b.entering(theirs)
        return found, (_of_net(graph, weights, feed), lambda asked: model.values(asked, taken, step))
    assert isinstance(a, FileSide)
    first = Model(a.path)
    if set(first.kinds) != set(model.kinds):
        raise _Strange("the two files' values have other names")
    found = [_Value(n, kind, first.places[n], (n, n), (), 0) for n, kind in first.kinds.items()]
    ours, taken = a.entering(feed), b.entering(theirs)
    return found, (lambda asked: first.values(asked, ours, step), lambda asked: model.values(asked, taken, step))


def _as_written(a: NetSide, model: Model) -> tuple[Graph, Weights, dict[str, str]]:
    # The file's names tell which passes ran: a layer that a batch norm was folded into gives what the norm gave.
    from netc.backends.onnx.lowering import Lowered

    found: list[tuple[float, Graph, Weights, dict[str, str]]] = []
    for pipeline in (passes.PIPELINE, [each for each in passes.PIPELINE if each is not fold_batch_norm], ()):
        graph, weights = passes.run(a.net, a.weights, pipeline)
        try:
            names = Lowered(graph, model.opset).names
        except Fault:  # an older opset than a layer needs: the file is none of ours
            continue
        there = set(names.values()) - {i.name for i in graph.inputs}
        found.append((len(there & model.kinds.keys()) / max(1, len(there | _outer(model))), graph, weights, names))
    best = max(found, key=lambda each: each[0], default=None)
    if best is None or best[0] < SHARE:
        raise _Strange("the file's layers have other names than the net's, so they cannot be compared one by one")
    return best[1:]


def _outer(model: Model) -> set[str]:
    # Values that a layer of ours would be named for; what stands between a layer's own nodes is `layer/Kind`.
    return {name for name in model.kinds if "/" not in name}


def _value(graph: Graph, node: Node, other: str, feed: Mapping[str, Array]) -> _Value:
    numbers = sides(graph, feed)
    size = prod(at(side, numbers) for side in node.type.dims[1:])
    return _Value(node.name, node.op.kind, str(node.where), (node.name, other), node.inputs, size)


def _of_net(graph: Graph, weights: Weights, feed: Mapping[str, Array]) -> Get:
    from netc.backends.compare.values import of_net

    return lambda names: of_net(graph, weights, names, feed)


def _chunks(values: Sequence[_Value], count: int) -> Iterator[list[_Value]]:
    chunk: list[_Value] = []
    size = 0
    for value in values:
        chunk.append(value)
        size += count * (value.size or AT_ONCE // 64)
        if size >= AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _figure(ours: Array, theirs: Array) -> float:
    answers = ours.astype(np.float64)
    far = distance(theirs.astype(np.float64), answers)  # whole numbers in between are no classes
    if far == 0:
        return 0.0
    found = agreement("", "", {}, answers, far)
    # A value that hardly varies says nothing, as long as the other's is finite and of its shape.
    return found.figure if found.spread > 1e-6 * float(np.abs(answers).max()) or far == inf else 0.0


def _step(a: Side, b: Side, feed: Feed) -> int:

    batches = [side.batch(feed.sizes) for side in (a, b)]
    return lcm(*(batch for batch in batches if batch is not None)) if any(batches) else EXAMPLES
