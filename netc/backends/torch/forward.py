"""The text of a class's `forward`: its signature, and a variable for every value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netc.backends import python_text as text
from netc.backends.torch.steps import Step

SCRATCH = ("x", "y", "z")  # variables for values that only the next line reads


def method(parameters: Iterable[str], returned: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    signature = ", ".join(["self", *(f"{name}: torch.Tensor" for name in parameters)])
    head = f"    def forward({signature}) -> {returned}:"
    lines = [head]
    if len(head) > text.WIDTH:
        lines = ["    def forward(", f"        {signature}", f"    ) -> {returned}:"]
    if len(lines) > 1 and len(lines[1]) > text.WIDTH:
        lines[1:2] = [f"        {each}," for each in signature.split(", ")]
    return lines + [row for code, comment in rows for row in _row(code, comment)]


def _row(code: str, comment: str) -> list[str]:
    inner = code.lstrip()
    return text.line(8 + len(code) - len(inner), inner, comment)


class Forward:
    """Variables for values: a chain that nothing else reads goes on in `x`, other values are called by their label.

    `returns` are pairs of a position among the steps, before which (or at the end) values are returned, and of these.
    """

    def __init__(
        self, steps: Sequence[Step], names: dict[str, str], returns: Sequence[tuple[int, Sequence[str]]]
    ) -> None:
        self.steps = steps
        self.names = names
        self.taken = {*names.values(), *SCRATCH}
        self.passed: dict[str, str] = {}  # labels of values that only passed through a scratch variable
        self.reads: dict[str, list[int]] = {}
        for position, step in enumerate(steps):
            for name in step.reads:
                self.reads.setdefault(name, []).append(2 * position)
        for position, values in returns:
            for name in values:
                self.reads.setdefault(name, []).append(2 * position - 1)
        self.last = {name: max(at) for name, at in self.reads.items()}
        # `return F.relu(x)`, where the last line makes all there is to return.
        self.folded = (
            len(returns) == 1
            and bool(steps)
            and tuple(returns[0][1]) == steps[-1].writes
            and len(steps[-1].writes) == 1
        )

    def rows(self) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        live = {variable: name for name, variable in self.names.items() if name in self.last}
        for position, step in enumerate(self.steps):
            code = step.code([self.names[name] for name in step.reads])
            dying = {v for v, name in live.items() if self.last[name] <= 2 * position}
            live = {v: name for v, name in live.items() if v not in dying}
            if self.folded and step is self.steps[-1]:
                rows.append((f"return {code}", step.comment))
                break
            for name in step.writes:
                self.names[name] = self._variable(position, name, live, dying)
                live[self.names[name]] = name
            rows.append((f"{', '.join(self.names[name] for name in step.writes)} = {code}", step.comment))
        return rows

    def _variable(self, position: int, name: str, live: Mapping[str, str], dying: set[str]) -> str:
        step = self.steps[position]
        passing = self.reads[name] == [2 * (position + 1)] and len(self.steps[position + 1].reads) == 1
        free = [v for v in SCRATCH if v not in live]
        label = last_word(step.label if len(step.writes) == 1 else name)
        if step.label[0] == "?" and len(step.reads) == 1:
            label = self.passed.get(step.reads[0], label)  # the end of a chain is called like its last labelled layer
        if passing and len(step.writes) == 1 and free:
            self.passed[name] = label
            return next((v for v in free if v in dying), free[0])
        return text.unique(text.variable(label), self.taken)


def last_word(path: str) -> str:
    # The last part that says something: `downsample_0` for `downsample.0`.
    parts = path.lstrip("?").split(".")
    return f"{parts[-2]}_{parts[-1]}" if parts[-1][:1].isdigit() and len(parts) > 1 else parts[-1]
