"""An ONNX file, run by ONNX Runtime, held against the reference."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from netc.backends.verify.batches import Batch, alike, prescribed, rounds
from netc.backends.verify.cases import BATCHES, SAMPLES, Case
from netc.backends.verify.figures import BOUND, Agreement, Parity, agreement, distance
from netc.backends.verify.session import open_session
from netc.backends.verify.sizes import largest
from netc.graph import Graph
from netc.weights import Weights

LARGEST = 2**28  # elements of one value at once: 1 GiB in float32; beyond it batches are smaller than 7


def verify(
    path: str | os.PathLike[str],
    graph: Graph,
    weights: Weights,
    cases: Sequence[Case],
    *,
    bound: float = BOUND,
    own: Callable[[Case], Mapping[str, float]] | None = None,
) -> Parity:
    """Run an ONNX file on the CPU, in batches of 1, 2 and 7, and measure how far its outputs lie from the cases'.

    Where a figure is above `bound`, `own` is asked how far another road in the file's precision lies from a case's
    answers, by output; float32 torch's without it.

    Raises: Fault N433 where ONNX Runtime cannot load or run the file.
    """
    run = open_session(path, graph)
    names = [output.name for output in graph.outputs]
    seeded = dict.fromkeys(names, 0.0)
    found: list[Agreement] = []
    for case in cases:
        far = dict.fromkeys(names, 0.0)
        for batch in batches(graph, case):
            answers = run({name: case.feed[name][part] for name, part in batch.inputs.items()})
            for name, ours in zip(names, answers, strict=True):
                far[name] = max(far[name], distance(ours, case.answers[name][batch.outputs[name]]))
        each = [
            agreement(name, case.origin, case.sizes, case.answers[name], far[name], seeded[name], bound)
            for name in names
        ]
        if any(bound < one.figure < inf for one in each):
            yardstick = own(case) if own is not None else float32(graph, weights, case)
            each = [replace(a, own=yardstick[a.output] / a.spread) if a.figure < inf else a for a in each]
        for one in each:
            seeded[one.output] = seeded[one.output] or one.spread
        found += each
    return Parity(tuple(found), bound=bound)


def float32(graph: Graph, weights: Weights, case: Case) -> dict[str, float]:
    """How far float32 torch lies from the case's answers, by output."""
    from netc.backends.verify.network import answers as computed
    from netc.backends.verify.network import network

    answers = computed(graph, network(graph, weights, np.float32), case.feed, np.float32)
    return {name: distance(answer, case.answers[name]) for name, answer in answers.items()}


def batches(graph: Graph, case: Case) -> list[Batch]:
    """A case's examples as they go through the file: whole batches where one is prescribed, else of 1, 7 and 2."""
    whole = prescribed(graph, case.sizes)
    if whole is not None:
        return rounds(graph, case.feed, whole)
    count = len(next(iter(case.feed.values())))
    most = max(1, LARGEST // largest(graph, case.feed))
    if case.origin == "seeded" and count == SAMPLES and most >= 7:
        return [alike(graph, part) for part in BATCHES]
    few = min(7, most)
    starts = range(1, count, few)
    return [alike(graph, part) for part in (slice(0, 1), *(slice(start, start + few) for start in starts))]
