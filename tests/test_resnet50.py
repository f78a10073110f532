"""ResNet-50 from the spec against torchvision's module: the same names, and the same answers through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from safetensors.torch import save_file

from netc.cli import main
from netc_runtime.golden import golden_input

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

SAMPLES = 8
Answers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def torchvision_net(oracle: ModuleType) -> torch.nn.Module:
    """torchvision's ResNet-50 with Kaiming weights and random batch-norm weights and statistics."""
    torch.manual_seed(7)
    net: torch.nn.Module = oracle.models.resnet50(weights=None)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            with torch.no_grad():
                assert module.running_mean is not None
                assert module.running_var is not None
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def built(torchvision_net: torch.nn.Module, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resnet50")
    weights, out = folder / "weights.safetensors", folder / "resnet50.onnx"
    save_file(torchvision_net.state_dict(), weights)
    spec = root / "specs" / "resnet.cnn"
    # Unverified: what follows is the verification, by another hand.
    assert main(["build", f"{spec}:ResNet50", "--weights", str(weights), "-o", str(out), "--no-verify"]) == 0
    return out


@pytest.fixture(scope="module")
def answers(torchvision_net: torch.nn.Module) -> Answers:
    """R of the parity measure: float64 torchvision on 8 seeded pictures of 224x224."""
    pictures = torch.from_numpy(golden_input(11, (SAMPLES, 3, 224, 224)))
    net = torchvision_net.double()
    with torch.inference_mode():
        return torch.cat([net(pictures[i : i + 2].double()) for i in range(0, SAMPLES, 2)]).numpy()


def parity(model: onnx.ModelProto | Path, answers: Answers) -> float:
    """The measure of docs/architecture.md: max |ours - R| / V, in batches of 1, 7 and 2."""
    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    pictures = golden_input(11, (SAMPLES, 3, 224, 224))
    spread = np.sqrt(np.square(answers - answers.mean(axis=0)).mean())
    worst = 0.0
    for part in (slice(0, 1), slice(1, 8), slice(3, 5)):
        ours: Any = session.run(["scores"], {"image": pictures[part]})[0]
        worst = max(worst, float(np.abs(ours - answers[part]).max() / spread))
    return worst


def test_onnx_runtime_answers_what_torchvision_does(built: Path, answers: Answers) -> None:
    assert parity(built, answers) <= 1e-4


def test_a_wrong_border_fails_the_same_measure(built: Path, answers: Answers) -> None:
    model = onnx.load(built)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    pads = next(a for a in first.attribute if a.name == "pads")
    assert list(pads.ints) == [3, 3, 3, 3]
    # The same output size, the picture one pixel off.
    pads.CopyFrom(helper.make_attribute("pads", [2, 2, 4, 4]))
    assert parity(model, answers) > 1e-2
