"""Every net of specs/, as torch modules on the meta device or with drawn weights, and what enters them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from netc import api
from netc.backends.torch import module
from netc.graph import Graph
from netc.tensor import at
from tests.conftest import ROOT

BATCH, SIDE = 2, 64
"""What symbols are; every net of the zoo that takes any size takes this one."""

SPECS = sorted((ROOT / "specs").glob("*.cnn"))
NETS = re.compile(r"^net (\w+)", re.MULTILINE)
EVERY = [f"{path.name}:{net}" for path in SPECS for net in NETS.findall(path.read_text("utf-8"))]
QUICK = (
    "lenet5.cnn:LeNet5",
    "resnet.cnn:ResNet18",
    "googlenet.cnn:GoogLeNet",
    "unet.cnn:UNet",
    "mobilenet_v3.cnn:MobileNetV3Small",
    "densenet.cnn:DenseNet121",
    "convnext.cnn:ConvNeXtTiny",
    "shufflenet_v2.cnn:ShuffleNetV2_x0_5",
    "deeplab.cnn:DeepLabV3ResNet50",
    "lenet1989.cnn:LeNet1989",
    "volume3d.cnn:UNet3D",
)
"""Of every way of writing a net one: what each has alone is found here, sizes aside."""


def zoo(*quick: str) -> Any:
    """Parametrises a test over every net; those that are not `quick` take part in the long run."""
    names = quick or QUICK
    assert set(names) <= set(EVERY)
    marks = [pytest.param(name, marks=[] if name in names else [pytest.mark.long]) for name in EVERY]
    return pytest.mark.parametrize("name", marks)


@cache
def graph(name: str) -> Graph:
    """The net, checked."""
    return api.load(ROOT / "specs" / name)


def on_meta(name: str) -> nn.Module:
    """Without memory: shapes and types are computed, numbers are not."""
    with torch.device("meta"):
        return module(graph(name))


def entering(name: str, device: str = "meta", batch: int = BATCH) -> tuple[torch.Tensor, ...]:
    """A value for every input."""
    net = graph(name)
    sizes = {**dict.fromkeys(net.symbols(), SIDE), "N": batch}
    shapes = [[at(side, sizes) for side in each.type.dims] for each in net.inputs]
    random = torch.Generator().manual_seed(2)
    return tuple(torch.randn(shape, generator=random).to(device) for shape in shapes)


def leaving(name: str, *, training: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of what leaves, by the outputs' names."""
    net = graph(name)
    sizes = {**dict.fromkeys(net.symbols(), SIDE), "N": BATCH}
    outputs = [o for o in net.outputs if training or not o.train_only]
    return {o.name: tuple(at(side, sizes) for side in o.type.dims) for o in outputs}


def named(name: str, answer: Any) -> dict[str, torch.Tensor]:
    """What a module gave, by the outputs' names."""
    if isinstance(answer, dict):
        return answer
    [output] = [o for o in graph(name).outputs if not o.train_only]
    return {output.name: answer}
