"""An f32 file in int8, within a budget of accuracy: what hurts is found layer by layer and stays in float."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from netc.backends.precision import speed
from netc.backends.precision.examples import Batched, Calibration, batched
from netc.backends.precision.layer_errors import hurts
from netc.backends.precision.quantise import WEIGHTED, Method, always_float, layer_of, prepare, quantised, ranges
from netc.backends.precision.scores import Judge, Score, worst
from netc.backends.verify.session import open_session
from netc.diagnostic import Fault
from netc.elaborate.names import nearest
from netc.graph import Graph, Node
from netc.passes.fold_batch_norm import BIASED
from netc.passes.lines import LINES
from netc.weights import Array

MAX_DROP = 0.5  # percentage points
RANGES = 512  # examples that ranges are taken from
LOOKED_AT = 16  # examples on which layers are compared
SPEEDS = (1, 8)  # batches whose speed is compared


Run = Callable[[Mapping[str, Array]], Sequence[Array]]


class Kept(NamedTuple):
    """A layer that stayed in float, and why: the share of its result's power that was noise, or that it was asked."""

    layer: str
    noise: float | None


@dataclass(frozen=True)
class Quantised:
    """A net in int8: its model, how well it answers, and which layers stayed in float of those int8 could take."""

    model: onnx.ModelProto
    scores: tuple[Score, ...]
    method: Method
    kept: tuple[Kept, ...] = ()
    weighted: int = 0
    """Layers with weights that are int8."""
    ranged: int = 0
    tested: int = 0
    """Examples that ranges were taken from, and that it was tested on."""
    speeds: tuple[speed.Ratio, ...] = ()

    @property
    def worst(self) -> Score:
        """The output that loses most."""
        return worst(self.scores)


def quantise(
    path: Path,
    graph: Graph,
    given: Calibration,
    work: Path,
    *,
    max_drop: float = MAX_DROP,
    keep_float: Sequence[str] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Quantised:
    """An f32 file of the graph's in int8. `keep_float` are patterns of layers' names; `work` is a folder for files.

    `told` hears how it gets on.

    Raises: Fault N460 for examples that are no batch, N461 where nothing would be int8, N462 where more than `max_drop`
    percentage points are lost with everything that hurts in float, N463 for a pattern that no layer has.
    """
    prepared = work / "prepared.onnx"
    before = prepare(path, prepared)
    kept = _asked(graph, keep_float, {layer_of(node.name, graph.node) for node in before.graph.node})
    floats = always_float(before, graph)
    floats.update(n.name for n in before.graph.node if layer_of(n.name, {each.layer for each in kept}))
    weighted = {node.name for node in before.graph.node if node.op_type in WEIGHTED}
    if weighted <= floats:
        raise Fault("N461", f"{graph.name}: no layer would be int8", help="build it in f32 or f16")
    examples, test = batched(graph, given.ranges.some(RANGES)), batched(graph, given.test)
    judge = Judge(graph, test, open_session(path, graph))
    target = work / "int8.onnx"

    def tried(method: Method, found: Any) -> Quantised:
        model = quantised(prepared, found, floats)
        target.write_bytes(model.SerializeToString(deterministic=True))
        made = Quantised(model, tuple(judge.scores(open_session(target, graph))), method, tuple(kept))
        told(f"{method} ranges, {len(kept)} layers in float: {made.worst.drop:.2f} percentage points lost")
        return made

    methods: tuple[Method, ...] = ("minmax", "percentile")
    best, found = None, None
    for method in methods:
        these = ranges(prepared, examples.feeds(), method)
        made = tried(method, these)
        if best is None or made.worst.drop < best.worst.drop:
            best, found = made, these
        if best.worst.drop <= max_drop:
            break
    assert best is not None
    while best.worst.drop > max_drop:
        some = examples.some(LOOKED_AT)
        blamed = hurts(before, best.model, floats, some.feeds(), lambda p, n: open_session(p, graph, n), work)
        if not blamed or weighted <= floats.union(blamed[0].nodes):
            raise _over(graph, best, max_drop)
        floats.update(blamed[0].nodes)
        kept += [Kept(name, blamed[0].noise) for name in _layers(graph, blamed[0].nodes, weighted)]
        best = tried(best.method, found)
    return replace(
        best,
        weighted=len(weighted - floats),
        ranged=examples.examples.count,
        tested=test.examples.count,
        speeds=_speeds(graph, examples, path, target),
    )


def _asked(graph: Graph, patterns: Sequence[str], there: Collection[str]) -> list[Kept]:
    # Of a batch norm that was folded the layer that took it over is meant, of which the file has nodes.
    found: dict[str, Kept] = {}
    for pattern in patterns:
        fit = [name for name in graph.node if fnmatchcase(name, pattern)]
        if not fit:
            words = f"{graph.name} has no layer `{pattern}` to keep in float"
            raise Fault("N463", words, help=nearest(pattern, graph.node) or "netc show lists the layers")
        named = [layer for name in fit for layer in ([name] if name in there else _instead(graph, name))]
        layers = [layer for layer in named if layer in there]
        if not layers:
            words = f"no layer that `{pattern}` names is in the file: they were folded into others"
            raise Fault("N463", f"{graph.name}: {words}", help="name the layers that they are folded into")
        found |= {name: Kept(name, None) for name in layers}
    return list(found.values())


def _instead(graph: Graph, name: str) -> list[str]:
    # The layer before a norm that took it over, or those behind it; nothing for what is no norm.
    node: Node | None = graph.node[name]
    if not isinstance(node.op, LINES):
        return []
    while node is not None and isinstance(node.op, LINES):
        node = graph.node.get(node.inputs[0])
    if node is not None and isinstance(node.op, BIASED):
        return [node.name]
    return [each.name for each in graph.nodes if isinstance(each.op, BIASED) and name in each.inputs]


def _layers(graph: Graph, nodes: Sequence[str], weighted: Collection[str]) -> list[str]:
    # Those with weights, where there are some: what follows in the same value's making is beside the point.
    named = [name for name in nodes if name in weighted] or nodes
    return [*dict.fromkeys(layer_of(name, graph.node) or name for name in named)]


def _over(graph: Graph, best: Quantised, max_drop: float) -> Fault:
    score = best.worst
    return Fault(
        "N462",
        f"{graph.name}: int8 loses {score.drop:.2f} percentage points of {score.words} (output {score.output}: "
        f"{score.f32:.2f} % in f32, {score.found:.2f} % in int8), and {max_drop:g} are allowed; "
        f"{len(best.kept)} layers were kept in float, and keeping more leaves nothing in int8",
        help="allow more with --max-drop, calibrate on more examples, or build it in f16",
    )


def _speeds(graph: Graph, given: Batched, before: Path, after: Path) -> tuple[speed.Ratio, ...]:
    first, second = open_session(before, graph), open_session(after, graph)
    found: list[speed.Ratio] = []
    for size in (given.size,) if given.fixed else SPEEDS:
        feed = given.examples.read([row % given.examples.count for row in range(size)])
        found.append(speed.compared(size, partial(first, feed), partial(second, feed)))
    return tuple(found)
