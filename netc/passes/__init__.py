"""Passes: each takes a graph with its weights and gives both, changed. The pipeline is the list below."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from netc.graph import Graph
from netc.passes.deploy import deploy
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.identity import drop_identities
from netc.passes.verify_graph import verify_graph
from netc.weights import Weights

Pass: TypeAlias = Callable[[Graph, Weights], tuple[Graph, Weights]]

PIPELINE: tuple[Pass, ...] = (
    deploy,  # what only training needs is gone
    drop_identities,  # dropout and id are gone; a batch norm behind one now stands behind its convolution
    fold_batch_norm,  # conv -> bn is one conv
)


def run(graph: Graph, weights: Weights, passes: Iterable[Pass] = PIPELINE) -> tuple[Graph, Weights]:
    """The graph and the weights after each pass in turn; the structure is checked after every one.

    Raises: Fault as the passes do.
    """
    done: list[str] = []
    for each in passes:
        graph, weights = each(graph, weights)
        done.append(each.__name__)
        verify_graph(graph, after=" -> ".join(done))
    return graph, weights
