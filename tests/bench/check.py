"""What a check costs, in time and memory, beside what it is built on and what it saves.

As a process: `netc check`, as a ratio to importing the two libraries it needs, to building the net's torch module on
the meta device, and to torchinfo's summary of that. In process: `netc.api.check_text`, as a ratio to Lark's own parse
of the same text, with the transformer that netc uses embedded in a stock LALR parser, and to the same two of torch.

The generated nets have a layer a line. Each ratio is the median over pairs that run in turns, with its middle half;
garbage collection is the same for both sides. A process's memory is its peak, in process it is the peak of what Python
allocates. Run `python tests/bench/check.py [PAIRS [CASE...]]` (at least 5; 7), where a case is `lenet5`, `ResNet1202`
or a number of lines. The longest text takes 3 pairs.
"""

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
from statistics import median, quantiles
from typing import Any

from lark import Lark

from netc import api
from netc.diagnostic import Source
from netc.graph import Graph
from netc.syntax.build import Builder
from netc.syntax.table import GRAMMAR

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
    code += f'\nwith torch.device("meta"):\n    net = {top}()\n'
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


def compared(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> tuple[float, float, str]:
    """Median seconds of both, run in turns, and the ratio in words."""
    times: list[tuple[float, float]] = []
    for number in range(pairs):
        if number % 2 == 0:
            first = ours()
            times.append((first, theirs()))
        else:
            first = theirs()
            times.append((ours(), first))
    ratios = [a / b for a, b in times]
    low, _, high = quantiles(ratios, n=4)
    return median(a for a, _ in times), median(b for _, b in times), f"{median(ratios):7.3f} ({low:.3f} to {high:.3f})"


def allocated(work: Callable[[], object]) -> float:
    """MiB that Python allocates at most during one run."""
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


# --- the tables


def as_processes(name: str, spec: Path, net: str | None, scratch: Path, torch: bool, pairs: int) -> None:
    check = (sys.executable, "-m", "netc", "check", target(spec, net))
    rivals: list[tuple[str, tuple[str, ...]]] = [("import lark, pydantic", IMPORTS)]
    for summary in (False, True) if torch else ():
        script = scratch / f"{spec.stem}_{'summary' if summary else 'module'}.py"
        # Written by a process of its own: where this one has torch in memory, all that it starts seem to.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            script.write_text(apart.submit(module_script, spec, net, summary).result(), "utf-8")
        rivals.append(("torchinfo summary" if summary else "torch module on meta", (sys.executable, str(script))))
    for what, rival in rivals:
        ours_peak, theirs_peak = peak(check), peak(rival)
        ours, theirs, ratio = compared(lambda: process(check), lambda r=rival: process(r), pairs)
        print(
            f"{name:<13} {1000 * ours:9.1f} ms {ours_peak:7.0f} MiB   {what:<21}"
            f"{1000 * theirs:9.1f} ms {theirs_peak:7.0f} MiB   ratio {ratio}",
            flush=True,
        )


def in_process(name: str, spec: Path, net: str | None, parser: Lark, torch: bool, pairs: int) -> float:
    """Prints a net's rows; its memory in MiB."""
    text = spec.read_text("utf-8")

    def check() -> object:
        return api.check_text(Source(spec.name, text), spec, net=net)

    def parse() -> object:
        return parser.parse(text)  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part

    def row(what: str, times: tuple[float, float, str], collecting: bool) -> None:
        shown = f"{name:<13} {1000 * times[0]:9.1f} ms   {what:<21}{1000 * times[1]:9.1f} ms   ratio {times[2]}"
        print(shown + ("" if collecting else "   without gc"), flush=True)

    for collecting in (True, False):
        times = compared(
            lambda c=collecting: clocked(check, collecting=c),
            lambda c=collecting: clocked(parse, collecting=c),
            pairs,
        )
        row("Lark, embedded", times, collecting)
    for summary in (False, True) if torch else ():
        code = compile(module_script(spec, net, summary), spec.stem, "exec")
        space: dict[str, Any] = {"__name__": "built"}
        exec(code, space)  # torch's own first time is not counted
        times = compared(lambda: clocked(check), lambda c=code: clocked(lambda: exec(c, {"__name__": "built"})), pairs)
        row("torchinfo summary" if summary else "torch module on meta", times, True)
    ours, theirs = allocated(check), allocated(parse)
    print(f"{name:<13} {ours:9.1f} MiB  {'Lark, embedded':<21}{theirs:9.1f} MiB", flush=True)
    return ours


def tenfold(few: Path, many: Path, pairs: int) -> tuple[float, float, str]:
    """A check of ten times the lines beside ten checks: 1 where time grows as the text does."""
    small, large = (Source(path.name, path.read_text("utf-8")) for path in (few, many))
    return compared(
        lambda: clocked(lambda: api.check_text(large)),
        lambda: sum(clocked(lambda: api.check_text(small)) for _ in range(10)),
        pairs,
    )


def main(pairs: int, only: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        cases: list[tuple[str, Path, str | None, bool, int]] = []
        for name in SPECS:
            spec, net = api.split(str(ROOT / "specs" / name))
            cases.append((net or Path(spec).stem, Path(spec), net, True, pairs))
        for lines in LINES:
            spec = scratch / f"lines_{lines}.cnn"
            spec.write_text(generated(lines), "utf-8")
            cases.append((str(lines), spec, None, lines <= MOST_TORCH, 3 if lines >= SLOW else pairs))
        cases = [case for case in cases if case[0] in only or not only]
        print(f"as a process: netc check beside others (median of {pairs} pairs, 3 of {SLOW} lines; peak memory)")
        for name, spec, net, torch, turns in cases:
            as_processes(name, spec, net, scratch, torch, turns)
        print("\nin process: netc.api.check_text beside others")
        parser = stock()
        parser.parse(generated(50))  # pyright: ignore[reportUnknownMemberType] -- as above
        memory = [in_process(*case[:3], parser, *case[3:]) for case in cases]
        print("\nten times the lines, beside ten checks")
        for few, many in pairwise(zip(cases, memory, strict=True)):
            if few[0][0].isdigit():
                (name, spec, *_), (larger, large, *_, turns) = few[0], many[0]
                ours, theirs, ratio = tenfold(spec, large, turns)
                print(
                    f"{larger:>6} lines {1000 * ours:9.1f} ms   10 of {name:>6} {1000 * theirs:9.1f} ms   ratio {ratio}"
                    f"   memory {many[1] / few[1]:.2f} times",
                    flush=True,
                )


if __name__ == "__main__":
    main(max(5, int(sys.argv[1])) if len(sys.argv) > 1 else 7, sys.argv[2:])
