"""The graph: flat, ordered, immutable. Every node has one value, and one name: its dotted path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

from netc.diagnostic import Span
from netc.op import Layer, Param, Scalar
from netc.sections import Expect, Export, Train
from netc.tensor import Expr, TensorType, named_in

Fit = Literal["crop", "stretch", "pad"]
Filter = Literal["bilinear", "bicubic"]
Color = Literal["rgb", "bgr", "gray"]
Decode = Literal["softmax", "sigmoid", "argmax", "none"]


class Recipe(NamedTuple):
    """What turns a picture into the tensor: `(pixel * scale - mean) / std`, pixel in 0..255 in `color` order."""

    resize: int | tuple[int, int] | None = None
    fit: Fit = "crop"
    filter: Filter = "bilinear"
    crop: int | tuple[int, int] | None = None
    color: Color = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Input(NamedTuple):
    """A tensor that enters. `recipe` is None where the net does not take pictures."""

    name: str
    type: TensorType
    where: Span
    recipe: Recipe | None = None


class Output(NamedTuple):
    """A tensor that leaves under `name`; `value` is the input's or the node's name that feeds it."""

    name: str
    value: str
    type: TensorType
    where: Span
    labels: tuple[str, ...] | None = None
    decode: Decode = "none"
    threshold: float | None = None
    train_only: bool = False


class Node(NamedTuple):
    """One layer applied. `inputs` name inputs or earlier nodes; `weights` is the path its tensors live under."""

    name: str
    op: Layer
    inputs: tuple[str, ...]
    type: TensorType
    weights: str
    where: Span
    region: int

    @property
    def shared(self) -> bool:
        """Whether the weights are another node's."""
        return self.weights != self.name


class Block(NamedTuple):
    """A block as its text defines it. `defaults` are the parameters' that are a number or a truth value."""

    name: str
    where: Span
    takes: tuple[str, ...] = ()
    defaults: Mapping[str, Scalar] = MappingProxyType({})


class Region(NamedTuple):
    """A block's application: nodes `start` (included) to `stop` (excluded) stand under `name`. Region 0 is the net.

    `args` are the values of the definition's parameters; equal ones that stand for anything but numbers, truth values,
    texts and lists of these are equal, and that is all they tell.
    """

    name: str
    block: str
    parent: int
    start: int
    stop: int
    where: Span
    definition: Block | None = None
    args: Mapping[str, Hashable] = MappingProxyType({})


class Requirement(NamedTuple):
    """A fact about the symbols that every request has to meet."""

    expr: Expr
    text: str
    why: str

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols that it is about."""
        return frozenset(named_in(self.expr))


@dataclass(frozen=True)
class Graph:
    """A net, elaborated. Nodes stand in the order of their expansion, which is a topological order."""

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    nodes: tuple[Node, ...]
    regions: tuple[Region, ...]
    requires: tuple[Requirement, ...] = ()
    train: Train | None = None
    export: Export = field(default_factory=Export.model_construct)
    expect: Expect = field(default_factory=Expect.model_construct)
    language: int = 1
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Every file read, by its name: the spec first."""

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The type of every value, inputs and nodes, by name."""
        found = {i.name: i.type for i in self.inputs}
        found.update((n.name, n.type) for n in self.nodes)
        return found

    @cached_property
    def node(self) -> dict[str, Node]:
        """Nodes by name."""
        return {n.name: n for n in self.nodes}

    def operands(self, node: Node) -> tuple[TensorType, ...]:
        """The types of what enters a node."""
        return tuple([self.types[name] for name in node.inputs])

    @cached_property
    def alike(self) -> dict[str, str]:
        """For each node the first one that applies the same layer to equal types: what is asked of it holds of both.

        The elaborator makes one layer for equal ones, and few types for all nodes: so few of them are compared.
        """
        types, first = self.types, dict[tuple[int, ...], str]()
        equal = dict[TensorType, int]()
        number = {i: equal.setdefault(type, i) for i, type in {id(each): each for each in types.values()}.items()}
        return {
            node.name: first.setdefault((id(node.op), *[number[id(types[name])] for name in node.inputs]), node.name)
            for node in self.nodes
        }

    @cached_property
    def deployed(self) -> frozenset[str]:
        """Names of the nodes that some output for inference needs; the others feed `only = train` outputs alone."""
        needed = {o.value for o in self.outputs if not o.train_only}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return frozenset(needed & {n.name for n in self.nodes})

    def parameters(self) -> Iterator[tuple[str, Param]]:
        """Every tensor of the net, shared ones once, as `(state_dict name, Param)` in `state_dict` order."""
        return iter(self._parameters)

    @cached_property
    def _parameters(self) -> tuple[tuple[str, Param], ...]:
        found: list[tuple[str, Param]] = []
        seen: set[str] = set()
        asked: dict[str, Mapping[str, Param]] = {}
        alike = self.alike
        for node in self.nodes:
            if node.weights in seen:
                continue
            seen.add(node.weights)
            first = alike[node.name]
            if first not in asked:
                asked[first] = node.op.params(*self.operands(node))
            found += [(f"{node.weights}.{name}" if name else node.weights, p) for name, p in asked[first].items()]
        return tuple(found)

    def params(self, *, train: bool = False) -> int:
        """Learned numbers: of the deployed net, or with `train` of the heads that only training needs as well."""
        # Shared tensors count once, for the first layer that has them.
        own = {n.weights: n.name for n in reversed(self.nodes) if train or n.name in self.deployed}
        total = 0
        for name, count in self._counted(own.values()):
            node = self.node[name]
            total += count * sum(p.size for p in node.op.params(*self.operands(node)).values() if p.learned)
        return total

    def macs(self, sizes: Mapping[str, int] | None = None) -> int:
        """Multiply-accumulates of the deployed net for one example.

        Raises KeyError with the name of a symbol that they depend on and `sizes` lacks.
        """
        total = 0
        for name, count in self._counted(n.name for n in self.nodes if n.name in self.deployed):
            node = self.node[name]
            y, *xs = (x.at(sizes or {}) for x in (node.type, *self.operands(node)))
            cost = node.op.cost(y, *xs)
            if cost is None:
                side = next(s for x in (y, *xs) for s in x.sides if not isinstance(s, int))
                raise KeyError(next(iter(side.symbols())))
            total += count * cost
        return total

    def _counted(self, names: Iterable[str]) -> Iterable[tuple[str, int]]:
        """The names without those that are alike, and how many each stands for."""
        alike = self.alike
        return Counter([alike[name] for name in names]).items()

    def symbols(self) -> tuple[str, ...]:
        """The symbols that the inputs bind, in order of appearance."""
        found: dict[str, None] = {}
        for each in self.inputs:
            for side in each.type.dims:
                if not isinstance(side, int):
                    found |= dict.fromkeys(side.symbols())
        return tuple(found)
