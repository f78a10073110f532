"""Receptive fields: what an element of a value sees of the inputs.

A field runs from the first to the last element seen, what a dilation skips and padding included; its extent is the
widest of all places, its stride the distance between the fields of two neighbours. `gap`, a `fc` after `flatten` and
whatever such a value gates see everything; the statistics of norms do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd
from typing import TypeAlias

from netc.graph import Graph, Node
from netc.op import EVERYTHING, Reach
from netc.tensor import TensorType

MOST_PHASES = 4096
"""A field whose extent varies over more neighbouring elements than this is not followed."""

Field: TypeAlias = tuple[Reach | None, ...]
"""What an element sees of an input, a side each; None where that cannot be told."""


def fields(graph: Graph, nodes: Sequence[Node], types: Mapping[str, TensorType]) -> dict[str, dict[str, Field]]:
    """What an element of each value sees of each input it depends on."""
    found: dict[str, dict[str, Field]] = {i.name: {i.name: (Reach(),) * i.type.rank} for i in graph.inputs}
    made: dict[tuple[int, tuple[TensorType, ...]], tuple[tuple[Reach | None, ...], ...]] = {}
    for node in nodes:
        xs = tuple(types[name] for name in node.inputs)
        key = (id(node.op), xs)
        if key not in made:
            made[key] = node.op.reach(types[node.name], *xs)
        seen: dict[str, Field] = {}
        for name, reaches in zip(node.inputs, made[key], strict=True):
            for source, field in found[name].items():
                through = _through(reaches, field)
                before = seen.get(source)
                seen[source] = through if before is None else tuple(map(_union, before, through))
        found[node.name] = {source: field for source, field in seen.items() if not _nothing(field)}
    return found


def _through(reaches: Sequence[Reach | None], field: Field) -> Field:
    # Where a value has no sides, what it sees has no place any more: it is handed on as it is.
    if len(reaches) != len(field):
        return field
    return tuple(map(_composed, reaches, field))


def _nothing(field: Field) -> bool:
    return any(side is not None and side.reads and not any(side.reads) for side in field)


def _composed(outer: Reach | None, inner: Reach | None) -> Reach | None:
    """What an element sees through a layer that reads what sees `inner`."""
    if outer is not None and outer.reads and not any(outer.reads):
        return outer
    if outer is None or inner is None:
        return None
    if not outer.reads or not inner.reads:
        return EVERYTHING
    if outer == Reach():
        return inner
    period = len(inner.reads)
    common = gcd(period, outer.step)
    times = period // common
    if len(outer.reads) * times > MOST_PHASES:
        return None
    turns = [(turn * outer.step, each) for turn in range(times) for each in outer.reads]
    reads = tuple(_seen(range(each.start + shift, each.stop + shift, each.step), inner) for shift, each in turns)
    return Reach(reads, inner.step * (outer.step // common))


def _seen(places: Sequence[int], inner: Reach) -> range:
    """From the first to the last element that some elements see."""
    period = len(inner.reads)
    if period == 1:
        places = [places[0], places[-1]] if places else []
    found: list[tuple[int, int]] = []
    for place in places:
        reads, shift = inner.reads[place % period], place // period * inner.step
        if reads:
            found.append((reads[0] + shift, reads[-1] + shift))
    return range(min(a for a, _ in found), max(b for _, b in found) + 1) if found else range(0)


def _union(a: Reach | None, b: Reach | None) -> Reach | None:
    """What two values see together."""
    for one, other in ((a, b), (b, a)):
        if one is not None and one.reads and not any(one.reads):
            return other
    if a is None or b is None:
        return None
    if not a.reads or not b.reads:
        return EVERYTHING
    if a == b:
        return a
    if a.step * len(b.reads) != b.step * len(a.reads):
        return EVERYTHING  # one stands still, or falls behind: somewhere in a large image they are far apart
    period = len(a.reads) * len(b.reads) // gcd(len(a.reads), len(b.reads))
    if period > MOST_PHASES:
        return None
    reads: list[range] = []
    for i in range(period):
        parts = [each for each in (_seen([i], a), _seen([i], b)) if each]
        reads.append(range(min(p.start for p in parts), max(p.stop for p in parts)) if parts else range(0))
    return Reach(tuple(reads), a.step * period // len(a.reads))


def extent(side: Reach | None) -> int | None:
    """How many elements, from the first to the last, the widest field covers; None for all of them or if unknown."""
    if side is None or not side.reads:
        return None
    return max((reads[-1] - reads[0] + 1 for reads in side.reads if reads), default=0)


def stride(side: Reach | None) -> Fraction | None:
    """How far apart the fields of two neighbours are, on the average; None as `extent` says."""
    return None if side is None or not side.reads else Fraction(side.step, len(side.reads))
