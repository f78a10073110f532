"""What the docstrings say: the file's, the net's and each block's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

from netc.backends import python_text as text
from netc.backends.torch.classes import Class
from netc.backends.torch.express import Known, expressed
from netc.graph import Graph, Input
from netc.tensor import TensorType

_SIDES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


def of_file(graph: Graph) -> list[str]:
    """The net's name, and the sum of each text it was made from."""
    texts = graph.texts or {i.where.source.name: i.where.source.text for i in graph.inputs[:1]}
    named = [(text.plain(name.replace("\\", "/").rpartition("/")[2]), spec) for name, spec in texts.items()]
    made = f"{text.plain(graph.name)}: made by netc" + (f" from {named[0][0]}." if named else ".")
    sums = [
        f"sha256 of {name}: {hashlib.sha256(spec.encode('utf-8', 'surrogatepass')).hexdigest()}" for name, spec in named
    ]
    return [f'"""{made}', "", *sums, '"""']


def of_net(graph: Graph) -> list[str]:
    """What enters and leaves, and what pictures are made into."""
    entering = ", ".join(f"{text.plain(i.name)} {_exact(i.type)}" for i in graph.inputs)
    leaving = ", ".join(f"{text.plain(o.name)} {_exact(o.type)}" for o in graph.outputs)
    said = [f"{entering} -> {leaving}."]
    trained = [text.plain(o.name) for o in graph.outputs if o.train_only]
    if trained:
        said.append(f"In evaluation mode without {' and '.join(trained)}, which only training has.")
    said += [recipe for each in graph.inputs if (recipe := _recipe(each))]
    return _docstring(said)


def of_block(made: Class, graph: Graph) -> list[str]:
    """Where the block is defined, and the shapes that enter and leave."""
    body, members = made.body, made.group.members
    region = graph.regions[body.region]
    where = region.definition.where if region.definition is not None else region.where
    known = [k for k in made.found.known if k.name]
    entering = [_shape([m.types[m.enters[i]] for m in members], known, None) for i in range(len(body.enters))]
    first = [m.types[m.enters[0]] for m in members] if body.enters else None
    leaving = [_shape([m.types[m.leaves[i]] for m in members], known, first) for i in range(len(body.leaves))]
    shapes = f"{', '.join(entering)} -> {', '.join(leaving)}" if leaving else ""
    return _docstring([f"{shapes}, {text.place(where)}." if shapes else f"{text.place(where)}."])


def _docstring(said: Sequence[str]) -> list[str]:
    if len(said) == 1 and len(said[0]) <= text.WIDTH - 10:
        return [f'    """{said[0]}"""']
    first, *rest = said
    wrapped = [line for each in (first, *(["", *rest] if rest else [])) for line in text.prose(each, text.WIDTH - 8)]
    return [f'    """{wrapped[0]}', *(f"    {line}".rstrip() for line in wrapped[1:]), '    """']


def _exact(x: TensorType) -> str:
    return f"({', '.join(map(str, x.dims))})"


def _shape(types: Sequence[TensorType], known: Sequence[Known], entering: Sequence[TensorType] | None) -> str:
    row = [x.c for x in types]
    channels = str(row[0]) if len(set(row)) == 1 else _expressed(row, known) or ("C" if entering is None else "C'")
    if not types[0].rank:
        return f"({channels})"
    names = _SIDES[types[0].rank]
    if entering is None or not entering[0].rank:
        return f"({', '.join((channels, *names))})"
    return f"({', '.join((channels, *_sides(types, known, entering)))})"


def _expressed(row: Sequence[int], known: Sequence[Known]) -> str:
    # Also with a constant, and the sum of several, as side by side they have.
    found = expressed(row, "channels", known)
    if found is not None:
        return found.text
    rows = [(k.name, [int(n) for n in k.row]) for k in known if all(type(n) is int for n in k.row)]  # pyright: ignore[reportArgumentType] -- ints
    for name, each in rows:
        more = {a - b for a, b in zip(row, each, strict=True)}
        if len(more) == 1 and min(more) > 0:
            return f"{name} + {min(more)}"
    for count in (3, 4) if len(row) > 3 and len(rows) < 12 else ():
        for some in combinations(rows, count):
            if all(sum(values) == a for a, *values in zip(row, *(each for _, each in some), strict=True)):
                return " + ".join(name for name, _ in some)
    return ""


def _sides(types: Sequence[TensorType], known: Sequence[Known], entering: Sequence[TensorType]) -> list[str]:
    # In terms of what enters: the same, a part of it, or a part that a parameter says.
    names = _SIDES[types[0].rank]
    if any(x.rank != types[0].rank for x in entering):
        return list(names)
    said: list[str] = []
    for at, name in enumerate(names):
        pairs = [(x.sides[at], y.sides[at]) for x, y in zip(entering, types, strict=True)]
        if all(a == b for a, b in pairs):
            said.append(name)
            continue
        if not all(isinstance(a, int) and isinstance(b, int) and b and not a % b for a, b in pairs):
            said.append(f"{name}'")
            continue
        parts = [int(a) // int(b) for a, b in pairs]  # pyright: ignore[reportArgumentType] -- ints, see above
        known_as = next((k.name for k in known if list(k.row) == parts), None)
        said.append(
            f"{name} / {parts[0]}" if len(set(parts)) == 1 else f"{name} / {known_as}" if known_as else f"{name}'"
        )
    return said


def _recipe(entering: Input) -> str:
    recipe = entering.recipe
    if recipe is None:
        return ""
    scaled = (
        "pixel"
        if recipe.scale == 1
        else f"pixel / {1 / recipe.scale:g}"
        if recipe.scale < 1
        else f"pixel * {recipe.scale:g}"
    )
    mean = "" if not any(recipe.mean) else f" - {_numbers(recipe.mean)}"
    std = "" if set(recipe.std) == {1.0} else f" / {_numbers(recipe.std)}"
    said = f"({scaled}{mean}){std}" if mean and std else f"{scaled}{mean}{std}"
    return f"{text.plain(entering.name)} is {said}, {recipe.color}." if said != "pixel" else ""


def _numbers(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{v:g}' for v in values)})"
