"""The lines of a class's `forward`, and which of them are one nn.Sequential."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.backends.torch.tree import Slot, reach


@dataclass
class Step:
    """A line of `forward`: `inline`, with `{0}`, `{1}` for what it reads; given a `path`, that module called on it.

    `after` is an expression over the module's result; where `inline` speaks of `{weight}`, the path leads to a tensor.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    label: str
    comment: str
    deployed: bool
    inline: str
    path: str = ""
    callee: str = ""
    slot: Slot | None = None
    after: str = "{0}"

    def code(self, operands: Sequence[str]) -> str:
        known = {"training": "self.training", "weight": self.callee}
        words = re.sub(
            r"\{(\d+|training|weight)\}",
            lambda found: known.get(found[1]) or operands[int(found[1])],
            self.inline.replace("'", '"'),
        )
        calls = self.callee and not (self.slot is not None and self.slot.tensor)
        return self.after.replace("{0}", f"{self.callee}({words})") if calls else words

    @property
    def plain(self) -> bool:
        """Whether it calls a module on one value, and nothing more."""
        return self.inline == "{0}" and self.after == "{0}" and len(self.reads) == len(self.writes) == 1


@dataclass
class Block:
    """A class: its modules, its lines, what enters and what leaves, as names of the graph's values."""

    name: str
    root: Slot
    steps: list[Step]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def chained(steps: Sequence[Step], slot: Slot, writes: Sequence[str]) -> tuple[int, int] | None:
    # The steps that call the children of `slot`, when they are a chain that nothing else reads.
    children = list(slot.own.values())
    start = next((i for i, step in enumerate(steps) if step.slot is children[0]), None)
    if start is None or not slot.holds_leaves:
        return None
    stop = start + len(children)
    chain = steps[start:stop]
    if [id(step.slot) for step in chain] != [id(child) for child in children] or len({s.deployed for s in chain}) != 1:
        return None
    if not all(step.plain for step in chain):
        return None
    inner = {step.writes[0] for step in chain[:-1]}
    linked = all(b.reads == a.writes for a, b in pairwise(chain))
    outside = {name for step in (*steps[:start], *steps[stop:]) for name in step.reads} | set(writes)
    return (start, stop) if linked and not inner & outside else None


def with_sequences(block: Block) -> list[Step]:
    # Containers whose children are applied one after the other are one nn.Sequential and one line.
    steps = block.steps
    queue = list(block.root.own.values())
    while queue:
        slot = queue.pop()
        if slot.make:
            continue
        if slot.kind != "list":
            queue += slot.own.values()
        found = chained(steps, slot, block.writes) if slot.counts_up else None
        if found is None:
            continue
        slot.sequential = True
        chain = steps[found[0] : found[1]]
        callee, _ = reach(block.root, slot.path)
        first, last = chain[0], chain[-1]
        one = Step(first.reads, last.writes, last.label, first.comment, first.deployed, "{0}", slot.path, callee, slot)
        steps = [*steps[: found[0]], one, *steps[found[1] :]]
    return steps
