"""Which layer of a source is which of a net's: by what their shapes, their neighbours, names and order say.

Nothing is guessed: where several answers are as good, there is none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from netc.weights.modules import COUNTER, Module, Path, Shape

By: TypeAlias = Literal["name", "shape", "place", "order", "open"]
_STRENGTH: Mapping[By, int] = {"open": 0, "order": 1, "place": 2, "shape": 3, "name": 4}

Signature: TypeAlias = tuple[tuple[str, Shape], ...]


class Match(NamedTuple):
    """What a layer of the net is in the source (None: not known), what says so, and what else it might be."""

    wanted: Module
    found: Module | None
    by: By
    reason: str
    others: tuple[Module, ...] = ()


class _Item(NamedTuple):
    """A layer, or a group of them under one prefix; `name` is relative to the group around."""

    name: str
    modules: tuple[int, ...]


class _Pair(NamedTuple):
    wanted: _Item
    found: _Item
    by: By
    reason: str


def matched(
    wanted: Sequence[Module], found: Sequence[Module], form: Callable[[Shape], Shape], *, ordered: bool
) -> list[Match]:
    """Match every layer of the net.

    Shapes are alike where `form` makes them equal. Groups of layers under one prefix are matched as a whole where they
    hold layers of the same shapes, from the largest down; then what is left, layer by layer. Of n alike on both sides,
    names that are equal decide, or their order: the source's if it is `ordered`, and that of numbers in their names;
    if these differ, none does.
    """
    return _Matcher(wanted, found, form, ordered).run()


class _Matcher:
    def __init__(
        self, wanted: Sequence[Module], found: Sequence[Module], form: Callable[[Shape], Shape], ordered: bool
    ) -> None:
        self.sides = (list(wanted), list(found))
        self.signs = tuple([_signature(module, form) for module in side] for side in self.sides)
        self.ordered = ordered
        self.result: dict[int, Match] = {}

    def run(self) -> list[Match]:
        every = tuple(list(range(len(side))) for side in self.sides)
        self._match(every[0], every[1], _common(self.sides[0]), _common(self.sides[1]), "shape", "")
        return [self.result[index] for index in range(len(self.sides[0]))]

    def _match(self, left: list[int], right: list[int], base: Path, other: Path, by: By, because: str) -> None:
        anchors = _Anchors(self._once(0, left), self._once(1, right))
        free = (set(left), set(right))
        groups = (self._groups(0, left, len(base)), self._groups(1, right, len(other)))
        for key in sorted(groups[0].keys() & groups[1].keys(), key=_count, reverse=True):
            items = tuple([i for i in groups[side][key] if free[side].issuperset(i.modules)] for side in (0, 1))
            pairs, _ = self._decide(items[0], items[1], anchors)
            for pair in pairs:
                free[0].difference_update(pair.wanted.modules)
                free[1].difference_update(pair.found.modules)
                self._within(pair, base, other, by, because)
        self._match_layers(sorted(free[0]), sorted(free[1]), len(base), len(other), by, because, anchors)

    def _once(self, side: int, indices: Iterable[int]) -> dict[Signature, int]:
        signs = self.signs[side]
        indices = list(indices)
        counts = Counter(signs[index] for index in indices)
        return {signs[index]: index for index in indices if counts[signs[index]] == 1}

    def _within(self, pair: _Pair, base: Path, other: Path, by: By, because: str) -> None:
        reason = because
        if pair.by == "order" and _STRENGTH[by] > _STRENGTH["order"]:
            reason = f"{'.'.join((*base, pair.wanted.name))} is {'.'.join((*other, pair.found.name))}: {pair.reason}"
        weaker = _weaker(by, "order" if pair.by == "order" else "place")
        inner = (_common(self._of(0, pair.wanted)), _common(self._of(1, pair.found)))
        self._match(list(pair.wanted.modules), list(pair.found.modules), inner[0], inner[1], weaker, reason)

    def _match_layers(
        self, left: list[int], right: list[int], base: int, other: int, by: By, because: str, anchors: _Anchors
    ) -> None:
        classes: tuple[dict[Signature, list[_Item]], ...] = (defaultdict(list), defaultdict(list))
        for side, indices, cut in ((0, left, base), (1, right, other)):
            for index in indices:
                name = ".".join(self.sides[side][index].path[cut:])
                classes[side][self.signs[side][index]].append(_Item(name, (index,)))
        for sign, items in classes[0].items():
            pairs, why_not = self._decide(items, classes[1].get(sign, []), anchors)
            for pair in pairs:
                (index,), (at,) = pair.wanted.modules, pair.found.modules
                chosen = _weaker(by, pair.by if pair.by != "shape" else by)
                if pair.by == "name" and by in ("shape", "place"):
                    chosen = "name"
                reason = because if because and pair.by != "order" else pair.reason
                others = tuple(self.sides[1][i.modules[0]] for i in classes[1][sign] if i.modules != (at,))
                self.result[index] = Match(
                    self.sides[0][index], self.sides[1][at], chosen, reason, others if chosen == "order" else ()
                )
            if not pairs:
                others = tuple(self.sides[1][i.modules[0]] for i in classes[1].get(sign, []))
                for item in items:
                    (index,) = item.modules
                    self.result[index] = Match(self.sides[0][index], None, "open", why_not, others)

    def _decide(self, left: Sequence[_Item], right: Sequence[_Item], anchors: _Anchors) -> tuple[list[_Pair], str]:
        """Pairs of what is alike, or none, and why not."""
        if not left or not right:
            return [], "none of this shape is there"
        names = {item.name: item for item in right}
        if len(names) == len(right) and all(item.name in names for item in left):
            return [_Pair(item, names[item.name], "name", "the same name") for item in left], ""
        if len(left) != len(right):
            return [], f"{len(left)} of this shape are needed, and {len(right)} are there"
        if len(left) == 1:
            return [_Pair(left[0], right[0], "shape", "the only one left of its shape")], ""
        orders: dict[str, list[_Item]] = {}
        if self.ordered:
            behind = anchors.order(left, right)
            if behind is None:
                return [], f"{len(left)} are alike, and stand behind other layers than the net's"
            orders["their order in the source"] = behind
        numbered = _by_number(right)
        if numbered is not None:
            orders["the numbers in their names"] = numbered
        if not orders:
            return [], f"{len(left)} are alike, and no order of them is known"
        first, *rest = orders.values()
        if any(first != each for each in rest):
            return [], f"{len(left)} are alike, and their numbers are not in their order"
        said = " and ".join(orders)
        return [
            _Pair(a, b, "order", f"{_nth(at)} of {len(left)} alike, by {said}")
            for at, (a, b) in enumerate(zip(left, first, strict=True), 1)
        ], ""

    def _groups(
        self, side: int, indices: Iterable[int], base: int
    ) -> dict[tuple[tuple[Signature, int], ...], list[_Item]]:
        """Layers under each prefix that does not hold all of them, by what they are; of equal ones the shortest."""
        under: dict[Path, list[int]] = defaultdict(list)
        total = 0
        for index in indices:
            total += 1
            path = self.sides[side][index].path
            for length in range(base + 1, len(path)):
                under[path[:length]].append(index)
        shortest: dict[tuple[int, ...], Path] = {}
        for path, members in under.items():
            if 1 < len(members) < total:
                key = tuple(members)
                shortest[key] = min(shortest.get(key, path), path, key=len)
        groups: dict[tuple[tuple[Signature, int], ...], list[_Item]] = defaultdict(list)
        for members, path in shortest.items():
            kinds = Counter(self.signs[side][index] for index in members)
            groups[tuple(sorted(kinds.items()))].append(_Item(".".join(path[base:]), members))
        for items in groups.values():
            items.sort(key=lambda item: item.modules[0])
        return groups

    def _of(self, side: int, item: _Item) -> list[Module]:
        return [self.sides[side][index] for index in item.modules]


class _Anchors:
    """Layers that are there once on both sides, so that it is clear which is which: what stands behind them tells."""

    def __init__(self, left: Mapping[Signature, int], right: Mapping[Signature, int]) -> None:
        both = [sign for sign in left if sign in right]
        self._places = tuple(sorted((side[sign], both.index(sign)) for sign in both) for side in (left, right))

    def order(self, left: Sequence[_Item], right: Sequence[_Item]) -> list[_Item] | None:
        """The right side's items in the order of the left's: behind the same anchors, where that is possible."""
        waiting: dict[int | None, list[_Item]] = defaultdict(list)
        for item in right:
            waiting[self._before(1, item)].append(item)
        found: list[_Item] = []
        for item in left:
            same = waiting[self._before(0, item)]
            if not same:
                return None
            found.append(same.pop(0))
        return found

    def _before(self, side: int, item: _Item) -> int | None:
        places = self._places[side]
        at = bisect_left(places, (item.modules[0], -1))
        return places[at - 1][1] if at else None


def _signature(module: Module, form: Callable[[Shape], Shape]) -> Signature:
    tensors = sorted((role, form(t.shape)) for role, t in module.tensors.items() if role != COUNTER)
    return (("", tensors[0][1]),) if len(tensors) == 1 else tuple(tensors)


def _common(modules: Sequence[Module]) -> Path:
    """The prefix that all have in common, short of a whole path."""
    paths = [module.path[:-1] for module in modules]
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def _count(key: Sequence[tuple[Signature, int]]) -> tuple[int, object]:
    return sum(count for _, count in key), key


def _weaker(a: By, b: By) -> By:
    return min(a, b, key=lambda by: _STRENGTH[by])


_ORDINAL = re.compile(r"\d+|(?<=[\d_])[a-z](?![A-Za-z])")  # 3, or the b of 3b and conv_b


def _by_number(items: Sequence[_Item]) -> list[_Item] | None:
    """In the order of the numbers in their names, where the names differ in nothing else."""
    if len({_ORDINAL.sub("#", item.name) for item in items}) > 1:
        return None
    keys = [tuple((int(n), "") if n.isdecimal() else (0, n) for n in _ORDINAL.findall(item.name)) for item in items]
    if len(set(keys)) < len(keys):
        return None
    return [item for _, item in sorted(zip(keys, items, strict=True), key=lambda pair: pair[0])]


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
