"""The cases that a net is verified on: inputs of one size, and the reference's answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from netc.backends.verify.figures import Floats
from netc.backends.verify.sizes import admitted, bound, fixed_batch, names, shape, sizes
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights import Array, Weights
from netc_runtime.golden import golden_input

SAMPLES = 8
BATCHES = (slice(0, 1), slice(1, 8), slice(3, 5))  # of 1, 7 and 2, cut from the 8
SEED = 0


@dataclass(frozen=True)
class Case:
    """Inputs of one size, and float64 torch's answers by output. `sizes` gives the symbols their numbers."""

    origin: Literal["seeded", "data"]
    sizes: Mapping[str, int]
    feed: Mapping[str, Array]
    answers: Mapping[str, Floats]


def reference(
    graph: Graph,
    weights: Weights,
    *,
    samples: int = SAMPLES,
    every_size: bool = True,
    seed: int = SEED,
    data: Array | Mapping[str, Array] | None = None,
) -> list[Case]:
    """What float64 torch answers to seeded inputs, and to `data` where it is given (an array, or one for each input).

    Symbolic sides take two sizes that the spec admits; a fixed batch takes whole batches. `graph` is a deployed net.

    Raises: Fault N431 where no sizes can be found, N432 for data that is not the net's input.
    """
    batch = fixed_batch(graph)
    count = samples if batch is None else -(-samples // batch) * batch
    found = sizes(graph)
    feeds: list[tuple[Literal["seeded", "data"], Mapping[str, int], dict[str, Array]]] = []
    for each in found if every_size else found[:1]:
        feed = {i.name: golden_input(seed + n, shape(i, count, each)) for n, i in enumerate(graph.inputs)}
        feeds.append(("seeded", each, feed))
    if data is not None:
        feeds.append(("data", *_given(graph, data, batch)))
    from netc.backends.verify.network import answers, network

    exact = network(graph, weights, np.float64)
    return [Case(origin, each, feed, answers(graph, exact, feed, np.float64)) for origin, each, feed in feeds]


def _given(
    graph: Graph, data: Array | Mapping[str, Array], batch: int | None
) -> tuple[Mapping[str, int], dict[str, Array]]:
    arrays = data if isinstance(data, Mapping) else {graph.inputs[0].name: data}
    if set(arrays) != {i.name for i in graph.inputs}:
        wanted = ", ".join(i.name for i in graph.inputs)
        raise Fault("N432", f"the data to verify on is for {', '.join(arrays)}, and the net's inputs are {wanted}")
    found: dict[str, int] = {}
    feed: dict[str, Array] = {}
    for tensor in graph.inputs:
        array = np.asarray(arrays[tensor.name])
        words = f"the data to verify on is {array.dtype}{list(array.shape)} for {tensor.name}"
        dims = tensor.type.dims[1:]
        fits = array.ndim == len(dims) + 1 and all(
            not isinstance(side, int) or side == size for side, size in zip(dims, array.shape[1:], strict=True)
        )
        if not fits or array.dtype.kind != "f" or not array.size:
            raise Fault("N432", f"{words}, expected float32{tensor.type}", help="give tensors, after the recipe")
        if not np.isfinite(array).all():
            raise Fault("N432", f"{words}, and holds a NaN or an infinity")
        whole = len(array) if batch is None else len(array) // batch * batch
        if not whole:
            raise Fault("N432", f"{words}, fewer than one batch of {batch}")
        feed[tensor.name] = np.ascontiguousarray(array[:whole], np.float32)
        found |= {n: s for n, s in bound(tensor, array.shape).items() if n not in names(tensor.type.batch)}
    if len({len(array) for array in feed.values()}) > 1:
        raise Fault("N432", "the data to verify on has another number of examples for each input")
    if not admitted(graph, found):
        raise Fault("N432", f"the data to verify on has sizes that a `require` of {graph.name} refuses: {found}")
    return found, feed
