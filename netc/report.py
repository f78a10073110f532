"""What a net costs and sees: parameters, multiply-accumulates, memory and receptive fields, layer by layer.

Inference memory. A value takes its elements in f32; it lives from the layer that makes it to its last reader, an input
from the start, an output to the end. What is only another view (`id`, `flatten`, `reshape`, `slice`, `crop`,
`subsample`; at inference dropout, too) shares the memory of what it shows, which lives as long as the longest of them.
A layer's result exists beside what it reads: nothing is computed in place. The peak is the most that lives at once.

Training memory. The same, and what torch's backward pass needs (`Layer.kept`, on the CPU) stays until the layer's own
backward pass is over. A layer keeps something only where its result depends on learned numbers. Going back, each value
that depends on learned numbers has a gradient of its size, from its last reader's backward pass to its own; a view's
gradient is that of what it shows where it shows all of it, else memory of its own.

Neither counts weights, their gradients and their optimizer's state, nor what a kernel needs while it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import NamedTuple, TypeAlias

from netc.graph import Graph, Node
from netc.op import EVERYTHING, Layer, Reach, Working, size_bytes
from netc.tensor import Expr, Side, Symbol, TensorType

MOST_PHASES = 4096
"""A field whose extent varies over more neighbouring elements than this is not followed."""

Field: TypeAlias = tuple[Reach | None, ...]
"""What an element sees of an input, a side each; None where that cannot be told."""


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
    fields = _fields(graph, nodes, types)
    for node in nodes:
        y, xs = types[node.name], [types[name] for name in node.inputs]
        params = 0 if node.weights in seen else sum(p.size for p in node.op.params(*xs).values() if p.learned)
        seen.add(node.weights)
        view = shows(node, types, training=False)
        numbers = all(x.static for x in (y, *xs)) or type(node.op).macs is Layer.macs
        macs = node.op.macs(y, *xs) if numbers else None
        size = (0 if view else size_bytes(y)) if y.static else None
        rows.append(Row(node, y, params, macs, size, view, fields[node.name]))
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
        if _named(each.expr) <= set(numbers) and not _value(each.expr, numbers):
            raise Unfit(f"{_spelled(numbers)} breaks `require {each.text}`: {each.why}")


def _spelled(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sizes.items())


def _symbols(side: Side) -> dict[str, Symbol]:
    return {} if isinstance(side, int) else side.symbols()


def _named(expr: Expr) -> set[str]:
    if isinstance(expr, list):
        return {name for each in expr[1:] for name in _named(each)}
    return {expr} if isinstance(expr, str) else set()


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


# --- memory


def shows(node: Node, types: Mapping[str, TensorType], *, training: bool) -> bool:
    """Whether a node's value is another view of its first operand."""
    return node.op.views(*(types[name] for name in node.inputs)) or (node.op.inference_identity and not training)


def _roots(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], training: bool
) -> dict[str, str]:
    """The value whose memory each value's is."""
    root = {name: name for name in inputs}
    for node in nodes:
        root[node.name] = root[node.inputs[0]] if shows(node, types, training=training) else node.name
    return root


def inference_peak(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], outputs: Sequence[str]
) -> int:
    """The most bytes that live at once while the nodes run in their order."""
    root = _roots(nodes, types, inputs, training=False)
    last = _last_reads(nodes, root, inputs, outputs)
    size = {name: size_bytes(types[name]) for name in set(root.values())}
    live = peak = sum(size[name] for name in inputs)
    for i, node in enumerate(nodes):
        if root[node.name] == node.name:
            live += size[node.name]
        peak = max(peak, live)
        live -= sum(size[name] for name in last.get(i, ()))
    return peak


def _last_reads(
    nodes: Sequence[Node], root: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[int, list[str]]:
    """The memory that no later node reads, by the node after which it is free."""
    last = dict.fromkeys(inputs, 0)
    for i, node in enumerate(nodes):
        last[root[node.name]] = i
        last.update((root[name], i) for name in node.inputs)
    for name in outputs:
        last.pop(root[name], None)
    free: dict[int, list[str]] = {}
    for name, i in last.items():
        free.setdefault(i, []).append(name)
    return free


def training_memory(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[int, int]:
    """The most bytes that live at once in a step, and those kept for the backward pass at its start."""
    root = _roots(nodes, types, inputs, training=True)
    size = {name: size_bytes(types[name]) for name in root}
    learns = _learns(nodes, types)
    kept: list[tuple[set[str], int]] = []  # per node: whose memory its backward pass reads, and bytes beside
    for node in nodes:
        xs = [types[name] for name in node.inputs]
        if node.name not in learns:
            kept.append((set(), 0))
            continue
        inputs_too, output_too, more = node.op.kept(types[node.name], *xs)
        named = {root[name] for name in node.inputs} if inputs_too else set[str]()
        kept.append((named | ({root[node.name]} if output_too else set()), more))
    needed: dict[str, int] = {}  # the first node whose backward pass reads a value, which is the last to run
    for i, (named, _) in enumerate(kept):
        for name in named:
            needed.setdefault(name, i)
    saved = sum(size[name] for name in needed) + sum(more for _, more in kept)

    last = _last_reads(nodes, root, inputs, outputs)
    live = peak = sum(size[name] for name in inputs)
    for i, node in enumerate(nodes):
        live += (size[node.name] if root[node.name] == node.name else 0) + kept[i][1]
        peak = max(peak, live)
        live -= sum(size[name] for name in last.get(i, ()) if name not in needed)

    # Back: values held are those kept and the outputs; gradients come and go.
    owner = {name: _gradient_of(name, root, size) for name in learns}
    gradients: set[str] = {owner[name] for name in outputs if name in learns}
    held = {root[name] for name in outputs} | set(needed)
    live = sum(size[name] for name in held) + sum(more for _, more in kept) + sum(size[name] for name in gradients)
    peak = max(peak, live)
    for i, node in reversed(list(enumerate(nodes))):
        if node.name not in learns:
            continue
        for name in node.inputs:
            if name in learns and owner[name] not in gradients:
                gradients.add(owner[name])
                live += size[owner[name]]
        peak = max(peak, live)
        if owner[node.name] == node.name and node.name in gradients:
            gradients.discard(node.name)
            live -= size[node.name]
        live -= kept[i][1]
        freed = [name for name in kept[i][0] if needed[name] == i and name not in {root[o] for o in outputs}]
        live -= sum(size[name] for name in freed)
    return peak, saved


def _learns(nodes: Sequence[Node], types: Mapping[str, TensorType]) -> set[str]:
    """The values that depend on learned numbers."""
    found: set[str] = set()
    for node in nodes:
        learned = any(p.learned for p in node.op.params(*(types[name] for name in node.inputs)).values())
        if learned or any(name in found for name in node.inputs):
            found.add(node.name)
    return found


def _gradient_of(name: str, root: Mapping[str, str], size: Mapping[str, int]) -> str:
    # A view of the whole hands its gradient on as it is; that of a part is laid into zeros.
    return root[name] if size[root[name]] == size[name] else name


# --- receptive fields


def _fields(graph: Graph, nodes: Sequence[Node], types: Mapping[str, TensorType]) -> dict[str, dict[str, Field]]:
    """What an element of each value sees of each input it depends on."""
    found: dict[str, dict[str, Field]] = {i.name: {i.name: (Reach(),) * i.type.rank} for i in graph.inputs}
    made: dict[tuple[int, tuple[TensorType, ...]], tuple[tuple[Reach | None, ...], ...]] = {}
    for node in nodes:
        xs = tuple(types[name] for name in node.inputs)
        key = (id(node.op), xs)
        if key not in made:
            made[key] = node.op.reach(types[node.name], *xs)
        fields: dict[str, Field] = {}
        for name, reaches in zip(node.inputs, made[key], strict=True):
            for source, field in found[name].items():
                through = _through(reaches, field)
                before = fields.get(source)
                fields[source] = through if before is None else tuple(map(_union, before, through))
        found[node.name] = {source: field for source, field in fields.items() if not _nothing(field)}
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


# --- where a size comes from


class Step(NamedTuple):
    """A layer that made a size, and how; at the end of the way the input whose size it was, with no `working`."""

    name: str
    size: Side
    working: Working | None


def origin(graph: Graph, value: str, dim: str) -> list[Step]:
    """The layers that made a size (`c`, `t`, `h`, `w`, `d`) of a value, the last first.

    The way ends at an input, at a layer whose argument sets the size, or where several sizes made it one: at a `concat`
    for channels, at a `flatten` or `reshape`.
    """
    steps: list[Step] = []
    while value in graph.node:
        node = graph.node[value]
        xs = graph.operands(node)
        size = node.type.side(dim)
        assert size is not None, f"{value} has no {dim}"
        working = node.op.working(node.type, *xs).get(dim)
        if working is None:
            # A merge's side is that of the operand that has it: others are repeated.
            value = next((name for name, x in zip(node.inputs, xs, strict=True) if x.side(dim) == size), node.inputs[0])
            continue
        steps.append(Step(value, size, working))
        if sets(working) or xs[0].rank != node.type.rank or (node.op.merges and dim == "c"):
            return steps
        value = node.inputs[-1 if node.op.values and len(xs) > 1 else 0]
    size = graph.types[value].side(dim)
    return [*steps, Step(value, size, None)] if size is not None else steps


def sets(working: Working) -> bool:
    """Whether an argument of the layer alone sets the size."""
    return working.symbols == "d2" or working.symbols.startswith("shape[")
