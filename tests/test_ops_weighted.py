"""Layers with weights, and layers sized like another value, by hand, by brute force and in the nets they come from."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from netc import api
from netc.backends import torch as torch_backend
from netc.backends.torch import as_tensor
from netc.diagnostic import Source
from netc.graph import Graph
from netc.op import Layer
from netc.ops._proof import exceeds, fits
from netc.ops.scale import Scale
from netc.tensor import Side, Size, Symbol, TensorType, at
from tests.one_layer import arrays, image, in_onnxruntime, in_torch, layer, net, randomised, to_onnx

WORKED: list[tuple[str, dict[str, Any], TensorType, str, int, int]] = [
    # kind, arguments, what enters, what leaves, learned parameters, MACs
    # LeNet-5's c1 without shared weights: 6 * 28*28 units, each with 5*5*1 weights and a bias: 4,704 * 26;
    # MACs as with shared ones, 6 * 28*28 * 25
    ("local", {"c": 6, "k": 5, "pad": 2}, image(1, 28, 28), "6x28x28", 122_304, 117_600),
    # (9 - 3) / 2 + 1 = 4 places: 2 * 4 * (3*5 + 0)
    ("local", {"c": 2, "k": 3, "stride": 2, "bias": False}, image(5, 9), "2x4", 120, 120),
    # DeepFace's L4: 16 * 55*55 units of 9*9*16 + 1; 63 - 9 + 1 = 55
    ("local", {"c": 16, "k": 9}, image(16, 63, 63), "16x55x55", 62_774_800, 62_726_400),
    # MobileNet's first depthwise convolution: 32 * 9; 32 * 112*112 * 9
    ("depthwise", {"k": 3, "pad": 1, "bias": False}, image(32, 112, 112), "32x112x112", 288, 3_612_672),
    # 2 kernels a channel: 6 (3*3 + 1); 6 * 4*4 * 9
    ("depthwise", {"k": 3, "mult": 2, "stride": 2, "pad": 1}, image(3, 8, 8), "6x4x4", 60, 864),
    ("ln", {}, image(96, 56, 56), "96x56x56", 192, 0),
    ("ln", {"over": "all"}, image(4, 5, 6), "4x5x6", 240, 0),
    ("gn", {"groups": 32}, image(64, 7, 7), "64x7x7", 128, 0),
    ("prelu", {}, image(64, 7, 7), "64x7x7", 64, 0),
    ("prelu", {"shared": True}, image(64, 7, 7), "64x7x7", 1, 0),
    ("scale", {}, image(96, 56, 56), "96x56x56", 96, 0),
    ("upsample", {"factor": (2, 3)}, image(8, 5, 7), "8x10x21", 0, 0),
]


def _run(op: Layer, *xs: Any, weights: dict[str, Any] | None = None) -> Any:
    """What ONNX Runtime computes; torch has to agree to the last bits of float32."""
    graph = net(op, *(image(x.shape[1], *x.shape[2:]) for x in xs))
    module = torch_backend.module(graph, weights).eval() if weights else randomised(graph)
    found = in_onnxruntime(to_onnx(graph, module, 20), xs)
    np.testing.assert_allclose(found, in_torch(module, xs), rtol=1e-5, atol=1e-5)
    return found


def test_local_has_a_kernel_a_place() -> None:
    x = arrays([image(2, 5, 6)], batch=3)[0]
    op = layer("local", c=3, k=(2, 3), stride=(1, 2), pad=(1, 0, 0, 1))
    places = op.infer(image(2, 5, 6)).sides
    assert places == (5, 3)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 3, 3, 2, 2, 3), np.float32)
    bias = rng.standard_normal((3, 5, 3), np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1)))
    y = np.empty((3, 3, 5, 3), np.float32)
    for i, j in product(range(5), range(3)):
        patch = padded[:, :, i : i + 2, 2 * j : 2 * j + 3]
        y[:, :, i, j] = np.einsum("nckl,ockl->no", patch, weight[i, j]) + bias[:, i, j]
    found = _run(op, x, weights={"layer.weight": weight, "layer.bias": bias})
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-5)


def test_local_with_equal_kernels_is_a_convolution() -> None:
    x = arrays([image(3, 7, 7, 7)])[0]
    fields: dict[str, Any] = {"c": 4, "k": 3, "stride": 2, "pad": 1}
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((4, 3, 3, 3, 3), np.float32), rng.standard_normal(4, np.float32)
    everywhere = {
        "layer.weight": np.ascontiguousarray(np.broadcast_to(weight, (4, 4, 4, *weight.shape))),
        "layer.bias": np.ascontiguousarray(np.broadcast_to(bias[:, None, None, None], (4, 4, 4, 4))),
    }
    once = {"layer.weight": weight, "layer.bias": bias}
    found = _run(layer("local", **fields), x, weights=everywhere)
    np.testing.assert_allclose(found, _run(layer("conv", **fields), x, weights=once), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("kaiming", (2 / (8 * 9)) ** 0.5),  # over the fan out: 8 kernels of 3x3
        ("xavier", (2 / (8 * 9 + 16 * 9)) ** 0.5),  # 2 / (fan in + fan out), whatever the distribution
        (("normal", ((None, 0.02),)), 0.02),
    ],
)
def test_local_starts_by_the_fans_of_a_convolution(init: object, std: float) -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
    module = torch_backend.module(net(layer("local", c=8, k=3, init=init), image(16, 10, 10)))
    # 8*8 places of 8 * 16 * 9 weights: the standard deviation of a sample of 73,728 is within 1 % of the true one
    state = module.state_dict()
    assert state["layer.weight"].std().item() == pytest.approx(std, rel=0.01)
    assert not state["layer.bias"].any()


def test_depthwise_channels_stay_apart() -> None:
    # Output channels 2 i and 2 i + 1 come of input channel i alone.
    op = layer("depthwise", k=1, mult=2, bias=False)
    x = np.zeros((1, 3, 1, 1), np.float32)
    x[0, 1] = 1
    weight = np.arange(1, 7, dtype=np.float32).reshape(6, 1, 1, 1)
    assert _run(op, x, weights={"layer.weight": weight}).ravel().tolist() == [0, 0, 3, 4, 0, 0]


def _normal(x: Any, axis: tuple[int, ...], eps: float) -> Any:
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)  # of the whole: divided by n, not n - 1
    return (x - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize("over", ["channels", "all"])
def test_ln_is_the_formula(over: str) -> None:
    x = 5 * arrays([image(4, 3, 5)])[0] + 2
    shape = (4,) if over == "channels" else (4, 3, 5)
    rng = np.random.default_rng(0)
    weights = {f"layer.{n}": rng.standard_normal(shape, np.float32) for n in ("weight", "bias")}
    found = _run(layer("ln", over=over, eps=0.1), x, weights=weights)
    weight, bias = (w.reshape(4, *([1, 1] if over == "channels" else [3, 5])) for w in weights.values())
    y = _normal(x.astype(np.float64), (1,) if over == "channels" else (1, 2, 3), 0.1) * weight + bias
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-5)


def test_gn_is_the_formula() -> None:
    x = 5 * arrays([image(6, 3, 5)])[0] + 2
    rng = np.random.default_rng(0)
    weights = {f"layer.{n}": rng.standard_normal(6, np.float32) for n in ("weight", "bias")}
    found = _run(layer("gn", groups=2, eps=0.1), x, weights=weights)
    even = _normal(x.astype(np.float64).reshape(2, 2, 3, 3, 5), (2, 3, 4), 0.1).reshape(x.shape)
    weight, bias = (w.reshape(6, 1, 1) for w in weights.values())
    np.testing.assert_allclose(found, even * weight + bias, rtol=1e-4, atol=1e-5)


def test_prelu_has_a_slope_a_channel() -> None:
    x = np.array([[[-2.0, 3.0], [-2.0, 3.0]]], np.float32)
    slopes = np.array([0.5, 10], np.float32)
    assert _run(layer("prelu"), x, weights={"layer.weight": slopes}).tolist() == [[[-1, 3], [-20, 3]]]
    assert _run(layer("prelu", shared=True), x, weights={"layer.weight": slopes[:1]}).tolist() == [[[-1, 3], [-1, 3]]]


def _graph(text: str) -> Graph:
    checked = api.check_text(Source("weighted.cnn", text))
    assert not checked.diagnostics, [d.message for d in checked.diagnostics]
    (graph,) = checked.graphs.values()
    return graph


CONVNEXT = """
block rest(c) {{
  "block": {{
    0: depthwise(k=7, pad=3) -> 2: ln(eps=1e-6) -> 3: fc(4 * c, each=true) -> gelu -> 5: fc(c, each=true)
  }} -> {scale}
}}
net Block {{
  input image: f32[N, 8, H, W]
  output map: f32[N, 8, H, W]
  from image -> skip {{ _: rest(8) }} => map
}}
"""


def test_a_convnext_block_loads_torchvisions_weights(oracle: ModuleType) -> None:
    # torchvision.models.convnext: CNBlock has `layer_scale` of (dim, 1, 1), full of 1e-6, beside `block`.
    published = oracle.models.convnext.CNBlock(8, layer_scale=1e-6, stochastic_depth_prob=0.0).eval()
    graph = _graph(CONVNEXT.format(scale="layer_scale: scale(init=1e-6)"))
    fresh = torch_backend.module(graph).state_dict()["layer_scale"]
    assert fresh.shape == (8, 1, 1)
    assert torch.equal(fresh, published.layer_scale.data)
    published.layer_scale.data.uniform_(-1, 1)
    state = published.state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == {n: p.shape for n, p in graph.parameters()}
    module = torch_backend.module(graph, {name: t.numpy() for name, t in state.items()}).eval()
    for sides in ((9, 12), (16, 7)):
        (x,) = arrays([image(8, *sides)])
        with torch.no_grad():
            expected = published(as_tensor(x)).numpy()
        np.testing.assert_allclose(in_torch(module, [x]), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(in_onnxruntime(to_onnx(graph, module, 20), [x]), expected, rtol=1e-4, atol=1e-4)


def test_a_flat_scale_is_timms_gamma() -> None:
    # timm.models.convnext keeps `gamma` as (dim,) and reshapes it when it is used.
    graph = _graph(CONVNEXT.format(scale="gamma: scale(flat=true, init=1e-6)"))
    shapes = dict(graph.parameters())
    assert shapes["gamma"].shape == (8,)
    assert Scale().params(image(8))[""].shape == (8,)  # features have no sides to be 1


NEAREST = [(14, 2), (24, 20), (6, 7), (7, 12), (5, 205), (2, 82), (2129, 4257), (13, 25), (1, 5), (9, 9), (10, 20)]
"""Sides before and after; in float32 torch takes a wrong row at 82 and 4257, ONNX Runtime's Resize at 2."""


@pytest.mark.parametrize(("n", "m"), NEAREST)
def test_nearest_takes_the_row_that_whole_numbers_say(n: int, m: int) -> None:
    x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
    rows = [i * n // m for i in range(m)]
    assert _run(layer("upsample"), x, np.zeros((1, 1, m), np.float32)).ravel().tolist() == rows
    if m % n == 0:
        assert _run(layer("upsample", factor=m // n), x).ravel().tolist() == rows


def test_float32_does_take_wrong_rows() -> None:
    # The reason for the detours; the day that torch is exact here, they can go.
    x = torch.arange(2.0).reshape(1, 1, 2)
    assert functional.interpolate(x, scale_factor=41)[0, 0, 41].item() == 0
    assert 41 * 2 // 82 == 1


def test_bilinear_is_linear_between_pixel_centres() -> None:
    # Centres of 4 pixels over 2 lie at -1/4, 1/4, 3/4 and 5/4; beyond the first and the last there is only the border.
    x = np.array([[[0, 4]]], np.float32)
    assert _run(layer("upsample", factor=2, mode="bilinear"), x).ravel().tolist() == [0, 1, 3, 4]
    # With `corners`, 3 pixels lie at 0, 1/2 and 1 of the way from the first centre to the last; 4 at thirds of it.
    found = _run(layer("upsample", mode="bilinear", corners=True), x, np.zeros((1, 1, 3), np.float32))
    assert found.ravel().tolist() == [0, 2, 4]
    found = _run(layer("upsample", factor=2, mode="bilinear", corners=True), x)
    np.testing.assert_allclose(found.ravel(), [0, 4 / 3, 8 / 3, 4], rtol=1e-6)


def test_crop_starts_at_its_offset() -> None:
    x = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)
    like = np.zeros((1, 3, 2, 2), np.float32)
    assert _run(layer("crop", offset=(1, 3)), x, like).ravel().tolist() == [8, 9, 13, 14]
    assert _run(layer("crop"), x, like).ravel().tolist() == [0, 1, 5, 6]


FCN = """
# FCN-8s (arXiv:1411.4038, voc-fcn8s/train.prototxt of fcn.berkeleyvision.org), smaller.
block stage(c, pad = 1) { conv: conv(c, k=3, pad=pad) -> relu -> maxpool(k=2, round=ceil) }
net Fcn(classes = 3) {
  input image: f32[N, 3, H, W]
  output map: f32[N, classes, H, W]
  from image -> s1: stage(2, 100) -> s2: stage(2) -> s3: stage(4) -> s4: stage(4) -> s5: stage(4)
    -> fc6: conv(4, k=7) -> relu -> score_fr: conv(classes, k=1)
    -> upscore2: upconv(classes, k=4, stride=2, bias=false)
  from s4 -> score_pool4: conv(classes, k=1) -> crop(like = upscore2, offset = 5) -> score_pool4c: id
  from upscore2, score_pool4c -> add -> upscore4: upconv(classes, k=4, stride=2, bias=false)
  from s3 -> score_pool3: conv(classes, k=1) -> crop(like = upscore4, offset = 9) -> score_pool3c: id
  from upscore4, score_pool3c -> add -> upscore8: upconv(classes, k=16, stride=8, bias=false)
    -> crop(like = image, offset = OFFSET) => map
}
"""

UNET = """
# The first two levels of U-Net (arXiv:1505.04597), whose convolutions do not pad; offsets as in figure 1's last crops.
block double(c) { conv1: conv(c, k=3) -> relu -> conv2: conv(c, k=3) -> relu }
net Unet {
  input image: f32[N, 1, H, W]
  output map: f32[N, 2, MH, MW]
  from image -> enc1: double(4) -> maxpool(k=2) -> enc2: double(8) -> maxpool(k=2) -> middle: double(8)
    -> up2: upconv(8, k=2, stride=2)
  from enc2 -> crop(like = up2, offset = 4) -> side2: id
  from side2, up2 -> concat -> dec2: double(8) -> up1: upconv(4, k=2, stride=2)
  from enc1 -> crop(like = up1, offset = 16) -> side1: id
  from side1, up1 -> concat -> dec1: double(4) -> head: conv(2, k=1) => map
}
"""

PYRAMID = """
# The top-down path of a feature pyramid (arXiv:1612.03144): sides need not be multiples of anything.
net Pyramid {
  input image: f32[N, 3, H, W]
  output map: f32[N, 4, MH, MW]
  from image -> c1: conv(4, k=3, stride=2, pad=1) -> c2: conv(4, k=3, stride=2, pad=1)
    -> c3: conv(4, k=3, stride=2, pad=1) -> top: id
  from top -> upsample(like = c2) -> t2: id
  from t2, c2 -> add -> upsample(like = c1, mode=MODE) -> t1: id
  from t1, c1 -> add => map
}
"""


@pytest.mark.parametrize(
    ("text", "sizes", "sides"),
    [
        (FCN.replace("OFFSET", "31"), [(7, 1), (33, 20)], [(7, 1), (33, 20)]),
        # 45 -> 41 -> 20 -> 16 -> 8 -> 4 -> 8 -> 4 -> 8 -> 4
        (UNET, [(44, 46), (45, 60)], [(4, 4), (4, 20)]),
        (PYRAMID.replace("MODE", "nearest"), [(13, 16), (9, 23)], [(7, 8), (5, 12)]),
        (PYRAMID.replace("MODE", "bilinear"), [(13, 16), (9, 23)], [(7, 8), (5, 12)]),
    ],
    ids=["fcn", "unet", "nearest-pyramid", "bilinear-pyramid"],
)
def test_one_onnx_file_serves_images_of_any_size(
    text: str, sizes: list[tuple[int, int]], sides: list[tuple[int, int]]
) -> None:
    graph = _graph(text)
    module = randomised(graph)
    for opset in (17, 20, 26):
        model = to_onnx(graph, module, opset)
        for size, expected in zip(sizes, sides, strict=True):
            inputs = arrays([image(graph.inputs[0].type.c, *size)])
            y = in_torch(module, inputs)
            assert y.shape[2:] == expected
            found = in_onnxruntime(model, inputs)
            np.testing.assert_allclose(found, y, rtol=0, atol=2e-5 * np.abs(y).max())


EVERY = """
net Every {
  input image: f32[N, 3, 30, 31]
  input wide: f32[N, 3, H, W]
  output map: f32[N, 4, 30, 31]
  output free: f32[N, 3, MH, MW]
  output line: f32[N, 3, 205]
  input signal: f32[N, 3, 5]
  from image -> local(4, k=3, stride=2, pad=1, init=kaiming) -> ln -> gn(2) -> prelu -> depthwise(k=3, pad=1)
    -> gamma: scale(flat=true, init=1e-6) -> layer_scale: scale -> upsample(like = image) => map
  from wide -> maxpool(k=3) -> nearest: upsample(like = wide) -> small: maxpool(k=2) -> upsample(like = wide)
    -> crop(like = small) -> upsample(3) -> crop(like = small, offset = 1) => free
  from signal -> upsample(41) => line
}
"""


def test_the_torch_source_is_what_ruff_writes_and_finds_no_fault_with(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(torch_backend.source(_graph(EVERY)), encoding="utf-8")
    for command in (["check"], ["format", "--check", "--diff"]):
        words = [*command, "--config", str(root / "pyproject.toml"), "--no-cache", str(path)]
        done = subprocess.run([sys.executable, "-m", "ruff", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_value_named_like_a_function_of_the_source_hides_nothing() -> None:
    graph = _graph(EVERY)
    xs = arrays([image(3, 30, 31), image(3, 13, 10), image(3, 5)])
    with torch.no_grad():
        y = torch_backend.module(graph).eval()(*map(as_tensor, xs))
    # 13 -> 4 -> 13 -> 6, and 10 -> 3 -> 10 -> 5
    assert [tuple(v.shape[1:]) for v in y.values()] == [(4, 30, 31), (3, 6, 5), (3, 205)]


def test_a_pyramid_enlarges_as_torch_does_to_a_size() -> None:
    # Between odd sides F.interpolate(size=...) is exact below 2,129 rows; that is what published pyramids call.
    h, w = Size.of(Symbol("H")), Size.of(Symbol("W"))
    x, like = image(2, (h + 1) // 2, (w + 1) // 2), image(2, h, w)
    graph = net(layer("upsample"), x, like)
    assert "_nearest" not in torch_backend.source(graph)
    module = torch_backend.module(graph)
    for n, m in product(range(1, 40), repeat=2):
        value = torch.randn(1, 2, (n + 1) // 2, (m + 1) // 2)
        expected = functional.interpolate(value, size=(n, m))
        assert torch.equal(module(value, torch.empty(1, 2, n, m)), expected)


@st.composite
def two_sides(draw: st.DrawFn) -> tuple[Side, Side]:
    """Sides as layers make them of H and W: windows, steps and factors, one after the other."""
    lows, divisors = st.integers(1, 9), st.integers(1, 4)
    symbols = [Symbol(n, draw(divisors), draw(lows), draw(st.none() | st.just(40))) for n in "HW"]
    sides: list[Side] = []
    for _ in range(2):
        side: Side = draw(st.sampled_from([Size.of(symbols[0]), Size.of(symbols[0]), Size.of(symbols[1]), 9]))
        for _ in range(draw(st.integers(0, 4))):
            side = (side + draw(st.integers(-4, 4))) // draw(st.integers(1, 4)) * draw(st.integers(1, 3))
        sides.append(side)
    return sides[0], sides[1]


@settings(max_examples=150)
@given(sides=two_sides(), offset=st.integers(0, 5))
def test_what_is_proved_to_fit_fits_and_a_counterexample_does_not(sides: tuple[Side, Side], offset: int) -> None:
    part, whole = sides
    symbols = {n: s for side in sides if isinstance(side, Size) for n, s in side.symbols().items()}
    proved = fits(part, offset, whole)
    for values in product(*([n for n in range(s.low, 41) if n % s.divisor == 0] for s in symbols.values())):
        sizes = dict(zip(symbols, values, strict=True))
        small, large = at(part, sizes), at(whole, sizes)
        assert not proved or small + offset <= large or small < 1 or large < 1, sizes
    found = exceeds(part, offset, whole)
    assert found is None or (not proved and at(part, found) + offset > at(whole, found))


def test_fcns_last_crop_has_room_at_every_size() -> None:
    # 32 ceil((H + 198) / 32) - 136 is at least H + 62, and no more at H = 26: 62 is the largest offset for all sizes.
    _graph(FCN.replace("OFFSET", "62"))
    checked = api.check_text(Source("fcn.cnn", FCN.replace("OFFSET", "63")))
    (found,) = [d for d in checked.diagnostics if d.code == "N223"]
    assert "26 + 63 is more than 88 at H=26" in found.message
