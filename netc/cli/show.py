"""`netc show`: a net as a table, its totals below."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from netc.cli import table
from netc.cli.codes import UsageFault
from netc.cli.terminal import out, verbatim
from netc.graph import Graph
from netc.op import Reach
from netc.render import as_json
from netc.report import Report, Row, Unfit, report
from netc.report.field import Field, extent, stride

MOST_LINES = 40
"""Lines up to which a table shows another level of blocks where no depth is asked for."""


class Entry(NamedTuple):
    """A line of the table: a layer, or a block's sums. `turns`: how many equal blocks in a row it stands for."""

    label: str
    kind: str
    last: Row
    layers: int
    params: int
    macs: int | None
    size_bytes: int | None
    block: bool = False
    turns: int = 1


def show(
    graph: Graph,
    spec: str,
    *,
    form: str,
    depth: int | None = None,
    sort: str | None = None,
    batch: int | None = None,
    at: Sequence[str] = (),
    train: bool = False,
) -> None:
    """Print what a net costs and sees, as `text`, `json` or `csv`. Raises UsageFault for sizes it does not take."""
    fixed = {i.type.batch for i in graph.inputs if isinstance(i.type.batch, int)}
    if batch is not None and fixed - {batch}:
        raise UsageFault(f"{graph.name} takes a batch of {', '.join(map(str, sorted(fixed)))}, and --batch is {batch}")
    try:
        found = report(graph, sizes(at), batch=batch or max(fixed, default=1), train=train)
    except Unfit as error:
        raise UsageFault(str(error)) from None
    if form == "json":
        out(as_json(_record(found, spec, train, ordered(entries(found, depth), sort))))
    elif form == "csv":
        verbatim(_csv(ordered(entries(found, depth), sort)).encode())
    else:
        out(f"{graph.name}, {spec}\n")
        _print(found, train, depth, sort)


def sizes(given: Sequence[str]) -> dict[str, int]:
    """`H=512`, or `H=512,W=512`, as numbers. Raises UsageFault."""
    found: dict[str, int] = {}
    for each in (part.strip() for text in given for part in text.split(",")):
        name, _, number = (word.strip() for word in each.partition("="))
        if not name.isidentifier() or not (number.isascii() and number.isdecimal()) or len(number) > 9:
            raise UsageFault(f"--at takes a size such as H=512, not {each or 'nothing'}")
        if found.setdefault(name, int(number)) != int(number):
            raise UsageFault(f"--at gives {name} two sizes, {found[name]} and {int(number)}")
    return found


# --- lines


def entries(found: Report, depth: int | None) -> list[Entry]:
    """The rows, those more than `depth` labels deep summed by their first `depth` labels."""
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        parts = row.node.name.split(".")
        groups.setdefault(row.node.name if depth is None else ".".join(parts[:depth]), []).append(row)
    made: list[Entry] = []
    for label, rows in groups.items():
        block = len(rows) > 1 or rows[0].node.name != label
        first = rows[0].node
        kind = f"{first.op.kind} @{first.weights}" if first.shared else first.op.kind
        if block:
            kind = block_of(found.graph, label) or (f"{len(rows)} layers" if len(rows) > 1 else kind)
        params = sum(row.params for row in rows)
        macs, memory = _sum([row.macs for row in rows]), _sum([row.size_bytes for row in rows])
        made.append(Entry(label, kind, rows[-1], len(rows), params, macs, memory, block))
    return made


def block_of(graph: Graph, label: str) -> str:
    """The block that a label stands for: `bottleneck`, or `bottleneck x3` of its numbered ones; "" for neither."""
    inside: list[str] = []
    for region in graph.regions[1:]:
        if region.name == label:
            return region.block
        stem, _, number = region.name.rpartition(".")
        if stem == label and number.isdecimal():
            inside.append(region.block)
    return f"{inside[0]} x{len(inside)}" if len(set(inside)) == 1 else ""


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def folded(lines: Sequence[Entry]) -> list[Entry]:
    """Equal blocks in a row, numbered one after the other, as one line with their sums."""
    made: list[Entry] = []
    for line in lines:
        before = made[-1] if made else None
        if before is not None and _follows(before, line):
            first = before.label.rpartition(".")[2].partition("-")[0]
            stem, dot, number = line.label.rpartition(".")
            made[-1] = line._replace(
                label=f"{stem}{dot}{first}-{number}",
                layers=before.layers + line.layers,
                params=before.params + line.params,
                macs=_sum([before.macs, line.macs]),
                size_bytes=_sum([before.size_bytes, line.size_bytes]),
                turns=before.turns + 1,
            )
        else:
            made.append(line)
    return made


def _follows(before: Entry, line: Entry) -> bool:
    stem, _, number = line.label.rpartition(".")
    its_stem, _, numbers = before.label.rpartition(".")
    if not (line.block and before.block and stem == its_stem and number.isdecimal()):
        return False
    turns = before.turns
    return (
        numbers.rpartition("-")[2] == str(int(number) - 1)
        and (before.kind, before.last.type) == (line.kind, line.last.type)
        and (before.layers, before.params) == (turns * line.layers, turns * line.params)
        and (before.macs, before.size_bytes) == (_times(line.macs, turns), _times(line.size_bytes, turns))
    )


def _times(number: int | None, by: int) -> int | None:
    return None if number is None else number * by


def ordered(lines: list[Entry], by: str | None) -> list[Entry]:
    """Lines with the largest `params`, `macs` or `memory` first, in the net's order where nothing is asked for."""
    if by is None:
        return lines

    def largest(line: Entry) -> int:
        return {"params": line.params, "macs": line.macs or 0, "memory": line.size_bytes or 0}[by]

    return sorted(lines, key=largest, reverse=True)


def fitting(found: Report, *, fold: bool) -> tuple[list[Entry], int]:
    """The lines at the greatest depth whose table is not too long, and that depth."""
    deepest = max((row.node.name.count(".") + 1 for row in found.rows), default=1)
    best = entries(found, 1)
    best, at = (folded(best) if fold else best), 1
    for depth in range(2, deepest + 1):
        lines = entries(found, depth)
        lines = folded(lines) if fold else lines
        if len(lines) > MOST_LINES:
            break
        best, at = lines, depth
    return best, at


# --- text


def _print(found: Report, train: bool, depth: int | None, sort: str | None) -> None:
    if depth is None:
        lines, depth = fitting(found, fold=sort is None)
    else:
        lines = entries(found, depth) if sort else folded(entries(found, depth))
    lines = ordered(lines, sort)
    known = any(line.size_bytes for line in lines)
    columns = [
        table.Column("label", [line.label for line in lines]),
        table.Column("kind", [line.kind + (f" x{line.turns}" if line.turns > 1 else "") for line in lines]),
        table.Column("output", [line.last.type.shape for line in lines]),
        _count("params", [line.params for line in lines]),
        _count("MACs", [line.macs for line in lines]),
        table.Column("field", [field(line.last.field) for line in lines], right=True, rank=3),
        table.Column("stride", [strides(line.last.field) for line in lines], right=True, rank=1),
    ]
    if known:
        memory = ["view" if line.last.view and not line.block else table.size(line.size_bytes) for line in lines]
        columns.append(table.Column("memory", memory, right=True, rank=2))
    table.show(columns)
    out("")
    for name, words in _totals(found, train, lines, depth):
        out(f"{name:<12}  {words}".rstrip())


def _count(title: str, numbers: Sequence[int | None]) -> table.Column:
    exact = [table.exact(number) if number != 0 else "" for number in numbers]
    short = [table.short(number) if number != 0 else "" for number in numbers]
    return table.Column(title, exact, right=True, short=short)


def _totals(found: Report, train: bool, lines: Sequence[Entry], depth: int) -> list[tuple[str, str]]:
    graph, batch = found.graph, found.batch
    layers = f"{len(found.rows)}"
    if train and any(o.train_only for o in graph.outputs):
        layers += ", the heads for training included"
    elif len(found.rows) < len(graph.nodes):
        layers += f"; {len(graph.nodes) - len(found.rows)} more are for training alone: --train counts them"
    hidden = sum(line.layers for line in lines if line.block)
    said = [("at", ", ".join(f"{name} = {number}" for name, number in found.sizes.items()))] if found.sizes else []
    said.append(("parameters", f"{found.params:,}, {table.size(4 * found.params)} in f32"))
    if found.macs is not None:
        said.append(("MACs", f"{found.macs:,} an example"))
    if found.peak_inference_bytes is not None:
        said += [
            ("activations", f"at most {table.size(found.peak_inference_bytes)} at once in inference,"),
            ("", f"{table.size(found.peak_training_bytes)} in training, batch {batch}, f32"),
        ]
    else:
        asked = " ".join(f"--at {name}={_such(graph, name)}" for name in found.unknown)
        what, verb = ("memory", "depends") if found.macs is not None else ("MACs, memory", "depend")
        said.append((what, f"{verb} on {', '.join(found.unknown)}: {asked} gives numbers"))
    said.append(("layers", layers))
    if hidden:
        said.append(("", f"{hidden} are summed up in blocks: --depth {depth + 1} shows more of them"))
    return said


def _such(graph: Graph, name: str) -> int:
    """A size that the promises on a symbol allow, near 256."""
    sides = [side for each in graph.inputs for side in each.type.sides if not isinstance(side, int)]
    symbol = next(side.symbols()[name] for side in sides if name in side.symbols())
    number = max(symbol.low, min(256, symbol.high or 256))
    up = -(-number // symbol.divisor) * symbol.divisor
    return up if symbol.high is None or up <= symbol.high else up - symbol.divisor


def field(fields: Mapping[str, Field]) -> str:
    """The widest field, of the inputs': `483`, `7x1`, `all`."""
    return max((_sides([_extent(side) for side in each]) for each in fields.values()), key=_rank, default="-")


def _rank(text: str) -> tuple[bool, int]:
    return "all" in text, max((int(word) for word in text.split("x") if word.isdecimal()), default=0)


def strides(fields: Mapping[str, Field]) -> str:
    """How far apart the fields of neighbours are in the first input: `32`, `1/2`, `2x1`."""
    for each in fields.values():
        return _sides([str(step) if (step := stride(side)) else "-" for side in each])
    return "-"


def _extent(side: Reach | None) -> str:
    if side is None:
        return "?"
    return "all" if not side.reads else str(extent(side))


def _sides(words: Sequence[str]) -> str:
    return "x".join(words) if len(set(words)) > 1 else words[0] if words else "-"


# --- for programs


def _csv(lines: Sequence[Entry]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["label", "kind", "output", "parameters", "macs", "field", "stride", "memory_bytes"])
    for line in lines:
        seen = line.last.field
        numbers = [line.params, line.macs, field(seen), strides(seen), line.size_bytes]
        writer.writerow([line.label, line.kind, line.last.type.shape, *numbers])
    return file.getvalue()


def _record(found: Report, spec: str, train: bool, lines: Sequence[Entry]) -> dict[str, Any]:
    return {
        "spec": spec,
        "net": found.graph.name,
        "batch": found.batch,
        "at": dict(found.sizes),
        "train": train,
        "unknown": list(found.unknown),
        "params": found.params,
        "macs": found.macs,
        "layers": len(found.rows),
        "peak_inference_bytes": found.peak_inference_bytes,
        "peak_training_bytes": found.peak_training_bytes,
        "kept_for_training_bytes": found.saved_bytes,
        "rows": [_row(line) for line in lines],
    }


def _row(line: Entry) -> dict[str, Any]:
    return {
        "label": line.label,
        "kind": line.kind,
        "block": line.block,
        "layers": line.layers,
        "output": [d if isinstance(d, int) else str(d) for d in line.last.type.dims],
        "params": line.params,
        "macs": line.macs,
        "memory_bytes": line.size_bytes,
        "field": {name: [_number(side) for side in each] for name, each in line.last.field.items()},
        "stride": {name: [str(stride(side) or "-") for side in each] for name, each in line.last.field.items()},
        "inputs": [] if line.block else list(line.last.node.inputs),
        "where": str(line.last.node.where),
    }


def _number(side: Reach | None) -> int | str:
    found = _extent(side)
    return int(found) if found.isdecimal() else found
