"""How examples are cut into the batches that a net takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.backends.verify.sizes import names
from netc.graph import Graph
from netc.tensor import at
from netc.weights import Array


class Batch(NamedTuple):
    """Which examples of every input go in at once, and which of every output come out."""

    inputs: Mapping[str, slice]
    outputs: Mapping[str, slice]


def prescribed(graph: Graph, numbers: Mapping[str, int]) -> dict[str, int] | None:
    """How many examples of every input and output a batch has, None where that is free.

    A batch is prescribed by a number in the spec, or by a side of the same symbol. Where one input's is and another's
    is not, the other follows.
    """
    batches = [i.type.batch for i in graph.inputs]
    known = [at(batch, numbers) for batch in batches if names(batch).keys() <= numbers.keys()]
    if not known:
        return None
    every = {**{name: known[0] for batch in batches for name in names(batch)}, **numbers}
    return {each.name: at(each.type.batch, every) for each in (*graph.inputs, *graph.outputs)}


def rounds(graph: Graph, feed: Mapping[str, Array], whole: Mapping[str, int]) -> list[Batch]:
    """A feed in batches of prescribed sizes, one after the other."""
    first = graph.inputs[0].name
    counts = range(len(feed[first]) // whole[first])

    def part(of: Sequence[str], index: int) -> dict[str, slice]:
        return {name: slice(index * whole[name], (index + 1) * whole[name]) for name in of}

    inputs, outputs = [i.name for i in graph.inputs], [o.name for o in graph.outputs]
    return [Batch(part(inputs, index), part(outputs, index)) for index in counts]


def alike(graph: Graph, part: slice) -> Batch:
    """The same examples of every input and output."""
    return Batch(
        dict.fromkeys((i.name for i in graph.inputs), part), dict.fromkeys((o.name for o in graph.outputs), part)
    )
