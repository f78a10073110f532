"""What the benchmark of inference measures: nets, where they run, the sides that run them, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.pairs import Ratio, ratio

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Net:
    """A net of the zoo, the batches that it is run in, and whether torch.compile and int8 are tried, which is slow."""

    name: str
    spec: str
    batches: tuple[int, ...] = (1, 8, 32)
    compiled: bool = False
    int8: bool = False

    @property
    def target(self) -> str:
        """What the command line takes."""
        return str(ROOT / "specs" / self.spec)


NETS = (
    Net("LeNet5", "lenet5.cnn:LeNet5", compiled=True, int8=True),
    Net("AlexNet", "alexnet.cnn:AlexNet"),
    Net("VGG16", "vgg.cnn:VGG16", (1, 4)),  # a batch of 32 would take as long as all of the others
    Net("GoogLeNet", "googlenet.cnn:GoogLeNet"),
    Net("ResNet18", "resnet.cnn:ResNet18", compiled=True, int8=True),
    Net("ResNet50", "resnet.cnn:ResNet50", int8=True),
    Net("MobileNetV2", "mobilenet_v2.cnn:MobileNetV2", compiled=True, int8=True),
    Net("SqueezeNet1_1", "squeezenet.cnn:SqueezeNet1_1"),
    Net("UNet", "unet.cnn:UNet", (1, 8)),
)
QUICK = ("LeNet5", "ResNet18", "MobileNetV2")


class Place(NamedTuple):
    """Where a net runs."""

    name: str
    threads: int
    provider: str = "CPUExecutionProvider"
    device: str = "cpu"


ONE, TWO = Place("1 thread", 1), Place("2 threads", 2)
CUDA = Place("CUDA", 1, "CUDAExecutionProvider", "cuda")

NETC, AGAIN = "netc", "the same file again"
EXPORT, OLD_EXPORT = "torch's export (dynamo)", "torch's export (dynamo=False)"
EXPORTS = (EXPORT, OLD_EXPORT)
EAGER, COMPILED = "torch", "torch.compile"
OPENVINO, OPENVINO_OWN = "OpenVINO, f32", "OpenVINO, its default"
INT8, OPENVINO_INT8 = "netc, int8", "OpenVINO on that file"
OTHERS = (EAGER, COMPILED, OPENVINO, OPENVINO_OWN, INT8, OPENVINO_INT8)
LOOSE = frozenset({OPENVINO_OWN, INT8, OPENVINO_INT8})
"""What computes in fewer bits, so that its answers are told and not held to a bound."""

Rounds = Mapping[str, list[float]]
"""Seconds of one inference of each side, round by round."""


@dataclass
class Cell:
    """One net, batch and place; each group of sides ran in turns, netc in all of them."""

    net: str
    batch: int
    place: Place
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
    """All that was measured; `missing` says why something was not."""

    peaks: Mapping[int, float]
    peak_how: str
    cells: list[Cell] = field(default_factory=list[Cell])
    apart: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    missing: dict[str, str] = field(default_factory=dict[str, str])
