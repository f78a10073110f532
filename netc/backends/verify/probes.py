"""Weights that show what a net computes, where those that are to be built hide it."""

from __future__ import annotations

from collections.abc import Iterator

from netc.backends.verify.cases import feeds
from netc.backends.verify.kaiming import kaiming
from netc.graph import Graph
from netc.weights import Weights


def probes(graph: Graph) -> Iterator[Weights]:
    """One set after another, each made when it is asked for: a deep net amplifies rounding under the first ones."""
    weights = kaiming(graph)
    yield weights
    from netc.backends.verify.calibrated import calibrated, eased

    yield calibrated(graph, weights, feeds(graph)[0].arrays)
    yield calibrated(graph, eased(graph, weights), feeds(graph)[0].arrays)
