"""Layers with the same weights whose inputs differ in size or rank."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netc
from netc.diagnostic import Fault

TWICE = """language 1

net Twice {
  input a: f32[N, 3, 8, 8]
  input b: f32[N, 3, 7, 7]
  output y: f32[N, 4, 4, 4]
  output z: f32[N, 4, 4, 4]
  from a -> c: conv(4, k=3, stride=2, pad=same_upper) => y
  from b -> @c => z
}
"""

TOWERS = """language 1

block tower() {
  conv1: conv(8, k=3, stride=2, pad=same_upper) -> relu
  -> conv2: depthwise(k=3, stride=2, pad=same_lower) -> gap -> flatten
}
block outer() { t: tower }

net Towers {
  input left: f32[N, 1, 32, 32]
  input mid: f32[N, 1, 31, 30]
  input right: f32[N, 1, 29, 29]
  output sum: f32[N, 8]
  from left -> a: outer
  from mid -> c: outer
  from right -> b: @a
  from a, b, c -> add => sum
}
"""

RANKS = """language 1

net Ranks {
  input a: f32[N, 3, 8, 8]
  output y: f32[N, 3]
  from a -> n: bn -> gap -> flatten -> m: @n => y
}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "shared.cnn"
    path.write_text(text)
    return path


def test_each_application_is_padded_for_its_own_size(tmp_path: Path) -> None:
    net = netc.compile(written(tmp_path, TWICE))
    a, b = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 7, 7)
    conv = net.get_submodule("c")
    assert isinstance(conv, nn.Conv2d)
    found = net(a, b)
    # Rounded up, 8 and 7 give 4: 8 lacks one row, at the end; 7 lacks two, one at each.
    for output, padded in (("y", F.pad(a, (0, 1, 0, 1))), ("z", F.pad(b, (1, 1, 1, 1)))):
        expected = F.conv2d(padded, conv.weight, conv.bias, stride=2)
        assert torch.allclose(found[output], expected, atol=1e-6)


@pytest.mark.parametrize("text", [TWICE, TOWERS])
def test_the_file_and_float64_torch_agree(tmp_path: Path, text: str) -> None:
    built = netc.build(written(tmp_path, text), tmp_path / "shared.onnx", init=0)
    assert built.parity is not None
    assert built.parity.passed


def test_what_torch_has_no_module_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"m at .* has the weights of n, and torch has no module that is both") as caught:
        netc.compile(written(tmp_path, RANKS))
    assert caught.value.code == "N425"
