"""Passes: each takes a graph with its weights and gives both, changed. The pipeline is the list below."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple, TypeAlias

from netc.graph import Graph
from netc.passes.channels import merge_channels
from netc.passes.constants import fold_constants
from netc.passes.deploy import deploy
from netc.passes.embed import embed
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.fold_forward import fold_forward
from netc.passes.identity import drop_identities
from netc.passes.orders import fold_orders
from netc.passes.padding import fold_padding
from netc.passes.shapes import merge_shapes
from netc.passes.strides import fold_strides
from netc.passes.verify_graph import verify_graph
from netc.weights import Weights

Pass: TypeAlias = Callable[[Graph, Weights], tuple[Graph, Weights]]

PIPELINE: tuple[Pass, ...] = (
    deploy,  # what only training needs is gone, and what nothing reads
    embed,  # pixels enter and classes leave, where the export section says so
    drop_identities,  # dropout and id are gone; a batch norm behind one now stands behind its convolution
    fold_constants,  # what does not depend on the input is one tensor
    merge_shapes,  # flatten of reshape of flatten is one
    merge_channels,  # slices and concats that undo one another are gone
    fold_padding,  # a pad is its convolution's or its pooling's own
    fold_strides,  # what a subsample throws away is not computed
    fold_orders,  # a flatten in another order is a plain one before reordered weights
    fold_batch_norm,  # conv -> bn is one conv
    fold_forward,  # bn -> conv without padding is one conv, and so is bn -> flatten -> fc
)


class Step(NamedTuple):
    """What one pass did: the graph before and after, and the seconds it took."""

    name: str
    before: Graph
    after: Graph
    seconds: float


def run(
    graph: Graph,
    weights: Weights,
    passes: Iterable[Pass] = PIPELINE,
    *,
    seen: Callable[[Step], None] | None = None,
    careful: bool = False,
) -> tuple[Graph, Weights]:
    """The graph and the weights after each pass in turn.

    The structure is checked at the end, and after every pass if `careful`; a graph that is broken at the end is made
    once more so, to name the pass that broke it. `seen` is told of each pass.

    Raises: Fault as the passes do; AssertionError, naming the passes that ran, where one of them is wrong.
    """
    passes = tuple(passes)
    now, held, done = graph, weights, list[str]()
    for each in passes:
        before, start = now, perf_counter()
        now, held = each(now, held)
        done.append(each.__name__)
        if seen is not None:
            seen(Step(each.__name__, before, now, perf_counter() - start))
        if careful and now is not before:
            verify_graph(now, after=" -> ".join(done))
    if not careful:
        try:
            verify_graph(now)
        except AssertionError:
            run(graph, weights, passes, careful=True)
            raise
    return now, held
