"""The text of a class's `forward`: what goes on one line, and a variable for every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.backends import python_text as text
from netc.backends.torch import reserved
from netc.backends.torch.body import Body, Step
from netc.backends.torch.holes import Function, filled
from netc.backends.torch.signatures import PLAIN
from netc.backends.torch.stateless import FUNCTIONS
from netc.backends.torch.tree import reach
from netc.backends.torch.writer import Writer, literal

SCRATCH = ("x", "y", "z")
"""Variables for values that only the next line reads."""
DEEPEST, LONGEST = 3, 88
"""Calls inside calls on one line, and the letters of such a line."""


@dataclass
class Line:
    """An expression over `{0}`, `{1}`, ... for what it reads. `depth` counts calls inside calls."""

    code: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    label: str
    named: bool
    deployed: bool
    where: str
    elementwise: bool
    acts: bool
    """Whether some of it is elementwise."""
    module: bool
    flag: str
    depth: int = 1
    pure: bool = False
    """Whether it is calls on the one value that is read, and nothing more."""

    @property
    def unary(self) -> bool:
        """Whether it is a function's or a module's call on one value, and nothing more."""
        return re.fullmatch(r"[\w.]+(?:\[[^\[\]]*\])?\(\{0\}\)", self.code) is not None


def lines_of(writer: Writer, body: Body, steps: Sequence[Step]) -> list[Line]:
    """A line for every step."""
    names = _Names(writer)
    return [_line(step, body, names) for step in steps]


class _Names:
    """Attributes for what `forward` reads of the parameters."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.taken = {*writer.made.body.root.own, *reserved.MODULE}
        self.by_text: dict[str, str] = {}

    def hole(self, number: int) -> str:
        """A hole in `forward`."""
        writer = self.writer
        if number in writer.found.constant:
            value = writer.found.constant[number]
            return FUNCTIONS[value] if isinstance(value, Function) else literal(value)
        value = writer.made.body.values[number]
        said = writer.found.texts[number]
        return self.attribute(f"{said}()" if value.kind == "function" else said, PLAIN.get(value.name, value.name))

    def condition(self, flag: int) -> str:
        """A condition in `forward`."""
        return self.attribute(self.writer.found.conditions[flag], self.writer.made.group.label[flag])

    def attribute(self, said: str, name: str) -> str:
        """The attribute that holds an expression over the parameters."""
        if said not in self.by_text:
            wanted = said.removesuffix("()")
            wanted = wanted if wanted.isidentifier() else text.variable(name)
            self.by_text[said] = text.unique(wanted, self.taken)
            self.writer.attributes[self.by_text[said]] = said
        return f"self.{self.by_text[said]}"


def _line(step: Step, body: Body, names: _Names) -> Line:
    code = filled(step.text, names.hole).replace("'", '"').replace("{training}", "self.training")
    module = False
    if step.path or step.slot is body.root:
        callee = reach(body.root, step.path)[0] if step.path else "super().forward"
        module = step.slot is not None and not step.slot.tensor
        code = step.after.replace("{0}", f"{callee}({code})") if module else code.replace("{weight}", callee)
    flag = names.condition(step.flag) if step.flag is not None else ""
    made = Line(
        _spaced(code),
        step.reads,
        step.writes,
        label=step.label,
        named=step.named,
        deployed=step.deployed,
        where=step.where,
        elementwise=step.elementwise,
        acts=step.elementwise,
        module=module,
        flag=flag,
    )
    made.pure = made.unary
    return made


def _spaced(code: str) -> str:
    # Formatters put spaces around a slice's colon where an end is more than a number.
    def slices(found: re.Match[str]) -> str:
        parts = found[1].split(", ")
        return f"[{', '.join(_slice(part) if ':' in part else part for part in parts)}]"

    return re.sub(r"\[([^\[\]]*:[^\[\]]*)\]", slices, code)


def _slice(part: str) -> str:
    ends = [end.strip() for end in part.split(":")]
    if all(re.fullmatch(r"\d*", end) for end in ends):
        return ":".join(ends)
    return " : ".join(ends).strip().replace("  ", " ").replace(": :", "::")


def composed(lines: Sequence[Line], kept: Iterable[int]) -> list[Line]:
    """Fewer lines: a call and what acts on its result stand on one. Values in `kept` have variables of their own."""
    count: dict[int, int] = dict.fromkeys(kept, 2)
    for line in lines:
        for value in line.reads:
            count[value] = count.get(value, 0) + 1
    _move_once(lines, count)
    branches = _branches(lines, count)
    made: list[Line] = []
    for line in lines:
        alone = bool(made) and all(count.get(n) == 1 for n in made[-1].writes)
        one = _joined(made[-1], line, branch=line.writes[0] in branches) if alone else None
        if one is not None:
            made.pop()
        made.append(one or line)
    return made


_BACK, _LAST = ".movedim(-1, 1)", ".movedim(1, -1)"


def _move_once(lines: Sequence[Line], count: Mapping[int, int]) -> None:
    # Channels that one line takes back to the front and the next brings to the end again stay there, also where an
    # activation stands between.
    for a, b in pairwise(lines):
        if a.flag or b.flag or b.reads != a.writes or count.get(a.writes[0]) != 1 or not a.code.endswith(_BACK):
            continue
        if f"{{0}}{_LAST}" in b.code:
            a.code, b.code = a.code.removesuffix(_BACK), b.code.replace(f"{{0}}{_LAST}", "{0}", 1)
        elif b.unary and not b.module and b.elementwise:
            a.code, b.code = a.code.removesuffix(_BACK), b.code + _BACK
        a.pure, b.pure = a.unary, b.unary


def _branches(lines: Sequence[Line], count: Mapping[int, int]) -> set[int]:
    # Values on the way, along one line of the spec, to one that is read beside others or more than once.
    found: set[int] = set()
    follows: Line | None = None
    for line in reversed(lines):
        value = line.writes[0]
        reader = follows if follows is not None and value in follows.reads else None
        ends = count.get(value) != 1 or reader is None or len(set(reader.reads)) > 1
        if ends or (reader is not None and reader.where == line.where and reader.writes[0] in found):
            found.add(value)
        follows = line
    return found


def _joined(a: Line, b: Line, *, branch: bool) -> Line | None:
    # `branch`: whether b leads to the end of a branch, and modules are called on one another's results.
    if len(a.writes) != 1 or a.writes[0] not in b.reads or a.flag or b.flag or a.deployed != b.deployed:
        return None
    depth = a.depth + 1
    if b.unary:
        together = a.where == b.where and a.pure and (a.elementwise or (branch and not a.acts))
        if not (b.elementwise or together) or depth > DEEPEST:
            return None
    else:
        last = a.unary and a.module and a.depth == 1 and b.reads == (b.reads[0], a.writes[0])
        if not last or re.fullmatch(r"\{0\} [+*-] \{1\}", b.code) is None:
            return None
    at = b.reads.index(a.writes[0])
    reads = (*b.reads[:at], *a.reads, *b.reads[at + 1 :])
    inner = _shifted(a.code, at, len(a.reads))
    code = _renumbered(b.code, at, inner, len(a.reads))
    if len(code) > LONGEST:
        return None
    label, named = (a.label, a.named) if b.elementwise and not b.named else (b.label, b.named)
    return Line(
        code,
        reads,
        b.writes,
        label=label,
        named=named,
        deployed=b.deployed,
        where=b.where,
        elementwise=a.elementwise and b.elementwise,
        acts=a.acts or b.acts,
        module=a.module or b.module,
        flag="",
        depth=depth,
        pure=a.pure and b.unary,
    )


def _shifted(code: str, by: int, count: int) -> str:
    return re.sub(r"\{(\d+)\}", lambda found: f"{{{int(found[1]) + by}}}" if int(found[1]) < count else found[0], code)


def _renumbered(code: str, at: int, inner: str, count: int) -> str:
    def operand(found: re.Match[str]) -> str:
        number = int(found[1])
        return inner if number == at else f"{{{number if number < at else number + count - 1}}}"

    return re.sub(r"\{(\d+)\}", operand, code)


class Variables:
    """Variables for values: a chain that nothing else reads goes on in `x`, other values are called by their label.

    `labels` are the values' own, `names` the variables of those that enter. `returns` are pairs of a position among the
    lines, before which (or at the end) values are returned, and of these.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        labels: Mapping[int, str],
        names: dict[int, str],
        returns: Sequence[tuple[int, Sequence[int]]],
    ) -> None:
        self.lines = lines
        self.labels = labels
        self.names = names
        self.inputs = set(names)
        self.taken = {*names.values(), *SCRATCH}
        self.passed: dict[int, str] = {}  # labels of values that only passed through a scratch variable
        self.reads: dict[int, list[int]] = {}
        for position, line in enumerate(lines):
            for value in line.reads:
                self.reads.setdefault(value, []).append(2 * position)
        for position, values in returns:
            for value in values:
                self.reads.setdefault(value, []).append(2 * position - 1)
        self.last = {value: max(at) for value, at in self.reads.items()}
        self.returned = len(returns[0][1])
        last = lines[-1] if lines else None
        # `return F.relu(x)`, where the last line makes all there is to return.
        self.folded = (
            last is not None
            and len(returns) == 1
            and tuple(returns[0][1]) == last.writes
            and len(last.writes) == 1
            and not last.flag
        )

    def rows(self) -> list[tuple[int, str]]:
        """The lines' statements, each with the number of its line."""
        rows: list[tuple[int, str]] = []
        live = {variable: value for value, variable in self.names.items() if value in self.last}
        under = ""
        for position, line in enumerate(self.lines):
            operands = [self.names[value] for value in line.reads]
            code = re.sub(r"\{(\d+)\}", lambda found, said=operands: said[int(found[1])], line.code)
            dying = {v for v, value in live.items() if self.last[value] <= 2 * position}
            live = {v: value for v, value in live.items() if v not in dying}
            if self.folded and line is self.lines[-1]:
                rows.append((position, f"return {code}"))
                break
            if line.flag:
                inside = self._optional(position, operands[0], code, live, dying)
                if inside.startswith("    ") and under != line.flag:
                    rows.append((position, f"if {line.flag}:"))
                under = line.flag if inside.startswith("    ") else ""
                rows.append((position, inside))
                continue
            under = ""
            for value in line.writes:
                self.names[value] = self._variable(position, value, live, dying)
                live[self.names[value]] = value
            rows.append((position, f"{', '.join(self.names[value] for value in line.writes)} = {code}"))
        return rows

    def _optional(self, position: int, operand: str, code: str, live: dict[str, int], dying: set[str]) -> str:
        # What is not computed is its first operand, in whose variable the result stands where that is free.
        line = self.lines[position]
        [value] = line.writes
        if operand in dying:
            self.names[value] = operand
            live[operand] = value
            return f"    {operand} = {code}"
        self.names[value] = self._variable(position, value, live, dying)
        live[self.names[value]] = value
        return f"{self.names[value]} = {code} if {line.flag} else {operand}"

    def _variable(self, position: int, value: int, live: Mapping[str, int], dying: set[str]) -> str:
        line = self.lines[position]
        follows = self.lines[position + 1] if position + 1 < len(self.lines) else None
        alone = follows is not None and set(follows.reads) <= {value} | self.inputs and len(set(follows.reads)) <= 2
        passing = self.reads[value] == [2 * (position + 1)] and alone
        if follows is None and self.reads[value] == [2 * position + 1] and self.returned == 1:
            passing = True
        free = [v for v in SCRATCH if v not in live]
        label = last_word(line.label if len(line.writes) == 1 else self.labels[value])
        if not line.named and len(line.reads) == 1:
            label = self.passed.get(line.reads[0], label)  # the end of a chain is called like its last labelled layer
        if passing and len(line.writes) == 1 and free:
            self.passed[value] = label
            return next((v for v in free if v in dying), free[0])
        return text.unique(text.variable(label), self.taken)


def last_word(path: str) -> str:
    """The last part of a path that says something: `downsample_0` for `downsample.0`."""
    parts = path.split(".")
    return f"{parts[-2]}_{parts[-1]}" if parts[-1][:1].isdigit() and len(parts) > 1 else parts[-1]
