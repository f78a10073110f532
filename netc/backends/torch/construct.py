"""The text of a class's `__init__`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from netc.backends import python_text as text
from netc.backends.python_text import Code, Group
from netc.backends.torch.holes import ABSENT
from netc.backends.torch.tree import Element, Make, Run, Slot, child_at
from netc.backends.torch.writer import Writer, literal

IDENTITY = "nn.Identity()"


def init(writer: Writer) -> list[str]:
    """The lines of `__init__`; none where it would do nothing."""
    root = writer.made.body.root
    if not root.own:
        return []
    words = [
        f"{p.name}: {p.annotation}" + ("" if p.default is ABSENT else f" = {literal(p.default)}")
        for p in writer.made.params
    ]
    head = text.signature(4, "def __init__", ["self", *words], "None")
    rows = [f"        self.{name} = {said}" for name, said in writer.attributes.items()]
    if root.sequence is not None:
        return [*head, *_sequence(writer, root), *rows, *_starts(writer, root), ""]
    for slot in root.own.values():
        rows += _registration(writer, "self", "class", slot)
    return [*head, "        super().__init__()", *rows, *_starts(writer, root), ""]


def _sequence(writer: Writer, root: Slot) -> list[str]:
    # A list first where some modules are not always there.
    assert root.sequence is not None
    if root.named:
        return text.laid(8, Group("super().__init__(", [_ordered(writer, root.sequence)], ")", commas=False))
    if all(element.flag is None for element in root.sequence):
        return text.laid(8, Group("super().__init__(", _items(writer, root.sequence), ")"))
    rows: list[str] = []
    for flag, group in groupby(root.sequence, lambda element: element.flag):
        items = _items(writer, group)
        if flag is not None:
            rows += ["        layers: list[nn.Module] = []"] if not rows else []
            rows.append(f"        if {writer.found.conditions[flag]}:")
        indent = 8 if flag is None else 12
        if not rows:
            rows += _list(indent, "layers: list[nn.Module] = ", items)
        elif len(items) == 1 and not (isinstance(items[0], str) and items[0].startswith("*")):
            rows += text.laid(indent, Group("layers.append(", items, ")", commas=False))
        else:
            rows += _list(indent, "layers += ", items)
    return [*rows, "        super().__init__(*layers)"]


def _list(indent: int, head: str, items: list[Code]) -> list[str]:
    return text.laid(indent, Group(f"{head}[", items, "]", commas=len(items) > 1))


def _items(writer: Writer, elements: Iterable[Element]) -> list[Code]:
    items: list[Code] = []
    for element in elements:
        if isinstance(element.what, Run):
            items += writer.run(element.what)
        else:
            items.append(_expression(writer, element.what))
    return items


def _expression(writer: Writer, what: Slot | Make) -> Code:
    """A module, or a container with what is in it, one module a line."""
    make = what if isinstance(what, Make) else what.make
    if make is not None:
        return writer.make(make)
    assert isinstance(what, Slot)
    if what.sequence is None:
        return _container(writer, what)
    if what.named:
        return Group("nn.Sequential(", [_ordered(writer, what.sequence)], ")", commas=False)
    items = _items(writer, what.sequence)
    return Group("nn.Sequential(", items, ")", commas=len(items) > 1)


def _ordered(writer: Writer, elements: Sequence[Element]) -> Code:
    # By keyword where all names can be those, else pairs.
    if all(not isinstance(each.what, Run) and text.is_name(each.name) for each in elements):
        words = zip(elements, _items(writer, elements), strict=True)
        return Group("OrderedDict(", [Group.prefixed(f"{each.name}=", item) for each, item in words], ")")
    pairs: list[Code] = []
    for each in elements:
        if isinstance(each.what, Run):
            pairs += writer.run(each.what)
            continue
        name, item = text.literal(each.name), _expression(writer, each.what)
        pairs.append(f"({name}, {item})" if isinstance(item, str) else Group("(", [name, item], ")"))
    if len(pairs) == 1 and isinstance(pairs[0], str) and pairs[0].startswith("*("):
        return f"OrderedDict({pairs[0][2:-1]})"
    return Group("OrderedDict(", [Group("[", pairs, "]")], ")", commas=False)


def _container(writer: Writer, slot: Slot) -> Code:
    items = [_expression(writer, child) for child in slot.own.values()]
    if slot.kind == "list":
        return Group("nn.ModuleList(", [Group("[", items, "]")], ")", commas=False)
    pairs = [Group.prefixed(f"{text.literal(name)}: ", item) for name, item in zip(slot.own, items, strict=True)]
    return Group("nn.ModuleDict(", [Group("{", pairs, "}")], ")", commas=False)


def _whole(slot: Slot) -> bool:
    # Whether one expression makes the container and all that is in it.
    if slot.sequence is not None:
        return True
    if slot.kind not in ("list", "dict"):
        return slot.make is not None and not slot.own
    return all(_whole(child) and "_modules" not in child_at("", slot.kind, child.name) for child in slot.own.values())


def _registration(writer: Writer, parent: str, kind: str, slot: Slot) -> list[str]:
    at = child_at(parent, kind, slot.name, tensor=slot.tensor)
    if slot.flag is not None:
        return _optional(writer, slot)
    if slot.make is not None or _whole(slot):
        rows, below = _put(8, parent, kind, slot, _expression(writer, slot)), "layer"
    else:
        made = {"list": "nn.ModuleList()", "dict": "nn.ModuleDict()", "class": "nn.Module()"}[slot.kind]
        rows, below = _put(8, parent, kind, slot, made), slot.kind
    if slot.make is None and _whole(slot):
        return rows
    return rows + [row for child in slot.own.values() for row in _registration(writer, at, below, child)]


def _put(indent: int, parent: str, kind: str, slot: Slot, code: Code, type: str = "") -> list[str]:
    # The statement that makes an expression's value the child.
    at = child_at(parent, kind, slot.name, tensor=slot.tensor)
    if at.startswith("getattr("):
        method = "register_parameter" if slot.tensor else "add_module"
        items: list[Code] = [text.literal(slot.name), code]
        group = Group(f"{parent}.{method}(", items, ")")
    elif kind == "list":
        group = Group(f"{parent}.append(", [code], ")", commas=False)
    else:
        return text.laid(indent, code, f"{at}{type} = ")
    if isinstance(code, str):
        return text.wrapped(indent, f"{group.head}{', '.join(map(str, group.items))})")
    return text.laid(indent, group)


def _optional(writer: Writer, slot: Slot) -> list[str]:
    # Only what a class has itself, not what is in a container, can be lacking.
    assert slot.flag is not None
    condition, code = writer.found.conditions[slot.flag], _expression(writer, slot)
    at = child_at("self", "class", slot.name)
    flat = f"{code} if {condition} else {IDENTITY}"
    if isinstance(code, str) and at.startswith("self."):
        if len(f"        {at} = {flat}") <= text.WIDTH:
            return [f"        {at} = {flat}"]
        if len(f"            {flat}") <= text.WIDTH:
            return [f"        {at} = (", f"            {flat}", "        )"]
    first = _put(8, "self", "class", slot, IDENTITY, ": nn.Module")
    return [*first, f"        if {condition}:", *_put(12, "self", "class", slot, code)]


def _starts(writer: Writer, root: Slot) -> list[str]:
    # The statements that fill tensors of a class, in the order of its modules; a block fills its own.
    rows: list[str] = []
    for slot in root.everything():
        for name, start in slot.starts:
            at = child_at("self", root.kind, slot.name, tensor=slot.tensor) if "." not in slot.path else ""
            # Of what is not an attribute of a class type checkers know only that it is a module.
            if root.kind == "class" and at.startswith("self.") and "[" not in at:
                tensor = f"{at}.{name}" if name else at
            else:
                path = f"{slot.path}.{name}" if name else slot.path
                tensor = f"self.get_parameter({text.literal(path)})"
            rows += text.wrapped(8, writer.written(start).replace("{0}", tensor))
    return rows
