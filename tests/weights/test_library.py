"""torchvision's and timm's published weights: their loading code is run, and only the download is another."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from netc import api
from netc import weights as stored
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights.source import find
from tests.conftest import ROOT

# pyright: reportUnknownMemberType=false


def load(spec: str) -> Graph:
    return api.load(ROOT / "specs" / spec)


def random(theirs: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of a library's model, drawn anew."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(tensor.shape, generator=random) if tensor.is_floating_point() else tensor
        for name, tensor in theirs.state_dict().items()
    }


def downloads(monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]) -> list[str]:
    """Have torchvision find these weights wherever it looks; the list is where it looked."""
    asked: list[str] = []

    def give(url: str, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        asked.append(url)
        return dict(state)

    monkeypatch.setattr(import_module("torchvision.models._api"), "load_state_dict_from_url", give)
    return asked


def equal(weights: stored.Weights, state: dict[str, torch.Tensor]) -> bool:
    return list(weights) == list(state) and all(np.array_equal(weights[n], t.numpy()) for n, t in state.items())


def test_a_models_weights_of_a_name_are_loaded_by_torchvisions_builder(
    oracle: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random(oracle.models.resnet18())
    asked = downloads(monkeypatch, state)
    said: list[str] = []
    weights = stored.load("torchvision:resnet18/IMAGENET1K_V1", load("resnet.cnn:ResNet18"), say=said.append)
    assert equal(weights, state)
    assert asked == [oracle.models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert said == []


def test_without_a_name_the_librarys_default_is_taken_and_said(
    oracle: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = downloads(monkeypatch, random(oracle.models.mobilenet_v2()))
    said: list[str] = []
    stored.load("torchvision:mobilenet_v2", load("mobilenet_v2.cnn"), say=said.append)
    assert asked == [oracle.models.MobileNet_V2_Weights.DEFAULT.url]
    assert said == ["torchvision:mobilenet_v2: taken is IMAGENET1K_V2, its default"]


@pytest.mark.slow
def test_names_that_torchvision_mends_are_mended(oracle: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # DenseNet's published files are of an older torch: `norm.1` for `norm1`, and batch norm did not count.
    state = random(oracle.models.densenet121())
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): t for name, t in kept.items()}
    assert set(old) != set(state)
    downloads(monkeypatch, old)
    assert equal(stored.load("torchvision:densenet121", load("densenet.cnn:DenseNet121")), state)


def test_a_torchvision_model_or_weights_that_it_does_not_have_are_refused(oracle: ModuleType) -> None:
    for source, said in (
        ("torchvision:resnet19", "do you mean resnet1"),
        ("torchvision:resnet50/IMAGENET1K_V3", "there are IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision:", ""),
        ("torchvision:mnasnet0_5/", "there are IMAGENET1K_V1"),
    ):
        with pytest.raises(Fault) as caught:
            find(source)
        assert (caught.value.code, caught.value.exit_code) == ("N446", 1)
        assert said in caught.value.help
        assert source in caught.value.message


@pytest.mark.parametrize("error", [URLError("no network"), OSError(28, "No space left"), RuntimeError("hash")])
def test_a_download_that_fails_is_the_environments_fault(
    oracle: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(import_module("torchvision.models._api"), "load_state_dict_from_url", fail)
    with pytest.raises(Fault, match=r"cannot be had from https://download\.pytorch\.org") as caught:
        find("torchvision:squeezenet1_1")
    assert (caught.value.code, caught.value.exit_code) == ("N445", 3)
    assert "name the file" in caught.value.help


class Exploit:
    def __reduce__(self) -> Any:
        return Path("pwned").touch, ()


def test_a_download_with_code_in_it_is_refused_and_not_run(
    oracle: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # torchvision leaves it to torch.hub, which would run it.
    def download(url: str, target: str, *_: Any, **__: Any) -> None:
        torch.save({"x": Exploit()}, target)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(Fault) as caught:
        find("torchvision:squeezenet1_1")
    assert caught.value.code == "N441"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["torchvision", "timm"])
def test_a_package_that_is_not_installed_is_the_environments_fault(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Fault, match=f"the package `{name}` is not installed") as caught:
        find(f"{name}:resnet18")
    assert (caught.value.code, caught.value.exit_code) == ("N445", 3)
    assert caught.value.help == f"pip install {name}, or name a file of weights"


@pytest.mark.parametrize("model", ["mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenetv1_100"])
def test_timms_weights_are_loaded_by_its_own_code(
    oracle: ModuleType, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    timm: Any = import_module("timm")
    builder = import_module("timm.models._builder")
    state = random(timm.create_model("mobilenetv1_100"))
    asked: list[str] = []

    def there(necessary: bool = False) -> bool:
        return True

    def give(place: str, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        asked.append(place)
        return dict(state)

    monkeypatch.setattr(builder, "has_hf_hub", there)
    monkeypatch.setattr(builder, "load_state_dict_from_hf", give)
    said: list[str] = []
    assert equal(stored.load(f"timm:{model}", load("mobilenet_v1.cnn"), say=said.append), state)
    assert asked == ["timm/mobilenetv1_100.ra4_e3600_r224_in1k"]
    told = [f"timm:{model}: taken is mobilenetv1_100.ra4_e3600_r224_in1k, its default"]
    assert said == ([] if "." in model else told)


def test_a_timm_model_or_weights_that_it_does_not_have_are_refused(oracle: ModuleType) -> None:
    for source in ("timm:resnet19", "timm:resnet18.mine", "timm:", "timm:resnet18."):
        with pytest.raises(Fault) as caught:
            find(source)
        assert (caught.value.code, caught.value.exit_code) == ("N446", 1)


def test_timm_without_its_hub_is_the_environments_fault(oracle: ModuleType) -> None:
    pytest.importorskip("timm")
    if "huggingface_hub" in sys.modules:
        pytest.skip("the hub's client is there")
    with pytest.raises(Fault) as caught:
        find("timm:resnet18.a1_in1k")
    assert (caught.value.code, caught.value.exit_code) == ("N445", 3)
