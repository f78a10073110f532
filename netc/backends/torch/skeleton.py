"""A class without its numbers: what two bodies must have in common to be one class, and the order of their holes."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from netc.backends.torch.body import Body, Step
from netc.backends.torch.holes import filled
from netc.backends.torch.tree import Element, Make, Slot

Reading = tuple[Hashable, list[int]]
"""A key that is equal for equal parts, and the numbers of the part's holes in an order that is theirs alike."""


def body_reading(body: Body) -> Reading:
    """Of a whole class."""
    return _read(lambda reader: reader.body(body))


def element_reading(element: Element) -> Reading:
    """Of an element of a sequence whose names are places."""
    return _read(lambda reader: reader.element(element, named=False))


def slot_reading(slot: Slot) -> Reading:
    """Of a module and what is below it."""
    return _read(lambda reader: reader.slot(slot))


def step_reading(step: Step) -> Reading:
    """Of a line, what it reads and writes aside."""
    return _read(lambda reader: reader.step(step))


def _read(part: Callable[[_Reader], Hashable]) -> Reading:
    reader = _Reader()
    return part(reader), reader.holes


class _Reader:
    def __init__(self) -> None:
        self.holes: list[int] = []

    def _text(self, text: str) -> str:
        return filled(text, self._hole)

    def _hole(self, number: int) -> str:
        self.holes.append(number)  # each stands in one place
        return f"\x00{len(self.holes) - 1}\x00"

    def body(self, body: Body) -> Hashable:
        root = body.root
        numbers: dict[int, int] = {}
        for value in (*body.enters, *(value for step in body.steps for value in step.writes)):
            numbers.setdefault(value, len(numbers))
        steps = tuple(
            (tuple(numbers[n] for n in step.reads), tuple(numbers[n] for n in step.writes), self.step(step))
            for step in body.steps
        )
        tree = self._elements(root) if root.sequence is not None else self.slot(root)
        return root.named, tree, steps, tuple(numbers[n] for n in body.leaves), len(body.enters)

    def _make(self, make: Make | None) -> Hashable:
        if make is None:
            return None
        target = self._text(make.target) if isinstance(make.target, str) else id(make.target)
        return target, tuple(map(self._text, make.args)), tuple((k, self._text(v)) for k, v in make.keywords)

    def element(self, element: Element, *, named: bool) -> Hashable:
        name, what = element.name if named else "", element.what
        if isinstance(what, Slot):
            return name, self.slot(what, named=named)
        if isinstance(what, Make):
            return name, self._make(what)
        by = tuple(None if step is None else self._text(step) for step in what.by)
        return what.prefix, what.start, self._make(what.make), by, self._text(what.turns)

    def _elements(self, slot: Slot) -> Hashable:
        assert slot.sequence is not None
        return tuple(self.element(each, named=slot.named) for each in slot.sequence)

    def slot(self, slot: Slot, *, named: bool = True) -> Hashable:
        # A tensor is filled where it is: at another place stands another statement.
        starts = tuple((slot.path, name, self._text(start)) for name, start in slot.starts)
        below = self._elements(slot) if slot.sequence is not None else tuple(map(self.slot, slot.own.values()))
        return slot.name if named else "", self._make(slot.make), slot.tensor, starts, slot.named, below

    def step(self, step: Step) -> Hashable:
        return self._text(step.text), step.path, step.after
