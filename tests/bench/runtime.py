"""The runtime beside what it is built on, and beside other ways to serve a net.

Predictions: `Model.predict` beside a bare loop of ONNX Runtime's `run` on the very same session. Opening:
`netc_runtime.load` with and without the session cache; and a whole process, from its start to the labels of a JPEG,
beside the shortest scripts that do the same with ONNX Runtime and Pillow, with torch, and with OpenVINO. Memory: what
the process holds while eight threads make a hundred thousand predictions.

Ratios are medians over pairs that run in turns, with their middle half. Run `.bench/bin/python tests/bench/runtime.py
[--quick] [--json FILE]`; `make bench ONLY=runtime` makes that environment. Pictures have a benchmark of their own,
runtime_images.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from PIL import Image

import netc
import netc_runtime
from netc import api, weights
from netc.backends import torch as backend
from netc_runtime import memory, providers
from tests.bench.pairs import alternate, ratio
from tests.bench.tables import Table, told, write

# pyright: reportUnknownMemberType=false

ROOT = Path(__file__).parent.parent.parent
NETS = {
    "LeNet5": ("lenet5.cnn:LeNet5", (1, 28, 28)),
    "GoogLeNet": ("googlenet.cnn:GoogLeNet", (3, 224, 224)),
    "ResNet18": ("resnet.cnn:ResNet18", (3, 224, 224)),
    "ResNet50": ("resnet.cnn:ResNet50", (3, 224, 224)),
}
BATCHES = (1, 8, 32)
MOST_OVER, MOST_US = 1.03, 20.0
FASTER_OPEN, MOST_BARE, FASTER_TORCH = 5.0, 2.0, 5.0
PREDICTIONS, THREADS = 100_000, 8

BARE = """
import sys
import numpy as np
import onnxruntime as ort
from PIL import Image
image = Image.open(sys.argv[2]).convert("RGB")
width, height = image.size
scale = 256 / min(width, height)
image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
left, top = (image.width - 224) // 2, (image.height - 224) // 2
pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
batch = pixels.transpose(2, 0, 1)[None].astype(np.float32)
"""
SCRIPTS = {
    "onnxruntime and Pillow": BARE
    + """
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
scores = session.run(None, {session.get_inputs()[0].name: batch})[0][0]
print(np.argsort(-scores)[:5])
""",
    "torch": BARE.replace("import onnxruntime as ort", "import torch\nfrom safetensors.torch import load_file")
    + """
namespace = {}
exec(open(sys.argv[3]).read(), namespace)
net = namespace["ResNet18"]()
net.load_state_dict(load_file(sys.argv[4]))
with torch.inference_mode():
    scores = net.eval()(torch.from_numpy(batch))[0].numpy()
print(np.argsort(-scores)[:5])
""",
    "OpenVINO": BARE.replace("import onnxruntime as ort", "import openvino")
    + """
net = openvino.compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
scores = net(batch)[0][0]
print(np.argsort(-scores)[:5])
""",
}


class Net(NamedTuple):
    """A net's files."""

    name: str
    model: Path
    tensors: Path
    sides: tuple[int, ...]

    def draw(self, batch: int) -> np.ndarray[Any, Any]:
        return np.random.default_rng(0).standard_normal((batch, *self.sides)).astype(np.float32)


def made(name: str, folder: Path) -> Net:
    spec, sides = NETS[name]
    target = str(ROOT / "specs" / spec)
    tensors = folder / f"{name}.safetensors"
    weights.save(backend.initial(api.load(target), 0), tensors)
    netc.build(target, folder / f"{name}.onnx", weights=tensors)
    return Net(name, folder / f"{name}.onnx", tensors, sides)


def seconds(work: Callable[[], object], count: int) -> Callable[[], float]:
    """A turn: what one of `count` calls takes."""

    def turn() -> float:
        start = time.perf_counter()
        for _ in range(count):
            work()
        return (time.perf_counter() - start) / count

    return turn


# --- predictions


def predictions(nets: list[Net], batches: tuple[int, ...], span: float) -> Table:
    rows: list[list[str]] = []
    met, over_us = True, 0.0
    for net in nets:
        model = netc_runtime.load(net.model, "cpu")
        # The very session: two of one model may differ by some hundredths, by where their weights lie.
        runner: Any = model._runner  # pyright: ignore[reportPrivateUsage]
        bare: Callable[..., list[Any]] = runner._session.run
        names = [output.name for output in model.outputs]
        for batch in batches:
            x = net.draw(batch)
            feed = {model.inputs[0].name: x}
            assert all(np.array_equal(a, b) for a, b in zip(bare(names, feed), model.predict(x).values(), strict=True))
            start = time.perf_counter()
            bare(names, feed)
            count = max(1, int(0.05 / (time.perf_counter() - start)))
            turns = {
                "ours": seconds(partial(model.predict, x), count),
                "bare": seconds(partial(bare, names, feed), count),
            }
            found = alternate(turns, span, fewest=9, most=201)
            share = ratio(found["ours"], found["bare"])
            more = 1e6 * median(a - b for a, b in zip(found["ours"], found["bare"], strict=True))
            if net.name == "LeNet5":
                over_us = max(over_us, more if batch == 1 else 0.0)
            else:
                met = met and share.median <= MOST_OVER
            rows.append([net.name, str(batch), f"{1e3 * median(found['bare']):.3f}", str(share), f"{more:+.1f}"])
    notes = [told(met, f"at most {MOST_OVER} times the bare loop for GoogLeNet and ResNet-50")]
    notes.append(told(over_us <= MOST_US, f"at most {MOST_US:g} µs on top for LeNet-5: {over_us:.1f}"))
    columns = ["net", "batch", "bare loop, ms", "predict / bare loop", "on top, µs"]
    return Table("`predict` beside a bare loop of ONNX Runtime", columns, rows, notes)


# --- opening


def opening(nets: list[Net], span: float) -> Table:
    rows: list[list[str]] = []
    notes: list[str] = []
    for net in nets:
        os.environ["NETC_CACHE_DIR"] = str(net.model.parent / "cache")
        first, second = (netc_runtime.load(net.model, "cpu") for _ in range(2))
        same = all(np.array_equal(first.predict(net.draw(2))[n], a) for n, a in second.predict(net.draw(2)).items())
        del first, second
        turns = {
            "plain": seconds(lambda net=net: netc_runtime.load(net.model, "cpu", cache=False), 1),
            "cached": seconds(lambda net=net: netc_runtime.load(net.model, "cpu"), 1),
        }
        found = alternate(turns, span, fewest=9, most=41)
        assert netc_runtime.load(net.model, "cpu").report().cached
        times = ratio(found["plain"], found["cached"])
        plain, cached = (f"{1e3 * median(found[name]):.1f}" for name in ("plain", "cached"))
        rows.append([net.name, plain, cached, str(times), "equal" if same else "DIFFERENT"])
        if net.name == "ResNet50":
            notes.append(told(times.median >= FASTER_OPEN and same, f"{FASTER_OPEN:g} times sooner with the same bits"))
    columns = ["net", "without, ms", "with, ms", "times sooner", "bits of the answers"]
    return Table("Opening a session, with and without the session cache", columns, rows, notes)


def processes(net: Net, span: float) -> Table:
    folder = net.model.parent
    os.environ["NETC_CACHE_DIR"] = str(folder / "cache")
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((500, 375))
    coarse.save(folder / "picture.jpg", quality=90)
    source = folder / "resnet18.py"
    source.write_text(backend.source(api.load(str(ROOT / "specs" / NETS[net.name][0]))))
    ends = [str(each) for each in (net.model, folder / "picture.jpg", source, net.tensors)]
    lines = {name: [sys.executable, "-c", script, *ends] for name, script in SCRIPTS.items()}
    if find_spec("openvino") is None:
        del lines["OpenVINO"]
    lines["netc-runtime predict"] = [sys.executable, "-m", "netc_runtime", "predict", *ends[:2], "--device", "cpu"]

    def run(line: list[str]) -> None:
        subprocess.run(line, check=True, capture_output=True)

    for line in lines.values():
        run(line)
    turns: Mapping[str, Callable[[], float]] = {
        name: seconds(lambda line=line: run(line), 1) for name, line in lines.items()
    }
    found = alternate(turns, span, fewest=7, most=25)
    ours = found["netc-runtime predict"]
    rows = [
        [name, f"{median(taken):.2f}", "" if taken is ours else str(ratio(ours, taken))]
        for name, taken in found.items()
    ]
    bare, torch = ratio(ours, found["onnxruntime and Pillow"]), ratio(found["torch"], ours)
    notes = [
        told(bare.median <= MOST_BARE, f"at most {MOST_BARE:g} times the bare script: {bare.median:.2f}"),
        told(torch.median >= FASTER_TORCH, f"at least {FASTER_TORCH:g} times faster than torch: {torch.median:.1f}"),
    ]
    title = "From the start of a process to the labels of a JPEG, ResNet-18, the session cached"
    return Table(title, ["what runs", "seconds", "netc-runtime / this"], rows, notes)


# --- memory


def held(net: Net, count: int) -> Table:
    model = netc_runtime.load(net.model, "cpu", threads=1)
    inputs = [net.draw(1) + shift for shift in range(THREADS)]
    expected = [model.predict(x) for x in inputs]
    rows: list[list[str]] = []

    def work(index: int) -> float:
        worst = 0.0
        for _ in range(count // 10 // THREADS):
            found = model.predict(inputs[index])
            worst = max(worst, *(float(np.abs(a - expected[index][n]).max()) for n, a in found.items()))
        return worst

    with ThreadPoolExecutor(THREADS) as pool:
        sizes: list[float] = []
        worst = 0.0
        for part in range(10):
            worst = max(worst, *pool.map(work, range(THREADS)))
            sizes.append((memory.held().now_bytes or 0) / 2**20)
            rows.append([f"{(part + 1) * count // 10:,}", f"{sizes[-1]:.1f}"])
    notes = [f"The largest difference between an answer and the first one: {worst:g}."]
    notes.append(
        told(sizes[-1] - sizes[0] < 8, f"grown by {sizes[-1] - sizes[0]:.2f} MiB from the first row to the last")
    )
    return Table(
        f"Memory over {count:,} predictions of {net.name} by {THREADS} threads", ["made", "MiB held"], rows, notes
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The runtime beside what it is built on.")
    parser.add_argument("--quick", action="store_true", help="one net, a few seconds")
    parser.add_argument("--json", type=Path, help="write the tables here too")
    given = parser.parse_args()
    quick = given.quick
    os.environ["NETC_CACHE_DIR"] = "off"
    print(f"ONNX Runtime {ort.__version__}, {providers.usable_threads()} threads", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nets = {each: made(each, folder) for each in (("LeNet5", "ResNet18") if quick else NETS)}
        busy = [nets[each] for each in ("LeNet5", "GoogLeNet", "ResNet50") if each in nets]
        tables = [predictions(busy, BATCHES[:1] if quick else BATCHES, 1 if quick else 20)]
        tables.append(opening([net for net in nets.values() if net.name != "LeNet5"], 1 if quick else 10))
        tables.append(processes(nets["ResNet18"], 1 if quick else 60))
        tables.append(held(nets["LeNet5"], PREDICTIONS // 100 if quick else PREDICTIONS))
    write(tables, given.json)


if __name__ == "__main__":
    main()
