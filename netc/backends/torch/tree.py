"""The tree of modules: a place for each layer, block and container, and the expression that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import TYPE_CHECKING, NamedTuple

from netc.backends import python_text as text
from netc.backends.torch import reserved

if TYPE_CHECKING:
    from netc.backends.torch.classes import Class


class Make(NamedTuple):
    """How a module comes about: `target(*args, **keywords)`, texts with holes. A class's arguments are all positional.

    `target` may be a hole itself, of a function.
    """

    target: str | Class
    args: tuple[str, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()


class Run(NamedTuple):
    """Consecutive modules of a sequence that one expression makes: turn `i` has each argument `by` more.

    `turns` and the texts of `by` are holes. `prefix` and `start` make their names, `denselayer{i + 1}`, where they have
    any that are not their places.
    """

    turns: str
    make: Make
    by: tuple[str | None, ...]
    prefix: str | None = None
    start: int = 0


@dataclass
class Element:
    """What stands at a place of a sequence: a slot of the tree, a layer without state, or a run of slots."""

    name: str
    what: Slot | Make | Run
    flag: int | None = None
    """Which of the class's conditions says whether it is there."""


@dataclass
class Slot:
    """A place in the tree: a layer, a block, or a container made because something lies below it."""

    name: str
    path: str
    make: Make | None = None
    tensor: bool = False
    starts: tuple[tuple[str, str], ...] = ()
    own: dict[str, Slot] = field(default_factory=dict[str, "Slot"])
    sequence: list[Element] | None = None
    named: bool = False
    """Whether the sequence's elements have names, not numbers."""
    flag: int | None = None
    """Which of the class's conditions says whether it is there."""
    inside: Slot | None = None
    """Of a block's application: the tree of its class."""

    @property
    def below(self) -> dict[str, Slot]:
        """What lies directly below, inside the class too where a block stands here."""
        return self.own if self.inside is None else self.inside.own

    @property
    def kind(self) -> str:
        """How children are reached: by attribute ("class"), through `_modules` ("layer"), by number or by key."""
        if self.inside is not None:
            return self.inside.kind
        if self.path == "":
            return "list" if self.sequence is not None and not self.named else "class"
        if self.make is not None:
            return "layer"
        if self.sequence is not None:
            return "sequence" if self.named else "list"
        if any(child.tensor for child in self.own.values()):
            return "class"  # torch's lists and dicts of modules hold no tensors
        return "list" if self.counts_up else "dict"

    @property
    def counts_up(self) -> bool:
        """Whether the children are 0, 1, 2, ... in this order."""
        return bool(self.own) and list(self.own) == [str(i) for i in range(len(self.own))]

    def everything(self) -> Iterator[Slot]:
        """What lies below, outermost first."""
        for slot in self.own.values():
            yield slot
            yield from slot.everything()


def place_at(root: Slot, path: str) -> Slot:
    """The slot at a path, made with what leads there where it is new."""
    slot = root
    for name in path.split("."):
        slot = slot.own.setdefault(name, Slot(name, f"{slot.path}.{name}".lstrip(".")))
    return slot


def child_at(parent: str, kind: str, name: str, *, tensor: bool = False) -> str:
    """The expression for a child."""
    if kind == "list":
        return f"{parent}[{name}]"
    if kind == "dict" and name not in reserved.DICT:
        return f"{parent}[{text.literal(name)}]"
    if kind in ("class", "sequence") and name not in reserved.MODULE:
        if text.is_name(name):
            return f"{parent}.{name}"
        if not name.isidentifier() or iskeyword(name) or name.startswith("__"):
            return f"getattr({parent}, {text.literal(name)})"
    # nn.Module has attributes of its own (`train`, `type`), which a child must not hide and cannot get past
    # add_module; `_modules` is where children live under any name, and `_parameters` tensors.
    return f"{parent}.{'_parameters' if tensor else '_modules'}[{text.literal(name)}]"


def reach(root: Slot, path: str) -> tuple[str, Slot]:
    """The expression for the slot at a path, and the slot."""
    code, slot = "self", root
    typed = code, path  # how far type checkers follow, and the rest of the path
    names = path.split(".")
    for at, name in enumerate(names):
        child = slot.below[name]
        one = child_at(code, slot.kind, name, tensor=child.tensor)
        if one == f"{code}.{name}" and typed[0] == code:
            typed = one, ".".join(names[at + 1 :])
        code, slot = one, child
    # What is taken out of a list or a dict is any module, of which nothing more is known.
    if "." in typed[1] and not slot.tensor and "_modules" not in code and not code.startswith("getattr("):
        code = f"{typed[0]}.get_submodule({text.literal(typed[1])})"
    return code, slot
