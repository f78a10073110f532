"""Real examples of a net's inputs: those that int8's ranges are taken from, and those that accuracy is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.backends.verify.batches import prescribed
from netc.backends.verify.cases import fitting, given
from netc.backends.verify.sizes import together
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights import Array

TOGETHER = 32  # examples that run at once, where the net does not say
ROOM = 2**28  # elements of all values of these: a calibrator keeps them together

_SAID = "the calibration data"

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Some inputs of a net, read when they are asked for; `labels` are their classes, where those are known."""

    count: int
    read: Callable[[Sequence[int]], Mapping[str, Array]]
    labels: Labels | None = None

    def some(self, most: int) -> Examples:
        """At most so many of them, evenly spaced."""
        if self.count <= most:
            return self
        rows = np.linspace(0, self.count - 1, most).round().astype(np.int64)
        labels = None if self.labels is None else self.labels[rows]
        return Examples(most, lambda wanted: self.read([int(rows[row]) for row in wanted]), labels)

    def batches(self, size: int) -> Iterator[tuple[range, Mapping[str, Array]]]:
        """All of them, `size` at a time; the last batch may be smaller."""
        for start in range(0, self.count, size):
            rows = range(start, min(start + size, self.count))
            yield rows, self.read(rows)


class Calibration(NamedTuple):
    """What an int8 build needs of reality: examples to take ranges from, and examples to measure accuracy on."""

    ranges: Examples
    test: Examples


def calibration(
    graph: Graph, inputs: Array | Mapping[str, Array], labels: npt.NDArray[Any] | Sequence[int] | None = None
) -> Calibration:
    """Arrays after the recipe, one or one for each input, and the class of each example: for the ranges and the test.

    Raises: Fault N460 where they are not the net's inputs, or the labels are not one whole number an example.
    """
    arrays = given(graph, inputs, code="N460", said=_SAID).arrays
    count = len(next(iter(arrays.values())))
    found = None if labels is None else np.asarray(labels)
    first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    if found is not None and (found.shape != (len(first),) or found.dtype.kind not in "iu"):
        raise Fault(
            "N460",
            f"the labels are {found.dtype}{list(found.shape)}, and there are {len(first)} examples",
            help="one whole number an example, or none",
        )
    classes = None if found is None else found[:count].astype(np.int64)
    examples = Examples(count, lambda rows: {name: array[list(rows)] for name, array in arrays.items()}, classes)
    return Calibration(examples, examples)


class Batched(NamedTuple):
    """Examples that fill whole batches of `size`, which is the net's own where it is `fixed`."""

    examples: Examples
    size: int
    fixed: bool

    def feeds(self) -> Iterator[Mapping[str, Array]]:
        """Batch by batch."""
        return (feed for _, feed in self.examples.batches(self.size))

    def some(self, most: int) -> Batched:
        """At most so many of the examples, evenly spaced: whole batches where these are fixed, one at least."""
        whole = max(most // self.size, 1) * self.size if self.fixed else most
        return Batched(self.examples.some(whole), self.size, self.fixed)


def batched(graph: Graph, examples: Examples) -> Batched:
    """The examples in the batches that the net prescribes, or in batches that are quick and have room in memory.

    Raises: Fault N460 where they are not the net's inputs, there is less than one batch, or inputs and outputs have
    different ones.
    """
    whole = None
    if examples.count:
        one, numbers = fitting(graph, examples.read([0]), "N460", _SAID)
        whole = prescribed(graph, numbers)
        if whole is None:
            return Batched(examples, min(max(1, ROOM // together(graph, one)), TOGETHER), False)
    sizes = {*(whole or {"": 1}).values()}
    if len(sizes) > 1:
        raise Fault("N460", f"{graph.name}: batches of {sorted(sizes)} for inputs and outputs cannot be calibrated")
    size = sizes.pop()
    count = examples.count // size * size
    if not count:
        raise Fault("N460", f"there are {examples.count} examples to calibrate on, fewer than one batch of {size}")
    labels = None if examples.labels is None else examples.labels[:count]
    return Batched(Examples(count, examples.read, labels), size, True)
