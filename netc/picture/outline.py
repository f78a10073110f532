"""What a picture shows: layers, blocks in one another, and the values that go from one to another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from netc.diagnostic import Fault, Span
from netc.graph import Graph, Node, Region
from netc.picture import words

Kind = Literal["input", "layer", "block", "output"]

MOST_LAYERS = 20_000
"""Layers of a net that a picture is made of. A page of so many is 10 MB."""


@dataclass(slots=True)
class Item:
    """One thing to draw. `parent` is the block around it, -1 for the net; `on` is the layer above it in one box."""

    kind: Kind
    name: str
    parent: int
    bold: str
    plain: str
    label: str
    family: str
    call: str
    where: tuple[Span, ...]
    shape: str = ""
    on: int = -1
    training: bool = False
    params: int = 0
    macs: int | None = 0
    weights: tuple[tuple[str, tuple[int, ...], bool], ...] = ()
    shared: str = ""
    layers: int = 0
    turns: int = 0


class Edge(NamedTuple):
    """A value that one item makes and another takes, with its shape."""

    start: int
    stop: int
    shape: str


@dataclass(slots=True)
class Outline:
    """A net's items, blocks before what they hold, and its edges. `symbols`, the sides', may decide MACs."""

    net: str
    items: list[Item]
    edges: list[Edge]
    symbols: tuple[str, ...]
    params: int
    macs: int | None

    def depths(self) -> list[int]:
        """How many blocks stand around each item."""
        found: list[int] = []
        for item in self.items:
            found.append(found[item.parent] + 1 if item.parent >= 0 else 0)
        return found


@dataclass(slots=True)
class _Block:
    """A region that is drawn, or a repeat's turns together."""

    name: str
    block: str
    start: int
    stop: int
    where: tuple[Span, ...]
    turns: int = 0
    inside: list[_Block] = field(default_factory=list["_Block"])


def outline(graph: Graph) -> Outline:
    """A net's outline. Raises Fault N450 where the net has more layers than a picture takes."""
    if len(graph.nodes) > MOST_LAYERS:
        raise Fault(
            "N450",
            f"{graph.name} has {len(graph.nodes):,} layers, and a picture is made of {MOST_LAYERS:,} at most",
            help="draw a net of one of its blocks, or of fewer repeats",
        )
    on = _riders(graph)
    top = _blocks(graph, on)
    return _Writer(graph, on).write(top)


def _riders(graph: Graph) -> list[int]:
    """For each node, the node that it can stand below in one box: its only operand, which nothing else takes."""
    readers: dict[str, int] = {}
    for name in (name for node in graph.nodes for name in node.inputs):
        readers[name] = readers.get(name, 0) + 1
    for output in graph.outputs:
        readers[output.value] = readers.get(output.value, 0) + 1
    places = {node.name: i for i, node in enumerate(graph.nodes)}
    found: list[int] = []
    for node in graph.nodes:
        before = places.get(node.inputs[0], -1) if len(node.inputs) == 1 and words.rides(node.op.kind) else -1
        alone = before >= 0 and readers[node.inputs[0]] == 1 and graph.nodes[before].type == node.type
        found.append(before if alone else -1)
    return found


def _blocks(graph: Graph, on: Sequence[int]) -> list[_Block]:
    """The blocks that are drawn. Left out are those with nothing of their own to show: empty ones, those that hold just
    what the block around them holds, those whose label adds nothing (`_:`), and those that fit in one box.
    """
    drawn: dict[int, _Block] = {0: _Block("", graph.name, 0, len(graph.nodes), ())}
    around = {0: 0}  # region: the drawn region that stands for it
    for i, region in enumerate(graph.regions[1:], 1):
        outer = around[region.parent]
        around[i] = outer
        same = (region.start, region.stop) == (drawn[outer].start, drawn[outer].stop)
        if same or region.name == graph.regions[region.parent].name or _fits(region, on):
            continue
        around[i] = i
        drawn[i] = _Block(region.name, region.block, region.start, region.stop, _way(graph, region, drawn[outer]))
        drawn[outer].inside.append(drawn[i])
    for block in drawn.values():
        block.inside = _repeats(block)
    return drawn[0].inside


def _way(graph: Graph, region: Region, outer: _Block) -> tuple[Span, ...]:
    """Where a region is applied, and before it the places of regions between it and the drawn block around it."""
    spans = [region.where]
    while region.parent > 0:
        region = graph.regions[region.parent]
        if (region.name, region.start, region.stop) == (outer.name, outer.start, outer.stop):
            break
        spans.append(region.where)
    return tuple(spans)


def _fits(region: Region, on: Sequence[int]) -> bool:
    """Whether a region is empty, or its layers all stand below its first."""
    return all(region.start <= on[i] < region.stop for i in range(region.start + 1, region.stop))


def _repeats(block: _Block) -> list[_Block]:
    """What a block holds, with turns of a repeat (`layer1.0`, `layer1.1`, ...) put together."""
    found: list[_Block] = []
    run: list[_Block] = []
    for each in [*block.inside, None]:
        if each is not None and run and _follows(run[-1], each):
            run.append(each)
            continue
        found += _together(run, block)
        run = [] if each is None else [each]
    return found


def _together(run: list[_Block], around: _Block) -> list[_Block]:
    if len(run) < 2 or (run[0].start, run[-1].stop) == (around.start, around.stop):
        return run
    first, last = run[0], run[-1]
    stem, _, number = first.name.rpartition(".")
    name = stem if number == "0" else f"{first.name}–{last.name.rpartition('.')[2]}"
    return [_Block(name, first.block, first.start, last.stop, first.where[:1], len(run), run)]


def _follows(a: _Block, b: _Block) -> bool:
    (stem, _, m), (other, _, n) = a.name.rpartition("."), b.name.rpartition(".")
    counted = re.fullmatch(r"\d{1,9}", m) and re.fullmatch(r"\d{1,9}", n)
    return bool(
        counted and stem == other and int(n) == int(m) + 1 and a.block == b.block and a.stop == b.start and not b.turns
    )


class _Writer:
    def __init__(self, graph: Graph, on: Sequence[int]) -> None:
        self.graph, self.on = graph, on
        self.items: list[Item] = []
        self.at: dict[str, int] = {}  # a value's name: its item
        self.seen: set[str] = set()

    def write(self, top: list[_Block]) -> Outline:
        graph = self.graph
        for each in graph.inputs:
            self.at[each.name] = len(self.items)
            shape = words.shape(each.type)
            self.items.append(Item("input", each.name, -1, each.name, "", "", "io", "input", (each.where,), shape))
        self.inside(top, 0, len(graph.nodes), -1, "")
        edges = [
            Edge(self.at[name], self.at[node.name], words.shape(graph.types[name]))
            for node in graph.nodes
            for name in dict.fromkeys(node.inputs)
        ]
        for output in graph.outputs:
            edges.append(Edge(self.at[output.value], len(self.items), words.shape(output.type)))
            decode = "" if output.decode == "none" else output.decode
            item = Item("output", output.name, -1, output.name, decode, "", "io", "output", (output.where,))
            item.shape, item.training = words.shape(output.type), output.train_only
            self.items.append(item)
        self.total()
        sides = [side for i in graph.inputs for side in i.type.sides if not isinstance(side, int)]
        symbols = tuple(dict.fromkeys(name for side in sides for name in side.symbols()))
        return Outline(graph.name, self.items, edges, symbols, graph.params(train=True), self.macs())

    def macs(self) -> int | None:
        try:
            return self.graph.macs()
        except KeyError:
            return None

    def inside(self, blocks: Iterable[_Block], start: int, stop: int, parent: int, stem: str) -> None:
        """Write the nodes `start` to `stop`, those of blocks inside their blocks."""
        at = start
        for block in blocks:
            self.nodes(at, block.start, parent, stem)
            here = len(self.items)
            turns = f"{block.turns} × " if block.turns else ""
            bold = words.cut(_local(block.name, stem) or block.block)
            plain = words.cut(turns + block.block) if bold != block.block else turns.strip(" ×")
            where = block.where
            item = Item("block", block.name, parent, bold, plain, "", "block", block.block, where, turns=block.turns)
            self.items.append(item)
            turn = block.turns and block.inside[0].name.rpartition(".")[2] == "0"
            inner = stem if block.turns and not turn else block.name
            self.inside(block.inside, block.start, block.stop, here, inner)
            at = block.stop
        self.nodes(at, stop, parent, stem)

    def nodes(self, start: int, stop: int, parent: int, stem: str) -> None:
        for i in range(start, stop):
            node = self.graph.nodes[i]
            self.at[node.name] = len(self.items)
            item = self.layer(node, parent, stem)
            above = self.at[self.graph.nodes[self.on[i]].name] if self.on[i] >= 0 else -1
            if above >= 0 and self.items[above].parent == parent:
                item.on = above
                if _unnamed(node):  # the row above has said what block they are of
                    item.label = ""
            self.items.append(item)

    def layer(self, node: Node, parent: int, stem: str) -> Item:
        xs = self.graph.operands(node)
        params = node.op.params(*xs)
        known = node.weights in self.seen
        self.seen.add(node.weights)
        kind, label = node.op.kind, _local(node.name, stem)
        if _unnamed(node):
            label = label.rpartition(".")[0]
        return Item(
            "layer",
            node.name,
            parent,
            kind,
            words.cut(words.short(node.op, xs[0].rank)),
            words.cut(label),
            words.family(kind),
            words.call(node.op),
            (node.where,),
            words.shape(node.type),
            training=node.name not in self.graph.deployed,
            params=0 if known else sum(p.size for p in params.values() if p.learned),
            macs=node.op.cost(node.type, *xs),
            weights=tuple((name, p.shape, p.learned) for name, p in params.items()),
            shared=node.weights if node.shared and params else "",
            layers=1,
        )

    def total(self) -> None:
        """Add up, for each block, what it holds."""
        training = [True] * len(self.items)
        for i in range(len(self.items) - 1, -1, -1):
            item = self.items[i]
            if item.kind == "block":
                item.training = training[i]
            if (up := item.parent) >= 0:
                around = self.items[up]
                around.params += item.params
                around.layers += item.layers
                around.macs = None if around.macs is None or item.macs is None else around.macs + item.macs
                training[up] &= item.training


def _unnamed(node: Node) -> bool:
    """Whether a layer is named after its kind, for want of a label."""
    return re.fullmatch(rf"{re.escape(node.op.kind)}(_\d+)?", node.name.rpartition(".")[2]) is not None


def _local(name: str, stem: str) -> str:
    """A name as it is said inside the block `stem`."""
    return name[len(stem) + 1 :] if stem and name.startswith(f"{stem}.") else name
