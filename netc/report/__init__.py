"""What a net costs and sees: parameters, multiply-accumulates, memory and receptive fields, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.graph import Graph, Node
from netc.op import size_bytes
from netc.report.field import Field, fields
from netc.report.memory import inference_peak, shows, training_memory
from netc.tensor import Expr, Side, Symbol, TensorType


class Row(NamedTuple):
    """A layer. `macs` and `size_bytes` are None where a size is a symbol; `size_bytes` counts the batch.

    `view`: the result is another view of what enters, so `size_bytes` is 0. `field` is one a graph's input.
    """

    node: Node
    type: TensorType
    params: int
    macs: int | None
    size_bytes: int | None
    view: bool
    field: Mapping[str, Field]


@dataclass(frozen=True)
class Report:
    """A net's figures. What depends on symbols without a number is None; peaks count the batch."""

    graph: Graph
    rows: tuple[Row, ...]
    batch: int
    sizes: Mapping[str, int]
    params: int
    macs: int | None
    peak_inference_bytes: int | None
    peak_training_bytes: int | None
    saved_bytes: int | None
    """What is kept for the backward pass when the forward pass is done."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """The symbols without a number."""
        spoken = {name for i in self.graph.inputs for side in i.type.sides for name in _symbols(side)}
        return tuple(name for name in self.graph.symbols() if name in spoken and name not in self.sizes)


class Unfit(Exception):
    """Sizes that the net does not take."""


def report(graph: Graph, sizes: Mapping[str, int] | None = None, *, batch: int = 1, train: bool = False) -> Report:
    """The figures of a net as it is deployed, with `train` of all of it, for numbers in the place of symbols.

    Raises Unfit where `sizes` has a symbol that no input has, or numbers that the net does not take.
    """
    known = dict(sizes or {})
    _fits(graph, known, batch)
    nodes = [n for n in graph.nodes if train or n.name in graph.deployed]
    types = _types(graph, nodes, known, batch)
    rows: list[Row] = []
    seen: set[str] = set()
    seen_by = fields(graph, nodes, types)
    for node in nodes:
        y, xs = types[node.name], [types[name] for name in node.inputs]
        params = 0 if node.weights in seen else sum(p.size for p in node.op.params(*xs).values() if p.learned)
        seen.add(node.weights)
        view = shows(node, types, training=False)
        size = (0 if view else size_bytes(y)) if y.static else None
        rows.append(Row(node, y, params, node.op.cost(y, *xs), size, view, seen_by[node.name]))
    static = all(types[name].static for name in types)
    outputs = [o.value for o in graph.outputs if train or not o.train_only]
    read = {name for node in nodes for name in node.inputs} | set(outputs)
    inputs = [i.name for i in graph.inputs if i.name in read]
    training = training_memory(nodes, types, inputs, outputs) if static else (None, None)
    return Report(
        graph,
        tuple(rows),
        batch,
        known,
        graph.params(train=train),
        None if any(r.macs is None for r in rows) else sum(r.macs or 0 for r in rows),
        inference_peak(nodes, types, inputs, outputs) if static else None,
        *training,
    )


def _types(graph: Graph, nodes: Sequence[Node], sizes: Mapping[str, int], batch: int) -> dict[str, TensorType]:
    batches = {name for i in graph.inputs for name in _symbols(i.type.batch)}
    numbers = {**dict.fromkeys(batches, batch), **sizes}
    types = {i.name: i.type.at(numbers) for i in graph.inputs}
    for node in nodes:
        types[node.name] = y = node.type.at(numbers)
        small = [side for side in y.sides if isinstance(side, int) and side < 1]
        if small:
            raise Unfit(f"at {_spelled(sizes)} a side of {node.name} is {small[0]}: nothing is left of the image")
    return types


def _fits(graph: Graph, sizes: Mapping[str, int], batch: int) -> None:
    free = {name: symbol for i in graph.inputs for side in i.type.sides for name, symbol in _symbols(side).items()}
    for name, value in sizes.items():
        if name not in free:
            known = f"its symbols are {', '.join(free)}" if free else "all its sides are numbers"
            raise Unfit(f"{graph.name} has no size `{name}`: {known}")
        symbol = free[name]
        if value < symbol.low or (symbol.high is not None and value > symbol.high):
            bound = f"at least {symbol.low}" if value < symbol.low else f"at most {symbol.high}"
            raise Unfit(f"{name} is {bound}, not {value}")
        if value % symbol.divisor:
            near = max(value // symbol.divisor, 1) * symbol.divisor
            raise Unfit(f"{name} is a multiple of {symbol.divisor}, not {value}: {near} is one")
    numbers = {**{name: batch for i in graph.inputs for name in _symbols(i.type.batch)}, **sizes}
    for each in graph.requires:
        if each.symbols <= set(numbers) and not _value(each.expr, numbers):
            raise Unfit(f"{_spelled(numbers)} breaks `require {each.text}`: {each.why}")


def _spelled(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sizes.items())


def _symbols(side: Side) -> dict[str, Symbol]:
    return {} if isinstance(side, int) else side.symbols()


def _value(expr: Expr, sizes: Mapping[str, int]) -> int:
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return sizes[expr]
    of = [_value(each, sizes) for each in expr[1:]]
    if expr[0] == "not":
        return not of[0]
    return _OPERATORS[str(expr[0])](*of)


_OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
}
