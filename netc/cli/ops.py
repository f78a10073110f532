"""`netc ops`: the language's layers, as the layers themselves say it."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from netc.cli import table
from netc.cli.codes import UsageFault
from netc.cli.terminal import out
from netc.elaborate.names import nearest
from netc.op import Layer
from netc.ops import find, kinds
from netc.reference import FACTS, call, elsewhere, facts, grouped, layer, signature, takes
from netc.render import as_json


def ops(kind: str | None, form: str) -> None:
    """Print every layer with a line each, or what one takes and does. Raises UsageFault where there is none such."""
    if kind is not None and find(kind) is None:
        near = nearest(kind, kinds())
        raise UsageFault(f"there is no layer `{kind}`{f': {near}' if near else ''} (`netc ops` lists them)")
    if form == "json":
        chosen = kinds() if kind is None else [kind]
        out(as_json({"layers": {each: _record(layer(each), _group(each)) for each in chosen}}))
    elif kind is None:
        _list()
    else:
        _one(layer(kind))


def first(cls: type[Layer]) -> str:
    """What a layer does, in a sentence."""
    return " ".join(facts(cls)[0].split("\n\n")[0].split())


def _group(kind: str) -> str:
    return next(group for group, members in grouped().items() if kind in members)


def _list() -> None:
    width = table.width()
    names = max(len(kind) for kind in kinds())
    for number, (group, members) in enumerate(grouped().items()):
        if number:
            out("")
        out(group)
        for kind in members:
            lines = wrap(first(layer(kind)), max(width - names - 4, 30))
            out(f"  {kind:<{names}}  {lines[0]}")
            for line in lines[1:]:
                out(f"  {'':<{names}}  {line}")


def _one(cls: type[Layer]) -> None:
    width = max(table.width(), 50)
    text, known = facts(cls)
    for line in wrap(signature(cls), width, subsequent_indent=" " * (len(cls.kind) + 1)):
        out(line)
    for paragraph in text.split("\n\n"):
        out("")
        for line in wrap(" ".join(paragraph.split()), width):
            out(line)
    rows = takes(cls) + [(name, "a label", "", "the value it takes its size from") for name in cls.values]
    if rows:
        out("")
        names = max(len(name) for name, *_ in rows)
        for name, what, default, said in rows:
            given = f"{what}, {default} by default" if default not in ("", "-") else what
            lines = wrap(f"{said} ({given})", max(width - names - 4, 30))
            out(f"  {name:<{names}}  {lines[0]}")
            for line in lines[1:]:
                out(f"  {'':<{names}}  {line}")
    out("")
    for name in FACTS:
        lines = wrap(known.get(name, ""), width - 9) or [""]
        out(f"{name + ':':<9}{lines[0]}".rstrip())
        for line in lines[1:]:
            out(f"{'':<9}{line}")
    example = _example(cls)
    if example:
        out(f"{'Example:':<9}{example}")
    theirs = elsewhere(cls)
    if theirs:
        for number, line in enumerate(wrap("; ".join(theirs), width - 11)):
            out(f"{'Elsewhere:' if not number else '':<11}{line}")


def _example(cls: type[Layer]) -> str:
    """The first of the examples that its test drives: what enters, the call, what leaves."""
    from netc.tensor import Size, Symbol, TensorType

    fields, shapes = cls.examples[0]
    op = cls.model_validate(fields)
    xs = tuple(TensorType(Size.of(Symbol("N")), shape[0], shape[1:]) for shape in shapes)
    made = op.spread(*xs) if op.spreads else (op,)
    leaves = ", ".join(each.infer(*xs).shape for each in made)
    named = [f"x{number}" for number in range(1, len(shapes))]
    return f"{', '.join(x.shape for x in xs)} -> {call(cls, fields, named)} -> {leaves}"


def _record(cls: type[Layer], group: str) -> dict[str, Any]:
    text, known = facts(cls)
    return {
        "group": group,
        "signature": signature(cls),
        "text": text,
        "arguments": [
            {
                "name": name,
                "takes": what,
                "default": None if default in ("", "-") else default,
                "required": not default,
                "text": said,
            }
            for name, what, default, said in takes(cls)
        ],
        "values": list(cls.values),
        "merges": cls.merges,
        **{name.lower(): known.get(name, "") for name in FACTS},
        "example": _example(cls),
        "elsewhere": dict(cls.foreign),
    }
