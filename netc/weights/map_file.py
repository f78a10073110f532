"""A map from a net's tensors to those of a source: written as a file, read back strictly, and applied.

TOML, or JSON with the same keys:

    schema = 1
    net = "ResNet18"
    source = "theirs.pth"

    [tensors]
    "conv1.weight" = "stem.conv.kernel"
    "fc.weight" = { from = "head/kernel", transpose = [1, 0] }
    "bn1.running_var" = { fill = 0.99999 }
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from netc.atomic import replacing
from netc.diagnostic import Fault, cut
from netc.graph import Graph
from netc.op import Param
from netc.weights.propose import Proposal, Row
from netc.weights.stored import Found, Stored, shown
from netc.weights.tensors import Array

SCHEMA = 1
LARGEST = 64 << 20  # bytes; a map has about a hundred for each tensor
SHOWN = 20  # problems in one message
MOST_SIDES = 32  # of a reshape or a transpose
_LARGEST_FILL = 3.4028235e38  # of f32
_KEYS = {"from", "reshape", "transpose", "fill"}


class Entry(NamedTuple):
    """What a tensor of the net is made of: the source's tensor `of`, or one value.

    It is given the sides `reshape`, then its axes are put in the order `transpose`; then it has the net's shape, or
    the last sides together have.
    """

    of: str | None = None
    reshape: tuple[int, ...] | None = None
    transpose: tuple[int, ...] | None = None
    fill: float | None = None


def write(proposal: Proposal, graph: Graph, source: str, path: str | os.PathLike[str]) -> None:
    """Save a proposal as a map: JSON where the file's name ends so, else TOML. What is open stays open in it.

    Raises: Fault as `netc.atomic.replacing` does.
    """
    text = _json(proposal, graph, source) if os.fspath(path).endswith(".json") else _toml(proposal, graph, source)
    with replacing(path) as file:
        file.write(text.encode())


def _json(proposal: Proposal, graph: Graph, source: str) -> str:
    tensors = {row.name: _value(row) for row in proposal.rows}
    found = {"schema": SCHEMA, "net": graph.name, "source": source, "tensors": tensors}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _value(row: Row) -> str | dict[str, Any]:
    if row.fill is not None:
        return {"fill": row.fill}
    if row.reshape is None and row.transpose is None:
        return row.source or ""
    changes = {"reshape": row.reshape, "transpose": row.transpose}
    return {"from": row.source, **{key: list(value) for key, value in changes.items() if value is not None}}


def _toml(proposal: Proposal, graph: Graph, source: str) -> str:
    lines = [
        "# Which tensor of the source is which of the net's: netc weights map wrote it, netc build --map applies it.",
        '# What is open stands there as "": write the name of the source\'s tensor.',
        f"schema = {SCHEMA}",
        f"net = {_text(graph.name)}",
        f"source = {_text(source)}",
        "",
        "[tensors]",
    ]
    for row in proposal.rows:
        value = _value(row)
        if isinstance(value, dict):
            inner = ", ".join(f"{k} = {_text(v) if isinstance(v, str) else json.dumps(v)}" for k, v in value.items())
            written = f"{{ {inner} }}"
        else:
            written = _text(value)
        near = f": {', '.join(row.candidates)}?" if row.by == "open" and row.candidates else ""
        lines.append(f"{_text(row.name)} = {written}  # {_comment(f'{row.by}: {row.reason}{near}')}")
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    # JSON's text is TOML's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def applied(found: Found, path: str | os.PathLike[str], graph: Graph) -> dict[str, Stored]:
    """The source's tensors under the net's names, as a map file says; what it does not name is left out.

    Raises: Fault N402 where the file cannot be read, N444 with all that is wrong in it.
    """
    name = os.fspath(path)
    entries, wrong = _read(name)
    expected = dict(graph.parameters())
    made: dict[str, Stored] = {}
    users: dict[str, str] = {}
    for tensor, entry in entries.items():
        problem = _problem(tensor, entry, expected, found, users, near=len(wrong) < SHOWN)
        if problem:
            wrong.append(f"{cut(tensor, 200)}: {problem}")
        else:
            made[tensor] = _made(entry, expected[tensor], found)
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        listed = "".join(f"\n  {line}" for line in wrong[:SHOWN])
        raise Fault(
            "N444",
            f"{name}: this map does not fit {graph.name} and {found.name}:{listed}{more}",
            help="`netc weights map` makes one anew; `netc weights show` lists a source's names",
        )
    return made


def _read(name: str) -> tuple[dict[str, Entry], list[str]]:
    try:
        if Path(name).stat().st_size > LARGEST:
            raise Fault("N444", f"{name}: this file is larger than any map")
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Fault("N402", f"{name}: the map cannot be read: {reason}") from error
    try:
        text = data.decode()
        as_json = text.lstrip().startswith("{")
        tree: Any = json.loads(text, object_pairs_hook=_once) if as_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("N444", f"{name}: this is neither TOML nor JSON: {cut(str(error), 200)}") from error
    if not isinstance(tree, dict):
        raise Fault("N444", f"{name}: this is no map, which has `schema` and `tensors`")
    top = cast(dict[str, Any], tree)
    if top.get("schema") != SCHEMA:
        raise Fault("N444", f"{name}: schema is {cut(str(top.get('schema')), 40)}, expected {SCHEMA}")
    unknown = [key for key in top if key not in ("schema", "net", "source", "tensors")]
    if unknown or not isinstance(top.get("tensors"), dict):
        what = f"there is no key {cut(unknown[0], 100)}" if unknown else "`tensors` is missing"
        raise Fault("N444", f"{name}: {what}; a map has schema, net, source and tensors")
    wrong: list[str] = []
    entries: dict[str, Entry] = {}
    for tensor, value in cast(dict[str, Any], top["tensors"]).items():
        entry = _entry(value)
        if isinstance(entry, str):
            wrong.append(f"{cut(tensor, 200)}: {entry}")
        else:
            entries[tensor] = entry
    return entries, wrong


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{cut(key, 200)} stands there twice")
        found[key] = value
    return found


def _entry(value: Any) -> Entry | str:
    """An entry as it is written, or what is wrong with it."""
    if isinstance(value, str):
        return Entry(value) if value else "is open: write the name of a tensor of the source"
    if not isinstance(value, dict):
        return "is neither a name nor a table with `from`"
    table = cast(dict[str, Any], value)
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        return f"there is no key {cut(unknown[0], 100)}; there are {', '.join(sorted(_KEYS))}"
    if "fill" in table:
        fill = table["fill"]
        if len(table) > 1:
            return "`fill` stands alone: a tensor is of one value, or from the source"
        number = isinstance(fill, int | float) and not isinstance(fill, bool) and abs(fill) <= _LARGEST_FILL
        return Entry(fill=float(fill)) if number else "`fill` is a number"
    if not isinstance(table.get("from"), str) or not table["from"]:
        return "`from` is the name of a tensor of the source"
    for key in ("reshape", "transpose"):
        if key in table and not _whole_numbers(table[key]):
            return f"`{key}` is a list of whole numbers from 0, {MOST_SIDES} at most"
    reshape, transpose = (
        tuple(cast(list[int], table[key])) if key in table else None for key in ("reshape", "transpose")
    )
    return Entry(table["from"], reshape, transpose)


def _whole_numbers(value: Any) -> bool:
    if not isinstance(value, list) or len(cast(list[Any], value)) > MOST_SIDES:
        return False
    return all(type(each) is int and 0 <= each < 2**63 for each in cast(list[Any], value))


def _problem(
    tensor: str, entry: Entry, expected: Mapping[str, Param], found: Found, users: dict[str, str], *, near: bool
) -> str:
    """What keeps an entry from being applied; empty where nothing does."""
    if tensor not in expected:
        return f"the net has no such tensor{_near(tensor, expected) if near else ''}"
    if entry.of is None:
        return ""
    if entry.of not in found.tensors:
        return f"the source has no {cut(entry.of, 200)}{_near(entry.of, found.tensors) if near else ''}"
    if entry.of in users:
        return f"{cut(entry.of, 200)} is {users[entry.of]} already"
    users[entry.of] = tensor
    shape = found.tensors[entry.of].shape
    if entry.reshape is not None:
        if prod(entry.reshape) != prod(shape):
            return f"{shown(shape)} cannot be {shown(entry.reshape)}"
        shape = entry.reshape
    if entry.transpose is not None:
        if sorted(entry.transpose) != list(range(len(shape))):
            return f"transpose = {list(entry.transpose)} is no order of the {len(shape)} axes of {shown(shape)}"
        shape = tuple(shape[axis] for axis in entry.transpose)
    needed = expected[tensor].shape
    changed = entry.reshape is not None or entry.transpose is not None
    joined = changed and shape[:1] == needed[:1] and prod(shape) == prod(needed)
    return "" if shape == needed or joined else f"{shown(shape)}, expected {shown(needed)}"


def _near(name: str, names: Mapping[str, object]) -> str:
    close = get_close_matches(name, list(names)[:1000], n=1)
    return f" (the nearest is {close[0]})" if close else ""


def _made(entry: Entry, param: Param, found: Found) -> Stored:
    if entry.of is None:
        return Stored(param.shape, "float32", partial(np.full, param.shape, entry.fill, np.float32))
    source = found.tensors[entry.of]
    if entry.reshape is None and entry.transpose is None:
        return source
    return Stored(param.shape, source.dtype, lambda: _changed(source.read(), entry, param.shape))


def _changed(array: Array, entry: Entry, shape: tuple[int, ...]) -> Array:
    if entry.reshape is not None:
        array = array.reshape(entry.reshape)
    if entry.transpose is not None:
        array = array.transpose(entry.transpose)
    return array.reshape(shape)
