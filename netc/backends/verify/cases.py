"""The cases that a net is verified on: inputs of one size, and the reference's answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from netc.backends.verify.batches import prescribed
from netc.backends.verify.edges import image_of_pixels, takes_pixels
from netc.backends.verify.figures import Floats
from netc.backends.verify.sizes import shape, sides, sizes
from netc.diagnostic import Fault
from netc.graph import Graph, Input
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


class Feed(NamedTuple):
    """Inputs of one size by name, and the numbers of the symbols of their sides."""

    origin: Literal["seeded", "data"]
    sizes: Mapping[str, int]
    arrays: Mapping[str, Array]


def reference(
    graph: Graph,
    weights: Weights,
    *,
    seed: int = SEED,
    data: Array | Mapping[str, Array] | None = None,
) -> list[Case]:
    """What float64 torch answers to seeded inputs, and to `data` where it is given (an array, or one for each input).

    Symbolic sides take two sizes that the spec admits; a fixed batch takes whole batches. `graph` is a deployed net.

    Raises: Fault N431 where no sizes can be found, N432 for data that is not the net's input.
    """
    tried = feeds(graph, seed=seed, data=data)
    from netc.backends.verify.network import answers, network

    exact = network(graph, weights, np.float64)
    return [Case(*each, answers(graph, exact, each.arrays, np.float64)) for each in tried]


def feeds(graph: Graph, *, seed: int = SEED, data: Array | Mapping[str, Array] | None = None) -> list[Feed]:
    """The inputs that a net is verified on. Raises: Fault as `reference` does."""
    found: list[Feed] = []
    for each in sizes(graph):
        whole = prescribed(graph, each)
        counts = dict.fromkeys((i.name for i in graph.inputs), SAMPLES)
        if whole is not None:
            times = -(-SAMPLES // min(whole[i.name] for i in graph.inputs))
            counts = {i.name: times * whole[i.name] for i in graph.inputs}
        feed = {i.name: _seeded(graph, i, seed + n, shape(i, counts[i.name], each)) for n, i in enumerate(graph.inputs)}
        found.append(Feed("seeded", each, feed))
    if data is not None:
        found.append(given(graph, data))
    return found


def _seeded(graph: Graph, tensor: Input, seed: int, shape: tuple[int, ...]) -> Array:
    return image_of_pixels(tensor, seed, shape) if takes_pixels(graph, tensor) else golden_input(seed, shape)


def given(
    graph: Graph, data: Array | Mapping[str, Array], *, code: str = "N432", said: str = "the data to verify on"
) -> Feed:
    """Arrays after the recipe, one or one for each input, as whole batches; a Fault has this `code` and these words.

    Raises: Fault `code` where they are not the net's inputs.
    """
    arrays = data if isinstance(data, Mapping) else {graph.inputs[0].name: data}
    if set(arrays) != {i.name for i in graph.inputs}:
        wanted = ", ".join(i.name for i in graph.inputs)
        raise Fault(code, f"{said} is for {', '.join(arrays)}, and the net's inputs are {wanted}")
    feed, found = fitting(graph, arrays, code, said)
    whole = prescribed(graph, found) or dict.fromkeys(feed, 1)
    counts = {name: len(array) // whole[name] for name, array in feed.items()}
    for name, count in counts.items():
        if not count:
            words = f"{len(feed[name])} examples for {name}, fewer than one batch of {whole[name]}"
            raise Fault(code, f"{said} has {words}")
    if len(set(counts.values())) > 1:
        raise Fault(code, f"{said} has another number of examples for each input")
    return Feed("data", found, {name: array[: counts[name] * whole[name]] for name, array in feed.items()})


def fitting(graph: Graph, arrays: Mapping[str, Array], code: str, said: str) -> tuple[dict[str, Array], dict[str, int]]:
    """Arrays for all inputs as float32, and the sizes that they give symbols, with a batch that the net admits where a
    requirement names it.

    Raises: Fault `code`, which begins with `said`, where they are not what the net takes.
    """
    feed = {i.name: _checked(i, np.asarray(arrays[i.name]), code, said) for i in graph.inputs}
    found = sides(graph, feed)
    try:
        return feed, sizes(graph, found)[0]
    except Fault as fault:
        raise Fault(code, f"{said} has sizes that a `require` of {graph.name} refuses: {found}") from fault


def _checked(tensor: Input, array: Array, code: str, said: str) -> Array:
    words = f"{said} is {array.dtype}{list(array.shape)} for {tensor.name}"
    dims = tensor.type.dims[1:]
    fits = array.ndim == len(dims) + 1 and all(
        not isinstance(side, int) or side == size for side, size in zip(dims, array.shape[1:], strict=True)
    )
    if not fits or array.dtype.kind != "f" or not array.size:
        raise Fault(code, f"{words}, expected float32{tensor.type}", help="give tensors, after the recipe")
    if not np.isfinite(array).all():
        raise Fault(code, f"{words}, and holds a NaN or an infinity")
    return np.ascontiguousarray(array, np.float32)
