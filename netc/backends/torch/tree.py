"""The tree of modules: a place for each layer, block and container, and the expression that leads to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from netc.backends import python_text as text
from netc.op import Start

if TYPE_CHECKING:
    from netc.backends.torch.steps import Block


@dataclass
class Slot:
    """A place in the tree of modules: a layer, a block, or a container made because something lies below it."""

    name: str
    path: str
    make: str = ""
    comment: str = ""
    block: Block | None = None
    tensor: bool = False
    starts: tuple[tuple[str, Start], ...] = ()
    own: dict[str, Slot] = field(default_factory=dict[str, "Slot"])
    sequential: bool = False

    @property
    def children(self) -> dict[str, Slot]:
        """What lies directly below, inside the class too where a block stands here."""
        return self.own if self.block is None else self.block.root.own

    @property
    def kind(self) -> str:
        """How children are reached: by attribute ("class"), through `_modules` ("layer"), by number or by key."""
        if self.block is not None:
            return self.block.root.kind
        if self.path == "":
            return "list" if self.sequential else "class"
        if self.make:
            return "layer"
        if any(child.tensor for child in self.own.values()):
            return "class"  # torch's lists and dicts of modules hold no tensors
        return "list" if self.counts_up else "dict"

    @property
    def counts_up(self) -> bool:
        """Whether the children are 0, 1, 2, ... in this order."""
        return bool(self.own) and list(self.own) == [str(i) for i in range(len(self.own))]

    @property
    def holds_leaves(self) -> bool:
        """Whether every child can be made by one expression."""
        return all(child.make and not child.own for child in self.own.values())


def place_at(root: Slot, path: str) -> Slot:
    # The slot at a path, made with what leads there where it is new.
    slot = root
    for name in path.split("."):
        slot = slot.own.setdefault(name, Slot(name, f"{slot.path}.{name}".lstrip(".")))
    return slot


_MODULE, _DICT = nn.Module(), nn.ModuleDict()


def child_at(parent: str, kind: str, name: str, *, tensor: bool = False) -> str:
    # The expression for a child. nn.Module has attributes of its own (`train`, `type`), which a child must not hide and
    # cannot get past add_module; `_modules` is where children live under any name, and `_parameters` tensors.
    if kind == "list":
        return f"{parent}[{name}]"
    if kind == "dict" and not hasattr(_DICT, name):
        return f"{parent}[{text.literal(name)}]"
    if kind == "class" and text.is_name(name) and not hasattr(_MODULE, name):
        return f"{parent}.{name}"
    return f"{parent}.{'_parameters' if tensor else '_modules'}[{text.literal(name)}]"


def reach(root: Slot, path: str) -> tuple[str, Slot]:
    code, slot = "self", root
    for name in path.split("."):
        child = slot.children[name]
        code, slot = child_at(code, slot.kind, name, tensor=child.tensor), child
    return code, slot
