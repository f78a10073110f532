"""A build without verification, from a safetensors file to an ONNX file, beside the disk and beside torch's exporters.

In process: `netc.api.build` (parse, check, passes, manifest, hashes and all) as a ratio to a plain write of the bytes
that it makes, through the same temporary file, fsync and rename; and torch.onnx.export of the module that netc emits,
with the same weights loaded, as a ratio to it. As a process: `netc build --no-verify` beside the shortest script around
torch.onnx.export, with the peak memory of both. The dynamo export of a net of a thousand layers runs once.

Ratios are medians over pairs that run in turns, with their middle half. Torch is imported when what is held against the
disk has been measured. Run `.bench/bin/python tests/bench/build.py [--quick] [--json FILE] [--pairs N] [NET...]`; `make
bench ONLY=build` makes that environment: the dynamo exporter needs onnxscript.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from netc import api
from netc.atomic import replacing
from tests.bench.pairs import ENVIRONMENT, Ratio, alternate, ratio
from tests.bench.tables import Table, told, write

# pyright: reportUnknownMemberType=false

ROOT = Path(__file__).parent.parent.parent
MIB = 2**20


@dataclass(frozen=True)
class Net:
    """A net of the zoo; `bar` is how many times its plain write a build may take, `once` what is measured once."""

    name: str
    spec: str
    sides: tuple[int, int] = (224, 224)
    bar: float | None = None
    once: frozenset[str] = field(default_factory=frozenset[str])
    faster: float | None = None
    """How many times faster than the dynamo export a build has to be."""
    process: float | None = None
    """The same of the processes."""

    @property
    def target(self) -> str:
        return str(ROOT / "specs" / self.spec)


DYNAMO, SCRIPT = "dynamo", "dynamo=False"
NETS = (
    Net("AlexNet", "alexnet.cnn:AlexNet"),
    Net("VGG16", "vgg.cnn:VGG16", bar=1.3),
    Net("GoogLeNet", "googlenet.cnn:GoogLeNet"),
    Net("ResNet50", "resnet.cnn:ResNet50", bar=1.3),
    Net("ResNet152", "resnet.cnn:ResNet152", bar=1.3, process=20),
    Net("ResNet1202", "cifar_resnet.cnn:ResNet1202", (32, 32), bar=4, faster=300, once=frozenset({DYNAMO})),
)


@dataclass
class Case:
    """A net, its files, and what was measured of it: seconds by who took them, MiB where a process did."""

    net: Net
    folder: Path
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    peaks: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.net.name}.safetensors"

    @property
    def out(self) -> Path:
        return self.folder / f"{self.net.name}.onnx"

    def over(self, ours: str, theirs: str) -> Ratio:
        """The pairs' ratio."""
        return ratio(self.seconds[ours], self.seconds[theirs])


# --- what runs


MAKE = """
import sys
from netc import api, weights
from netc.backends.torch import source
from netc.backends.verify import kaiming
graph = api.load(sys.argv[1])
weights.save(kaiming(graph), sys.argv[2])
open(sys.argv[3], "w").write(source(graph))
"""
"""A net's weights and its module's source, made by another process: this one has no torch yet."""

EXPORT = """
import torch
from safetensors.torch import load_file
from {module} import {name}
net = {name}()
net.load_state_dict(load_file({weights!r}))
torch.onnx.export(net.eval(), (torch.randn(1, 3, {height}, {width}),), {out!r}, {words})
"""
WORDS = {DYNAMO: "dynamo=True, external_data=False, verbose=False", SCRIPT: "dynamo=False"}


def built(case: Case, *, verify: bool = False) -> None:
    api.build(case.net.target, case.out, weights=case.weights, verify=verify)


def written(case: Case, data: bytes) -> None:
    with replacing(case.out.with_suffix(".bin")) as file:
        file.write(data)


def exported(module: Any, case: Case, **words: Any) -> None:
    import torch

    torch.onnx.export(module, (torch.randn(1, 3, *case.net.sides),), case.out.with_suffix(".export"), **words)


def clocked(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


LAUNCH = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss, status)
"""


def process(case: Case, who: str, command: tuple[str, ...]) -> float:
    """Seconds of a process; the most memory that it held is noted. A small process starts it: what that has counts."""
    launch = (sys.executable, "-I", "-S", "-c", LAUNCH, *command)
    told = subprocess.run(launch, cwd=case.folder, env=ENVIRONMENT, capture_output=True, check=True, text=True).stdout
    seconds, kib, status = map(float, told.split())
    assert not status, f"{' '.join(command)} failed"
    case.peaks[who] = max(case.peaks.get(who, 0.0), kib / 1024)
    return seconds


# --- the tables


def beside_the_disk(case: Case, pairs: int) -> None:
    """Build and write in turns; torch is not there."""
    assert "torch" not in sys.modules
    built(case)
    data = case.out.read_bytes()
    turns = {"netc": lambda: clocked(lambda: built(case)), "write": lambda: clocked(lambda: written(case, data))}
    case.seconds |= alternate(turns, 10, pairs)


def beside_the_exporters(case: Case, pairs: int) -> None:
    """Build and export in turns, in the process that has torch; and a few verified builds."""
    module = api.compile(case.net.target, weights=case.weights).eval()
    exports: dict[str, dict[str, Any]] = {
        DYNAMO: {"dynamo": True, "external_data": False, "verbose": False},
        SCRIPT: {"dynamo": False},
    }
    for name, words in exports.items():
        turns: dict[str, Callable[[], float]] = {
            f"netc beside {name}": lambda: clocked(lambda: built(case)),
            name: partial(clocked, partial(exported, module, case, **words)),
        }
        if name in case.net.once:
            case.seconds[name] = [turns[name]()]
            case.seconds[f"netc beside {name}"] = [turns[f"netc beside {name}"]() for _ in range(pairs)]
        else:
            case.seconds |= alternate(turns, 0, pairs, pairs)
    case.seconds["verified"] = [clocked(lambda: built(case, verify=True)) for _ in range(3)]


def as_processes(case: Case, pairs: int) -> None:
    """`netc build --no-verify` and scripts in turns."""
    command = (sys.executable, "-m", "netc", "build", case.net.target, "--weights", str(case.weights), "--no-verify")
    ours = (*command, "-o", str(case.out))
    for name, words in WORDS.items():
        script = case.folder / f"{case.net.name}_{name.replace('=', '_')}.py"
        height, width = case.net.sides
        script.write_text(
            EXPORT.format(
                module=f"{case.net.name}_net",
                name=case.net.name,
                weights=str(case.weights),
                height=height,
                width=width,
                out=str(case.out.with_suffix(".export")),
                words=words,
            ),
            "utf-8",
        )
        turns: dict[str, Callable[[], float]] = {
            f"netc beside script {name}": lambda: process(case, "netc", ours),
            f"script {name}": partial(process, case, name, (sys.executable, str(script))),
        }
        if name in case.net.once:
            case.seconds[f"script {name}"] = [turns[f"script {name}"]()]
            case.seconds[f"netc beside script {name}"] = [turns[f"netc beside script {name}"]() for _ in range(pairs)]
        else:
            case.seconds |= alternate(turns, 0, pairs, pairs)


def times(case: Case, ours: str, theirs: str) -> float:
    """How many times longer the others take."""
    if len(case.seconds[theirs]) == 1:
        return case.seconds[theirs][0] / median(case.seconds[ours])
    return 1 / case.over(ours, theirs).median


def shown(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def tables(cases: list[Case], pairs: int) -> list[Table]:
    disk: list[list[str]] = []
    process_rows: list[list[str]] = []
    disk_bars: list[str] = []
    process_bars: list[str] = []
    for case in cases:
        net, seconds = case.net, {who: median(each) for who, each in case.seconds.items()}
        size = case.out.stat().st_size
        over = case.over("netc", "write")
        faster = times(case, f"netc beside {DYNAMO}", DYNAMO)
        disk.append(
            [
                net.name,
                f"{size / MIB:.0f} MiB",
                shown(seconds["netc"]),
                shown(seconds["write"]),
                str(over),
                f"{shown(seconds[DYNAMO])}, {faster:.0f} times",
                f"{shown(seconds[SCRIPT])}, {times(case, f'netc beside {SCRIPT}', SCRIPT):.1f} times",
                shown(seconds["verified"]),
            ]
        )
        if net.bar is not None:
            disk_bars.append(
                told(over.median <= net.bar, f"{net.name}: {over.median:.2f} of its write, at most {net.bar}")
            )
        if net.faster is not None:
            disk_bars.append(
                told(faster >= net.faster, f"{net.name}: {faster:.0f} times dynamo, at least {net.faster:.0f}")
            )
        beside = {name: times(case, f"netc beside script {name}", f"script {name}") for name in WORDS}
        weights = case.weights.stat().st_size
        most = 1.3 * weights / MIB + 150e6 / MIB
        process_rows.append(
            [
                net.name,
                f"{weights / MIB:.0f} MiB",
                shown(seconds[f"netc beside script {DYNAMO}"]),
                f"{case.peaks['netc']:.0f} MiB",
                *(
                    cell
                    for name in WORDS
                    for cell in (
                        f"{shown(seconds[f'script {name}'])}, {beside[name]:.1f} times",
                        f"{case.peaks[name]:.0f} MiB",
                    )
                ),
            ]
        )
        words = f"{net.name}: {case.peaks['netc']:.0f} MiB at most held, {most:.0f} allowed (1.3 x weights + 150 MB)"
        process_bars.append(told(case.peaks["netc"] <= most, words))
        if net.process is not None:
            words = f"{net.name}: {beside[DYNAMO]:.1f} times the dynamo script, at least {net.process:.0f}"
            process_bars.append(told(beside[DYNAMO] >= net.process, words))
    return [
        Table(
            "netc build without verification, in process",
            [
                *("net", "file", "netc", "write()", "netc / write()"),
                *("torch.onnx.export(dynamo=True)", "dynamo=False", "netc, verified"),
            ],
            disk,
            [*disk_bars, f"Medians of {pairs} pairs or more, in turns; the ratio's middle half in parentheses."],
        ),
        Table(
            "netc build --no-verify as a process",
            [
                *("net", "weights", "netc", "its memory"),
                *("script with dynamo=True", "its memory", "script with dynamo=False", "its memory"),
            ],
            process_rows,
            [*process_bars, f"Medians of {pairs} pairs, in turns; memory is the most that a process held."],
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(net.name for net in NETS)}; all")
    parser.add_argument("--pairs", type=int, default=5, help="at least 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the tables go too")
    parser.add_argument("--quick", action="store_true", help="GoogLeNet alone")
    given = parser.parse_args()
    pairs = max(5, given.pairs)
    names = given.nets or (["GoogLeNet"] if given.quick else [net.name for net in NETS])
    chosen = [net for net in NETS if net.name in names]
    with tempfile.TemporaryDirectory() as scratch:
        cases = [Case(net, Path(scratch)) for net in chosen]
        for case in cases:
            source = case.folder / f"{case.net.name}_net.py"
            command = (sys.executable, "-c", MAKE, case.net.target, str(case.weights), str(source))
            subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True)
        for step in (beside_the_disk, as_processes, beside_the_exporters):
            for case in cases:
                print(f"{case.net.name}: {step.__name__.replace('_', ' ')}", file=sys.stderr, flush=True)
                step(case, pairs)
        write(tables(cases, pairs), given.json)


if __name__ == "__main__":
    main()
