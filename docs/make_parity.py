"""Makes docs/parity.md: how far every net of specs/, built to ONNX, lies from float64 torch.

Run `python docs/make_parity.py` (or `make parity`) after netc writes other files than it did. Figures are kept in
docs/parity.json and taken from there where the files would be the same, so that a run which was cut short goes on where
it stood. All of it takes hours on one core. NAME takes nets whose names hold it; --stale lists what would be measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from netc import api, passes
from netc.atomic import replacing
from netc.backends import onnx
from netc.backends.fixed_sizes import fixed
from netc.backends.verify import BOUND, FACTOR, TELLING, Case, spread, verify
from netc.backends.verify.cases import feeds
from netc.backends.verify.measured import float32
from netc.backends.verify.probes import probes
from netc.backends.verify.sizes import sizes as admitted
from netc.graph import Graph
from netc.passes.deploy import deploy
from netc.passes.embed import decoded
from netc.weights import Array, Lazy, Weights

ROOT = Path(__file__).parent.parent
PAGE, FIGURES, SPECS = ROOT / "docs" / "parity.md", ROOT / "docs" / "parity.json", ROOT / "specs"

OPSETS = (17, 20, 26)
KINDS = ("random", "measured", "eased")
"""What `probes` gives."""
BATCH = 4
"""Of the files that have numbers for all sizes."""
LARGE, FEW = 10**11, 4
"""Nets of more multiply-accumulates have fewer inputs."""

TOP = """\
# Parity

Every net of [specs/](../specs/), {nets} of them, built to ONNX with the passes of `netc build`, run by ONNX Runtime
{ort} on the CPU and held against float64 torch {torch}. `make parity` makes this page; tests measure some rows again.

R is float64 torch's answer in evaluation mode to 8 seeded inputs. V is the root mean square, over the 8 and all
elements of an output, of R minus its mean over the 8. A figure is max |ours - R| / V, the worst of all runs, outputs
and elements; {bound:.0e} is allowed, or {factor} times what float32 torch is off by.

- **opset**: two figures. The first is of the file with its symbols (the batch, and H and W where the spec has them), in
  batches of 1, 7 and 2 at every one of the **sizes**; batches are smaller where a value would take more than 1 GiB.
  The second is of a file with a number in the place of every symbol: the first of the sizes, and a batch of {batch}.
  Nets of more than 100 G multiply-accumulates have {few} inputs in place of 8, in batches of 1 and 3. A file that
  normalises pixels or decodes, as its spec asks, is fed pixels and held against what R decodes to.
- **float32 torch**: how far the same net in float32 lies from R.
- **weights**: *random* are Kaiming's (He et al., arXiv:1502.01852), with random statistics in batch norms. By those a
  net of tens of layers may amplify float32's rounding beyond the bound, torch's as ours, or let hardly anything of the
  input through. Where it does, weights are *measured*: batch norms have the statistics of what enters them on 4 of the
  inputs, as training leaves them; nets without any have layers scaled to mean 0 and variance 1 (Mishkin & Matas,
  arXiv:1511.06422). *Eased*: measured, and batch norms before an addition divided by the root of the number of
  additions (Zhang et al., arXiv:1901.09321), others raised by 1.

{passed} of {nets} pass{within}.
"""


@dataclass(frozen=True)
class Row:
    """What was measured of a net. `figures` are by opset: the worst with symbols, and the worst with numbers alone."""

    key: str
    parameters: int
    sizes: list[str]
    weights: str
    float32: float
    figures: dict[str, list[float]]

    @property
    def worst(self) -> float:
        """The worst of its figures."""
        return max(max(pair) for pair in self.figures.values())

    @property
    def passed(self) -> bool:
        """Whether every figure is allowed, and the weights would let an error show."""
        return self.float32 <= TELLING and self.worst <= max(BOUND, FACTOR * self.float32)


@cache
def zoo() -> dict[str, Graph]:
    """Every net of specs/ as it is deployed, by `file.cnn:Net`."""
    return {
        f"{path.name}:{name}": deploy(graph, {})[0]
        for path in sorted(SPECS.glob("*.cnn"))
        for name, graph in api.check(path).graphs.items()
    }


def recorded() -> dict[str, Row]:
    """What docs/parity.json holds."""
    if not FIGURES.exists():
        return {}
    read: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return {name: Row(**row) for name, row in read.items()}


def fixed_sizes(graph: Graph) -> Graph:
    """The net with a number for each of its symbols: a batch, and the first of the sizes that it is verified at."""
    free = replace(graph, export=graph.export.model_copy(update={"dynamic": None}))
    return fixed(free, {**dict.fromkeys(graph.symbols(), BATCH), **admitted(graph)[0]})


def key(graph: Graph) -> str:
    """Equal where the files would be equal but for names of nets and places, and the libraries are the same."""
    total = hashlib.sha256(json.dumps([version("onnxruntime-gpu"), version("torch")]).encode())
    none = Lazy({name: lambda shape=param.shape: np.zeros(shape, np.float32) for name, param in graph.parameters()})
    for form in (graph, fixed_sizes(graph)):
        small, _ = passes.run(form, none)
        for opset in OPSETS:
            model = onnx.skeleton(small, opset)
            model.ClearField("producer_version")
            model.graph.name = "net"
            for node in model.graph.node:
                node.ClearField("doc_string")
            total.update(model.SerializeToString(deterministic=True))
    return total.hexdigest()[:16]


def answered(graph: Graph, weights: Weights) -> list[Case]:
    """Float64 torch's answers, to fewer inputs where the net is a large one."""
    from netc.backends.verify.network import answers, network

    few = FEW if _macs(graph) > LARGE else None
    exact = network(graph, weights, np.float64)
    found: list[Case] = []
    for feed in feeds(graph):
        arrays = {name: array[:few] for name, array in feed.arrays.items()}
        found.append(Case(feed.origin, feed.sizes, arrays, answers(graph, exact, arrays, np.float64)))
    return found


def measured(graph: Graph, folder: Path) -> Row:
    """A net's figures with the first weights under which all are within the bound, or with the last."""
    row: Row | None = None
    for kind, weights in zip(KINDS, probes(graph), strict=True):
        cases = answered(decoded(graph), weights)
        own = [float32(decoded(graph), weights, case) for case in cases]
        if kind != KINDS[-1] and not max(_shares(cases, own)) <= BOUND:
            continue  # float32 itself is further off: other weights tell more
        row = _measured(graph, weights, cases, own, folder, kind)
        if row.worst <= BOUND:
            break
    assert row is not None
    return row


def _measured(
    graph: Graph, weights: Weights, cases: list[Case], own: list[dict[str, float]], folder: Path, kind: str
) -> Row:
    theirs = {id(case.answers): far for case, far in zip(cases, own, strict=True)}
    # The static file has the first size alone, and its cases no symbols.
    first = replace(cases[0], sizes={})
    figures: dict[str, list[float]] = {}
    for opset in OPSETS:
        figures[str(opset)] = []
        for form, tried in ((graph, cases), (fixed_sizes(graph), [first])):
            path = folder / "net.onnx"
            onnx.write(*passes.run(form, weights), path, opset=opset)
            found = verify(path, decoded(form), weights, tried, own=lambda case: theirs[id(case.answers)])
            figures[str(opset)].append(float(f"{max(found.outputs.values()):.2g}"))
            path.unlink()
    return Row(
        key(graph),
        graph.params(),
        [_size(case.feed) for case in cases],
        kind,
        float(f"{max(_shares(cases, own)):.2g}"),
        figures,
    )


def _shares(cases: list[Case], own: list[dict[str, float]]) -> list[float]:
    pairs = zip(cases, own, strict=True)
    return [far / spread(case.answers[name]) for case, each in pairs for name, far in each.items()]


def _size(feed: Mapping[str, Array]) -> str:
    return ", ".join("x".join(map(str, array.shape[1:])) for array in feed.values())


def page(rows: Mapping[str, Row]) -> str:
    """The text of docs/parity.md."""
    passed = sum(row.passed for row in rows.values())
    beyond = sum(row.passed and row.worst > BOUND for row in rows.values())
    top = TOP.format(
        nets=len(rows),
        ort=version("onnxruntime-gpu"),
        torch=version("torch").partition("+")[0],
        bound=BOUND,
        factor=FACTOR,
        batch=BATCH,
        few=FEW,
        passed=passed,
        within=f", {passed - beyond} of them within {BOUND:.0e}" if beyond else f", all within {BOUND:.0e}",
    )
    heads = ["net", "parameters", "sizes", *(f"opset {opset}" for opset in OPSETS), "float32 torch", "weights"]
    left = sorted(set(zoo()) - set(rows))
    if left:
        top += f"\nNot measured yet, {len(left)} of {len(zoo())}: {', '.join(f'`{name}`' for name in left)}.\n"
    lines = [top, f"| {' | '.join(heads)} |", "|---|---:|---|---|---|---|---|---|"]
    for name in sorted(rows):
        row = rows[name]
        figures = [" / ".join(f"{figure:.1e}" for figure in row.figures[str(opset)]) for opset in OPSETS]
        failed = "" if row.passed else " **fails**"
        cells = [f"`{name}`{failed}", f"{row.parameters:,}", "; ".join(row.sizes), *figures, f"{row.float32:.1e}"]
        lines.append(f"| {' | '.join([*cells, row.weights])} |")
    return "\n".join([*lines, ""])


def save(rows: Mapping[str, Row]) -> None:
    """Write the figures and the page, each whole or not at all."""
    lines = [f"{json.dumps(name)}: {json.dumps(asdict(rows[name]))}" for name in sorted(rows)]
    for path, text in ((FIGURES, "{\n" + ",\n".join(lines) + "\n}\n"), (PAGE, page(rows))):
        with replacing(path) as file:
            file.write(text.encode())


def run(nets: Mapping[str, Graph], *, stale: bool) -> Iterator[str]:
    """Measure what is not known, the cheapest net first; say a line for each."""
    known = zoo()
    rows = {name: row for name, row in recorded().items() if name in known}
    for name in sorted(nets, key=lambda each: _macs(nets[each])):
        now = key(nets[name])
        same = next((row for row in rows.values() if row.key == now), None)
        if same is not None and rows.get(name) == same:
            continue
        if stale:
            yield f"{name}: {'to be measured' if same is None else 'the same files as another net, and measured'}"
            continue
        start = time.monotonic()
        if same is None:
            with tempfile.TemporaryDirectory() as folder:
                same = measured(nets[name], Path(folder))
        rows[name] = same
        save(rows)
        worst = f"worst {same.worst:.1e}, float32 torch {same.float32:.1e}, weights {same.weights}"
        yield f"{'passes' if same.passed else 'FAILS'} {name}: {worst}, {time.monotonic() - start:.0f} s"
    if not stale:
        save(rows)


def _macs(graph: Graph) -> int:
    return graph.macs(admitted(graph)[0])


def main() -> int:
    """The command; 1 where a net fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="nets whose names hold this; all without one")
    parser.add_argument("--stale", action="store_true", help="list what would be measured, and measure nothing")
    options = parser.parse_args()
    nets = {n: g for n, g in zoo().items() if not options.names or any(each in n for each in options.names)}
    for line in run(nets, stale=options.stale):
        print(line, flush=True)
    return int(not all(row.passed for row in recorded().values()))


if __name__ == "__main__":
    sys.exit(main())
