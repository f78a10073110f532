"""The net as it is deployed: without the outputs that only training has, and without what no output needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netc.graph import Graph
from netc.passes.rewriting import needed, readers, rewritten
from netc.tensor import TensorType
from netc.weights import Weights


def deploy(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Drop `only = train` outputs, layers that no other output needs, the inputs that fed only them, and their weights.

    An input stays where it alone gives a symbol its size.
    """
    outputs = tuple(output for output in graph.outputs if not output.train_only)
    if len(outputs) == len(graph.outputs) and len(graph.deployed) == len(graph.nodes):
        return graph, weights
    nodes = [node if node.name in graph.deployed else None for node in graph.nodes]
    smaller = rewritten(replace(graph, outputs=outputs), nodes, {})
    read = readers(smaller)
    spoken = _symbols(node.type for node in smaller.nodes).union(*(each.symbols for each in graph.requires))
    spoken -= _symbols(i.type for i in graph.inputs if read[i.name])
    inputs = tuple(i for i in graph.inputs if read[i.name] or _symbols([i.type]) & spoken)
    smaller = replace(smaller, inputs=inputs)
    return smaller, needed(weights, smaller)


def _symbols(types: Iterable[TensorType]) -> set[str]:
    return {name for type in types for size in type.dims if not isinstance(size, int) for name in size.symbols()}
