"""The parameters of a class: where its applications differ, named as the block names them or by their role in torch."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from netc.backends import python_text as text
from netc.backends.torch.express import Found, Known, Row, expressed, fits
from netc.backends.torch.holes import ABSENT, Function, Literal, holes_of
from netc.backends.torch.signatures import DEFAULTS, PLAIN, Kind
from netc.backends.torch.variants import Group
from netc.graph import Region

_TAKEN = ("self", "i", "_", "F", "nn", "torch", "layers")


class Param(NamedTuple):
    """A parameter of a class's `__init__`. `default` is ABSENT where every call gives it."""

    name: str
    annotation: str
    default: Literal
    kind: Kind


@dataclass
class Parameters:
    """What `__init__` takes, and the texts of holes and conditions over it."""

    params: list[Param] = field(default_factory=list[Param])
    rows: list[list[Literal]] = field(default_factory=list[list[Literal]])
    """Of each parameter its value by application."""
    texts: dict[int, str] = field(default_factory=dict[int, str])
    constant: dict[int, Literal] = field(default_factory=dict[int, Literal])
    """Of the holes that are the same in every application."""
    conditions: list[str] = field(default_factory=list[str])

    @property
    def known(self) -> list[Known]:
        """The parameters' rows, to express more by."""
        return [Known(param.name, row, param.kind) for param, row in zip(self.params, self.rows, strict=True)]


def parameters(group: Group, regions: Sequence[Region]) -> Parameters:
    """Those that the applications of a class need; `regions` are its members'."""
    return _Finder(group, regions).found()


class _Finder:
    def __init__(self, group: Group, regions: Sequence[Region]) -> None:
        self.group = group
        self.computed = {hole for step in group.body.steps for hole in holes_of(step.text)}
        self.taken: set[str] = {*_TAKEN}
        self.known: list[Known] = []
        """What the block's arguments and what enters came to, and the parameters found so far."""
        self.entering: list[str] = []
        self.defaults: dict[str, Literal] = {}
        self.kinds: dict[str, Kind] = {}
        """Of those that are used."""
        self.texts: list[tuple[Found, Row]] = []
        self.optional: dict[tuple[bool, ...], str] = {}
        """Parameters that are None where a part is absent, by where it is there."""
        self.functions: dict[str, dict[str, Literal]] = {}
        """Of arguments that are layers: torch's module by what tells the argument from others."""
        definition = regions[0].definition
        for name in regions[0].args:
            said = self._offer(text.variable(name), [r.args.get(name) for r in regions])
            if definition is not None and name in definition.defaults:
                self.defaults[said] = definition.defaults[name]
        names = definition.takes if definition is not None else ()
        entering = [[body.types[n] for n in body.enters] for body in group.members]
        for i, types in enumerate(zip(*entering, strict=True)):
            name = f"{text.variable(names[i])}_channels" if i < len(names) else "in_channels"
            self.entering.append(self._offer(name, [x.c for x in types], "channels"))

    def _offer(self, wanted: str, row: Sequence[Hashable], kind: Kind = "") -> str:
        name = text.unique(wanted, self.taken)
        self.known.append(Known(name, row, kind))
        return name

    def _row(self, name: str) -> Sequence[Hashable]:
        return next(each.row for each in self.known if each.name == name)

    def found(self) -> Parameters:
        made = Parameters()
        rows = {hole: [values[hole] for values in self.group.values] for hole in self.group.holes}
        # What is there in every application first: the others may be said by the same expressions.
        for hole, row in sorted(rows.items(), key=lambda item: ABSENT in item[1]):
            present = [each for each in row if each is not ABSENT]
            constant = len({(type(each), each) for each in present}) <= 1
            if constant and present and ABSENT in row and (said := self._said(hole, row)) is not None:
                made.texts[hole] = said
            elif constant:
                made.constant[hole] = present[0] if present else 0
            else:
                made.texts[hole] = self._text(hole, row, made.texts)
        for flags, label in zip(self.group.flags, self.group.label, strict=True):
            made.conditions.append(self._condition(flags, label))
        self._rename(made)
        self._list(made)
        return made

    def _rename(self, made: Parameters) -> None:
        # A name with a number that only an unused argument stood in the way of goes without it.
        for name in list(self.kinds):
            plain = re.sub(r"_\d+$", "", name)
            if plain == name or plain in self.kinds or plain in _TAKEN or text.variable(plain) != plain:
                continue

            def said(code: str, name: str = name, plain: str = plain) -> str:
                return re.sub(rf"\b{name}\b", plain, code)

            made.texts = {hole: said(code) for hole, code in made.texts.items()}
            made.conditions = [said(code) for code in made.conditions]
            self.known = [each for each in self.known if each.name != plain]
            self.known = [each._replace(name=plain) if each.name == name else each for each in self.known]
            self.kinds[plain] = self.kinds.pop(name)
            self.defaults.pop(plain, None)
            for named in (self.defaults, self.functions):
                if name in named:
                    named[plain] = named.pop(name)  # pyright: ignore[reportArgumentType] -- each its own kind of value

    def _said(self, hole: int, row: Row) -> str | None:
        # A number of channels of a part that one application has, as expressions say it that stand elsewhere.
        value = self.group.body.values[hole]
        if value.kind != "channels" or (value.default is not ABSENT and value.default in row):
            return None
        entering = [Found(name, (name,)) for name in self.entering if value.name.startswith("in_")]
        said = [(each, self._row(each.text)) for each in entering] + self.texts
        found = next((each for each, made in said if fits(row, made)), None)
        return None if found is None else self._use(found, value.kind)

    def _text(self, hole: int, row: Row, texts: Mapping[int, str]) -> str:
        value = self.group.body.values[hole]
        kernel = texts.get(value.near, "")
        if value.name == "padding" and kernel.isidentifier():  # half of the kernel, rounded down
            halves = [k // 2 if isinstance(k, int) else k for k in self._row(kernel)]
            if fits(row, halves):
                return f"{kernel} // 2"
        found = expressed(row, value.kind, self.known)
        if ABSENT in row and (found is None or not found.text.isidentifier()):
            found = next((said for said, made in self.texts if fits(row, made)), found)
        if found is not None:
            if value.kind == "function":
                pairs = zip(self._row(found.text), row, strict=True)
                self.functions.setdefault(found.text, {}).update({repr(a): b for a, b in pairs if b is not ABSENT})
            return self._use(found, value.kind, row)
        said = self._filled(row, value.name, computed=hole in self.computed)
        name = self._offer(text.variable(PLAIN.get(value.name, value.name)), said, value.kind)
        if value.default is not ABSENT and (value.default is not None or None in said):
            self.defaults[name] = value.default
        elif value.name in DEFAULTS:
            self.defaults[name] = DEFAULTS[value.name]
        return self._use(Found(name, (name,)), value.kind, row)

    def _filled(self, row: Row, name: str, *, computed: bool) -> Row:
        # Where a part is absent: None, by which that is known, or where something else says it any value. What
        # `forward` computes with is never None.
        if ABSENT not in row:
            return row
        there = tuple(each is not ABSENT for each in row)
        wanted = text.variable(PLAIN.get(name, name))
        if there not in self.optional and wanted not in self.taken and not computed:
            self.optional[there] = wanted
            self.defaults[wanted] = None
            return [None if each is ABSENT else each for each in row]
        some = next(each for each in row if each is not ABSENT)
        return [some if each is ABSENT else each for each in row]

    def _use(self, found: Found, kind: Kind, row: Row = ()) -> str:
        for name in found.names:
            self.kinds.setdefault(name, "other")
        if found.text in self.kinds and self.kinds[found.text] in ("other", ""):
            self.kinds[found.text] = kind
        if row and ABSENT not in row:
            self.texts.append((found, row))
        return found.text

    def _condition(self, flags: tuple[bool, ...], label: str) -> str:
        if flags in self.optional:
            return f"{self.optional[flags]} is not None"
        for said, row, names in self._tests():
            if list(flags) == row:
                return self._use(Found(said, names), "flag")
            if list(flags) == [not each for each in row]:
                return self._use(Found(_negated(said), names), "flag")
        name = self._offer(text.variable(label), list(flags), "flag")
        return self._use(Found(name, (name,)), "flag")

    def _tests(self) -> Iterable[tuple[str, list[bool], tuple[str, ...]]]:
        # Conditions that blocks are likely to have, the likeliest first.
        for each in self.known:
            if all(isinstance(value, bool) for value in each.row):
                yield each.name, [bool(value) for value in each.row], (each.name,)
        # What is the same in every application is that number.
        ints = [
            each._replace(name=str(each.row[0])) if len(set(each.row)) == 1 and each.name != "stride" else each
            for each in self.known
            if all(type(value) is int for value in each.row)
        ]
        stride = next((each for each in ints if each.name == "stride"), None)
        entering = next((each for each in ints if each.name == "in_channels"), None)
        leaving = self._leaving()
        if entering is not None and leaving is not None:
            found, row = leaving
            differs = [a != b for a, b in zip(entering.row, row, strict=True)]
            if stride is not None:
                both = [s != 1 or d for s, d in zip(stride.row, differs, strict=True)]
                yield f"stride != 1 or in_channels != {found.text}", both, ("stride", "in_channels", *found.names)
            yield f"in_channels != {found.text}", differs, ("in_channels", *found.names)
        for each in ints:
            yield f"{each.name} != 1", [value != 1 for value in each.row], (each.name,)
        for each in ints:
            if entering is not None and each is not entering:
                differs = [a != b for a, b in zip(each.row, entering.row, strict=True)]
                names = (each.name, "in_channels") if each.name.isidentifier() else ("in_channels",)
                yield f"{each.name} != in_channels", differs, names

    def _leaving(self) -> tuple[Found, Row] | None:
        # The channels of what leaves, of a block that gives one value.
        outs = [[body.types[n] for n in body.leaves] for body in self.group.members]
        if any(len(types) != 1 for types in outs):
            return None
        row = [types[0].c for types in outs]
        if len(set(row)) == 1:
            return Found(str(row[0]), ()), row
        found = expressed(row, "channels", [each for each in self.known if each.name != "in_channels"])
        return None if found is None else (found, row)

    def _list(self, made: Parameters) -> None:
        # What enters first, then the block's own and what stands for roles, in order; defaults come last.
        names = [each.name for each in self.known if each.name in self.kinds]
        names.sort(key=lambda name: (name in self.defaults, name not in self.entering))
        for name in names:
            row = self._literals(name)
            kind = "channels" if name in self.entering else self.kinds[name]
            made.params.append(Param(name, _annotation(row), self.defaults.get(name, ABSENT), kind))
            made.rows.append(row)

    def _literals(self, name: str) -> list[Literal]:
        # A layer given as an argument is passed on as torch's module.
        row = self._row(name)
        if name not in self.functions:
            return list(cast("Sequence[Literal]", row))
        modules = self.functions[name]
        return [modules.get(repr(each), next(iter(modules.values()))) for each in row]


def _negated(said: str) -> str:
    if said.isidentifier():
        return f"not {said}"
    return " and ".join(part.replace("!=", "==") for part in said.split(" or "))


def _annotation(row: Sequence[Literal]) -> str:
    kinds = dict.fromkeys(map(_type, row))
    if {"int", "float"} <= set(kinds):
        del kinds["int"]
    return " | ".join(sorted(kinds, key=lambda kind: (kind == "None", kind)))


def _type(value: Literal) -> str:
    if value is None:
        return "None"
    if isinstance(value, Function):
        return "type[nn.Module]"
    if isinstance(value, tuple):
        inner = ", ".join(_type(each) for each in value)
        return f"tuple[{inner}]"
    return type(value).__name__
