"""A step of training the module that `netc build --emit torch` writes, beside a step of torchvision's own module.

Both have the same weights and see the same pictures: forward, loss, backward, SGD with momentum. They are in one
process, with memory allocation tuned for both, and their steps run in turns; a figure is the median over rounds of ours
divided by theirs, with its middle half: of seconds on the clock, and of processor seconds, which neighbours on the
machine disturb less. Training heads count on both sides.

Run `python tests/bench/train_step.py [--quick] [--threads N] [--batch N] [--rounds N] [--json FILE] [NET...]`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from netc import api
from netc.backends.torch import module
from tests.bench.contender import TUNED
from tests.bench.pairs import FEWEST, alternate, ratio
from tests.bench.tables import Table, told, write

ROOT = Path(__file__).parent.parent.parent
BAR = 1.03
CLASSES = 1000


class Net(NamedTuple):
    """A net of the zoo and torchvision's builder of the same."""

    spec: str
    builder: str


NETS = {
    "ResNet18": Net("resnet.cnn:ResNet18", "resnet18"),
    "ResNet50": Net("resnet.cnn:ResNet50", "resnet50"),
    "GoogLeNet": Net("googlenet_bn.cnn:GoogLeNetBN", "googlenet"),
    "MobileNetV2": Net("mobilenet_v2.cnn:MobileNetV2", "mobilenet_v2"),
    "DenseNet121": Net("densenet.cnn:DenseNet121", "densenet121"),
    "ConvNeXtTiny": Net("convnext.cnn:ConvNeXtTiny", "convnext_tiny"),
}
USUAL = ("ResNet18", "ResNet50", "GoogLeNet")
COLUMNS = ["net", "batch", "threads", "netc, ms", "torchvision, ms", "ratio", "ratio of processor time"]


def main() -> None:
    parser = argparse.ArgumentParser(description="A step of training beside torchvision's.")
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--quick", action="store_true", help="ResNet18 in a batch of 2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15, help=f"at most; at least {FEWEST}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    models = torchvision()
    batch = 2 if given.quick else given.batch
    rows: list[list[str]] = []
    worst = 0.0
    for name in given.nets or (USUAL[:1] if given.quick else USUAL):
        row, found = measured(name, models, batch, given.threads, given.rounds)
        rows.append(row)
        worst = max(worst, found)
        print("  ".join(row), flush=True)
    notes = [
        told(worst <= BAR, f"a step of the emitted module takes at most {BAR} times torchvision's processor time."),
        "Forward, loss with training heads, backward and SGD with momentum; float32, equal weights, in turns.",
    ]
    write([Table("A step of training beside torchvision's module", COLUMNS, rows, notes)], given.json)


def measured(name: str, models: Any, batch: int, threads: int, rounds: int) -> tuple[list[str], float]:
    """A row, and the ratio of processor time."""
    net = NETS[name]
    graph = api.load(ROOT / "specs" / net.spec)
    quiet = {"init_weights": False} if net.builder == "googlenet" else {}
    torch.manual_seed(0)
    theirs: nn.Module = models.get_model(net.builder, weights=None, **quiet)
    ours = module(graph)
    ours.load_state_dict(theirs.state_dict())
    x, target = torch.randn(batch, 3, 224, 224), torch.randint(0, CLASSES, (batch,))
    turns = {"ours": step(ours, x, target), "theirs": step(theirs, x, target)}
    for turn in turns.values():
        turn()
    processor = {side: list[float]() for side in turns}

    def timed(side: str) -> float:
        start = time.process_time()
        wall = turns[side]()
        processor[side].append(time.process_time() - start)
        return wall

    times = alternate({side: lambda side=side: timed(side) for side in turns}, seconds=600, most=rounds)
    found, apart = (ratio(each["ours"], each["theirs"]) for each in (times, processor))
    shown = [f"{1000 * median(times[side]):.0f}" for side in ("ours", "theirs")]
    return [name, str(batch), str(threads), *shown, str(found), str(apart)], apart.median


def step(net: nn.Module, x: torch.Tensor, target: torch.Tensor) -> Callable[[], float]:
    """A step that answers how many seconds it took."""
    optimizer = torch.optim.SGD(net.train().parameters(), lr=1e-4, momentum=0.9)

    def turn() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        answer: Any = net(x)
        if not isinstance(answer, torch.Tensor):
            answer = list(answer.values()) if isinstance(answer, dict) else list(cast("tuple[Any, ...]", answer))
        each = [answer] if isinstance(answer, torch.Tensor) else answer
        torch.stack([F.cross_entropy(scores, target) for scores in each]).sum().backward()
        optimizer.step()
        return time.perf_counter() - start

    return turn


def same(function: Any) -> Any:
    return function


def torchvision() -> Any:
    """torchvision's models, from the folder that `make oracle` makes."""
    library: Any = torch.library
    register = library.register_fake

    def register_ours(op: Any, *args: Any, **kwargs: Any) -> Any:
        # Beside a CPU-only torch its compiled operators do not load, and no net of these needs them.
        if isinstance(op, str) and op.startswith("torchvision::"):
            return same
        return register(op, *args, **kwargs)

    sys.path.append(str(ROOT / ".oracle"))
    library.register_fake = register_ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("torchvision").models
    finally:
        library.register_fake = register


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in TUNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TUNED})
    main()
