"""Weights for a graph out of a source, as options say."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights.fit import fit
from netc.weights.names import named
from netc.weights.our_models import refuse_changed, refuse_other
from netc.weights.source import find
from netc.weights.stored import in_hand
from netc.weights.tensors import Weights, changed, chosen, maker


@dataclass(frozen=True)
class Reading:
    """How a source is read, where its names and shapes alone do not say.

    `key` picks one of several sets in it. `partial` are patterns of names that may be missing or of another shape.
    With `nonfinite` NaN and infinities are taken. `map` is a file that says which tensor is which of the net's.
    """

    key: str | None = None
    partial: Sequence[str] = ()
    nonfinite: bool = False
    map: str | os.PathLike[str] | None = None


def load(
    source: str | os.PathLike[str],
    graph: Graph,
    reading: Reading | None = None,
    *,
    deployed: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Weights:
    """A graph's tensors from a source: exactly these, in its order, but for those that `partial` leaves out.

    The numbers of a file are read each time they are asked for.

    f16 and bf16 become f32 exactly, f64 by rounding to the nearest; no other type is converted. A missing
    `num_batches_tracked` is 0. With `deployed`, tensors that only training heads need are left out, there or not.
    `say` hears of every choice that was made: a set of several, a prefix taken off, what was left out.

    Raises: Fault N448 for a model of netc's whose tensors are not the net's; as `netc.weights.source.find`,
    `netc.weights.names.named`, `netc.weights.map_file.applied` and `netc.weights.fit.fit` do.
    """
    reading = reading or Reading()
    name = os.fspath(source)
    found = find(name, reading.key)
    refuse_changed(found, graph)
    if reading.map is None:
        tensors, notes = named(found, graph)
    else:
        from netc.weights.map_file import applied

        tensors, notes = applied(found, reading.map, graph), ()
    for note in (*found.notes, *notes):
        say(note)
    weights = fit(
        tensors,
        graph,
        prefix=f"{name}: ",
        help=f"`netc weights map {_spec(graph)} {Path(name).as_posix()}` proposes which is which",
        deployed=deployed,
        finite=not reading.nonfinite,
        partial=reading.partial,
        say=say,
    )
    if reading.map is None:
        refuse_other(found, graph, weights)
    return weights


def taken(
    given: Mapping[str, Any], graph: Graph, reading: Reading, *, say: Callable[[str], None] = lambda _: None
) -> Weights:
    """A graph's tensors from arrays or torch's tensors by name, of which none is converted; otherwise as `load`.

    Raises: Fault N442 and N444 for a `key` and a `map`, which choose among a file's; as `netc.weights.fit.fit` does.
    """
    for code, word, asked in (("N442", "key", reading.key), ("N444", "map", reading.map)):
        if asked is not None:
            raise Fault(code, f"`{word}` is about the weights of a file, and these are a mapping", help="leave it out")
    finite = not reading.nonfinite
    return fit(in_hand(given), graph, finite=finite, convert=False, partial=reading.partial, say=say)


def completed(weights: Weights, graph: Graph, others: Callable[[], Weights]) -> Weights:
    """The weights, and what they lack of a graph's out of others, which are asked for where something is lacking."""
    left = [name for name, _ in graph.parameters() if name not in weights]
    if not left:
        return weights
    more = others()
    every = changed(weights, {name: maker(more, name) for name in left})
    return chosen(every, [name for name, _ in graph.parameters()])


def _spec(graph: Graph) -> str:
    file = next(iter(graph.texts), "SPEC")
    return f"{file}:{graph.name}"
