"""On a GPU: parity of ONNX Runtime's CUDA provider, inference through the runtime, and training.

Run `python tests/bench/gpu.py [--quick] [--mnist DIR] [--json FILE] [PART...]`; parts are parity, inference, training
and mnist. One process holds all sides, whose runs take turns: a GPU has one queue. A figure is the median over rounds
of ours divided by theirs, with its middle half. torchvision must be installed for training, MNIST's files for mnist.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
import torch.nn.functional as F
from torch import nn

import netc_runtime
from netc import api
from netc.backends.torch import module
from netc.backends.verify import kaiming
from netc.backends.verify.calibrated import calibrated
from netc.graph import Graph
from netc.passes.deploy import deploy
from netc.training import data as source
from netc.training import trainer
from netc_runtime.providers import CUDA
from tests.bench import exports
from tests.bench.cells import NETS, Net
from tests.bench.pairs import alternate, ratio
from tests.bench.tables import Table, told, write
from tests.bench.train_step import torchvision

ROOT = Path(__file__).parent.parent.parent
SIDE = 96
"""Of pictures whose size the spec leaves open."""
BOUND = 1e-4
"""The house's measure of parity in f32, here of CUDA without TF32 against the CPU."""
PARITY_SECONDS, CELL_SECONDS = 90.0, 0.4
TRAINED = {"ResNet18": ("resnet.cnn", "resnet18"), "ResNet50": ("resnet.cnn", "resnet50")}
PASSED_BY = ("volume3d", "video_resnet")
"""Specs that a minute of a GPU is not spent on."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Parity, inference and training on a GPU.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="LeNet-5 and ResNet-18 alone")
    parser.add_argument("--compiled", action="store_true", help="train with torch.compile too, which takes minutes")
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="MNIST's four files")
    parser.add_argument("--device", default="cuda", help="cpu tries the script where there is no GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON, after every part")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU that torch sees", file=sys.stderr)
        raise SystemExit(3)
    card = torch.cuda.get_device_name() if given.device == "cuda" else "the CPU"
    tables: list[Table] = []
    failed = False
    for part in given.parts or PARTS:
        try:
            tables += PARTS[part](card, given)
        except Exception:
            traceback.print_exc()  # a part that fails leaves the others their minutes
            failed = True
        write(tables, given.json)
    raise SystemExit(failed)


# --- parity


def parity(card: str, given: argparse.Namespace) -> list[Table]:
    """Every net of the zoo that the time suffices for: CUDA's answers beside the CPU's, in three sizes of batch."""
    rows: list[list[str]] = []
    worst, end = 0.0, time.monotonic() + PARITY_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        for target in targets(given.quick):
            if time.monotonic() > end:
                break
            graph = api.load(target)
            batch = inputs(graph, 8)
            file = artefact(target, graph, Path(folder) / "net.onnx", batch)
            graphed = netc_runtime.load(file, given.device)
            ours = netc_runtime.load(file, given.device, cuda_graph=False)
            right = netc_runtime.load(file, "cpu").predict(batch)
            found = max(distance(right, ours.predict(some(batch, count))) for count in (1, 3, 8))
            again = max(distance(right, graphed.predict(some(batch, count))) for count in (3, 3, 3, 8, 8))
            ours.check()
            worst = max(worst, found, again)
            nodes = ours.report().nodes
            rows.append([graph.name, *(f"{each:.1e}" for each in (found, again)), str(nodes.get(CUDA, 0))])
            print("  ".join(rows[-1]), flush=True)
    notes = [
        told(worst <= BOUND, f"answers on CUDA lie at most {BOUND:.0e} of their spread from the CPU's, in float32."),
        f"{len(rows)} nets, with fitted random weights; TF32 off, as `netc-runtime` has it; 1, 3 and 8 rows, so that "
        "batches are filled up; every one's golden example is reproduced, and no node is left to the CPU.",
    ]
    return [Table(f"Parity on CUDA ({card})", ["net", "CUDA", "CUDA graph", "nodes on CUDA"], rows, notes)]


def targets(quick: bool) -> Iterator[str]:
    """All nets of the zoo, the classic ones first."""
    first = [net.target for net in NETS if not quick or net.name in ("LeNet5", "ResNet18")]
    yield from first
    if quick:
        return
    for path in api.specs(ROOT / "specs"):
        if path.stem not in PASSED_BY:
            yield from (f"{path}:{net}" for net in api.check(path).nets if f"{path}:{net}" not in first)


def inputs(graph: Graph, batch: int) -> dict[str, npt.NDArray[np.float32]]:
    """Normally distributed numbers; all of a net's open sides are of one size."""
    random = np.random.default_rng(0)
    shapes = {i.name: [batch, *(n if isinstance(n, int) else SIDE for n in i.type.dims[1:])] for i in graph.inputs}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def some(batch: Mapping[str, npt.NDArray[Any]], count: int) -> dict[str, npt.NDArray[Any]]:
    return {name: array[:count] for name, array in batch.items()}


def artefact(target: str, graph: Graph, file: Path, samples: Mapping[str, Any], **more: Any) -> Path:
    """What `netc build` writes of a net, with random weights that keep float32's rounding small."""
    fitted, _ = deploy(graph, {})
    random = kaiming(graph)
    weights = {**random, **calibrated(fitted, random, samples)}
    safetensors.numpy.save_file(weights, file.with_suffix(".safetensors"))
    api.build(target, file, weights=file.with_suffix(".safetensors"), verify=False, **more)
    return file


def distance(right: Mapping[str, npt.NDArray[Any]], found: Mapping[str, npt.NDArray[Any]]) -> float:
    """The largest difference as a share of the right answers' spread over the examples; the worst output counts."""
    worst = 0.0
    for name, array in found.items():
        spread = float(np.sqrt(((right[name] - right[name].mean(axis=0)) ** 2).mean())) or 1.0
        worst = max(worst, float(np.abs(right[name][: len(array)] - array).max()) / spread)
    return worst


# --- inference

OWN, UNGRAPHED, HALF = "netc-runtime", "without CUDA graphs", "f16"
BARE, EXPORT, EAGER = "session.run, our file", "session.run, torch's export", "torch"
SIDES = (UNGRAPHED, HALF, BARE, EXPORT, EAGER)


def inference(card: str, given: argparse.Namespace) -> list[Table]:
    """Arrays in and arrays out, the copies to the card and back included."""
    rows: list[list[str]] = []
    slower: list[str] = []
    for net in NETS:
        if net.name == "UNet" or (given.quick and net.name not in ("LeNet5", "ResNet18")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            sides = contenders(net, Path(folder), given.device)
            for batch in (1, 8, 32):
                feed = inputs(api.load(net.target), batch)
                times = alternate({name: timed(side, feed) for name, side in sides.items()}, CELL_SECONDS * len(sides))
                ratios = {name: ratio(times[OWN], times[name]) for name in SIDES}
                rows.append([net.name, str(batch), f"{1e3 * median(times[OWN]):.3f}", *map(str, ratios.values())])
                print("  ".join(rows[-1]), flush=True)
                slower += [f"{net.name} in {batch}"] * (ratios[EXPORT].median > 1.03)
    notes = [
        told(not slower, "through netc-runtime at most 1.03 times a bare session on torch's export" + said(slower)),
        "A ratio is netc-runtime's time in float32 as a share of the column's: below 1, it is the faster. TF32 is off "
        "on all sides. f16, and what runs without CUDA graphs, is netc-runtime too.",
    ]
    columns = ["net", "batch", "netc-runtime, ms", *(f"/ {side}" for side in SIDES)]
    return [Table(f"Inference on CUDA ({card})", columns, rows, notes)]


def said(slower: list[str]) -> str:
    return f"; not {', '.join(slower)}." if slower else "."


def contenders(net: Net, folder: Path, device: str) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Each side as a function of arrays."""
    ort: Any = import_module("onnxruntime")
    graph = api.load(net.target)
    samples = inputs(graph, 4)
    ours = artefact(net.target, graph, folder / "net.onnx", samples)
    half = artefact(net.target, graph, folder / "half.onnx", samples, precision="f16")
    weights = safetensors.numpy.load_file(ours.with_suffix(".safetensors"))
    theirs = api.compile(net.target, weights=weights).eval()
    exports.export(graph, theirs, folder / "script.onnx", dynamo=False)
    own = netc_runtime.load(ours, device)
    ungraphed = netc_runtime.load(ours, device, cuda_graph=False)
    halved = netc_runtime.load(half, device)
    options = [
        (CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}) if device == "cuda" else "CPUExecutionProvider"
    ]
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    bare, exported = (ort.InferenceSession(str(file), quiet, options) for file in (ours, folder / "script.onnx"))
    theirs = theirs.to(device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    @torch.inference_mode()
    def eager(feed: Mapping[str, Any]) -> list[Any]:
        answer = theirs(*(torch.from_numpy(each).to(device) for each in feed.values()))
        return [each.cpu().numpy() for each in (answer.values() if isinstance(answer, dict) else [answer])]

    sides: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        OWN: own.predict,
        UNGRAPHED: ungraphed.predict,
        HALF: halved.predict,
        BARE: lambda feed: bare.run(None, dict(feed)),
        EXPORT: lambda feed: exported.run(None, dict(feed)),
        EAGER: eager,
    }
    right = own.predict(samples)
    for name, side in sides.items():
        answer = side(samples)
        apart = distance(right, answer if isinstance(answer, dict) else dict(zip(right, answer, strict=True)))
        assert apart <= 1e-3 or name == HALF, f"{net.name}: {name} lies {apart:.1e} from netc-runtime"
    return sides


def timed(side: Callable[[Mapping[str, Any]], Any], feed: Mapping[str, Any]) -> Callable[[], float]:
    for _ in range(3):  # what is tuned or captured for a shape is before the first turn
        side(feed)
    start = time.perf_counter()
    side(feed)
    times = max(1, min(200, round(0.02 / (time.perf_counter() - start))))

    def turn() -> float:
        start = time.perf_counter()
        for _ in range(times):
            side(feed)
        return (time.perf_counter() - start) / times

    return turn


# --- training


class Way(NamedTuple):
    """How a step is taken."""

    name: str
    half: bool
    compiled: bool


WAYS = (Way("float32", False, False), Way("bf16, channels last", True, False), Way("bf16, compiled", True, True))


def training(card: str, given: argparse.Namespace) -> list[Table]:
    """A step of the emitted module beside a step of torchvision's: forward, loss, backward and SGD with momentum."""
    models = torchvision()
    rows: list[list[str]] = []
    worst = 0.0
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    batch = 8 if given.device == "cpu" else 128
    for name, (spec, builder) in TRAINED.items():
        if given.quick and name != "ResNet18":
            continue
        for way in WAYS:
            if way.compiled and not given.compiled:
                continue
            theirs: nn.Module = models.get_model(builder, weights=None)
            ours = module(api.load(f"{ROOT / 'specs' / spec}:{name}"))
            ours.load_state_dict(theirs.state_dict())
            turns = {"ours": step(ours, batch, way, given.device), "theirs": step(theirs, batch, way, given.device)}
            for turn in turns.values():
                for _ in range(3):
                    turn()
            times = alternate(turns, 12, most=15)
            found = ratio(times["ours"], times["theirs"])
            worst = max(worst, found.median)
            rates = [f"{batch / median(times[side]):,.0f}" for side in ("ours", "theirs")]
            rows.append([name, way.name, str(batch), *rates, str(found)])
            print("  ".join(rows[-1]), flush=True)
    torch.backends.cudnn.benchmark = False
    notes = [
        told(worst <= 1.03, "a step of the emitted module takes at most 1.03 times torchvision's time."),
        "Pictures of 224 by 224 that lie on the card; TF32 allowed; the ratio is of times, so below 1 is faster.",
    ]
    columns = ["net", "arithmetic", "batch", "netc, pictures/s", "torchvision, pictures/s", "ratio"]
    return [Table(f"A step of training beside torchvision's module ({card})", columns, rows, notes)]


def step(net: nn.Module, batch: int, way: Way, device: str) -> Callable[[], float]:
    """Ten steps at a time; seconds of one."""
    layout = torch.channels_last if way.half else torch.contiguous_format
    net = net.to(device, memory_format=layout).train()  # pyright: ignore[reportCallIssue]
    call: Any = torch.compile(net) if way.compiled else net
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    x = torch.randn(batch, 3, 224, 224, device=device).to(memory_format=layout)
    target = torch.randint(0, 1000, (batch,), device=device)
    steps = 1 if device == "cpu" else 10

    def turn() -> float:
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16) if way.half else nullcontext():
                loss = F.cross_entropy(call(x), target)
            loss.backward()
            optimizer.step()
        wait(device)
        return (time.perf_counter() - start) / steps

    return turn


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# --- netc train


def mnist(card: str, given: argparse.Namespace) -> list[Table]:
    """`netc train` of LeNet-5 beside a loop written by hand: an epoch each in turns, then the spec's ten epochs."""
    if given.mnist is None:
        raise SystemExit("mnist needs --mnist DIR")
    graph = api.load(f"{ROOT / 'specs' / 'lenet5.cnn'}:LeNet5")
    data = source.load(f"idx:{given.mnist}", graph)
    by_hand = loop(data, given.device)

    def ours() -> float:
        return trainer.train(graph, data, epochs=1, device=given.device).history[0].seconds

    for turn in (ours, by_hand):
        turn()
    times = alternate({"ours": ours, "theirs": by_hand}, 20, most=9)
    result = trainer.train(graph, data, device=given.device)
    (accuracy,) = result.accuracy.values()
    rows = [
        [
            "LeNet5",
            *(f"{median(times[side]):.2f}" for side in ("ours", "theirs")),
            str(ratio(times["ours"], times["theirs"])),
            f"{100 * accuracy:.2f} %",
            f"{result.seconds:.1f}",
        ]
    ]
    notes = [
        "An epoch is 60,000 pictures in batches of 64 and the test on 10,000; both sides keep the "
        "pictures on the card and have cuDNN's deterministic algorithms.",
    ]
    columns = ["net", "netc train, s an epoch", "a loop by hand", "ratio", "accuracy after 10 epochs", "in seconds"]
    return [Table(f"MNIST ({card})", columns, rows, notes)]


def loop(data: Any, device: str) -> Callable[[], float]:
    """The usual script: the same net, batches, optimiser and schedule, without progress or checks."""
    pictures, labels = ({} for _ in range(2))
    for part in ("train", "test"):
        split = getattr(data, part)
        pictures[part] = torch.as_tensor(split.tensor(range(len(split))))
        labels[part] = torch.as_tensor(split.labels)

    def epoch() -> float:
        with deterministic():
            torch.manual_seed(0)
            x, y, test = pictures["train"].to(device), labels["train"].to(device), pictures["test"].to(device)
            net = nn.Sequential(
                *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh()),
                *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh()),
                nn.Linear(84, 10),
            ).to(device)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, -(-len(x) // 64))
            start = time.perf_counter()
            order = torch.randperm(len(x)).to(device)
            for at in range(0, len(x), 64):
                rows = order[at : at + 64]
                optimizer.zero_grad()
                F.cross_entropy(net(x.index_select(0, rows)), y.index_select(0, rows)).backward()
                optimizer.step()
                schedule.step()
            with torch.inference_mode():
                found = torch.cat([net(test[at : at + 64]).argmax(1) for at in range(0, len(test), 64)])
                assert float((found.cpu() == labels["test"]).float().mean()) > 0.8
        return time.perf_counter() - start

    return epoch


@contextmanager
def deterministic() -> Generator[None]:
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


PARTS: Mapping[str, Callable[[str, argparse.Namespace], list[Table]]] = {
    "parity": parity,
    "inference": inference,
    "training": training,
    "mnist": mnist,
}

if __name__ == "__main__":
    main()
