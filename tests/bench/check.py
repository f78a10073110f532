"""What a check costs, in time and memory, beside what it is built on and what it saves.

As a process: `netc check`, as a ratio to importing the two libraries it needs, to building the net's torch module on
the meta device, and to torchinfo's summary of that. In process: `netc.api.check_text`, as a ratio to Lark's own parse
of the same text, with the transformer that netc uses embedded in a stock LALR parser, and to the same two of torch.

The generated nets have a layer a line. Each ratio is the median over pairs that run in turns, with its middle half;
garbage collection is the same for both sides. A process's memory is its peak, in process it is the peak of what Python
allocates. Run `python tests/bench/check.py [--pairs N] [--quick] [--json FILE] [CASE...]` (at least 5 pairs; 7), where
a case is `lenet5`, `ResNet1202` or a number of lines. The longest text takes 3 pairs.
"""

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from lark import Lark

from netc import api
from netc.diagnostic import Source
from netc.graph import Graph
from netc.syntax.build import Builder
from netc.syntax.table import GRAMMAR
from tests.bench.pairs import Ratio, alternate, ratio
from tests.bench.tables import Table, write

ROOT = Path(__file__).parent.parent.parent
SPECS = ("lenet5.cnn", "googlenet.cnn:GoogLeNet", "resnet.cnn:ResNet152", "cifar_resnet.cnn:ResNet1202")
LINES = (1_000, 10_000, 100_000)
SLOW = 100_000
"""Lines from which fewer pairs run."""
MOST_TORCH = 1_000
"""Lines up to which torch is asked: torchinfo's summary of ten times as many layers takes minutes."""
# Compiled bytecode for all: some machines are set not to write it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORTS = (sys.executable, "-c", "import lark, pydantic")


def generated(lines: int) -> str:
    """A net of residual blocks with about so many lines, each a layer: labels, named arguments, values named again."""
    rows = ["net Lines(classes = 10) {", "  input  image: f32[N, 64, 56, 56]", "  output scores: f32[N, classes]", ""]
    last, block = "image", 0
    while len(rows) < lines - 5:
        rows += [
            f"  from {last} -> conv{block}a: conv(64, k=3, pad=1, bias=false)",
            f"    -> bn{block}a: bn(eps=1e-3)",
            "    -> relu",
            f"    -> conv{block}b: conv(64, k=3, pad=1, bias=false)",
            f"    -> bn{block}b: bn(eps=1e-3)",
            f"  from bn{block}b, {last} -> sum{block}: add",
            f"    -> out{block}: relu",
        ]
        last, block = f"out{block}", block + 1
    rows += [f"  from {last} -> gap", "    -> flatten", "    -> fc: fc(classes)", "    => scores", "}", ""]
    return "\n".join(rows)


# --- what is measured


def stock() -> Lark:
    """The grammar as Lark itself reads it: its contextual lexer, its parser, netc's tree built while parsing."""
    return Lark(GRAMMAR.read_text("utf-8"), parser="lalr", transformer=Builder(), maybe_placeholders=True)


def target(spec: Path, net: str | None) -> str:
    return f"{spec}:{net}" if net else str(spec)


def checked(spec: Path, net: str | None) -> Graph:
    """The one net asked for. Raises AssertionError where the check finds anything."""
    found = api.check_text(Source(spec.name, spec.read_text("utf-8")), spec, net=net)
    assert found.diagnostics == ()
    return found.graphs[net or next(iter(found.graphs))]


def module_script(spec: Path, net: str | None, summary: bool) -> str:
    """Python that builds the net's module on the meta device as `net`, and may have torchinfo sum it up."""
    from netc.backends import torch as backend

    graph = checked(spec, net)
    code = backend.source(graph)
    top = re.findall(r"^class (\w+)\(", code, re.MULTILINE)[-1]
    code += f'\nimport torch\nwith torch.device("meta"):\n    net = {top}()\n'
    if summary:
        sides = [[1 if i == 0 else int(d) for i, d in enumerate(each.type.dims)] for each in graph.inputs]  # pyright: ignore[reportArgumentType] -- only the batch is a symbol here
        inputs = ", ".join(f'torch.empty({side}, device="meta")' for side in sides)
        code += f'import torchinfo\ntorchinfo.summary(net, input_data=[{inputs}], device="meta", verbose=0)\n'
    return code


# --- how


def clocked(work: Callable[[], object], *, collecting: bool = True) -> float:
    """Seconds of one run; what it makes is freed afterwards."""
    gc.collect()
    if not collecting:
        gc.disable()
    start = time.perf_counter()
    made = work()
    spent = time.perf_counter() - start
    gc.enable()
    del made
    return spent


def process(command: tuple[str, ...]) -> float:
    """Seconds of a process."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


LAUNCH = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
print(os.wait4(child.pid, 0)[2].ru_maxrss)
"""


def peak(command: tuple[str, ...]) -> float:
    """MiB that a process holds at most. What starts it counts, too, so a small process does."""
    launch = (sys.executable, "-I", "-S", "-c", LAUNCH, *command)
    return int(subprocess.run(launch, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True).stdout) / 1024


class Compared(NamedTuple):
    """Median seconds of both sides, run in turns, and the ratio."""

    ours: float
    theirs: float
    ratio: Ratio


def compared(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> Compared:
    """Two sides that each answer with seconds."""
    found = alternate({"ours": ours, "theirs": theirs}, 0, fewest=pairs)
    return Compared(median(found["ours"]), median(found["theirs"]), ratio(found["ours"], found["theirs"]))


def allocated(work: Callable[[], object]) -> float:
    """MiB that Python allocates at most during one run."""
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


# --- the tables


class Case(NamedTuple):
    """A spec, its net, whether torch is asked too, and how many pairs."""

    name: str
    spec: Path
    net: str | None
    torch: bool
    pairs: int


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def as_processes(case: Case, scratch: Path) -> list[list[str]]:
    """A net's rows: netc check as a process beside others."""
    name, spec, net, torch, pairs = case
    check = (sys.executable, "-m", "netc", "check", target(spec, net))
    rivals: list[tuple[str, tuple[str, ...]]] = [("import lark, pydantic", IMPORTS)]
    for summary in (False, True) if torch else ():
        script = scratch / f"{spec.stem}_{'summary' if summary else 'module'}.py"
        # Written by a process of its own: where this one has torch in memory, all that it starts seem to.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            script.write_text(apart.submit(module_script, spec, net, summary).result(), "utf-8")
        rivals.append(("torchinfo summary" if summary else "torch module on meta", (sys.executable, str(script))))
    rows: list[list[str]] = []
    for what, rival in rivals:
        ours_peak, theirs_peak = peak(check), peak(rival)
        found = compared(lambda: process(check), lambda r=rival: process(r), pairs)
        ours, theirs = milliseconds(found.ours), milliseconds(found.theirs)
        rows.append([name, ours, f"{ours_peak:.0f}", what, theirs, f"{theirs_peak:.0f}", str(found.ratio)])
    return rows


def in_process(case: Case, parser: Lark) -> tuple[list[list[str]], float]:
    """A net's rows, and its memory in MiB."""
    name, spec, net, torch, pairs = case
    text = spec.read_text("utf-8")

    def check() -> object:
        return api.check_text(Source(spec.name, text), spec, net=net)

    def parse() -> object:
        return parser.parse(text)  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part

    memory = allocated(check)
    beside = f"{memory:.1f} and {allocated(parse):.1f}"
    rows: list[list[str]] = []

    def row(what: str, found: Compared, shown: str) -> None:
        rows.append([name, milliseconds(found.ours), what, milliseconds(found.theirs), str(found.ratio), shown])

    for collecting in (True, False):
        found = compared(
            lambda c=collecting: clocked(check, collecting=c),
            lambda c=collecting: clocked(parse, collecting=c),
            pairs,
        )
        row("Lark, embedded" + ("" if collecting else "; no garbage collection"), found, beside if collecting else "")
    for summary in (False, True) if torch else ():
        code = compile(module_script(spec, net, summary), spec.stem, "exec")
        space: dict[str, Any] = {"__name__": "built"}
        exec(code, space)  # torch's own first time is not counted
        found = compared(lambda: clocked(check), lambda c=code: clocked(lambda: exec(c, {"__name__": "built"})), pairs)
        row("torchinfo summary" if summary else "torch module on meta", found, "")
    return rows, memory


def tenfold(few: Path, many: Path, pairs: int) -> Compared:
    """A check of ten times the lines beside ten checks: 1 where time grows as the text does."""
    small, large = (Source(path.name, path.read_text("utf-8")) for path in (few, many))
    return compared(
        lambda: clocked(lambda: api.check_text(large)),
        lambda: sum(clocked(lambda: api.check_text(small)) for _ in range(10)),
        pairs,
    )


def cases(pairs: int, scratch: Path) -> list[Case]:
    """The zoo's nets and the generated ones, whose texts are written to `scratch`."""
    found: list[Case] = []
    for name in SPECS:
        spec, net = api.split(str(ROOT / "specs" / name))
        found.append(Case(net or Path(spec).stem, Path(spec), net, True, pairs))
    for lines in LINES:
        spec = scratch / f"lines_{lines}.cnn"
        spec.write_text(generated(lines), "utf-8")
        found.append(Case(str(lines), spec, None, lines <= MOST_TORCH, 3 if lines >= SLOW else pairs))
    return found


def tables(pairs: int, only: list[str]) -> list[Table]:
    """All that is measured; of the cases `only` those, where some are named."""
    note = f"Median of {pairs} pairs, 3 of {SLOW} lines; a number for a net's name is a generated one of so many lines."
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        wanted = [case for case in cases(pairs, scratch) if case.name in only or not only]
        columns = ["net", "netc check, ms", "peak, MiB", "beside", "ms", "peak, MiB", "ratio"]
        rows = [row for case in wanted for row in as_processes(case, scratch)]
        found = [Table("netc check as a process", columns, rows, [note])]

        parser = stock()
        parser.parse(generated(50))  # pyright: ignore[reportUnknownMemberType] -- as above
        inside = [in_process(case, parser) for case in wanted]
        columns = ["net", "check_text, ms", "beside", "ms", "ratio", "allocated, MiB"]
        found.append(Table("netc.api.check_text in process", columns, [row for rows, _ in inside for row in rows], []))

        grown: list[list[str]] = []
        for (few, (_, small)), (many, (_, large)) in pairwise(zip(wanted, inside, strict=True)):
            if few.name.isdigit():
                times = tenfold(few.spec, many.spec, many.pairs)
                ours, theirs = milliseconds(times.ours), milliseconds(times.theirs)
                grown.append([many.name, ours, theirs, str(times.ratio), f"{large / small:.2f}"])
        if grown:
            columns = ["lines", "ms", "ten checks of a tenth, ms", "ratio", "memory, times"]
            found.append(Table("Ten times the lines, beside ten checks", columns, grown, []))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What a check costs, beside what it is built on and what it saves.")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one small net, 5 pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    given = parser.parse_args()
    only = given.cases or (["lenet5"] if given.quick else [])
    write(tables(5 if given.quick else max(5, given.pairs), only), given.json)


if __name__ == "__main__":
    main()
