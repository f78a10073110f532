"""Numbers in a class's text are holes with values: classes that differ in numbers alone have one text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from netc.backends.torch.signatures import Kind, kind_of
from netc.op import Argument, Layer

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_LITERALS = re.compile(rf"(?<![\w{{.\x00]){_NUMBER}(?![\w}}.\x00])|(?<!\w)(?:True|False)\b")
_HOLE = re.compile("\x00(\\d+)\x00")


class Function(str):
    """A module's class as a value: `nn.ReLU`."""

    __slots__ = ()


class Absent:
    """Of a hole in a part that a class does not have here: whatever is written there is right."""

    __slots__ = ()


ABSENT = Absent()
Literal = Argument | Function | Absent


class Value(NamedTuple):
    """What stands in a hole; `name` is the argument's that it is for, and `default` what is taken without it."""

    value: Literal
    name: str
    kind: Kind
    default: Literal = ABSENT
    near: int = -1
    """Of a padding, the hole of its kernel."""


class Values(list[Value]):
    """The values of a class's holes."""

    def hole(self, value: Literal, name: str, default: Literal = ABSENT, near: int = -1, kind: Kind = "") -> str:
        """The text of a new hole."""
        said = "function" if isinstance(value, Function) else kind or kind_of(name, value)
        self.append(Value(value, name, said, default, near))
        return f"\x00{len(self) - 1}\x00"

    def holes(self, text: str, op: Layer | None = None) -> str:
        """An expression's numbers as holes; one is named by its keyword, else by the layer's field of its value."""

        def hole(found: re.Match[str]) -> str:
            value = _read(found[0])
            before, after = text[: found.start()], text[found.end() :]
            keyword = re.search(r"(\w+)=\(?$", before)
            padding = re.search(r"F\.pad\([^()]*(\([^()]*)?$", before)
            end = (
                "padding"
                if padding
                else "start"
                if after.startswith((":", " :"))
                else "stop"
                if before.endswith((":", ": "))
                else ""
            )
            name = keyword[1] if keyword else end or _field(op, value)
            return self.hole(value, name, kind="" if keyword else _plain_kind(value))

        return _LITERALS.sub(hole, text)


def filled(text: str, write: Callable[[int], str]) -> str:
    """The text with its holes written."""
    return _HOLE.sub(lambda found: write(int(found[1])), text)


def holes_of(text: str) -> list[int]:
    """The numbers of a text's holes."""
    return [int(number) for number in _HOLE.findall(text)]


def _plain_kind(value: Argument) -> Kind:
    # Of a number whose place says little it is open what it counts.
    return "other" if type(value) is int else ""


def _field(op: Layer | None, value: Argument) -> str:
    for name in type(op).model_fields if op is not None else ():
        held = getattr(op, name)
        if type(held) is type(value) and held == value:
            return name
    return "value"


def _read(text: str) -> Argument:
    if text in ("True", "False"):
        return text == "True"
    return float(text) if re.search(r"[.e]", text) else int(text)
