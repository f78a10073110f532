"""The expressions of a class's `__init__`: what its holes, its conditions and its modules come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from netc.backends import python_text as text
from netc.backends.torch.classes import Class
from netc.backends.torch.holes import ABSENT, Function, Literal, filled, holes_of
from netc.backends.torch.tree import Make, Run

_NOTHING = ("0", "0.0")


class Writer:
    """Writes the expressions of one class."""

    def __init__(self, made: Class) -> None:
        self.made = made
        self.found = made.found
        self.attributes: dict[str, str] = {}
        """What `forward` reads, by the attribute's name: an expression over the parameters."""

    def hole(self, number: int) -> str:
        """What stands in a hole."""
        if number in self.found.constant:
            return literal(self.found.constant[number])
        return self.found.texts[number]

    def written(self, code: str) -> str:
        """A text, its holes written."""
        return filled(code, self.hole)

    def make(self, make: Make) -> str:
        """The expression that makes a module or a tensor."""
        words = [self.written(each) for each in make.args]
        if not isinstance(make.target, str):
            return _called(make, words)
        words += [f"{name}={self.written(each)}" for name, each in make.keywords if not self._default(each)]
        made = f"{self.written(make.target)}({', '.join(words)})"
        return f"nn.Parameter({made})" if make.target == "torch.ones" else made

    def _default(self, code: str) -> bool:
        # Whether a keyword says what torch takes anyway.
        holes = holes_of(code)
        if not holes or holes[0] not in self.found.constant:
            return False
        default, found = self.made.body.values[holes[0]].default, self.found.constant[holes[0]]
        return default is not ABSENT and type(found) is type(default) and found == default

    def run(self, run: Run) -> list[str]:
        """The items of a list that a run comes to: one, two, or one expression with a `for`; pairs with their names."""
        first = [self.written(each) for each in run.make.args]
        by = ["0" if step is None else self.written(step) for step in run.by]
        count = self.written(run.turns)
        counts = any(step not in _NOTHING for step in by)
        if count == "1" or (count == "2" and not counts):
            one = _called(run.make, first)
            names = [text.literal(f"{run.prefix}{run.start + i}") for i in range(int(count))]
            return [one if run.prefix is None else f"({name}, {one})" for name in names]
        one = _called(run.make, [_turn(base, step) for base, step in zip(first, by, strict=True)])
        if run.prefix is not None:
            one = f"({_numbered(run.prefix, run.start)}, {one})"
        return [f"*({one} for {'_' if run.prefix is None and not counts else 'i'} in range({count}))"]


def literal(value: Literal) -> str:
    """The Python text of a hole's value."""
    if isinstance(value, float) and isfinite(value):
        short = float(f"{value:.15g}")  # 0.175 for 0.17500000000000002
        value = short if len(repr(short)) < len(repr(value)) - 3 else value
    return str(value) if isinstance(value, Function) else text.literal(value)  # pyright: ignore[reportArgumentType] -- what is absent is never constant


def _called(make: Make, words: Sequence[str]) -> str:
    # Channels in their places, others by name, those with a default only where they differ from it.
    assert not isinstance(make.target, str)
    said: list[str] = []
    named = False
    for param, word in zip(make.target.params, words, strict=True):
        if param.default is ABSENT:
            named |= param.kind != "channels" and word != param.name
            said.append(f"{param.name}={word}" if named else word)
        elif word != literal(param.default):
            said.append(f"{param.name}={word}")
    return f"{make.target.name}({', '.join(said)})"


def _turn(base: str, step: str) -> str:
    # What an argument is in turn `i`.
    if step in _NOTHING:
        return base
    one = f"({step})" if re.search(r" [+-] ", step) else step
    if base.endswith(f" + {step}"):  # one step before
        return f"{base.removesuffix(step)}{one} * (i + 1)"
    return f"{'' if base in _NOTHING else f'{base} + '}{'i' if step == '1' else f'{one} * i'}"


def _numbered(prefix: str, start: int) -> str:
    # An f-string that makes names: `denselayer{i + 1}`.
    quoted = text.literal(prefix.replace("{", "{{").replace("}", "}}"))
    return f"f{quoted[:-1]}{{i{f' + {start}' if start else ''}}}{quoted[-1]}"
