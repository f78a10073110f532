"""What a class consists of before it has a text: its modules, its lines, and the numbers in both as holes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netc.backends import python_text as text
from netc.backends.torch.holes import ABSENT, Function, Values, holes_of
from netc.backends.torch.regions import Regions
from netc.backends.torch.signatures import signature
from netc.backends.torch.stateless import as_module
from netc.backends.torch.tree import Make, Slot, place_at, reach
from netc.graph import Node
from netc.op import ELEMENT, Inline, Layer, Module, Start, Weight
from netc.tensor import TensorType

if TYPE_CHECKING:
    from netc.backends.torch.classes import Application


@dataclass
class Step:
    """A line of `forward`: `text`, an expression with holes over `{0}`, `{1}`, ... for what it reads.

    Given a `path` the text is what that module is called on, and `after` an expression over its result; a tensor is
    `{weight}` in the text. `reads` and `writes` are values by their number in the body.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    label: str
    text: str
    path: str = ""
    slot: Slot | None = None
    after: str = "{0}"
    named: bool = True
    deployed: bool = True
    where: str = ""
    """The line of the spec."""
    elementwise: bool = False
    flag: int | None = None
    """Which of the class's conditions says whether it is computed: else its result is what it first reads."""

    @property
    def plain(self) -> bool:
        """Whether it calls a module on one value, and nothing more."""
        calls = self.slot is not None and not self.slot.tensor
        return calls and self.text == self.after == "{0}" and len(self.reads) == len(self.writes) == 1


@dataclass
class Body:
    """A class: its modules, its lines, what enters and what leaves."""

    region: int
    root: Slot
    steps: list[Step]
    values: Values
    names: list[str]
    """Of the values by their number: the graph's names."""
    enters: tuple[int, ...] = ()
    leaves: tuple[int, ...] = ()
    types: list[TensorType] = field(default_factory=list[TensorType])
    """Of the values by their number."""


def body_of(regions: Regions, index: int, made: Mapping[int, Application]) -> Body:
    """The modules and the lines of a region. `made` are the classes of the regions in it."""
    return _Builder(regions, index, made).body()


class _Builder:
    def __init__(self, regions: Regions, index: int, made: Mapping[int, Application]) -> None:
        self.regions, self.outline, self.index, self.made = regions, regions.outline, index, made
        self.prefix = regions.prefix(index)
        self.root = Slot("", "")
        self.values = Values()
        self.numbers: dict[str, int] = {}
        self.inside: set[str] = set()
        self.entered: list[int] = []
        self.steps: list[Step] = []

    def body(self) -> Body:
        for item, kind in self.regions.items(self.index):
            if kind == "node":
                self._node(item)
            else:
                self._block(item, self.regions.first(item) if kind == "again" else None)
        for step in self.steps:
            if step.path:
                _, step.slot = reach(self.root, step.path)
        names = list(self.numbers)
        stop = self.outline.graph.regions[self.index].stop
        leaves = [n for step in self.steps for n in step.writes if self.outline.last[names[n]] >= stop]
        types = [self.outline.graph.types[name] for name in names]
        return Body(self.index, self.root, self.steps, self.values, names, tuple(self.entered), tuple(leaves), types)

    def _read(self, name: str) -> int:
        name = self.outline.same[name]
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            self.entered.append(self.numbers[name])
        return self.numbers[name]

    def _write(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers))

    def _node(self, index: int) -> None:
        outline = self.outline
        node, call, xs = outline.graph.nodes[index], outline.calls[index], outline.operands[index]
        path = node.weights.removeprefix(self.prefix)
        if not isinstance(call, Inline) and outline.owned(index):
            slot = place_at(self.root, path)
            slot.make, slot.tensor = self._make(call), isinstance(call, Weight)
            slot.starts = self._starts(node.op.starts(*xs))
        if not outline.computed(node):
            return  # no output needs it, or it is the identity: its weights exist, but no line computes it
        label = node.name.removeprefix(self.prefix)
        named = not (isinstance(call, Inline) and re.fullmatch(rf"{node.op.kind}(_\d+)?", label.rpartition(".")[2]))
        said = call.before if isinstance(call, Module) else call.text
        operands = outline.spoken(index)
        said = re.sub(r"\{(\d+)\}", lambda found: f"{{{operands.index(int(found[1]))}}}", said)
        reads = tuple(self._read(node.inputs[i]) for i in operands)
        acts = as_module(said) if isinstance(call, Inline) else None
        if acts is not None and not acts[1]:
            said = f"{self.values.hole(Function(acts[0]), 'act')}({{0}})"
        else:
            said = self.values.holes(said, node.op)
        step = Step(reads, (self._write(node.name),), label, said, named=named)
        if not isinstance(call, Inline):
            step.path = path
        if isinstance(call, Module):
            step.after = call.after
        step.deployed = node.name in outline.graph.deployed
        step.where = text.place(node.where)
        step.elementwise = _elementwise(node, xs)
        self.steps.append(step)

    def _make(self, call: Module | Weight) -> Make:
        if isinstance(call, Weight):
            return Make("torch.ones", tuple(self.values.hole(side, "channels") for side in call.shape))
        assert re.fullmatch(r"\w+" if call.define else r"(nn|torch)(\.\w+)+", call.target), call.target
        known = signature(call.target, call.define)
        names = [*known.positional, *(f"value_{i + 1}" for i in range(len(known.positional), len(call.args)))]
        args = tuple(self.values.hole(value, name) for value, name in zip(call.args, names, strict=False))
        words = {**known.keywords, **call.kwargs}
        kernel = holes_of(args[2])[0] if "kernel_size" in known.positional else -1
        keywords = tuple(
            (name, self.values.hole(value, name, known.keywords.get(name, ABSENT), kernel))
            for name, value in words.items()
        )
        return Make(call.target, args, keywords)

    def _starts(self, starts: Mapping[str, Start]) -> tuple[tuple[str, str], ...]:
        return tuple((name, self.values.holes(start.text)) for name, start in starts.items())

    def _block(self, index: int, first: int | None) -> None:
        graph = self.outline.graph
        region, used = graph.regions[index], self.made[index]
        path = graph.regions[index if first is None else first].name.removeprefix(self.prefix)
        if first is None:
            self._apply(place_at(self.root, path), used)
        reads = tuple(self._read(graph.nodes[region.start + at].inputs[operand]) for at, operand in used.reads)
        writes = tuple(self._write(graph.nodes[region.start + at].name) for at in used.writes)
        if not writes:
            return
        label = region.name.removeprefix(self.prefix)
        step = Step(reads, writes, label, ", ".join(f"{{{i}}}" for i in range(len(reads))), path)
        step.deployed = graph.nodes[region.start].name in graph.deployed
        step.where = text.place(region.where)
        self.steps.append(step)

    def _apply(self, slot: Slot, used: Application) -> None:
        args = tuple(
            self.values.hole(value, param.name, param.default, kind=param.kind)
            for value, param in zip(used.args, used.made.params, strict=True)
        )
        slot.make, slot.inside = Make(used.made, args), used.body.root


def _elementwise(node: Node, xs: tuple[TensorType, ...]) -> bool:
    # An activation, a norm or the like: each element is computed from its own place, at no cost that counts.
    if len(xs) != 1 or xs[0].dims != node.type.dims or type(node.op).macs is not Layer.macs:
        return False
    return all(reach == ELEMENT for reach in node.op.reach(node.type, *xs)[0])
