"""The classes of a net: each block's applications as few of them, those below first, and the net's own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netc.backends import python_text as text
from netc.backends.torch.body import Body, body_of
from netc.backends.torch.holes import Literal
from netc.backends.torch.outline import Outline
from netc.backends.torch.params import Param, Parameters, parameters
from netc.backends.torch.regions import Regions
from netc.backends.torch.sequence import arrange
from netc.backends.torch.tree import Slot
from netc.backends.torch.variants import Group, grouped


@dataclass(eq=False)
class Class:
    """A class of the file, with what tells its applications apart."""

    name: str
    group: Group
    found: Parameters
    returns: list[str] = field(default_factory=list[str])
    """What its `forward` calls its results."""

    @property
    def body(self) -> Body:
        """The application that has all parts."""
        return self.group.body

    @property
    def params(self) -> list[Param]:
        """What `__init__` takes."""
        return self.found.params


class Application(NamedTuple):
    """A block applied: its class, the arguments, and which nodes read what enters and make what leaves.

    These are counted from the region's first node; a read has the operand's number as well.
    """

    made: Class
    args: tuple[Literal, ...]
    body: Body
    reads: tuple[tuple[int, int], ...]
    writes: tuple[int, ...]


def _own(groups: Sequence[Group]) -> list[str]:
    # Of each of a block's classes the module that it alone has; the one with the fewest modules needs none.
    modules = [_modules(group.body.root) for group in groups]
    least = min(range(len(groups)), key=lambda i: len(modules[i]))
    found: list[str] = []
    for i, names in enumerate(modules):
        others = {name for j, each in enumerate(modules) if j != i for name in each}
        alone = [name for name in names if name not in others and text.is_name(name)]
        found.append(alone[0] if alone and i != least else "")
    return found


def _modules(root: Slot) -> list[str]:
    # By attribute, and of a sequence by class.
    if root.sequence is None:
        return list(root.own)
    slots = [each.what for each in root.sequence if isinstance(each.what, Slot)]
    targets = [slot.make.target for slot in slots if slot.make is not None]
    return [target.name for target in targets if not isinstance(target, str)]


def classes_of(outline: Outline, top: str, taken: set[str]) -> list[Class]:
    """In the order of the file; the net's own, called `top`, is the last. `taken` are the names it has already."""
    return _Maker(outline, top, taken).classes()


class _Maker:
    def __init__(self, outline: Outline, top: str, taken: set[str]) -> None:
        self.regions, self.graph, self.top, self.taken = Regions(outline), outline.graph, top, taken
        self.first: dict[Hashable, int] = {}
        """Of equal regions the first, by what they have in common."""
        self.like: dict[int, int] = {}
        """Of every region that is a class the first that equals it."""
        self.holds: dict[Hashable, dict[Hashable, None]] = {}
        """Of every block those applied directly in it."""
        self.made: dict[int, Application] = {}
        self._find(0, None)

    def _find(self, index: int, around: Hashable) -> None:
        for item, kind in self.regions.items(index):
            if kind != "class":
                continue
            block = self._block(item)
            self.holds.setdefault(around, {})[block] = None
            self.holds.setdefault(block, {})
            key = self.regions.key(item)
            known = self.first.setdefault(key, item)
            self.like[item] = known
            if known == item:
                self._find(item, block)

    def _block(self, index: int) -> Hashable:
        region = self.graph.regions[index]
        return id(region.definition) if region.definition is not None else region.block

    def classes(self) -> list[Class]:
        made: list[Class] = []
        for block in self._in_order():
            made += self._classes(sorted({at for at in self.like.values() if self._block(at) == block}))
        body = body_of(self.regions, 0, self._applied(0))
        arrange(body)
        [group] = grouped([body])
        return [*made, Class(self.top, group, parameters(group, [self.graph.regions[0]]))]

    def _in_order(self) -> list[Hashable]:
        # Blocks after those that are applied in them; the net itself is none.
        done: dict[Hashable, None] = {}

        def visit(block: Hashable, above: frozenset[Hashable]) -> None:
            for inner in self.holds.get(block, ()):
                if inner not in done and inner not in above:
                    visit(inner, above | {inner})
            done[block] = None

        visit(None, frozenset())
        return [block for block in done if block is not None]

    def _applied(self, index: int) -> dict[int, Application]:
        found: dict[int, Application] = {}
        for item, kind in self.regions.items(index):
            if kind != "node":
                first = self.regions.first(item) if kind == "again" else item
                assert first is not None
                found[item] = self.made[self._like(first)]
        return found

    def _like(self, index: int) -> int:
        return self.like[index] if index in self.like else self.first[self.regions.key(index)]

    def _classes(self, regions: Sequence[int]) -> list[Class]:
        bodies = [body_of(self.regions, index, self._applied(index)) for index in regions]
        for body in bodies:
            arrange(body)
        made: list[Class] = []
        groups = grouped(bodies)
        for group, own in zip(groups, _own(groups), strict=True):
            members = [self.graph.regions[body.region] for body in group.members]
            wanted = members[0].block or members[0].name.rpartition(".")[2]
            name = text.unique(text.class_name(f"{wanted}_{own}" if own else wanted, "Block"), self.taken, join="")
            found = parameters(group, members)
            made.append(Class(name, group, found))
            for i, body in enumerate(group.members):
                args = tuple(row[i] for row in found.rows)
                self.made[body.region] = Application(made[-1], args, body, *self._ends(body))
        return made

    def _ends(self, body: Body) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
        region = self.graph.regions[body.region]
        nodes = {node.name: i for i, node in enumerate(self.graph.nodes[region.start : region.stop])}
        entering = self.regions.entering(body.region)
        reads = tuple(
            next((at, operand) for at, operand, value in entering if value == body.names[n]) for n in body.enters
        )
        return reads, tuple(nodes[body.names[n]] for n in body.leaves)
