"""Inference of what `netc build` writes, beside other roads to the same answers.

The bar is ONNX Runtime on torch's own exports of the same module with the same weights. Beside it: torch, as it is and
compiled, OpenVINO, and netc's own file in int8. Each side is a process of its own, with memory allocation tuned alike;
sides run in turns, and a figure is the median over rounds of ours divided by theirs, with its middle half. Before
anything is timed, every side has to give our answers.

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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netc import api
from netc.graph import Graph
from tests.bench import exports
from tests.bench.cells import (
    AGAIN,
    COMPILED,
    CUDA,
    EAGER,
    EXPORT,
    INT8,
    LOOSE,
    NETC,
    NETS,
    OLD_EXPORT,
    ONE,
    OPENVINO,
    OPENVINO_INT8,
    OPENVINO_OWN,
    QUICK,
    TWO,
    Cell,
    Found,
    Net,
    Place,
)
from tests.bench.contender import Contender, Refused
from tests.bench.inference_tables import tables
from tests.bench.pairs import alternate
from tests.bench.peak import peaks
from tests.bench.tables import write

ALIKE, ALIKE_TF32 = 1e-3, 5e-2
"""How far float32 answers may lie apart, as a share of their spread over inputs; and on a GPU, which rounds to TF32."""
SAMPLES = 8
SIDE = 96
"""Of pictures whose size the spec leaves open."""
TURN_S, ROUNDS_S, QUICK_S = 0.05, 1.5, 0.5

Side = Callable[[], Contender]


def main() -> None:
    parser = argparse.ArgumentParser(description="Inference of netc's ONNX files beside others.")
    parser.add_argument("nets", nargs="*", choices=[[], *(net.name for net in NETS)], metavar="NET")
    parser.add_argument("--quick", action="store_true", help="three small nets, batch 1, one thread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    given = parser.parse_args()
    wanted = given.nets or (QUICK if given.quick else [net.name for net in NETS])
    places = [ONE] if given.quick else [ONE, TWO]
    found = Found(*peaks([place.threads for place in places]), missing=absent())
    with tempfile.TemporaryDirectory() as folder:
        for net in NETS:
            if net.name in wanted:
                measure(net, Path(folder), found, places, given.quick)
    write(tables(found), given.json)


def absent() -> dict[str, str]:
    """What this environment lacks."""
    found: dict[str, str] = {}
    if not shutil.which("g++"):
        found[COMPILED] = "there is no C++ compiler, g++"
    if not find_spec("onnxscript"):
        found[EXPORT] = "onnxscript is not installed; `make bench` does it"
    if not find_spec("openvino"):
        found["OpenVINO"] = "it is not installed; `make bench` does it"
    return found


def measure(net: Net, folder: Path, found: Found, places: list[Place], quick: bool) -> None:
    """All cells of a net, into what was found; on a GPU as well, if ONNX Runtime has one."""
    graph = api.load(net.target)
    macs = graph.macs(dict.fromkeys(graph.symbols(), SIDE))
    batches = net.batches[:1] if quick else net.batches
    samples = inputs(graph, SAMPLES, folder / "samples.npz")
    fed = {batch: inputs(graph, batch, folder / f"batch{batch}.npz") for batch in batches}
    prepare(net, samples, folder, found.missing)
    if CUDA.name not in found.missing:
        try:
            with Contender("onnxruntime", threads=1, file=str(folder / exports.OURS), provider=CUDA.provider):
                places = [*places, CUDA]
        except Refused as error:
            found.missing[CUDA.name] = str(error)
    for place in places:
        cells = {batch: Cell(net.name, batch, place, 2.0 * macs * batch) for batch in batches}
        for wanted in sides(net, folder, place):
            with started(wanted, f" of {net.name} on {place.name}", found.missing) as running:
                agree(running, samples, folder / "answer.npz", net, place, found)
                for batch, cell in cells.items():
                    for contender in running.values():
                        contender.feed(fed[batch])
                    cell.groups.append(timed(running, place, QUICK_S if quick else ROUNDS_S))
        for cell in cells.values():
            found.cells.append(cell)
            shown = "; ".join(f"{side} {cell.words(side)}" for rounds in cell.groups for side in rounds if side != NETC)
            said = f"{cell.net}, batch {cell.batch}, {place.name}: {1e3 * cell.ours:.3g} ms; {shown}"
            print(said, file=sys.stderr, flush=True)


def inputs(graph: Graph, batch: int, file: Path) -> Path:
    """Normally distributed numbers in an `.npz` file."""
    random = np.random.default_rng(0)
    sizes = {i.name: [batch, *(n if isinstance(n, int) else SIDE for n in i.type.dims[1:])] for i in graph.inputs}
    np.savez(file, **{name: random.standard_normal(size, np.float32) for name, size in sizes.items()})  # pyright: ignore[reportArgumentType] -- its own keyword is no tensor
    return file


def prepare(net: Net, samples: Path, folder: Path, missing: dict[str, str]) -> None:
    """Write the net's files; one that failed is noted. Raises SystemExit where netc's own file cannot be had."""
    for name in exports.FILES:
        (folder / name).unlink(missing_ok=True)
    script = Path(__file__).with_name("exports.py")
    made = exports.FILES if net.int8 else [name for name in exports.FILES if name != exports.INT8]
    command = [sys.executable, "-W", "ignore", str(script), net.target, str(samples), str(folder), *made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / exports.OURS).is_file():
        raise SystemExit(f"{net.name}: {done.stderr}")
    for file in made:
        if not (folder / file).is_file():
            said = [line.removeprefix(f"{file}: ") for line in done.stderr.splitlines() if line.startswith(file)]
            missing[f"{file} of {net.name}"] = said[0] if said else "it failed"


def sides(net: Net, folder: Path, place: Place) -> tuple[dict[str, Side], dict[str, Side]]:
    """The sides of the bar, and the others, by name."""

    def file(name: str) -> dict[str, Any]:
        return {"threads": place.threads, "file": str(folder / name)}

    def onnxruntime(name: str) -> Side:
        return lambda: Contender("onnxruntime", **file(name), provider=place.provider)

    def openvino(name: str, precision: str | None) -> Side:
        return lambda: Contender("openvino", **file(name), precision=precision)

    def torch(compiled: bool) -> Side:
        # Where the compiler keeps what it made: with the rest, and so gone with it.
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        given: dict[str, Any] = {"spec": net.target, "weights": str(folder / exports.WEIGHTS), "device": place.device}
        return lambda: Contender("torch", threads=place.threads, environment=cache, compiled=compiled, **given)

    def made(name: str) -> bool:
        return (folder / name).is_file()

    bar = {NETC: onnxruntime(exports.OURS), AGAIN: onnxruntime(exports.OURS)}
    bar |= {s: onnxruntime(n) for s, n in ((EXPORT, exports.DYNAMO), (OLD_EXPORT, exports.SCRIPT)) if made(n)}
    others = {NETC: onnxruntime(exports.OURS), EAGER: torch(compiled=False)}
    if net.compiled and shutil.which("g++"):
        others[COMPILED] = torch(compiled=True)
    known = place is not CUDA and find_spec("openvino") is not None
    if known:
        others |= {OPENVINO: openvino(exports.OURS, "f32"), OPENVINO_OWN: openvino(exports.OURS, None)}
    if made(exports.INT8):
        others[INT8] = onnxruntime(exports.INT8)
        others |= {OPENVINO_INT8: openvino(exports.INT8, None)} if known else {}
    return bar, others


@contextmanager
def started(wanted: Mapping[str, Side], where: str, missing: dict[str, str]) -> Generator[dict[str, Contender]]:
    """The sides' processes; those that refuse are left out and noted."""
    with ExitStack() as stack:
        starting = {name: start() for name, start in wanted.items()}
        running: dict[str, Contender] = {}
        for name, contender in starting.items():
            stack.callback(contender.close)
            try:
                running[name] = contender.__enter__()
            except Refused as error:
                missing[name + where] = str(error)
        yield running


def agree(running: dict[str, Contender], fed: Path, scratch: Path, net: Net, place: Place, found: Found) -> None:
    """Hold every side's answers to ours. Raises SystemExit where they are others; a side that fails is left out."""
    answers: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, contender in list(running.items()):
        try:
            contender.feed(fed)
            answers[name] = contender.answer(scratch)
        except Refused as error:
            found.missing[f"{name} of {net.name} on {place.name}"] = str(error)
            del running[name]
    allowed = ALIKE_TF32 if place is CUDA else ALIKE
    for name, answer in answers.items():
        apart = distance(answers[NETC], answer)
        if not (apart <= allowed or name in LOOSE):
            raise SystemExit(f"{net.name}: {name} lies {apart:.1e} from netc's answers, and {allowed:.0e} is allowed")
        known = found.apart.setdefault(net.name, {})
        known[name] = max(apart, known.get(name, 0.0))


def distance(ours: Mapping[str, npt.NDArray[Any]], theirs: Mapping[str, npt.NDArray[Any]]) -> float:
    """The largest difference as a share of our answers' spread over the examples; the worst output counts."""
    worst = 0.0
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        spread = float(np.sqrt(((mine - mine.mean(axis=0)) ** 2).mean()))
        worst = max(worst, float(np.abs(mine - other).max()) / spread)
    return worst


def timed(running: Mapping[str, Contender], place: Place, seconds: float) -> dict[str, list[float]]:
    """Seconds of one inference on the inputs that were fed, round by round, for about so many seconds.

    On one thread they are the process's time on the processor, which is the clock's where nothing else runs.
    """

    def turn(contender: Contender) -> Callable[[], float]:
        one = contender.run(1).wall  # what compiles for a batch did it in the run before this one
        times, wake = max(1, min(1000, round(TURN_S / one))), one < 5 * TURN_S

        def run() -> float:
            taken = contender.run(times, wake=wake)
            return taken.processor if place is ONE else taken.wall

        return run

    return alternate({name: turn(contender) for name, contender in running.items()}, seconds)


if __name__ == "__main__":
    main()
