"""`netc explain SPEC LABEL`: a layer's figures, worked out, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from netc.cli.codes import UsageFault
from netc.cli.show import field, strides
from netc.cli.terminal import out
from netc.elaborate.names import nearest
from netc.graph import Graph, Node
from netc.op import Working
from netc.ops._working import LETTERS
from netc.reference import facts, spelled
from netc.render import as_json
from netc.report import Row, report
from netc.report.field import extent, stride
from netc.report.origin import Step, origin, sets
from netc.tensor import TensorType

_WORDS = {"c": "channels", "t": "length", "d": "depth", "h": "height", "w": "width"}


def explain(graph: Graph, spec: str, label: str, *, form: str) -> None:
    """Print how a layer's shape and figures come about. Raises UsageFault where the net has no such layer."""
    node = _found(graph, label)
    row = next(row for row in report(graph, train=True).rows if row.node.name == node.name)
    if form == "json":
        out(as_json(_record(graph, spec, row)))
        return
    for line in _lines(graph, row):
        out(line)


def _found(graph: Graph, label: str) -> Node:
    node = graph.node.get(label)
    if node is not None:
        return node
    inside = [name for name in graph.node if name.startswith(f"{label}.")]
    if inside:
        shown = ", ".join(inside[:8]) + (", ..." if len(inside) > 8 else "")
        raise UsageFault(f"{label} stands for {len(inside)} layers; name one: {shown}")
    if any(label == each.name for each in graph.inputs):
        raise UsageFault(f"{label} is an input of {graph.name}: nothing computes it")
    fed = next((o.value for o in graph.outputs if o.name == label), None)
    if fed is not None:
        raise UsageFault(f"{label} is an output of {graph.name}, which the layer {fed} feeds")
    near = nearest(label, graph.node)
    raise UsageFault(f"{graph.name} has no layer {label}{f': {near}' if near else ''} (`netc show` lists them)")


def written(node: Node) -> str:
    """A layer with the arguments it has here, defaults of the file included: `conv(64, k=3, pad=1)`."""
    op = node.op
    given = {n: getattr(op, n) for n in type(op).model_fields if n in op.model_fields_set}
    plain = {n: v for n, v in given.items() if n == op.positional or v != type(op).model_fields[n].default}
    words = [spelled(v) if n == op.positional else f"{n}={spelled(v)}" for n, v in plain.items()]
    if op.positional in plain and next(iter(plain)) != op.positional:
        first = spelled(plain[op.positional])
        words = [first, *(f"{n}={spelled(v)}" for n, v in plain.items() if n != op.positional)]
    words += [f"{n} = {value}" for n, value in zip(op.values, node.inputs[1:], strict=False)]
    return f"{op.kind}({', '.join(words)})" if words else op.kind


def names(x: TensorType) -> tuple[str, ...]:
    """How the dimensions of an example are called: `c`, `h`, `w`."""
    return ("c", *LETTERS[x.rank])


# --- text


def _lines(graph: Graph, row: Row) -> list[str]:
    node = row.node
    xs = graph.operands(node)
    working = node.op.working(node.type, *xs)
    sentence = " ".join(facts(type(node.op))[0].split("\n\n")[0].split())
    lines = [f"{node.name}: {written(node)}", f"  {sentence}", ""]
    lines += _source(graph, node)
    pairs = zip(node.inputs, xs, strict=True)
    lines.append(f"reads       {', '.join(f'{name} ({x.shape})' for name, x in pairs)}")
    if node.shared:
        lines.append(f"weights     those of {node.weights}, counted there")
    lines += ["", f"shape       {' and '.join(x.shape for x in xs)} -> {node.type.shape}"]
    lines += [f"            {line}" for line in _shape(node, working)]
    lines += _count("parameters", working.get("parameters"), _learned(graph, node))
    lines += _count("MACs", working.get("macs"), row.macs)
    lines += [f"            {line}" for line in _legend(working)]
    lines += ["", *_seen(row)]
    lines += ["", *_origins(graph, node.name)]
    if "c" in working and sets(working["c"]):
        lines += _origins(graph, node.inputs[0], " that enter", ("c",))
    return lines


def _source(graph: Graph, node: Node) -> list[str]:
    where = node.where
    text = where.source.line(where.line).strip()
    lines = [f"written     {where}"]
    if text:
        lines.append(f"            {text}")
    region = graph.regions[node.region]
    while region.parent >= 0 and region.name:
        lines.append(f"in          {region.name}: {region.block}, applied at {region.where}")
        region = graph.regions[region.parent]
    return lines


def _shape(node: Node, working: Any) -> list[str]:
    lines: list[str] = []
    for name, size in zip(names(node.type), node.type.dims[1:], strict=True):
        if name in working:
            symbols, numbers = working[name]
            ours = f"{_letter(name)}' = {symbols}"
            lines.append(f"{ours} = {numbers} = {size}" if numbers != str(size) else f"{ours} = {size}")
    return lines


def _letter(name: str) -> str:
    return name.upper() if name != "c" else "C"


def _learned(graph: Graph, node: Node) -> int:
    return sum(p.size for p in node.op.params(*graph.operands(node)).values() if p.learned)


def _count(title: str, working: Working | None, number: int | None) -> list[str]:
    if working is None:
        return [f"{title:<10}  {number or 0:,}"]
    if number is None:
        return [f"{title:<10}  {working.symbols} = {working.numbers}"]
    if working.numbers == str(number):
        return [f"{title:<10}  {working.symbols} = {number:,}"]
    return [f"{title:<10}  {working.symbols} = {working.numbers} = {number:,}"]


_MEANINGS = {
    "d1": "d1 channels enter",
    "d2": "d2 leave",
    "d": "d channels",
    "s": "s = area of the kernel",
    "g": "g groups",
}


def _legend(working: Any) -> list[str]:
    symbols = " ".join(working[name].symbols for name in ("parameters", "macs") if name in working)
    used = [meaning for name, meaning in _MEANINGS.items() if re.search(rf"\b{name}\b", symbols)]
    if "+ 1)" in symbols:
        used.append("+ 1 for the bias")
    return [f"({', '.join(used)})"] if used else []


def _seen(row: Row) -> list[str]:
    if not row.field:
        return ["field       none: it depends on no input"]
    lines: list[str] = []
    for name, sides in row.field.items():
        if not sides:
            continue
        one = {name: sides}
        if all(side is not None and not side.reads for side in sides):
            lines.append(f"field       all of {name}")
            continue
        words, step = field(one), strides(one)
        if "?" in words:
            lines.append(f"field       of {name}: it depends on sizes that are symbols")
            continue
        pixels = words if "x" in words or len(sides) == 1 or not words.isdecimal() else "x".join([words] * len(sides))
        lines.append(f"field       {pixels} of {name}, stride {step}")
    return lines or ["field       features of the input have no places"]


def _origins(graph: Graph, value: str, of: str = "", dims: Sequence[str] | None = None) -> list[str]:
    """Where a value's sizes come from: the layers that changed them, back to the input."""
    ways: dict[tuple[tuple[str, str], ...], list[tuple[str, list[str]]]] = {}
    parts: list[str] = []
    for name in names(graph.types[value]) if dims is None else dims:
        steps = _changes(origin(graph, value, name))
        made = [_said(graph, step) for step in steps]
        way = tuple((label, words) for _, label, words in made)
        ways.setdefault(way, []).append((name, [size for size, _, _ in made]))
        last = graph.node.get(steps[-1].name) if steps else None
        if last is not None and last.op.kind == "flatten":
            parts = [last.inputs[0]]
    lines: list[str] = []
    for way, found in ways.items():
        lines.append(f"{' and '.join(_WORDS[name] for name, _ in found)}{of}")
        sizes = ["x".join(each) for each in zip(*(each for _, each in found), strict=True)]
        widths = [max(map(len, texts), default=0) for texts in (sizes, [label for label, _ in way])]
        for size, (label, words) in zip(sizes, way, strict=True):
            lines.append(f"  {size:<{widths[0]}}  {label:<{widths[1]}}  {words}".rstrip())
    for part in parts:
        lines += _origins(graph, part, f" of {part}, {graph.types[part].shape}")
    return lines


def _changes(steps: list[Step]) -> list[Step]:
    """The steps without those that left the size as it was."""
    kept = [step for step, before in pairwise(steps) if step.size != before.size]
    return [*kept, *steps[-1:]]


def _said(graph: Graph, step: Step) -> tuple[str, str, str]:
    if step.working is None:
        return str(step.size), step.name, "input"
    node = graph.node[step.name]
    if node.op.kind in ("concat", "flatten"):
        return f"{step.size} = {step.working.numbers}", step.name, f"{written(node)} of {', '.join(node.inputs)}"
    return str(step.size), step.name, written(node)


# --- for programs


def _record(graph: Graph, spec: str, row: Row) -> dict[str, Any]:
    node = row.node
    working = node.op.working(node.type, *graph.operands(node))
    return {
        "spec": spec,
        "net": graph.name,
        "label": node.name,
        "kind": node.op.kind,
        "layer": written(node),
        "where": str(node.where),
        "inputs": {name: [_plain(d) for d in graph.types[name].dims] for name in node.inputs},
        "output": [_plain(d) for d in node.type.dims],
        "weights": node.weights if node.shared else None,
        "params": _learned(graph, node),
        "macs": row.macs,
        "working": {name: {"symbols": each.symbols, "numbers": each.numbers} for name, each in working.items()},
        "field": {name: [extent(side) for side in sides] for name, sides in row.field.items()},
        "stride": {
            name: [str(step) if (step := stride(side)) is not None else None for side in sides]
            for name, sides in row.field.items()
        },
        "origin": {
            name: [{"label": s.name, "size": _plain(s.size)} for s in origin(graph, node.name, name)]
            for name in names(node.type)
        },
    }


def _plain(size: Any) -> int | str:
    return size if isinstance(size, int) else str(size)
