"""A proposal which tensor of a source is which of a net's, where names differ: a map, row by row, with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import prod
from typing import NamedTuple, TypeAlias

from netc.diagnostic import Fault
from netc.graph import Graph, Node
from netc.ops.fc import Fc
from netc.ops.flatten import Flatten
from netc.weights.match import By, Match, matched
from netc.weights.modules import COUNTER, Module, Shape, Tensor, in_order, there, wanted
from netc.weights.names import named
from netc.weights.our_models import refuse_changed
from netc.weights.stored import Found

# Channels last, as TensorFlow and Flax have them, becomes torch's: the numbers are the old axes in their new order.
_AXES: Mapping[int, Sequence[tuple[int, ...]]] = {
    2: ((1, 0),),
    3: ((2, 1, 0), (1, 2, 0)),
    4: ((3, 2, 0, 1), (2, 3, 0, 1)),  # (h, w, in, out); depthwise (h, w, channels, 1)
    5: ((4, 3, 0, 1, 2), (3, 4, 0, 1, 2)),
}
CANDIDATES = 3

_Form: TypeAlias = Callable[[Shape], Shape]


class Row(NamedTuple):
    """A tensor of the net: what it is in the source, how sure that is and why, and what has to be done to its axes.

    `source` is None where nothing is proposed; then `candidates` are what it might be. `fill` is its value where the
    source has it folded into another tensor.
    """

    name: str
    shape: Shape
    layer: str
    kind: str
    source: str | None
    found: Shape | None
    by: By
    reason: str
    candidates: tuple[str, ...] = ()
    reshape: Shape | None = None
    transpose: tuple[int, ...] | None = None
    fill: float | None = None


@dataclass(frozen=True)
class Proposal:
    """Rows for the tensors of a net, and the source's tensors that no row takes. `fits`: it loads as it is."""

    rows: tuple[Row, ...]
    unused: tuple[str, ...]
    fits: bool
    heads: tuple[str, ...] = ()
    """Layers that only training needs and the source does not have: they have no rows."""

    @property
    def open(self) -> tuple[Row, ...]:
        """The rows without an answer."""
        return tuple(row for row in self.rows if row.by == "open")


class _Try(NamedTuple):
    """One way to compare, and what came of it."""

    form: _Form
    matches: list[Match]
    open: tuple[int, int]
    """Tensors without an answer: those that are needed, and those of heads that only training has."""


def propose(graph: Graph, found: Found) -> Proposal:
    """Match a source to a net by names, shapes and structure. Raises: Fault N448 as `refuse_changed` does."""
    refuse_changed(found, graph)
    as_it_is = _fits(graph, found)
    other = there(found)
    ordered = in_order(found)
    needed = {node.weights for node in graph.nodes if node.name in graph.deployed}
    best: _Try | None = None
    for form, modules in _ways(graph, other, needed):
        matches = matched(modules, other, form, ordered=ordered)
        left = [m.wanted for m in matches if m.found is None]
        heads = sum(_tensors(module) for module in left if module.name not in needed)
        tried = _Try(form, matches, (sum(map(_tensors, left)) - heads, heads))
        if best is None or tried.open < best.open:
            best = tried
        if best.open == (0, 0):
            break
    assert best is not None
    matches = [m for m in best.matches if m.found is not None or m.wanted.name in needed]
    rows = _rows(graph, best.form, matches, other)
    used = {row.source for row in rows}
    unused = tuple(name for name in found.tensors if name not in used)
    known = {row.layer for row in rows}
    heads = [m.name for m in wanted(graph, folded=False) if m.name not in needed and m.name not in known]
    return Proposal(tuple(rows), unused, as_it_is, tuple(heads))


def _ways(graph: Graph, other: Sequence[Module], needed: set[str]) -> Iterator[tuple[_Form, list[Module]]]:
    """Shapes as they are first; with the training heads and without; with each batch norm by itself and folded."""
    norms = sum("running_var" in module.tensors for module in other)
    for form in (_exact, _joined, _in_any_order):
        for folded in (False, True):
            modules = wanted(graph, folded=folded)
            if folded and norms >= sum("running_var" in module.tensors for module in wanted(graph, folded=False)):
                continue
            yield form, modules
            deployed = [module for module in modules if module.name in needed]
            if len(deployed) < len(modules):
                yield form, [replace(module, at=at) for at, module in enumerate(deployed)]


def _tensors(module: Module) -> int:
    return len(module.tensors) - (COUNTER in module.tensors) + len(module.fills)


def _exact(shape: Shape) -> Shape:
    return shape


def _joined(shape: Shape) -> Shape:
    # A dense layer as a convolution of 1x1, or a scale with the sides it is spread over.
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def _in_any_order(shape: Shape) -> Shape:
    return tuple(sorted(shape))


def _fits(graph: Graph, found: Found) -> bool:
    try:
        tensors, _ = named(found, graph)
    except Fault:  # two names or two prefixes that are as good
        return False
    return all(
        name in tensors and tensors[name].shape == param.shape
        for name, param in graph.parameters()
        if name.rpartition(".")[2] != COUNTER
    )


def _rows(graph: Graph, form: _Form, matches: Sequence[Match], other: Sequence[Module]) -> list[Row]:
    taken = {match.found.path for match in matches if match.found is not None}
    free = [tensor for module in other if module.path not in taken for tensor in module.tensors.values()]
    axes = _axes(matches) if form is _in_any_order else {}
    rows: dict[str, Row] = {}
    for match in matches:
        module = match.wanted
        for role, tensor in module.tensors.items():
            row = Row(tensor.name, tensor.shape, module.name, module.kind, None, None, "open", match.reason)
            others = tuple(t.name for m in match.others if (t := _of(m, role)) is not None)
            source = _of(match.found, role) if match.found is not None else None
            if source is not None:
                row = row._replace(source=source.name, found=source.shape, by=match.by, candidates=others[:CANDIDATES])
                rows[tensor.name] = _changed(row, match.wanted.node, graph, axes)
            elif role != COUNTER:
                near = others or tuple(each.name for each in free if each.shape == tensor.shape)
                rows[tensor.name] = row._replace(candidates=near[:CANDIDATES])
        for tensor, value in module.fills.items():
            row = Row(tensor.name, tensor.shape, module.name, module.kind, None, None, match.by, match.reason)
            if match.found is not None:
                row = row._replace(fill=value, reason="folded into the layer before it")
            rows[tensor.name] = row
    return [rows[name] for name, _ in graph.parameters() if name in rows]


def _of(module: Module, role: str) -> Tensor | None:
    """The tensor of a role; of a layer with one tensor that one, whatever it is called."""
    tensors = [tensor for name, tensor in module.tensors.items() if name != COUNTER]
    return tensors[0] if len(tensors) == 1 and role != COUNTER else module.tensors.get(role)


def _axes(matches: Sequence[Match]) -> dict[tuple[str, int], tuple[int, ...]]:
    """For each kind of layer and number of axes the order that brings those to fit that do not fit as they are."""
    pairs: dict[tuple[str, int], list[tuple[Shape, Shape]]] = {}
    for match in matches:
        for role, tensor in match.wanted.tensors.items():
            other = _of(match.found, role) if match.found is not None else None
            if other is not None and len(other.shape) == len(tensor.shape) > 1 and other.shape != tensor.shape:
                pairs.setdefault((match.wanted.kind, len(tensor.shape)), []).append((other.shape, tensor.shape))
    chosen: dict[tuple[str, int], tuple[int, ...]] = {}
    for key, shapes in pairs.items():
        for axes in (*_AXES.get(key[1], ()), *permutations(range(key[1]))):
            if all(_permuted(a, axes) == b for a, b in shapes):
                chosen[key] = axes
                break
    return chosen


def _permuted(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(shape[axis] for axis in axes)


def _changed(row: Row, node: Node | None, graph: Graph, axes: Mapping[tuple[str, int], tuple[int, ...]]) -> Row:
    """The row with what has to be done to the tensor's axes, or open where that is not known."""
    assert row.found is not None
    order = axes.get((row.kind, len(row.found)))
    fits = row.found == row.shape
    others = (order,) if order is not None else _AXES.get(len(row.found), ()) if axes else ()
    if fits and any(each != tuple(range(len(each))) and _permuted(row.found, each) == row.shape for each in others):
        alike = "its axes may be in another order, as those of other layers are: both fit"
        return row._replace(source=None, found=None, by="open", reason=alike, candidates=(row.source or "",))
    if order is not None and _permuted(row.found, order) == row.shape:
        image = _flattened(node, graph) if row.kind == "fc" else None
        if image is not None and not fits:
            # Behind a flatten the rows of a dense layer stand as the image did: sides first, channels last.
            *sides, channels = image
            back = (len(sides) + 1, len(sides), *range(len(sides)))
            reason = f"{row.reason}; its inputs taken as flattened with channels last"
            return row._replace(
                by=_flagged(row.by), reason=reason, reshape=(*sides, channels, row.shape[0]), transpose=back
            )
        return row._replace(by=_flagged(row.by), reason=f"{row.reason}; its axes in another order", transpose=order)
    if fits:
        return row
    if prod(row.found) == prod(row.shape) and row.found[:1] == row.shape[:1]:
        return row._replace(reason=f"{row.reason}; the same numbers in another shape", reshape=row.shape)
    return row._replace(source=None, found=None, by="open", reason="no order of its axes fits")


def _flagged(by: By) -> By:
    return "place" if by in ("name", "shape") else by


def _flattened(node: Node | None, graph: Graph) -> Shape | None:
    """The sides and the channels of the image that a dense layer's input was, where it had sides."""
    before = graph.node.get(node.inputs[0]) if node is not None and isinstance(node.op, Fc) else None
    while before is not None and before.op.inference_identity:
        before = graph.node.get(before.inputs[0])
    if before is None or not isinstance(before.op, Flatten) or before.op.order != "chw":
        return None
    (image,) = graph.operands(before)
    sides = [side for side in image.sides if isinstance(side, int)]
    return (*sides, image.c) if prod(sides) > 1 else None
