"""The source of some nets as it is written today, for readers of a change: `pytest --update` writes it anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from netc import api
from netc.backends.torch import source

NETS = {
    "lenet5": "lenet5.cnn",
    "resnet18": "resnet.cnn:ResNet18",
    "googlenet": "googlenet.cnn",
    "unet": "unet.cnn:UNet2015",
    "mobilenet_v3": "mobilenet_v3.cnn:MobileNetV3Small",
    "efficientnet": "efficientnet.cnn:EfficientNetB0",
    "densenet": "densenet.cnn:DenseNet121",
}


@pytest.mark.parametrize("name", NETS)
def test_the_source_is_the_golden_one(name: str, root: Path, golden: Callable[[str, str], None]) -> None:
    golden(f"torch/{name}.py", source(api.load(root / "specs" / NETS[name])))
