"""Modules that are called one after the other are one nn.Sequential and one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from math import isclose
from typing import cast

from netc.backends.torch import reserved
from netc.backends.torch.body import Body, Step
from netc.backends.torch.holes import ABSENT, Values, holes_of
from netc.backends.torch.stateless import as_module
from netc.backends.torch.tree import Element, Make, Run, Slot


def arrange(body: Body) -> None:
    """Make the body's containers, and the class itself, sequences where their steps are chains, innermost first."""
    for slot in reversed([s for s in body.root.everything() if s.make is None and s.inside is None]):
        _arrange(body, slot, named=not _numbered(slot.own))
    if body.steps and body.root.own and body.region:
        numbered = _numbered(body.root.own)
        start, stop = _stretch(body) if numbered else (0, len(body.steps))
        others = (*body.steps[:start], *body.steps[stop:])
        # A layer that is an argument would be one of the sequence's modules.
        if not any(body.values[hole].kind == "function" for step in others for hole in holes_of(step.text)):
            _sequence(body, body.root, start, stop, named=not numbered)


def _arrange(body: Body, slot: Slot, *, named: bool) -> None:
    members = [i for i, step in enumerate(body.steps) if step.label.startswith(f"{slot.path}.")]
    if members and members == list(range(members[0], members[-1] + 1)):
        _sequence(body, slot, members[0], members[-1] + 1, named=named)


def _numbered(names: Iterable[str]) -> bool:
    return all(name.isascii() and name.isdigit() for name in names)


def _stretch(body: Body) -> tuple[int, int]:
    # The steps that are a class's modules, and what stands before the first, between and after the last in the chain.
    steps = body.steps
    calls = [i for i, step in enumerate(steps) if step.slot is not None]
    if not calls:
        return 0, 0
    start = max(0, calls[0] - int(next(iter(body.root.own))))
    stop = calls[-1] + 1
    while stop < len(steps) and _stateless(steps[stop].text) is not None and _chained(body, start, stop + 1):
        stop += 1
    return start, stop


def _sequence(body: Body, slot: Slot, start: int, stop: int, *, named: bool) -> None:
    chain = body.steps[start:stop]
    if not chain or not _chained(body, start, stop):
        return
    elements = _elements(chain, slot, named=named)
    if elements is None:
        return
    elements = _with_runs(elements, body.values, named=named)
    if named and any(each.name in reserved.SEQUENCE for each in elements):
        return
    # Names are better attributes, unless they are a run's and that is all there is.
    run = len(chain) == len(body.steps) and len(elements) == 1 and isinstance(elements[0].what, Run)
    if named and not slot.path and not run:
        return
    slot.sequence, slot.named = elements, named
    first, last = chain[0], chain[-1]
    one = Step(first.reads, last.writes, slot.path or last.label, "{0}", slot.path, slot)
    one.deployed, one.where = first.deployed, first.where
    body.steps[start:stop] = [one]


def _chained(body: Body, start: int, stop: int) -> bool:
    # Whether the steps are a chain that nothing else reads.
    chain = body.steps[start:stop]
    if any(len(set(step.reads)) != 1 or len(step.writes) != 1 for step in chain):
        return False
    if len({step.deployed for step in chain}) != 1 or any(b.reads != a.writes for a, b in pairwise(chain)):
        return False
    inner = {step.writes[0] for step in chain[:-1]}
    others = (*body.steps[:start], *body.steps[stop:])
    return not inner & ({n for step in others for n in step.reads} | set(body.leaves))


def _elements(chain: Sequence[Step], slot: Slot, *, named: bool) -> list[Element] | None:
    # None where a step is no module, a child is not called in its turn, or numbers leave gaps that nothing fills.
    waiting = list(slot.own.values())
    taken = set(slot.own)
    elements: list[Element] = []
    for step in chain:
        if step.slot is None and not step.path:
            found = _stateless(step.text)
            if found is None:
                return None
            name = step.label.rpartition(".")[2]
            if named and name in taken:
                return None
            taken.add(name)
            elements.append(Element(name if named else str(len(elements)), found))
            continue
        if not waiting or step.slot is not waiting[0] or not step.plain:
            return None
        child = waiting.pop(0)
        if child.sequence is None and (child.make is None or child.own):
            return None
        if not named and child.name != str(len(elements)):
            return None
        elements.append(Element(child.name, child))
    return elements if not waiting and any(isinstance(e.what, Slot) for e in elements) else None


def _stateless(code: str) -> Make | None:
    # A layer without state as a module, where torch has one.
    acts = re.fullmatch("(\x00\\d+\x00)\\(\\{0\\}\\)", code)
    if acts is not None:
        return Make(acts[1])
    found = as_module(code)
    if found is None:
        return None
    target, args = found
    words = [arg for arg in args if "=" not in arg]
    pairs = [arg.partition("=") for arg in args if "=" in arg]
    if target == "nn.Flatten":  # its default is what stands there: from the first dimension after the batch
        return Make(target)
    return Make(target, tuple(words), tuple((name, value) for name, _, value in pairs))


def _with_runs(elements: list[Element], values: Values, *, named: bool) -> list[Element]:
    made: list[Element] = []
    for target, group in groupby(elements, _target):
        same = list(group)
        if target is None:
            made += same
        else:
            made += _runs(same, values, named=named)
    return made


def _target(element: Element) -> object:
    # The class of a block that could be one of a run.
    slot = element.what
    if not isinstance(slot, Slot) or slot.make is None or isinstance(slot.make.target, str) or slot.own or slot.starts:
        return None
    return slot.make.target


def _runs(same: list[Element], values: Values, *, named: bool) -> list[Element]:
    # All of them, or the first and the rest; else those stretches of three or more that are equal.
    if len(same) < 2:
        return same
    for alone in (0, 1):
        rest = same[alone:]
        if len(rest) == 2 and alone == 0 and not _equal(rest, values):
            continue  # any two numbers are equally far apart
        found = _run(rest, values, named=named)
        if found is not None:
            return [*same[:alone], found]
    made: list[Element] = []
    at = 0
    while at < len(same):
        stop = at + 1
        while stop < len(same) and _equal([same[at], same[stop]], values):
            stop += 1
        found = _run(same[at:stop], values, named=named) if stop - at > 2 else None
        made += [found] if found is not None else same[at:stop]
        at = stop
    return made


def _arguments(element: Element, values: Values) -> list[object]:
    assert isinstance(element.what, Slot)
    assert element.what.make is not None
    return [values[holes_of(arg)[0]].value for arg in element.what.make.args]


def _equal(elements: Sequence[Element], values: Values) -> bool:
    return all(_arguments(e, values) == _arguments(elements[0], values) for e in elements)


def _run(elements: Sequence[Element], values: Values, *, named: bool) -> Element | None:
    first = elements[0].what
    assert isinstance(first, Slot)
    assert first.make is not None
    parts = [re.fullmatch(r"(.*\D|)(\d+)", e.name, re.DOTALL | re.ASCII) for e in elements]
    numbers = [int(part[2]) for part in parts if part is not None and (part[2] == "0" or part[2][0] != "0")]
    prefixes = {part[1] for part in parts if part is not None}
    if numbers != list(range(numbers[0] if numbers else 0, (numbers[0] if numbers else 0) + len(elements))):
        return None
    if len(prefixes) != 1:
        return None
    rows = [_arguments(e, values) for e in elements]
    by: list[str | None] = []
    for arg, column in zip(first.make.args, zip(*rows, strict=True), strict=True):
        hole = values[holes_of(arg)[0]]
        kinds = [kind for kind in (int, float) if all(type(each) is kind for each in column)]
        if not kinds:
            if len(set(map(repr, column))) != 1:
                return None
            by.append(None)
            continue
        step = _step(cast("Sequence[int | float]", column))
        if step is None or (len(column) == 2 and step != 0 and kinds == [int]):
            return None
        by.append(values.hole(ABSENT if len(column) == 1 else step, hole.name, kind=hole.kind))
    count = values.hole(len(elements), "n", kind="count")
    prefix, start = (next(iter(prefixes)), numbers[0]) if named else (None, 0)
    return Element(elements[0].name, Run(count, first.make, tuple(by), prefix, start))


def _step(numbers: Sequence[int | float]) -> int | float | None:
    # How far apart the numbers are, where that is the same all along; rates of drop_path are rounded, each by itself.
    if all(isinstance(each, int) for each in numbers):
        steps = {b - a for a, b in pairwise(numbers)} or {0}
        return steps.pop() if len(steps) == 1 else None
    step = round((numbers[-1] - numbers[0]) / max(len(numbers) - 1, 1), 12)
    near = all(isclose(each, numbers[0] + step * i, abs_tol=1e-9) for i, each in enumerate(numbers))
    return step if near else None
