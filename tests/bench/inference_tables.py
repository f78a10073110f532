"""The tables of the benchmark of inference, and whether its bar is met."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from tests.bench.cells import AGAIN, CUDA, EXPORTS, NETC, OTHERS, Cell, Found
from tests.bench.tables import Table, told

BAR = 1.03
"""Ours over ONNX Runtime on the faster of torch's exports."""


def tables(found: Found) -> list[Table]:
    """All of them."""
    return [against_exports(found), beside_others(found), answers(found)]


def against_exports(found: Found) -> Table:
    """Ours beside ONNX Runtime on torch's exports."""
    rows: list[list[str]] = []
    for cell in found.cells:
        ours, rate = 1e3 * cell.ours, cell.flops / cell.ours / 1e9
        share = "-" if cell.place is CUDA else f"{100 * rate / found.peaks[cell.place.threads]:.0f} %"
        shown = f"{ours:.3g}" if ours < 100 else f"{ours:.0f}"
        ratios = [cell.words(side) for side in (AGAIN, *EXPORTS)]
        rows.append([cell.net, str(cell.batch), cell.place.name, shown, f"{rate:.0f}", share, *ratios])
    notes = [
        verdict(found.cells),
        f"*{AGAIN[0].upper()}{AGAIN[1:]}*: a second process with netc's file: how far from 1 a ratio of equals lies.",
        "On one thread times are of the processor, which are the clock's where nothing else runs.",
        f"The peak is {found.peak_how}: {rates(found.peaks)}. A multiply-accumulate counts as two operations.",
    ]
    if CUDA.name in found.missing:
        notes.append(f"No GPU: ONNX Runtime's CUDA provider did not start ({found.missing[CUDA.name]}).")
    columns = ["net", "batch", "on", "netc, ms", "GFLOP/s", "of peak", AGAIN, *EXPORTS]
    return Table("Float32 in ONNX Runtime: netc's file beside torch's exports", columns, rows, notes)


def verdict(cells: list[Cell]) -> str:
    """The bar in words: for each net the median over its rows, and the single rows above it."""
    nets: dict[str, list[float]] = {}
    above: list[str] = []
    for cell in cells:
        side = cell.better_export
        found = cell.against(side) if side is not None else None
        if found is None:
            continue
        nets.setdefault(cell.net, []).append(found.median)
        if found.median > BAR:
            row = f"{cell.net}, batch {cell.batch}, {cell.place.name}"
            above.append(f"{row}: {found}, the same file again {cell.words(AGAIN)}")
    figures = {name: median(each) for name, each in nets.items()}
    listed = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items())
    said = told(
        all(figure <= BAR for figure in figures.values()),
        f"netc's file takes at most {BAR} times as long as the faster of torch's exports, for every net (the median "
        f"of its rows): {listed}.",
    )
    return said + (" Single rows above that: " + "; ".join(above) + "." if above else " No single row is above that.")


def beside_others(found: Found) -> Table:
    """Ours beside the other engines."""
    names = [side for side in OTHERS if any(cell.against(side) for cell in found.cells)]
    rows = [[cell.net, str(cell.batch), cell.place.name, *map(cell.words, names)] for cell in found.cells]
    notes = [
        "Everywhere netc's float32 file in ONNX Runtime, its time as a share of theirs: below 1 it is faster.",
        "torch.compile has frozen weights and is compiled for each batch, on some nets: that takes its time.",
        "OpenVINO's default is bfloat16 where the processor has AMX: other answers, see below.",
        "int8 is netc's own file, with random weights: for its speed. What it loses in accuracy is measured elsewhere.",
    ]
    notes += [f"Left out: {what}: {why}." for what, why in found.missing.items() if what != CUDA.name]
    return Table("Beside other engines, and in fewer bits", ["net", "batch", "on", *names], rows, notes)


def answers(found: Found) -> Table:
    """How far the sides' answers lie from ours."""
    names = list(dict.fromkeys(name for each in found.apart.values() for name in each if name != NETC))
    rows = [
        [net, *(f"{each[name]:.1e}" if name in each else "-" for name in names)] for net, each in found.apart.items()
    ]
    note = (
        "Before anything was timed: the largest difference over 8 inputs, as a share of the answers' spread over them. "
        "In float32 more than 1e-3 would have ended the run; random weights turn fewer bits into mostly noise."
    )
    return Table("How far their answers lie from netc's", ["net", *names], rows, [note])


def rates(found: Mapping[int, float]) -> str:
    """Peaks in words."""
    return ", ".join(f"{rate:.0f} GFLOP/s on {count} thread{'s' if count > 1 else ''}" for count, rate in found.items())
