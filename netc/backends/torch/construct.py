"""The lines of a class's `__init__`."""

from __future__ import annotations

import re

from netc.backends import python_text as text
from netc.backends.torch.tree import Slot, child_at, reach
from netc.op import Module, Weight


def construction(call: Module | Weight) -> str:
    if isinstance(call, Weight):
        return f"nn.Parameter(torch.ones({text.literal(call.shape)}))"
    assert re.fullmatch(r"\w+" if call.define else r"(nn|torch)(\.\w+)+", call.target), call.target
    words = [text.literal(each) for each in call.args] + [f"{k}={text.literal(v)}" for k, v in call.kwargs.items()]
    return f"{call.target}({', '.join(words)})"


def init(root: Slot) -> list[str]:
    if not root.own:
        return []
    rows = [row for slot in root.own.values() for row in _registration("self", root.kind, slot)]
    return ["    def __init__(self) -> None:", "        super().__init__()", *rows, *starts(root), ""]


def starts(root: Slot) -> list[str]:
    """The statements that fill tensors of a class, in the order of its modules; a block fills its own."""
    rows: list[str] = []
    queue = list(root.own.values())
    while queue:
        slot = queue.pop(0)
        if slot.block is not None:
            continue
        queue[:0] = slot.own.values()
        for name, start in slot.starts:
            at, _ = reach(root, slot.path)
            rows += text.line(8, start.text.replace("{0}", f"{at}.{name}" if name else at))
    return rows


def _registration(parent: str, kind: str, slot: Slot) -> list[str]:
    at = child_at(parent, kind, slot.name, tensor=slot.tensor)
    if slot.kind == "list" and slot.block is None and slot.holds_leaves and kind != "list":
        parts = [(child.make, child.comment) for child in slot.own.values()]
        if slot.sequential:
            return text.call(8, f"{at} = nn.Sequential", parts)
        rows = [row for code, comment in parts for row in text.line(16, f"{code},", comment)]
        return [f"        {at} = nn.ModuleList(", "            [", *rows, "            ]", "        )"]
    made = slot.make or {"list": "nn.ModuleList()", "dict": "nn.ModuleDict()", "class": "nn.Module()"}[slot.kind]
    rows = text.line(8, f"{parent}.append({made})" if kind == "list" else f"{at} = {made}", slot.comment)
    below = "layer" if slot.make else slot.kind
    return rows + [row for child in slot.own.values() for row in _registration(at, below, child)]
