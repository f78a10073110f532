"""Which input and output of one side is which of the other, and which of their sizes are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.backends.compare.sides import Port, Side
from netc.diagnostic import Fault

FLOATS = ("f16", "f32", "f64", "bf16")


class Pairing(NamedTuple):
    """Names of the second side by those of the first. What only one side has is said in `notes`."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    notes: tuple[str, ...]


class Sizes(NamedTuple):
    """Symbols of both sides that stand for one number, and these numbers where they are known.

    A symbol is its side (0 or 1) and its name; `of` leads to the one that speaks for all it equals.
    """

    of: dict[tuple[int, str], tuple[int, str]]
    known: dict[tuple[int, str], int]

    def numbers(self, side: int) -> dict[str, int]:
        """The numbers of one side's symbols that are known."""
        return {name: self.known[root] for (at, name), root in self.of.items() if at == side and root in self.known}


def pair(a: Side, b: Side) -> Pairing:
    """Inputs and outputs by name, or in order where each side has as many.

    Raises: Fault N435 where inputs differ in number, kind or rank, or no output is on both sides.
    """
    inputs, notes = _named("input", a.inputs, b.inputs)
    if len(inputs) < max(len(a.inputs), len(b.inputs)):
        raise _unlike(a, b, "inputs are", a.inputs, b.inputs)
    theirs = {port.name: port for port in b.inputs}
    for port in a.inputs:
        other = theirs[inputs[port.name]]
        floats = port.dtype in FLOATS and other.dtype in FLOATS
        if len(port.shape) != len(other.shape) or not (floats or port.dtype == other.dtype):
            raise _unlike(a, b, "input is", [port], [other])
    outputs, more = _named("output", a.outputs, b.outputs)
    if not outputs:
        raise _unlike(a, b, "outputs are", a.outputs, b.outputs)
    left = [f"only {a.name} has the output {port.name}" for port in a.outputs if port.name not in outputs]
    right = [f"only {b.name} has the output {p.name}" for p in b.outputs if p.name not in outputs.values()]
    return Pairing(inputs, outputs, (*notes, *more, *left, *right))


def _named(what: str, ours: Sequence[Port], theirs: Sequence[Port]) -> tuple[dict[str, str], list[str]]:
    names = [port.name for port in ours], [port.name for port in theirs]
    common = [name for name in names[0] if name in names[1]]
    if len(common) == len(names[0]) or len(names[0]) != len(names[1]):
        return dict(zip(common, common, strict=True)), []
    pairs = dict(zip(*names, strict=True))
    return pairs, [f"{what}s are paired in order: {', '.join(f'{x} with {y}' for x, y in pairs.items())}"]


def equal_sizes(a: Side, b: Side, pairing: Pairing, given: Mapping[str, int]) -> Sizes:
    """What the two sides' shapes and `given` numbers say of each other.

    Raises: Fault N435 where two numbers differ, N439 for a number of a symbol that neither side has.
    """
    of = {(at, side): (at, side) for at, each in enumerate((a, b)) for p in each.inputs for side in _symbols(p)}
    known: dict[tuple[int, str], int] = {}

    def root(symbol: tuple[int, str]) -> tuple[int, str]:
        while of[symbol] != symbol:
            symbol = of[symbol]
        return symbol

    def know(symbol: tuple[int, str], number: int, ports: tuple[Port, Port]) -> None:
        if known.setdefault(root(symbol), number) != number:
            raise _unlike(a, b, f"{symbol[1]} is {known[root(symbol)]} and {number}: input is", *([p] for p in ports))

    theirs = {port.name: port for port in b.inputs}
    elsewhere = {(at, s) for at, each in enumerate((a, b)) for p in each.inputs for s in _symbols(p, start=1)}
    for port in a.inputs:
        ports = port, theirs[pairing.inputs[port.name]]
        for axis, (x, y) in enumerate(zip(ports[0].shape, ports[1].shape, strict=True)):
            if isinstance(x, str) and isinstance(y, str):
                one, other = root((0, x)), root((1, y))
                if one != other:
                    of[other] = one
                    if other in known:
                        know(one, known.pop(other), ports)
            elif isinstance(x, str) or isinstance(y, str):
                symbol = (0, x) if isinstance(x, str) else (1, str(y))
                if axis or symbol in elsewhere:  # a batch is cut as each side takes it
                    know(symbol, y if isinstance(y, int) else int(x), ports)
            elif axis and x != y:
                raise _unlike(a, b, "input is", [ports[0]], [ports[1]])
    for name, number in given.items():
        meant = [symbol for symbol in of if symbol[1] == name]
        if not meant:
            there = ", ".join(dict.fromkeys(symbol[1] for symbol in of)) or "no symbols"
            raise Fault("N439", f"{name} = {number} is given, and the inputs have {there}")
        for symbol in meant:
            at = known.setdefault(root(symbol), number)
            if at != number:
                raise Fault("N439", f"{name} = {number} is given, and {a.name} and {b.name} have {at} there")
    return Sizes({symbol: root(symbol) for symbol in of}, known)


def _symbols(port: Port, start: int = 0) -> list[str]:
    return [side for side in port.shape[start:] if isinstance(side, str)]


def _unlike(a: Side, b: Side, what: str, ours: Sequence[Port], theirs: Sequence[Port]) -> Fault:
    words = [", ".join(map(str, ports)) or "none" for ports in (ours, theirs)]
    return Fault("N435", f"the two cannot be compared: {a.name}'s {what} {words[0]}, {b.name}'s {words[1]}")
