"""The independent judge of other tests: torchvision, beside the torch that is installed."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def test_torchvision_is_the_pinned_one(root: Path, oracle: ModuleType) -> None:
    pins = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"torchvision=={oracle.__version__.partition('+')[0]}" in pins


def test_torchvisions_resnet50_has_its_published_parameter_count(oracle: ModuleType) -> None:
    with torch.device("meta"):
        model: torch.nn.Module = oracle.models.resnet50()
    # torchvision's table of weights, ResNet50_Weights: 25,557,032
    assert sum(parameter.numel() for parameter in model.parameters()) == 25_557_032


def test_timm_is_within_reach_of_the_oracle(oracle: ModuleType) -> None:
    timm = import_module("timm")
    with torch.device("meta"):
        model: torch.nn.Module = timm.create_model("resnet18")
    # He et al. 2015, ResNet-18; torchvision's table: 11,689,512
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_689_512


def test_the_oracle_leaves_torchs_registration_as_it_was(oracle: ModuleType) -> None:
    library: Any = torch.library
    assert library.register_fake.__module__ == "torch.library"
