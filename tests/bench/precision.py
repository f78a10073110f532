"""The speed of f16 and int8 beside f32 on this CPU, in ONNX Runtime: ratios of runs that take turns.

    python tests/bench/precision.py [--quick] [--json FILE] [--nets LeNet5,ResNet50] [--batches 1,8,32] [--threads 1,2]

Weights are random, and int8's ranges come from seeded inputs: this is about speed alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

from netc import api
from netc.backends.build import build
from netc.backends.precision.examples import calibration
from netc.backends.precision.speed import compared
from netc.backends.precision.wanted import Wanted
from netc.backends.verify import kaiming
from netc.passes.deploy import deploy
from netc_runtime.golden import golden_input
from tests.bench.tables import told

SPECS = Path(__file__).parents[2] / "specs"
NETS = {"LeNet5": "lenet5.cnn", "GoogLeNet": "googlenet.cnn", "ResNet50": "resnet.cnn:ResNet50"}
BAR, BAR_BATCHES = 2.5, (1, 8)
COLUMNS = ["net", "threads", "batch", "f32 / int8", "f32 / f16"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path)
    options.add_argument("--nets", default=",".join(NETS))
    options.add_argument("--batches", default="1,8,32")
    options.add_argument("--threads", default="1,2")
    options.add_argument("--quick", action="store_true", help="LeNet5 in one picture on one thread")
    given = options.parse_args()
    if given.quick:
        given.nets, given.batches, given.threads = "LeNet5", "1", "1"
    rows: list[list[str]] = []
    for name in given.nets.split(","):
        rows += measured(name, numbers(given.batches), numbers(given.threads))
    notes = [
        "How many times as fast as our own f32 file: medians of runs that take turns. Random weights, seeded inputs.",
        "f16 is for accelerators: ONNX Runtime's CPU computes it in f32, between casts.",
    ]
    notes[:0] = bar(rows)
    found = {"title": "Precision: int8 and f16 beside f32", "columns": COLUMNS, "rows": rows, "notes": notes}
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def bar(rows: list[list[str]]) -> list[str]:
    """Whether ResNet-50 in int8 is so many times as fast as in f32, for one picture and for 8."""
    held = [row for row in rows if row[0] == "ResNet50" and int(row[2]) in BAR_BATCHES]
    if not held:
        return []
    listed = ", ".join(f"{row[3]} (batch {row[2]}, {row[1]} threads)" for row in held)
    fast = all(float(row[3]) >= BAR for row in held)
    return [told(fast, f"ResNet50 in int8 is at least {BAR} times as fast as in f32, at batch 1 and 8: {listed}.")]


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def measured(name: str, batches: list[int], threads: list[int]) -> list[list[str]]:
    """The rows of one net."""
    graph, _ = deploy(api.load(SPECS / NETS[name]), {})
    weights = kaiming(graph)
    (image,) = graph.inputs
    sides = [side for side in image.type.dims[1:] if isinstance(side, int)]
    x = golden_input(0, (max(batches), *sides))
    wanted = {
        "f32": Wanted("f32"),
        "int8": Wanted("int8", calibration(graph, golden_input(1, (8, *sides))), max_drop=100.0),
        "f16": Wanted("f16"),
    }
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {word: Path(folder) / f"{word}.onnx" for word in wanted}
        for word, each in wanted.items():
            build(graph, weights, paths[word], verify=False, precision=each)
        for count in threads:
            runs = {word: session(path, count) for word, path in paths.items()}
            for batch in batches:
                feed = {image.name: x[:batch]}
                ratios = [
                    compared(batch, lambda: runs["f32"](feed), lambda word=word: runs[word](feed)).ratio  # noqa: B023
                    for word in ("int8", "f16")
                ]
                rows.append([name, str(count), str(batch), *(f"{ratio:.2f}" for ratio in ratios)])
                print("  ".join(rows[-1]), flush=True)
    return rows


def session(path: Path, threads: int) -> Callable[[Any], Any]:
    """What runs a file with so many threads."""
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    opened = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: opened.run(None, feed)


if __name__ == "__main__":
    main()
