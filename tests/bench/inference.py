"""Inference of what `netc build` writes, beside other roads to the same answers.

The bar is ONNX Runtime on torch's own exports of the same module with the same weights. Beside it: torch, as it is and
compiled, and OpenVINO. Each side is a process of its own, with memory allocation tuned alike; sides run in turns, and
a figure is the median over rounds of ours divided by theirs, with its middle half. Before anything is timed, every side
has to give our answers.

Run `.bench/bin/python tests/bench/inference.py [--quick] [--json FILE] [NET...]`; `make bench ONLY=inference` makes
that environment, and docs/benchmarks.md. What is not installed there, or has no compiler, is left out and named.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from netc import api
from netc.graph import Graph
from tests.bench.contender import Contender, Refused
from tests.bench.exports import DYNAMO, OURS, SCRIPT, WEIGHTS
from tests.bench.pairs import Ratio, alternate, ratio
from tests.bench.peak import peaks
from tests.bench.tables import Table, told, write

ROOT = Path(__file__).parent.parent.parent
BAR = 1.03
"""Ours over ONNX Runtime on the better of torch's exports."""
ALIKE = 1e-3
"""How far answers in float32 may lie apart, as a share of their spread over inputs."""
SAMPLES = 8
SIDE = 128
"""Of pictures whose size the spec leaves open."""
TURN_S, ROUNDS_S = 0.05, 2.0


@dataclass(frozen=True)
class Net:
    """A net of the zoo and the batches that it is run in."""

    name: str
    spec: str
    batches: tuple[int, ...] = (1, 8, 32)

    @property
    def target(self) -> str:
        """What the command line takes."""
        return str(ROOT / "specs" / self.spec)


NETS = (
    Net("LeNet5", "lenet5.cnn:LeNet5"),
    Net("AlexNet", "alexnet.cnn:AlexNet"),
    Net("VGG16", "vgg.cnn:VGG16", (1, 8)),
    Net("GoogLeNet", "googlenet.cnn:GoogLeNet"),
    Net("ResNet18", "resnet.cnn:ResNet18"),
    Net("ResNet50", "resnet.cnn:ResNet50"),
    Net("MobileNetV2", "mobilenet_v2.cnn:MobileNetV2"),
    Net("SqueezeNet1_1", "squeezenet.cnn:SqueezeNet1_1"),
    Net("UNet", "unet.cnn:UNet", (1, 8)),
)
"""VGG16 and U-Net in batches of 32 would take as long as all others together."""

NETC, AGAIN, EXPORT, OLD_EXPORT = (
    "netc",
    "the same file again",
    "torch's export (dynamo)",
    "torch's export (dynamo=False)",
)
EAGER, COMPILED, OPENVINO, OPENVINO_OWN = "torch", "torch.compile", "OpenVINO, f32", "OpenVINO, its default"
EXPORTS = (EXPORT, OLD_EXPORT)
LOOSE = frozenset({OPENVINO_OWN})
"""What computes in fewer bits, so that its answers are told and not held to a bound."""

Side = Callable[[], Contender]


Rounds = Mapping[str, list[float]]
"""Seconds of one inference of each side, round by round."""


@dataclass
class Cell:
    """One net, batch and number of threads; each group of sides ran in turns, netc in all of them."""

    net: str
    batch: int
    threads: int
    flops: float
    groups: list[Rounds] = field(default_factory=list[Rounds])

    @property
    def ours(self) -> float:
        """Seconds of netc's file."""
        return median(self.groups[0][NETC])

    def against(self, side: str) -> Ratio | None:
        """Ours over theirs; None where they did not run."""
        return next((ratio(rounds[NETC], rounds[side]) for rounds in self.groups if side in rounds), None)

    def words(self, side: str) -> str:
        """The same as text."""
        found = self.against(side)
        return "-" if found is None else str(found)

    @property
    def better_export(self) -> str | None:
        """Of torch's exports the one that is faster here."""
        times = {side: median(rounds[side]) for rounds in self.groups for side in EXPORTS if side in rounds}
        return min(times, key=lambda side: times[side], default=None)


@dataclass
class Found:
    """All that was measured."""

    peaks: Mapping[int, float]
    peak_how: str
    cells: list[Cell] = field(default_factory=list[Cell])
    apart: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    missing: dict[str, str] = field(default_factory=dict[str, str])


def prepared(net: Net, folder: Path, missing: dict[str, str]) -> None:
    """Write the net's files; an export that failed is noted. Raises SystemExit where netc's own file cannot be had."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("exports.py")), net.target, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / OURS).is_file():
        raise SystemExit(f"{net.name}: {done.stderr}")
    for file, side in ((DYNAMO, EXPORT), (SCRIPT, OLD_EXPORT)):
        if not (folder / file).is_file():
            said = [line for line in done.stderr.splitlines() if line.startswith(file)]
            missing[f"{side} of {net.name}"] = said[0] if said else "it failed"


def sides(net: Net, folder: Path, threads: int) -> tuple[dict[str, Side], dict[str, Side]]:
    """The sides of the bar, and the others, by name."""

    def onnxruntime(file: str) -> Side:
        return lambda: Contender("onnxruntime", threads=threads, file=str(folder / file))

    def torch(compiled: bool) -> Side:
        # Where the compiler keeps what it made: with the rest, and so gone with it.
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        given: dict[str, Any] = {"spec": net.target, "weights": str(folder / WEIGHTS), "compiled": compiled}
        return lambda: Contender("torch", threads=threads, environment=cache, **given)

    def openvino(precision: str | None) -> Side:
        return lambda: Contender("openvino", threads=threads, file=str(folder / OURS), precision=precision)

    bar = {NETC: onnxruntime(OURS), AGAIN: onnxruntime(OURS)}
    bar |= {
        side: onnxruntime(file) for side, file in ((EXPORT, DYNAMO), (OLD_EXPORT, SCRIPT)) if (folder / file).is_file()
    }
    others = {NETC: onnxruntime(OURS), EAGER: torch(compiled=False)}
    if shutil.which("g++"):
        others[COMPILED] = torch(compiled=True)
    if find_spec("openvino"):
        others |= {OPENVINO: openvino("f32"), OPENVINO_OWN: openvino(None)}
    return bar, others


@contextmanager
def started(wanted: Mapping[str, Side], missing: dict[str, str]) -> Generator[dict[str, Contender]]:
    """The sides' processes; those that refuse are left out and noted."""
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        for name, start in wanted.items():
            try:
                running[name] = stack.enter_context(start())
            except Refused as error:
                missing[name] = str(error)
        yield running


def inputs(graph: Graph, batch: int, file: Path) -> Path:
    """Normally distributed numbers in an `.npz` file."""
    random = np.random.default_rng(0)
    sizes = {i.name: [batch, *(n if isinstance(n, int) else SIDE for n in i.type.dims[1:])] for i in graph.inputs}
    np.savez(file, **{name: random.standard_normal(size, np.float32) for name, size in sizes.items()})  # pyright: ignore[reportArgumentType] -- its own keyword is no tensor
    return file


def distance(ours: Mapping[str, npt.NDArray[Any]], theirs: Mapping[str, npt.NDArray[Any]]) -> float:
    """The largest difference as a share of our answers' spread over the examples; the worst output counts."""
    worst = 0.0
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        spread = float(np.sqrt(((mine - mine.mean(axis=0)) ** 2).mean()))
        worst = max(worst, float(np.abs(mine - other).max()) / spread)
    return worst


def agree(running: dict[str, Contender], fed: Path, scratch: Path, net: Net, found: Found) -> None:
    """Hold every side's answers to ours. Raises SystemExit where they are others; a side that fails is left out."""
    answers: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, contender in list(running.items()):
        try:
            contender.feed(fed)
            answers[name] = contender.answer(scratch)
        except Refused as error:
            found.missing[f"{name} of {net.name}"] = str(error)
            del running[name]
    for name, answer in answers.items():
        apart = distance(answers[NETC], answer)
        if not (apart <= ALIKE or name in LOOSE):
            raise SystemExit(f"{net.name}: {name} lies {apart:.1e} from netc's answers, and {ALIKE:.0e} is allowed")
        known = found.apart.setdefault(net.name, {})
        known[name] = max(apart, known.get(name, 0.0))


def timed(running: Mapping[str, Contender], threads: int, quick: bool) -> dict[str, list[float]]:
    """Seconds of one inference on the inputs that were fed, round by round.

    On one thread they are the process's time on the processor, which is the clock's where nothing else runs.
    """
    one = running[NETC].run(1).wall
    times, wake = max(1, min(1000, round(TURN_S / one))), one < 5 * TURN_S

    def turn(contender: Contender) -> Callable[[], float]:
        def run() -> float:
            taken = contender.run(times, wake=wake)
            return taken.processor if threads == 1 else taken.wall

        return run

    turns = {name: turn(contender) for name, contender in running.items()}
    return alternate(turns, 0.5 if quick else ROUNDS_S)


def measure(net: Net, folder: Path, found: Found, threads: list[int], quick: bool) -> None:
    """All cells of a net, into what was found."""
    graph = api.load(net.target)
    prepared(net, folder, found.missing)
    macs = graph.macs(dict.fromkeys(graph.symbols(), SIDE))
    batches = net.batches[:1] if quick else net.batches
    samples = inputs(graph, SAMPLES, folder / "samples.npz")
    fed = {batch: inputs(graph, batch, folder / f"batch{batch}.npz") for batch in batches}
    for count in threads:
        cells = {batch: Cell(net.name, batch, count, 2.0 * macs * batch) for batch in batches}
        for wanted in sides(net, folder, count):
            with started(wanted, found.missing) as running:
                agree(running, samples, folder / "answer.npz", net, found)
                for batch, cell in cells.items():
                    for contender in running.values():
                        contender.feed(fed[batch])
                    cell.groups.append(timed(running, count, quick))
        for cell in cells.values():
            found.cells.append(cell)
            ran = [side for rounds in cell.groups for side in rounds if side != NETC]
            shown = "; ".join(f"{side} {cell.words(side)}" for side in ran)
            print(f"{cell.net} {cell.batch} on {count}: {1e3 * cell.ours:.2f} ms; {shown}", file=sys.stderr, flush=True)


# --- tables


def bar_table(found: Found) -> Table:
    """Ours beside ONNX Runtime on torch's exports, and whether the bar is met."""
    rows: list[list[str]] = []
    for cell in found.cells:
        ours, rate = 1e3 * cell.ours, cell.flops / cell.ours / 1e9
        rows.append(
            [
                cell.net,
                str(cell.batch),
                str(cell.threads),
                f"{ours:.3g}" if ours < 100 else f"{ours:.0f}",
                f"{rate:.0f}",
                f"{100 * rate / found.peaks[cell.threads]:.0f} %",
                *(cell.words(side) for side in (AGAIN, *EXPORTS)),
            ]
        )
    notes = [verdict(found)]
    notes.append(
        "*The same file again* is a second process with netc's file: how far from 1 a ratio of equals lies here."
    )
    notes.append("The peak is " + found.peak_how + ": " + rates(found.peaks) + ". A multiply-accumulate counts as 2.")
    columns = ["net", "batch", "threads", "netc, ms", "GFLOP/s", "of peak", AGAIN, EXPORT, OLD_EXPORT]
    return Table("Float32, against ONNX Runtime on torch's exports", columns, rows, notes)


def verdict(found: Found) -> str:
    """The bar in words."""
    nets: dict[str, list[float]] = {}
    above: list[str] = []
    for cell in found.cells:
        better = cell.better_export
        if better is None:
            continue
        each = cell.against(better)
        assert each is not None
        nets.setdefault(cell.net, []).append(each.median)
        if each.median > BAR:
            noise = cell.against(AGAIN)
            above.append(f"{cell.net} batch {cell.batch} on {cell.threads}: {each} ({noise} for the same file again)")
    figures = {name: median(each) for name, each in nets.items()}
    missed = [name for name, figure in figures.items() if figure > BAR]
    said = told(
        not missed,
        f"for every net the ratio to the faster of torch's two exports is at most {BAR} (the median of its rows): "
        + ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items()),
    )
    return said + (". Single rows above it: " + "; ".join(above) if above else ". No single row is above it") + "."


def others_table(found: Found) -> Table:
    """Ours beside the other engines."""
    names = [side for side in (EAGER, COMPILED, OPENVINO, OPENVINO_OWN) if any(c.against(side) for c in found.cells)]
    rows = [
        [cell.net, str(cell.batch), str(cell.threads), *(cell.words(side) for side in names)] for cell in found.cells
    ]
    notes = ["OpenVINO's default on processors with AMX is bfloat16: fewer bits and other answers, see below."]
    notes += [f"{side} is left out: {why}." for side, why in missing(found).items()]
    return Table(
        "Float32, beside other engines: netc's time as a share of theirs",
        ["net", "batch", "threads", *names],
        rows,
        notes,
    )


def missing(found: Found) -> dict[str, str]:
    """What did not run, and why."""
    said = dict(found.missing)
    if not shutil.which("g++"):
        said[COMPILED] = "there is no C++ compiler, g++"
    if not find_spec("openvino"):
        said["OpenVINO"] = "it is not installed here; `make bench` does it"
    if not find_spec("onnxscript"):
        said[EXPORT] = "onnxscript is not installed here; `make bench` does it"
    return said


def apart_table(found: Found) -> Table:
    """How far the sides' answers lie from ours."""
    names = list(dict.fromkeys(name for each in found.apart.values() for name in each if name != NETC))
    rows = [
        [net, *(f"{each[name]:.1e}" if name in each else "-" for name in names)] for net, each in found.apart.items()
    ]
    note = (
        f"Before anything was timed: the largest difference over {SAMPLES} inputs, as a share of the answers' spread "
        f"over them. In float32 more than {ALIKE:.0e} ends the run."
    )
    return Table("How far the answers lie from netc's", ["net", *names], rows, [note])


def rates(found: Mapping[int, float]) -> str:
    """Peaks in words."""
    return ", ".join(f"{rate:.0f} GFLOP/s on {count} thread{'s' if count > 1 else ''}" for count, rate in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Inference of netc's ONNX files beside others.")
    parser.add_argument("nets", nargs="*", choices=[[], *(net.name for net in NETS)], metavar="NET")
    parser.add_argument("--quick", action="store_true", help="three small nets, batch 1, one thread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    given = parser.parse_args()
    wanted = given.nets or (["LeNet5", "ResNet18", "MobileNetV2"] if given.quick else [net.name for net in NETS])
    threads = [1] if given.quick else [1, 2]
    found = Found(*peaks(threads))
    for net in NETS:
        if net.name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                measure(net, Path(folder), found, threads, given.quick)
    write([bar_table(found), others_table(found), apart_table(found)], given.json)


if __name__ == "__main__":
    main()
