"""Layers that do nothing at inference: dropout, id."""

from __future__ import annotations

from netc.graph import Graph
from netc.passes.rewriting import needed, rewritten
from netc.weights import Weights


def drop_identities(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Take out every layer that says of itself that it is the identity at inference; who read it reads what entered."""
    instead = {node.name: node.inputs[0] for node in graph.nodes if node.op.inference_identity}
    smaller = rewritten(graph, [None if node.name in instead else node for node in graph.nodes], instead)
    return smaller, needed(weights, smaller)
