"""How far one side's outputs lie from the other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from netc.backends.compare.inputs import converted, feeds
from netc.backends.compare.pairing import Pairing, equal_sizes, pair
from netc.backends.compare.parting import Parting, parting
from netc.backends.compare.sides import Answers, FileSide, NetSide, Side, level
from netc.backends.precision.parity import own
from netc.backends.precision.widths import HALVES, Width
from netc.backends.verify.cases import Feed
from netc.backends.verify.figures import BOUND, Agreement, Floats, agreement, distance
from netc.diagnostic import Fault
from netc.weights import Array


@dataclass(frozen=True)
class Compared:
    """An output on inputs of one size, and its largest difference: where it is, example first, and both numbers."""

    agreement: Agreement
    shape: tuple[int, ...]
    index: tuple[int, ...] | None
    reference: float
    found: float


@dataclass(frozen=True)
class Comparison:
    """Two sides, held against each other. `parting` is the first layer at which they part, where that is known.

    `swapped`: the reference is the second of those that were given.
    """

    reference: Side
    other: Side
    pairing: Pairing
    outputs: tuple[Compared, ...]
    bound: float
    swapped: bool = False
    parting: Parting | None = None
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> Compared:
        return max(self.outputs, key=lambda each: each.agreement.excess)

    @property
    def equal(self) -> bool:
        """Whether every output lies within what is allowed."""
        return self.worst.agreement.excess <= 1

    @property
    def half(self) -> Width | None:
        """The half precision that the other side computes in, by its manifest."""
        return _half(self.other)


def compare(
    a: Side,
    b: Side,
    *,
    bound: float = BOUND,
    strict: bool = False,
    sizes: Mapping[str, int] | None = None,
    data: Mapping[str, Array] | None = None,
) -> Comparison:
    """Give both sides the same inputs and measure how far their outputs lie from each other.

    The reference is a net's float64 answer, or the first side's where both are nets or both are files. `sizes` are
    numbers for symbols; `data` are real inputs by the reference's names, to compare on beside the seeded ones. With
    `strict` nothing but the bound is allowed, whatever torch is off by in the file's precision.

    Raises: Fault N435 where the sides cannot be compared, and as `netc.backends.compare.inputs.feeds` does; the
    runtime's faults, where a model fails.
    """
    swapped = isinstance(b, NetSide) and not isinstance(a, NetSide)
    if swapped:
        a, b = b, a
    a, b = level(a, b)
    pairing = pair(a, b)
    equal = equal_sizes(a, b, pairing, sizes or {})
    tried = feeds(a, b, pairing, equal, data)
    found: list[Compared] = []
    spreads: dict[str, float] = {}
    for feed in tried:
        for each in _compared(a, b, pairing, feed, spreads, bound, strict=strict):
            spreads.setdefault(each.agreement.output, each.agreement.spread)
            found.append(each)
    made = Comparison(a, b, pairing, tuple(found), bound, swapped, notes=pairing.notes)
    if made.equal:
        return made
    worst = made.worst.agreement
    feed = next(each for each in tried if (each.origin, each.sizes) == (worst.origin, worst.sizes))
    example = made.worst.index[0] if made.worst.index is not None else 0
    return replace(made, parting=parting(a, b, pairing, feed, example, bound))


def _compared(
    a: Side, b: Side, pairing: Pairing, feed: Feed, spreads: Mapping[str, float], bound: float, *, strict: bool
) -> list[Compared]:
    answers = _whole(a, a.answers(feed.arrays))
    theirs = b.answers(converted(feed.arrays, b, pairing))
    found: list[Compared] = []
    for name, other in pairing.outputs.items():
        whole = answers[name].dtype.kind == "i"
        expected = answers[name].astype(np.float64)
        far, place = 0.0, None
        reference = met = 0.0
        for part, values in theirs:
            wanted = expected[part]
            got = values[other].astype(np.float64) if whole else values[other]  # else classes, held against logits
            here = distance(got, wanted)
            if here > far:
                far = here
                place = _place(got, wanted)
                if place is not None:
                    reference, met = float(wanted[place]), float(got[place])
                    place = (place[0] + part.start, *place[1:])
        found.append(
            Compared(_judged(a, b, name, feed, expected, far, spreads, bound), expected.shape, place, reference, met)
        )
    if strict or not isinstance(a, NetSide) or isinstance(b, NetSide):
        return found
    if any(bound < each.agreement.figure < inf for each in found):
        lost = _own(a, b, feed, answers)
        found = [_beside(each, lost) for each in found]
    return found


def _own(net: NetSide, other: Side, feed: Feed, answers: Mapping[str, Array]) -> Mapping[str, float]:
    # What the net itself loses in the file's precision: as when the file was built.
    width = _half(other)
    if width is not None:
        return own(net.graph, net.weights, feed.arrays, answers, width)
    return {name: distance(value, answers[name]) for name, value in net.float32(feed.arrays).items()}


def _half(side: Side) -> Width | None:
    manifest = side.manifest if isinstance(side, FileSide) else None
    if manifest is None or (manifest.precision != "f16" and manifest.precision != "bf16"):
        return None
    return HALVES[manifest.precision]


def _beside(compared: Compared, own: Mapping[str, float]) -> Compared:
    at = compared.agreement
    if at.figure == inf or not at.spread:
        return compared
    return replace(compared, agreement=replace(at, own=own[at.output] / at.spread))


def _judged(
    a: Side,
    b: Side,
    name: str,
    feed: Feed,
    expected: Floats,
    far: float,
    spreads: Mapping[str, float],
    bound: float,
) -> Agreement:
    seeded = spreads.get(name, 0.0)
    roads = (a.name, b.name) if a.road == b.road else (a.road, b.road)
    if far == 0 and np.isfinite(expected).all():
        return Agreement(name, feed.origin, feed.sizes, 0.0, seeded, bound=bound)
    return agreement(name, feed.origin, feed.sizes, expected, far, seeded, bound, reference=roads[0], other=roads[1])


def _whole(side: Side, answers: list[Answers]) -> dict[str, Array]:
    # Batches may overlap: later ones write what is there already.
    count = max(part.stop for part, _ in answers)
    found: dict[str, Array] = {}
    for part, values in answers:
        for name, value in values.items():
            if name not in found:
                found[name] = np.zeros((count, *value.shape[1:]), value.dtype)
            if found[name][part].shape != value.shape:
                shapes = f"{list(value.shape)} for a batch of {part.stop - part.start}"
                raise Fault(
                    "N435", f"{side.name}: output {name} is {shapes}, and only examples one by one are compared"
                )
            found[name][part] = value
    return found


def _place(got: Array, wanted: Floats) -> tuple[int, ...] | None:
    if got.shape != wanted.shape:
        return None
    difference = np.abs(got.astype(np.float64) - wanted)
    difference[~np.isfinite(difference)] = inf
    return tuple(int(i) for i in np.unravel_index(int(difference.argmax()), wanted.shape))
