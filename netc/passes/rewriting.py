"""What passes share: a graph with some nodes changed or taken out, its regions and its weights still in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from netc.graph import Graph, Node
from netc.weights import Weights
from netc.weights.tensors import chosen


def rewritten(graph: Graph, nodes: Sequence[Node | None], instead: Mapping[str, str]) -> Graph:
    """The graph with `nodes` in the place of its own, one for one, None where a node goes.

    What read a value that is a key of `instead` reads the other one; chains are followed.
    """

    def value(name: str) -> str:
        while name in instead:
            name = instead[name]
        return name

    def reread(node: Node) -> Node:
        if instead.keys().isdisjoint(node.inputs):
            return node
        return node._replace(inputs=tuple(map(value, node.inputs)))

    kept = tuple([reread(node) for node in nodes if node is not None])
    before = [0, *accumulate(n is not None for n in nodes)]  # how many nodes are kept before each place
    return replace(
        graph,
        nodes=kept,
        regions=tuple(r._replace(start=before[r.start], stop=before[r.stop]) for r in graph.regions),
        outputs=tuple(o._replace(value=value(o.value)) for o in graph.outputs),
    )


def needed(weights: Weights, graph: Graph) -> Weights:
    """Those weights that the graph has a place for, in its order."""
    there = set(weights)
    return chosen(weights, [name for name, _ in graph.parameters() if name in there])


def readers(graph: Graph) -> dict[str, int]:
    """How often each value is read, by nodes and by outputs."""
    count = dict.fromkeys(graph.types, 0)
    for node in graph.nodes:
        for name in node.inputs:
            count[name] += 1
    for output in graph.outputs:
        count[output.value] += 1
    return count


def applications(graph: Graph) -> Counter[str]:
    """How often the tensors under each path are applied: more than once where layers share them."""
    return Counter([node.weights for node in graph.nodes])
