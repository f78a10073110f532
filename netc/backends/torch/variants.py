"""A block whose `if`s add parts is one class, with conditions: two bodies of which one has all that the other has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.backends.torch.body import Body, Step
from netc.backends.torch.holes import ABSENT, Literal, holes_of
from netc.backends.torch.skeleton import body_reading, element_reading, slot_reading, step_reading
from netc.backends.torch.tree import Element, Run, Slot

Part = Element | Slot | Step


@dataclass
class Group:
    """Bodies that are one class: one with everything, and of each what stands in its holes and which parts it has."""

    body: Body
    holes: list[int]
    members: list[Body] = field(default_factory=list[Body])
    values: list[dict[int, Literal]] = field(default_factory=list[dict[int, Literal]])
    lacking: list[list[int]] = field(default_factory=list[list[int]])
    """Of each member the `id`s of the parts it lacks."""
    parts: dict[int, Part] = field(default_factory=dict[int, Part])
    flags: list[tuple[bool, ...]] = field(default_factory=list[tuple[bool, ...]])
    """Of each condition whether it holds, by member."""
    label: list[str] = field(default_factory=list[str])
    """Of each condition a name for it."""


def grouped(bodies: Sequence[Body]) -> list[Group]:
    """Bodies of one block as few classes, in the order of their first bodies."""
    groups: dict[object, Group] = {}
    for body in bodies:
        key, holes = body_reading(body)
        group = groups.setdefault(key, Group(body, holes))
        own = dict(zip(group.holes, holes, strict=True))
        _add(group, body, own, [])
    found = list(groups.values())
    for big in sorted(found, key=lambda g: -_size(g.body)):
        if big not in found:
            continue
        for small in [g for g in found if g is not big and _size(g.body) <= _size(big.body)]:
            fit = _embedded(big.body, small.body)
            if fit is None:
                continue
            pairs, parts = fit
            # A run that is absent is one of no turns.
            runs = [
                holes_of(part.what.turns)[0]
                for part in parts
                if isinstance(part, Element) and isinstance(part.what, Run)
            ]
            parts = [part for part in parts if not (isinstance(part, Element) and isinstance(part.what, Run))]
            big.parts |= {id(part): part for part in parts}
            for member, values in zip(small.members, small.values, strict=True):
                big.members.append(member)
                big.values.append({**{a: values[b] for a, b in pairs if b in values}, **dict.fromkeys(runs, 0)})
                big.lacking.append([id(part) for part in parts])
            found.remove(small)
    for group in found:
        _name_conditions(group)
    order = {id(body): i for i, body in enumerate(bodies)}
    return sorted(found, key=lambda g: min(order[id(member)] for member in g.members))


def _size(body: Body) -> int:
    root = body.root
    return len(root.sequence or ()) + len(body.steps)


def _add(group: Group, body: Body, own: dict[int, int], lacking: list[int]) -> None:
    group.members.append(body)
    group.values.append({hole: body.values[at].value for hole, at in own.items()})
    group.lacking.append(lacking)


def _name_conditions(group: Group) -> None:
    # Parts that are there or not together share a condition.
    numbers: dict[tuple[bool, ...], int] = {}
    for key, part in group.parts.items():
        there = tuple(key not in lacking for lacking in group.lacking)
        if there not in numbers:
            numbers[there] = len(numbers)
            group.flags.append(there)
            group.label.append(_label(part))
        part.flag = numbers[there]
        if isinstance(part, Step) and part.text == "{0} + {1}":
            group.label[part.flag] = "residual"
    for values in group.values:
        for hole in group.holes:
            values.setdefault(hole, ABSENT)


def _label(part: Part) -> str:
    if isinstance(part, Slot):
        return part.name
    if isinstance(part, Step):
        return part.label.rpartition(".")[2]
    what = part.what
    if isinstance(what, Slot) and what.make is not None and not isinstance(what.make.target, str):
        return what.make.target.name
    return "extra"


Fit = tuple[list[tuple[int, int]], list[Part]]
"""Pairs of holes, the large body's and the small one's, and the parts that the small one lacks."""


def _embedded(big: Body, small: Body) -> Fit | None:
    a, b = big.root.sequence, small.root.sequence
    if a is not None and b is not None and not big.root.named and not small.root.named:
        return _embedded_elements(a, b) if len(big.steps) == len(small.steps) == 1 else None
    return _embedded_steps(big, small) if a is None and b is None else None


def _embedded_elements(a: Sequence[Element], b: Sequence[Element]) -> Fit | None:
    waiting = [element_reading(each) for each in b]
    pairs: list[tuple[int, int]] = []
    lacking: list[Part] = []
    for each in a:
        key, holes = element_reading(each)
        if waiting and waiting[0][0] == key:
            pairs += zip(holes, waiting.pop(0)[1], strict=True)
        elif isinstance(each.what, Slot) and (each.what.starts or any(s.starts for s in each.what.everything())):
            return None
        else:
            lacking.append(each)
    return (pairs, lacking) if not waiting and len(lacking) <= max(2, len(b)) else None


def _optional(slot: Slot | None) -> bool:
    # Whether one expression makes the module, and it fills no tensors itself.
    if slot is None or slot.starts or any(below.starts for below in slot.everything()):
        return False
    return slot.sequence is not None or (slot.make is not None and not slot.own)


def _embedded_steps(big: Body, small: Body) -> Fit | None:
    # `same` leads from a value of the large body to the small one's that stands in its place.
    if len(big.enters) != len(small.enters):
        return None
    same = dict(zip(big.enters, small.enters, strict=True))
    pairs: list[tuple[int, int]] = []
    lacking: list[Part] = []
    waiting = list(small.steps)
    gone: set[str] = set()
    for step in big.steps:
        reads = tuple(same[n] for n in step.reads)
        key, holes = step_reading(step)
        if waiting:
            key_b, holes_b = step_reading(waiting[0])
            # A block inside may give more in one application: then it is of two classes.
            if key == key_b and reads == waiting[0].reads and len(step.writes) == len(waiting[0].writes):
                pairs += zip(holes, holes_b, strict=True)
                same |= dict(zip(step.writes, waiting.pop(0).writes, strict=True))
                continue
        if len(step.writes) != 1:
            return None
        if step.path:
            if not step.plain or "." in step.path or step.path in gone or not _optional(step.slot):
                return None
            assert step.slot is not None
            gone.add(step.path)
            lacking.append(step.slot)
        else:
            lacking.append(step)
        same[step.writes[0]] = reads[0]
    if waiting or tuple(same[n] for n in big.leaves) != small.leaves or len(lacking) > max(2, len(small.steps)):
        return None
    kept = [slot for slot in big.root.own.values() if slot.path not in gone]
    if len(kept) != len(small.root.own):
        return None
    for slot, other in zip(kept, small.root.own.values(), strict=True):
        (key, holes), (key_b, holes_b) = slot_reading(slot), slot_reading(other)
        if key != key_b:
            return None
        pairs += zip(holes, holes_b, strict=True)
    return pairs, lacking
