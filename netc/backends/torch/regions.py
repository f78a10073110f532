"""Which regions of the graph are classes, what each holds, and which of them are equal before any text is made."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Literal, NamedTuple

from netc.backends.torch.outline import Outline
from netc.graph import Region
from netc.op import Inline


class Item(NamedTuple):
    """What stands in a region: a node, a region that is a class, or one that applies a class's weights again."""

    number: int
    kind: Literal["node", "class", "again"]


class Regions:
    """The regions of an outline's graph, by number."""

    def __init__(self, outline: Outline) -> None:
        self.outline, self.graph = outline, outline.graph
        self.within: dict[int, list[int]] = {}
        for index, region in enumerate(self.graph.regions):
            if index and region.start < region.stop:
                self.within.setdefault(region.parent, []).append(index)
        self.named: dict[str, int] = {}
        for index in reversed(range(1, len(self.graph.regions))):
            self.named[self.graph.regions[index].name] = index  # the first of its name
        self._classes: dict[int, bool] = {}

    def prefix(self, index: int) -> str:
        """What the names in a region start with."""
        return f"{self.graph.regions[index].name}." if index else ""

    def items(self, index: int) -> Iterator[Item]:
        """What stands in a region; lines of a region that is no class stand in the one around it."""
        regions = self.graph.regions
        at = regions[index].start
        for child in sorted(self.within.get(index, ()), key=lambda i: regions[i].start):
            yield from (Item(node, "node") for node in range(at, regions[child].start))
            if self.is_class(child):
                yield Item(child, "class")
            elif self.first(child) is not None:
                yield Item(child, "again")
            else:
                yield from self.items(child)
            at = regions[child].stop
        yield from (Item(node, "node") for node in range(at, regions[index].stop))

    def is_class(self, index: int) -> bool:
        """Whether a region's modules, and only they, lie below its name."""
        if index not in self._classes:
            self._classes[index] = self._is_class(index)
        return self._classes[index]

    def around(self, index: int) -> int:
        """The innermost class that a region stands in; 0 is the net."""
        index = self.graph.regions[index].parent
        while index and not self.is_class(index):
            index = self.graph.regions[index].parent
        return index

    def _is_class(self, index: int) -> bool:
        region, owners, graph = self.graph.regions[index], self.outline.owners, self.graph
        prefix = self.prefix(self.around(index))
        if not region.name.startswith(prefix) or region.name == prefix.removesuffix(".") or region.name in owners.node:
            return False
        first, last = owners.extent.get(region.name, (-1, -1))
        if not region.start <= first <= last < region.stop or not self._at_once(region):
            return False
        below, calls = f"{region.name}.", self.outline.calls
        weighted = (graph.nodes[i] for i in range(region.start, region.stop) if not isinstance(calls[i], Inline))
        return all(node.weights.startswith(below) for node in weighted)

    def _at_once(self, region: Region) -> bool:
        # Training heads are not computed outside of training, so a region is part of one or not.
        if not self.outline.heads:
            return True
        return len({n.name in self.graph.deployed for n in self.graph.nodes[region.start : region.stop]}) == 1

    def first(self, index: int) -> int | None:
        """The class whose weights a region applies again, in the same way and for the same results."""
        region = self.graph.regions[index]
        calls, nodes = self.outline.calls, self.graph.nodes
        weighted = [i for i in range(region.start, region.stop) if not isinstance(calls[i], Inline)]
        if not weighted or not region.name:
            return None
        node = nodes[weighted[0]]
        below = node.name.removeprefix(region.name)
        if not node.weights.endswith(below) or not node.name.startswith(f"{region.name}."):
            return None
        first = self.named.get(node.weights.removesuffix(below))
        if first is None or first == index or not self.is_class(first):
            return None
        within = self.graph.regions[first].name.startswith(self.prefix(self.around(index)))
        return first if within and self._at_once(region) and self._alike(first, index) else None

    def _alike(self, first: int, again: int) -> bool:
        # Whether calling the first one's class does what the other one does.
        a, b = self.graph.regions[first], self.graph.regions[again]
        if a.stop - a.start != b.stop - b.start or self._wired(first) != self._wired(again):
            return False
        calls, nodes = self.outline.calls, self.graph.nodes
        for i, j in zip(range(a.start, a.stop), range(b.start, b.stop), strict=True):
            if calls[i] != calls[j]:
                return False
            if not isinstance(calls[i], Inline) and nodes[i].weights != nodes[j].weights:
                return False
        return True

    def key(self, index: int) -> Hashable:
        """Regions of equal keys are equal, names in front of their own and what enters them aside."""
        region = self.graph.regions[index]
        if region.definition is None:
            return index
        owned = tuple(map(self.outline.owned, range(region.start, region.stop)))
        return id(region.args), owned, self._wired(index)

    def _wired(self, index: int) -> Hashable:
        # Which values are read where, counted from the region's start; how far outside does not matter.
        region, last = self.graph.regions[index], self.outline.last
        size = region.stop - region.start
        nodes = self.graph.nodes[region.start : region.stop]
        used = tuple(min(last[n.name] - region.start, size) if n.name in last else -1 for n in nodes)
        place = {node.name: at for at, node in enumerate(nodes)}
        reads = self._reads(index)
        values = [value for _, _, value in reads if value not in place]
        inner = tuple((at, operand, place[value]) for at, operand, value in reads if value in place)
        outer = tuple((at, operand, values.index(value)) for at, operand, value in reads if value not in place)
        return used, inner, outer

    def entering(self, index: int) -> list[tuple[int, int, str]]:
        """Every read of a value from outside of a region: the node from its start on, the operand, and the value."""
        region = self.graph.regions[index]
        inside = {node.name for node in self.graph.nodes[region.start : region.stop]}
        return [read for read in self._reads(index) if read[2] not in inside]

    def _reads(self, index: int) -> list[tuple[int, int, str]]:
        region, outline = self.graph.regions[index], self.outline
        return [
            (offset, operand, outline.same[node.inputs[operand]])
            for offset, node in enumerate(self.graph.nodes[region.start : region.stop])
            for operand in outline.spoken(region.start + offset)
        ]
