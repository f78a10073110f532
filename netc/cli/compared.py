"""A comparison as text and as JSON."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from netc.cli import table
from netc.cli.terminal import out

if TYPE_CHECKING:
    from netc.backends.compare import Compared, Comparison

SCHEMA = 1


def show(found: Comparison) -> None:
    """Print both sides, the figures of every output, and where they part."""
    out(f"reference  {found.reference.name}, {found.reference.road}")
    out(f"other      {found.other.name}, {found.other.road}")
    for note in found.notes:
        out(f"note: {note}")
    out("")
    rows = found.outputs
    own = "float32 torch" if found.half is None else "torch, kernels rounded"
    table.show(
        [
            table.Column("output", [each.agreement.output for each in rows]),
            table.Column("inputs", [_inputs(each) for each in rows]),
            table.Column("figure", [_figure(each.agreement.figure) for each in rows], right=True),
            table.Column("allowed", [f"{each.agreement.allowed:.1e}" for each in rows], right=True),
            table.Column(own, [_figure(each.agreement.own or None) for each in rows], right=True, rank=1),
            table.Column("spread", [f"{each.agreement.spread:.3g}" for each in rows], right=True, rank=2),
        ]
    )
    out("")
    worst = found.worst
    if any(not each.agreement.telling for each in rows):
        out("note: these weights let little of the input through: float32 itself lies far from float64")
    if found.equal:
        out(f"equal: the worst figure is {worst.agreement.figure:.1e}, and {worst.agreement.allowed:.1e} is allowed")
        return
    out(f"they differ: {_difference(worst)}")
    for line in _parting(found):
        out(line)


def _inputs(each: Compared) -> str:
    sizes = "".join(f", {name} = {size}" for name, size in each.agreement.sizes.items())
    return f"{each.shape[0]} {'seeded' if each.agreement.origin == 'seeded' else 'of the data'}{sizes}"


def _figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1e}" if isfinite(figure) else "none"


def _difference(worst: Compared) -> str:
    at = worst.agreement
    sizes = "".join(f", {name} = {size}" for name, size in at.sizes.items())
    if at.reason:
        return f"output {at.output} ({at.origin} inputs{sizes}): {at.reason}"
    if worst.index is None:  # classes, for logits
        return f"output {at.output} ({at.origin} inputs{sizes}): {at.figure:.1e} of its spread"
    shape = "x".join(map(str, worst.shape))
    return (
        f"output {at.output} ({at.origin} inputs{sizes}) at {list(worst.index)} of {shape} is {worst.found:.6g}, "
        f"and the reference {worst.reference:.6g}: {at.figure:.1e} of its spread"
    )


def _parting(found: Comparison) -> list[str]:
    at = found.parting
    if at is None:
        return []
    if not at.label:
        return [f"where they part is not known: {at.why_not}"]
    place = f" at {at.place}" if at.place else ""
    reads = ", ".join(f"{name} {figure:.1e}" for name, figure in at.reads.items())
    enters = f"; what it reads agrees ({reads})" if reads else ""
    return [f"they part at {at.label} ({at.kind}{place}): {_figure(at.figure)} of its spread{enters}"]


def record(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON values."""
    a, b = (found.other, found.reference) if found.swapped else (found.reference, found.other)
    at = found.parting
    return {
        "schema": SCHEMA,
        "a": a.name,
        "b": b.name,
        "reference": "b" if found.swapped else "a",
        "equal": found.equal,
        "bound": found.bound,
        "figure": _finite(found.worst.agreement.figure),
        "outputs": [_output(each, found) for each in found.outputs],
        "parting": None
        if at is None
        else {
            "layer": at.label or None,
            "kind": at.kind or None,
            "place": at.place or None,
            "figure": _finite(at.figure) if at.label else None,
            "reads": dict(at.reads),
            "reason": at.why_not or None,
        },
        "notes": list(found.notes),
    }


def _output(each: Compared, found: Comparison) -> dict[str, Any]:
    at = each.agreement
    largest = None
    if each.index is not None:
        largest = {"index": list(each.index), "reference": _finite(each.reference), "other": _finite(each.found)}
    return {
        "output": at.output,
        "other": found.pairing.outputs[at.output],
        "inputs": at.origin,
        "sizes": dict(at.sizes),
        "shape": list(each.shape),
        "figure": _finite(at.figure),
        "allowed": at.allowed,
        "spread": at.spread,
        "float32_torch": at.own or None,
        "largest": largest,
        "reason": at.reason or None,
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
