"""What is compared: a net with its weights, in float64 torch; a model file, in ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

import netc_runtime
from netc.backends.verify.batches import prescribed
from netc.backends.verify.cases import BATCHES, SAMPLES
from netc.backends.verify.edges import pixels
from netc.diagnostic import Fault
from netc.graph import Graph, Input
from netc.passes.deploy import deploy
from netc.passes.embed import decoded, embedding
from netc.weights import Array, Weights
from netc_runtime.manifest import Manifest


class Port(NamedTuple):
    """An input or an output: a side of its shape is a number, or a symbol's text."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


class Answers(NamedTuple):
    """What came out for some of a feed's examples, by output."""

    part: slice
    values: Mapping[str, Array]


class Side(Protocol):
    """One of two things that are compared; `graph` is its net, where that is known.

    `images` are inputs that take images here, and pixels in the file.
    """

    name: str
    road: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    images: Mapping[str, Input]

    @property
    def graph(self) -> Graph | None: ...

    def batch(self, numbers: Mapping[str, int]) -> int | None:
        """How many examples it takes at once, for given numbers of its symbols; None where that is free."""
        ...

    def answers(self, feed: Mapping[str, Array]) -> list[Answers]:
        """What it answers to a feed, batch by batch; every example is in one of them at least."""
        ...


class NetSide:
    """A net with its weights, in float64 torch; heads that only training has are left out."""

    road = "float64 torch"

    def __init__(self, name: str, graph: Graph, weights: Weights) -> None:
        self.name = name
        self.net, self.weights = deploy(embedding(graph, ()), weights)
        self.images: Mapping[str, Input] = {}
        self._take(self.net)

    def _take(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs = tuple(Port(i.name, i.type.dtype, _sides(i.type.dims)) for i in graph.inputs)
        self.outputs = tuple(Port(o.name, o.type.dtype, _sides(o.type.dims)) for o in graph.outputs)

    def decoding(self) -> NetSide:
        """The same, with softmax and sigmoid where the spec decodes by them; what argmax decodes stays as it is."""
        found = copy(self)
        found._take(decoded(embedding(self.net, ("decode",))))
        return found

    def batch(self, numbers: Mapping[str, int]) -> int | None:
        """As `Side` says. Raises: Fault N435 where inputs have different ones."""
        whole = prescribed(self.graph, {name: n for name, n in numbers.items() if name in _spoken(self.graph)})
        return None if whole is None else _one(self.name, [whole[i.name] for i in self.graph.inputs])

    def answers(self, feed: Mapping[str, Array]) -> list[Answers]:
        """As `Side` says."""
        from netc.backends.verify.network import answers, network

        whole = answers(self.graph, network(self.graph, self.weights, np.float64), feed, np.float64)
        return [Answers(slice(0, _count(feed)), whole)]

    def float32(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """What the same net answers in float32, by output."""
        from netc.backends.verify.network import answers, network

        return answers(self.graph, network(self.graph, self.weights, np.float32), feed, np.float32)


class FileSide:
    """A model file in ONNX Runtime on the CPU, loaded as in production; with netc's manifest or without.

    Raises: the runtime's ModelFault for what is no whole model, or one that ONNX Runtime refuses.
    """

    road = "ONNX Runtime"

    def __init__(self, path: str | os.PathLike[str], graph: Graph | None = None) -> None:
        self.path = Path(path)
        self.name = os.fspath(path)
        self.graph = graph
        self.model = netc_runtime.load(path, device="cpu")
        self.manifest: Manifest | None = self.model.manifest
        self.inputs = tuple(Port(each.name, each.dtype, each.shape) for each in self.model.inputs)
        self.outputs = tuple(Port(each.name, each.dtype, each.shape) for each in self.model.outputs)
        self.images: Mapping[str, Input] = {}

    @property
    def embed(self) -> tuple[str, ...]:
        """The runtime's steps that the graph does itself."""
        return () if self.manifest is None else self.manifest.embed

    def of_images(self, graph: Graph) -> FileSide:
        """The same, taking the images of a net where the file takes pixels."""
        found = copy(self)
        recipes = {i.name: i for i in graph.inputs if i.recipe is not None}
        found.images = {p.name: recipes[p.name] for p in self.inputs if p.dtype == "u8" and p.name in recipes}
        found.inputs = tuple(
            Port(p.name, "f32", (p.shape[0], p.shape[3], *p.shape[1:3])) if p.name in found.images else p
            for p in self.inputs
        )
        return found

    def entering(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """A feed as the file takes it. Raises: Fault N432 for an image that no pixels make."""
        return {n: pixels(self.images[n], array) if n in self.images else array for n, array in feed.items()}

    def batch(self, numbers: Mapping[str, int]) -> int | None:
        """As `Side` says. Raises: Fault N435 where inputs have different ones."""
        first = [each.shape[0] if each.shape else 1 for each in self.inputs]
        elsewhere = {side for each in self.inputs for side in each.shape[1:]}
        known = [each if isinstance(each, int) else numbers[each] for each in first if _known(each, elsewhere)]
        return _one(self.name, known) if known else None

    def answers(self, feed: Mapping[str, Array]) -> list[Answers]:
        """As `Side` says: in batches of 1, 7 and 2 where that is free."""
        count = _count(feed)
        pairs = (pair for i in self.inputs for pair in zip(i.shape, feed[i.name].shape, strict=True))
        whole = self.batch({side: size for side, size in pairs if isinstance(side, str)})
        if whole is not None:
            parts = [slice(start, start + whole) for start in range(0, count, whole)]
        elif count == SAMPLES:
            parts = list(BATCHES)
        else:
            parts = [slice(start, min(start + 7, count)) for start in range(0, count, 7)]
        taken = self.entering(feed)
        return [Answers(part, self.model.predict({n: array[part] for n, array in taken.items()})) for part in parts]


def level(a: Side, b: Side) -> tuple[Side, Side]:
    """Both as they can be compared: images go into a file of pixels, where the other side takes some, and a net decodes
    where the file does.

    Raises: Fault N435 for two files of which one decodes.
    """
    if isinstance(a, FileSide) and isinstance(b, FileSide):
        if ("decode" in a.embed) != ("decode" in b.embed):
            names = (a.name, b.name) if "decode" in a.embed else (b.name, a.name)
            raise Fault(
                "N435",
                f"{names[0]} decodes its outputs, and {names[1]} does not",
                help="compare each with the net and the weights that it was built from",
            )
    elif isinstance(a, NetSide) and isinstance(b, FileSide) and "decode" in b.embed:
        a = a.decoding()
    for one, other in ((a, b), (b, a)):
        graph = other.graph or one.graph
        if isinstance(one, FileSide) and "preprocess" in one.embed and graph is not None:
            if isinstance(other, FileSide) and "preprocess" in other.embed:
                break
            changed = one.of_images(graph)
            return (changed, b) if one is a else (a, changed)
    return a, b


def _known(side: int | str, elsewhere: set[int | str]) -> bool:
    return isinstance(side, int) or side in elsewhere


def _sides(dims: tuple[object, ...]) -> tuple[int | str, ...]:
    return tuple(side if isinstance(side, int) else str(side) for side in dims)


def _spoken(graph: Graph) -> set[str]:
    return {name for i in graph.inputs for side in i.type.sides if not isinstance(side, int) for name in side.symbols()}


def _count(feed: Mapping[str, Array]) -> int:
    return len(next(iter(feed.values())))


def _one(name: str, batches: list[int]) -> int:
    if len(set(batches)) > 1:
        raise Fault("N435", f"{name}: inputs with batches of {', '.join(map(str, batches))} are not compared yet")
    return batches[0]
