"""A block's expansion, kept once for equal arguments and inputs, and its unrolling into the flat graph.

A template names everything relative to itself, so a net that applies one block a thousand times elaborates it once. Its
node count is known before anything is unrolled: a text that multiplies blocks past the limit is refused in no time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from netc.diagnostic import Span
from netc.elaborate.definition import arguments, block_of
from netc.elaborate.values import Value as Constant
from netc.graph import Block, Node, Region
from netc.op import Layer
from netc.tensor import TensorType

if TYPE_CHECKING:
    from netc.elaborate.files import BlockDef


@dataclass(slots=True, eq=False)
class Value:
    """A tensor while a body is elaborated. `type` None is a poisoned value: an error was reported where it was made."""

    type: TensorType | None
    where: Span
    step: Step | None = None
    port: int = -1  # which of the template's inputs this is, where `step` is None
    inner: Value | None = None  # the value inside the instance that made it
    read: bool = False

    def path(self) -> str:
        """Its name relative to the template; only for a value that a step makes."""
        assert self.step is not None
        assert self.step.name is not None
        return join(self.step.name, self.inner.path()) if self.inner is not None else self.step.name


@dataclass(slots=True, eq=False)
class LayerStep:
    """One layer. `name` is None until the template is closed, where nobody named it."""

    name: str | None
    auto: str
    op: Layer
    inputs: tuple[Value, ...]
    type: TensorType
    where: Span
    weighted: bool
    owner: Handle | None = None  # whose weights it applies again


@dataclass(slots=True, eq=False)
class BlockStep:
    """A block applied."""

    name: str | None
    auto: str
    template: Template
    inputs: tuple[Value, ...]
    where: Span
    owner: Handle | None = None
    read: bool = False  # whether a value inside it was, by its path


Step = LayerStep | BlockStep


class Handle(NamedTuple):
    """What a label leads to: a step here, or one inside a block that is applied here (`within`)."""

    step: Step
    within: Handle | None = None

    def path(self) -> str:
        """The path of its weights, relative to the template the outermost handle is in."""
        if self.step.owner is not None:
            inner = self.step.owner.path()
        else:
            assert self.step.name is not None
            inner = self.step.name
        return join(self.within.path(), inner) if self.within is not None else inner


def join(prefix: str, name: str) -> str:
    """Two parts of a path."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


@dataclass(slots=True, eq=False)
class Template:
    """The steps of one expansion, its outputs, and what its labels name."""

    block: str
    definition: BlockDef | None = None
    args: dict[str, Constant] = field(default_factory=dict[str, Constant])
    steps: list[Step] = field(default_factory=list[Step])
    outputs: tuple[Value, ...] = ()
    labels: dict[str, Value] = field(default_factory=dict[str, Value])
    handles: dict[str, Handle] = field(default_factory=dict[str, Handle])
    places: dict[str, Span] = field(default_factory=dict[str, Span])  # every path in use, and who took it
    count: int = 0
    weighted: bool = False
    damaged: bool = False

    def close(self) -> None:
        """Name what nobody named: after its kind, with a number where that is taken."""
        used = set(self.places)
        last: dict[str, int] = {}
        for step in self.steps:
            if step.name is None:
                number = last.get(step.auto, 0)
                while True:
                    number += 1
                    name = step.auto if number == 1 else f"{step.auto}_{number}"
                    if name not in used:
                        break
                last[step.auto] = number
                used.add(name)
                step.name = name


@dataclass(slots=True)
class Unrolled:
    """The flat form: nodes in order, regions, and the values of the outputs by name."""

    nodes: list[Node]
    regions: list[Region]
    letters: int = 0
    blocks: dict[int, Block] = field(default_factory=dict[int, "Block"])
    args: dict[int, Mapping[str, Hashable]] = field(default_factory=dict[int, "Mapping[str, Hashable]"])
    paths: dict[int, _Paths] = field(default_factory=dict[int, "_Paths"])

    def told(self, template: Template) -> tuple[Block, Mapping[str, Hashable]]:
        """What a region says of its block: one object for a definition, and one for a template."""
        definition = template.definition
        assert definition is not None
        block, args = self.blocks.get(id(definition.tree)), self.args.get(id(template))
        if block is None:
            block = self.blocks[id(definition.tree)] = block_of(definition)
        if args is None:
            args = self.args[id(template)] = arguments(template.args)
        return block, args

    def paths_of(self, step: Step) -> _Paths:
        """What a step reads and whose weights it has, found once for all applications of its template."""
        found = self.paths.get(id(step))
        if found is None:
            reads = tuple([value.port if value.step is None else value.path() for value in step.inputs])
            found = self.paths[id(step)] = _Paths(
                reads, step.owner.path() if step.owner is not None else step.name or ""
            )
        return found


class _Paths(NamedTuple):
    """Paths relative to a step's template; an input is a number."""

    reads: tuple[str | int, ...]
    weights: str


LONGEST_PATH = 500
MOST_LETTERS = 100_000_000


class LongNames(Exception):
    """The paths of a net are too long, one of them or all of them together."""

    def __init__(self, where: Span, message: str) -> None:
        super().__init__(message)
        self.where = where


def unroll(template: Template, net: str, inputs: tuple[str, ...], where: Span) -> tuple[Unrolled, list[str]]:
    """Nodes and regions of a net's template, and the names of its outputs' values. Raises LongNames."""
    flat = Unrolled([], [Region("", net, -1, 0, 0, where)])
    outputs = _unroll(template, "", "", inputs, 0, flat)
    first = flat.regions[0]
    flat.regions[0] = Region("", first.block, -1, 0, len(flat.nodes), where)
    return flat, outputs


def _unroll(
    template: Template, prefix: str, weights: str, inputs: tuple[str, ...], region: int, flat: Unrolled
) -> list[str]:
    before, before_weights = prefix and f"{prefix}.", weights and f"{weights}."
    for step in template.steps:
        assert step.name is not None
        name = before + step.name
        flat.letters += len(name)
        if len(name) > LONGEST_PATH:
            raise LongNames(step.where, f"a path of {len(name):,} characters; the longest has {LONGEST_PATH}")
        if flat.letters > MOST_LETTERS:
            raise LongNames(step.where, f"the paths of this net have more than {MOST_LETTERS:,} characters together")
        reads, own = flat.paths_of(step)
        own = before_weights + own
        operands = tuple([inputs[path] if isinstance(path, int) else before + path for path in reads])
        if isinstance(step, LayerStep):
            flat.nodes.append(Node(name, step.op, operands, step.type, own, step.where, region))
        else:
            index, start, used = len(flat.regions), len(flat.nodes), step.template
            flat.regions.append(Region(name, used.block, region, start, start, step.where, *flat.told(used)))
            _unroll(used, name, own, operands, index, flat)
            flat.regions[index] = flat.regions[index]._replace(stop=len(flat.nodes))
    return [inputs[v.port] if v.step is None else before + v.path() for v in template.outputs]
