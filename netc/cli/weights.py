"""What `netc weights` does, and how other commands read weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc import render
from netc.cli import table, terminal
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.writable import writable
from netc.graph import Graph

if TYPE_CHECKING:
    from netc.weights import Weights
    from netc.weights.propose import Proposal, Row

OPEN = 20  # tensors listed that no answer was found for


@dataclass(frozen=True)
class ReadingOptions:
    """The options of every command that reads weights for a net."""

    key: str | None = None
    map: str | None = None
    partial: Sequence[str] = ()
    nonfinite: bool = False

    def check(self, weights: str | None) -> None:
        """Raises: UsageFault where there are no weights to read."""
        given = {
            "--weights-key": self.key is not None,
            "--map": self.map is not None,
            "--partial": bool(self.partial),
            "--allow-nonfinite": self.nonfinite,
        }
        named = [name for name, is_given in given.items() if is_given]
        if named and weights is None:
            raise UsageFault(
                f"{', '.join(named)} {'is' if len(named) == 1 else 'are'} about --weights, which is missing"
            )


def load(source: str, graph: Graph, options: ReadingOptions, *, finite: bool, deployed: bool) -> Weights:
    """Weights for a net, with what was chosen on the way on standard error. Raises: Fault as `netc.weights.load`."""
    from netc import weights as stored

    nonfinite = options.nonfinite or not finite
    reading = stored.Reading(options.key, tuple(options.partial), nonfinite, options.map)
    return stored.load(source, graph, reading, deployed=deployed, say=note)


def note(text: str) -> None:
    """Say what was chosen."""
    terminal.err(f"note: {text}")


def show(source: str, key: str | None, form: str) -> None:
    """List the tensors of a source."""
    from netc.weights.source import find
    from netc.weights.stored import bytes_of, shown

    found = find(source, key)
    for each in found.notes:
        note(each)
    sizes = {name: bytes_of(tensor) for name, tensor in found.tensors.items()}
    if form == "json":
        listed = [
            {"name": name, "shape": tensor.shape, "dtype": tensor.dtype, "size_bytes": sizes[name]}
            for name, tensor in found.tensors.items()
        ]
        terminal.out(render.as_json({"source": found.name, "form": found.form, "tensors": listed}))
        return
    names = list(found.tensors)
    table.show(
        [
            table.Column("tensor", names),
            table.Column("shape", [shown(found.tensors[name].shape) for name in names]),
            table.Column("type", [found.tensors[name].dtype for name in names]),
            table.Column("size", [table.size(sizes[name]) for name in names], right=True),
        ]
    )
    terminal.out(f"{found.form}: {len(names):,} tensors, {table.size(sum(size or 0 for size in sizes.values()))}")


def convert(source: str, key: str | None, out: Path) -> None:
    """Write the tensors of a source as safetensors, under the names they have there."""
    writable(out, source)
    from netc import weights as stored
    from netc.weights.source import find
    from netc.weights.stored import storable
    from netc.weights.tensors import Lazy

    found = find(source, key)
    for each in found.notes:
        note(each)
    storable(found)
    stored.save(Lazy({name: tensor.read for name, tensor in found.tensors.items()}), out)
    terminal.out(f"{out}: {len(found.tensors):,} tensors from {source}")


def propose(graph: Graph, source: str, key: str | None, out: Path | None, form: str) -> None:
    """Show which tensor of a source is which of a net's, and save it as a map. Exits with 1 where one is open."""
    if out is not None:
        writable(out, *graph.texts, source)
    from netc.weights import map_file
    from netc.weights.propose import propose as propose_map
    from netc.weights.source import find

    found = find(source, key)
    for each in found.notes:
        note(each)
    proposal = propose_map(graph, found)
    if out is not None:
        map_file.write(proposal, graph, found.name, out)
    if form == "json":
        terminal.out(render.as_json(_record(proposal, graph, found.name)))
    else:
        _tell(proposal, out)
    if proposal.open:
        raise CodeError(INPUT)


def _record(proposal: Proposal, graph: Graph, source: str) -> dict[str, Any]:
    def record(row: Row) -> dict[str, Any]:
        return {"from" if key == "source" else key: value for key, value in row._asdict().items()}

    return {
        "net": graph.name,
        "source": source,
        "fits": proposal.fits,
        "open": len(proposal.open),
        "tensors": [record(row) for row in proposal.rows],
        "unused": proposal.unused,
        "heads": proposal.heads,
    }


def _tell(proposal: Proposal, out: Path | None) -> None:
    from netc.weights.stored import shown

    layers = [list(rows) for _, rows in groupby(proposal.rows, key=lambda row: row.layer)]
    table.show(
        [
            table.Column("layer", [rows[0].layer for rows in layers]),
            table.Column("kind", [rows[0].kind for rows in layers], rank=0),
            table.Column("in the source", [_place(rows) for rows in layers]),
            table.Column("by", [min(rows, key=lambda row: row.by != "open").by for rows in layers]),
            table.Column("because", [_reason(rows) for rows in layers], rank=1),
        ]
    )
    counts = {by: sum(row.by == by for row in proposal.rows) for by in ("name", "shape", "place", "order", "open")}
    said = ", ".join(f"{count} by {by}" for by, count in counts.items() if count and by != "open")
    terminal.out(f"{len(proposal.rows):,} tensors: {said}{', ' if said else ''}{counts['open']} open")
    for row in proposal.open[:OPEN]:
        near = f": {', '.join(row.candidates)}?" if row.candidates else ""
        terminal.out(f"open: {row.name} {shown(row.shape)}: {row.reason}{near}")
    if len(proposal.open) > OPEN:
        terminal.out(f"open: and {len(proposal.open) - OPEN} more")
    if proposal.heads:
        terminal.out(f"not in the source, and only training needs them: {', '.join(proposal.heads)}")
    if proposal.unused:
        more = f" and {len(proposal.unused) - OPEN} more" if len(proposal.unused) > OPEN else ""
        terminal.out(f"of the source no row takes: {', '.join(proposal.unused[:OPEN])}{more}")
    if proposal.fits:
        terminal.out("the names are the net's: it loads without a map")
    if out is not None:
        terminal.out(f"{out}: the map" + (", in which what is open waits for you" if proposal.open else ""))


def _place(rows: Sequence[Row]) -> str:
    names = [row.source for row in rows if row.source is not None]
    if len(names) <= 1:
        return "".join(names) or "-"
    from netc.weights.modules import split

    layers = {split(name)[0] for name in names}
    return ".".join(*layers) if len(layers) == 1 else ", ".join(names)


def _reason(rows: Sequence[Row]) -> str:
    reasons = dict.fromkeys(row.reason for row in rows)
    return "; ".join(reasons)
