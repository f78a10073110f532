"""Numbers worked by hand, in the comments, or by brute force: no framework has a say here."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import erf, exp, pi, sqrt, tanh
from typing import Any, Literal

import numpy as np
import pytest

from netc.op import Layer
from netc.tensor import Size, Symbol, TensorType
from tests.one_layer import arrays, image, in_onnxruntime, layer, net, randomised, to_onnx
from tests.test_ops_weighted import WORKED as WORKED_WEIGHTED

WORKED: list[tuple[str, dict[str, Any], TensorType, str, int, int]] = [
    # kind, arguments, what enters, what leaves, learned parameters, MACs
    # LeNet-5 c1: 6 (5*5*1 + 1) = 156; 6 * 28*28 * 25 = 117,600
    ("conv", {"c": 6, "k": 5, "pad": 2}, image(1, 28, 28), "6x28x28", 156, 117_600),
    # LeNet-5 c3, fully connected to s2: 16 (5*5*6 + 1) = 2,416; 16 * 10*10 * 150 = 240,000
    ("conv", {"c": 16, "k": 5}, image(6, 14, 14), "16x10x10", 2_416, 240_000),
    # LeNet-5 c5: 120 (400 + 1) = 48,120; 120 * 400 = 48,000
    ("fc", {"c": 120}, image(400), "120", 48_120, 48_000),
    # VGG conv1_1: 64 (3*3*3 + 1) = 1,792; 64 * 224*224 * 27 = 86,704,128
    ("conv", {"c": 64, "k": 3, "pad": 1}, image(3, 224, 224), "64x224x224", 1_792, 86_704_128),
    # VGG fc6: 4096 (25088 + 1) = 102,764,544; 4096 * 25088 = 102,760,448
    ("fc", {"c": 4096}, image(25088), "4096", 102_764_544, 102_760_448),
    # AlexNet conv1: (227 - 11) / 4 + 1 = 55; 96 (11*11*3 + 1) = 34,944; 96 * 55*55 * 363 = 105,415,200
    ("conv", {"c": 96, "k": 11, "stride": 4}, image(3, 227, 227), "96x55x55", 34_944, 105_415_200),
    # AlexNet conv2, two groups: 256 (5*5*48 + 1) = 307,456; 256 * 27*27 * 1200 = 223,948,800
    ("conv", {"c": 256, "k": 5, "pad": 2, "groups": 2}, image(96, 27, 27), "256x27x27", 307_456, 223_948_800),
    # ResNet conv1: (224 + 6 - 7) // 2 + 1 = 112; 64 * 147 = 9,408; 64 * 112*112 * 147 = 118,013,952
    (
        "conv",
        {"c": 64, "k": 7, "stride": 2, "pad": 3, "bias": False},
        image(3, 224, 224),
        "64x112x112",
        9_408,
        118_013_952,
    ),
    # U-Net up4: 1024 * 512 * 4 + 512 = 2,097,664; every input pixel adds 512 kernels of 4: 1024 * 28*28 * 512 * 4
    ("upconv", {"c": 512, "k": 2, "stride": 2}, image(1024, 28, 28), "512x56x56", 2_097_664, 1_644_167_168),
    # (5 - 1) 2 - 2 + 3 + 1 = 10
    ("upconv", {"c": 1, "k": 3, "stride": 2, "pad": 1, "out_pad": 1}, image(1, 5, 5), "1x10x10", 10, 225),
    # weight and bias; the running mean, variance and count are not learned
    ("bn", {}, image(64, 56, 56), "64x56x56", 128, 0),
    # GoogLeNet pool1: ceil((112 - 3) / 2) + 1 = 56, where floor gives 55
    ("maxpool", {"k": 3, "stride": 2, "round": "ceil"}, image(64, 112, 112), "64x56x56", 0, 0),
    ("maxpool", {"k": 3, "stride": 2}, image(64, 112, 112), "64x55x55", 0, 0),
    # GoogLeNet's training heads: ceil((14 - 5) / 3) + 1 = 4
    ("avgpool", {"k": 5, "stride": 3, "round": "ceil"}, image(512, 14, 14), "512x4x4", 0, 0),
    # ceil((6 - 2) / 3) + 1 = 3, but the third window starts at 6, beyond the image: torch drops it, Caffe does not
    ("maxpool", {"k": 2, "stride": 3, "round": "ceil"}, image(1, 6, 6), "1x2x2", 0, 0),
    # dilation 2: a 3x3 kernel spans 5
    ("conv", {"c": 1, "k": 3, "dilation": 2}, image(1, 9, 9), "1x5x5", 10, 225),
    ("conv", {"c": 1, "k": 3, "dilation": 2, "pad": "half"}, image(1, 9, 9), "1x9x9", 10, 729),
    # ceil(7 / 2) = 4, and 8 / 2 = 4
    ("conv", {"c": 1, "k": 2, "stride": 2, "pad": "same_upper"}, image(1, 7, 8), "1x4x4", 5, 64),
    # 1 above and 2 below, none left and 3 right: 4 + 3 - 3 + 1 = 5 both ways
    ("conv", {"c": 1, "k": 3, "pad": (1, 2, 0, 3)}, image(1, 4, 4), "1x5x5", 10, 225),
    # CIFAR ResNet's option A: (32 - 1) // 2 + 1 = 16; 16 channels and 16 of zeros
    ("subsample", {"stride": 2}, image(16, 32, 32), "16x16x16", 0, 0),
    ("pad_channels", {"c": 32}, image(16, 16, 16), "32x16x16", 0, 0),
    ("flatten", {}, image(512, 7, 7), "25088", 0, 0),
    ("gap", {}, image(2048, 7, 7), "2048x1x1", 0, 0),
]


@pytest.mark.parametrize(("kind", "fields", "x", "shape", "params", "macs"), [*WORKED, *WORKED_WEIGHTED])
def test_worked_by_hand(kind: str, fields: dict[str, Any], x: TensorType, shape: str, params: int, macs: int) -> None:
    op = layer(kind, **fields)
    y = op.infer(x)
    assert y.shape == shape
    assert sum(p.size for p in op.params(x).values() if p.learned) == params
    assert op.macs(y, x) == macs


def test_padding_stands_where_it_was_asked_for() -> None:
    # One pixel of 1, a kernel of one weight: [t, b, l, r] moves it to row t, column l of the padded image.
    op = layer("conv", c=1, k=1, pad=(1, 2, 0, 3), bias=False)
    y = _run(op, np.ones((1, 1, 1, 1), np.float32))
    assert y.shape == (1, 1, 4, 4)
    assert np.argwhere(y != 0).tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize(("word", "row"), [("same_upper", 0), ("same_lower", 1)])
def test_same_pads_the_odd_pixel_above_or_below(word: str, row: int) -> None:
    # k=2, stride 1 on one pixel: one pixel of padding; upper puts it at the end, so the kernel's first weight is used.
    op = layer("conv", c=1, k=(2, 1), pad=word, bias=False)
    graph = net(op, image(1, 1, 1))
    module = randomised(graph)
    weight = module.state_dict()["layer.weight"].numpy()
    y = in_onnxruntime(to_onnx(graph, module, 20), [np.ones((1, 1, 1, 1), np.float32)])
    assert y.item() == weight[0, 0, row, 0]


def test_zeros_go_after_the_last_channel() -> None:
    y = _run(layer("pad_channels", c=5), np.ones((1, 2, 1, 1), np.float32))
    assert y.ravel().tolist() == [1, 1, 0, 0, 0]


def test_subsample_keeps_the_first_pixel() -> None:
    y = _run(layer("subsample", stride=3), np.arange(8, dtype=np.float32).reshape(1, 1, 8))
    assert y.ravel().tolist() == [0, 3, 6]


def test_flatten_goes_by_channel_then_row_then_column() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    assert _run(layer("flatten"), x).ravel().tolist() == list(range(12))


def test_an_average_counts_padding_only_when_told_to() -> None:
    # A corner window of 2x2 with one pixel of 8 and three of padding: 8 / 4 or 8 / 1.
    x = np.full((1, 1, 2, 2), 8, np.float32)
    assert _run(layer("avgpool", k=2, pad=1), x)[0, 0, 0, 0] == 2
    assert _run(layer("avgpool", k=2, pad=1, count_pad=False), x)[0, 0, 0, 0] == 8


def test_an_average_never_counts_what_rounding_up_adds() -> None:
    # 3 pixels, k=2: the second window holds the last pixel alone, 6 / 1.
    # 4 pixels, k=3, pad 1: the windows are (pad, 6, 6) and (6, 6, pad): 12 / 3.
    x = np.full((1, 1, 3), 6, np.float32)
    assert _run(layer("avgpool", k=2, round="ceil"), x).ravel().tolist() == [6, 6]
    y = _run(layer("avgpool", k=3, pad=1, round="ceil"), np.full((1, 1, 4), 6, np.float32))
    assert y.ravel().tolist() == [4, 4]


def test_lrn_is_the_formula_with_alpha_divided_by_the_window() -> None:
    op = layer("lrn", n=3, alpha=0.6, beta=0.5, k=2)
    x = arrays([image(4, 2, 2)])[0]
    y = np.empty_like(x)
    for c in range(4):
        energy = (x[:, max(c - 1, 0) : c + 2] ** 2).sum(axis=1)
        y[:, c] = x[:, c] / (2 + 0.6 / 3 * energy) ** 0.5
    np.testing.assert_allclose(_run(op, x), y, rtol=1e-5, atol=1e-6)


def test_decay_is_the_weight_of_the_old_average() -> None:
    # Mean of the batch 10, variance 0: after one step the running mean is 0.75 * 0 + 0.25 * 10.
    import torch

    from netc.backends import torch as torch_backend

    module = torch_backend.module(net(layer("bn", decay=0.75), image(1, 2)))
    module.train()(torch.full((4, 1, 2), 10.0))
    assert module.state_dict()["layer.running_mean"].item() == 2.5


def _starts(n: int, k: int, stride: int, dilation: int, pad: int, mode: Literal["floor", "ceil"]) -> int:
    """How many windows there are, by walking: the definition, without a division."""
    reach = dilation * (k - 1) + 1
    count = 0
    for start in itertools.count(-pad, stride):
        if start + reach <= n + pad:  # the whole window lies in the padded image
            count += 1
        elif mode == "ceil" and start < n and start - stride + reach < n + pad:
            count += 1  # cut off, and reaching what the one before did not
        else:
            return count
    raise AssertionError


@pytest.mark.parametrize("mode", ["floor", "ceil"])
def test_pooling_counts_windows_as_walking_does(mode: Literal["floor", "ceil"]) -> None:
    for n, k, stride, dilation in itertools.product(range(1, 10), range(1, 5), range(1, 6), range(1, 3)):
        for pad in range(k // 2 + 1):
            expected = _starts(n, k, stride, dilation, pad, mode)
            if expected < 1 or (pad and n < dilation):
                continue
            op = layer("maxpool", k=k, stride=stride, dilation=dilation, pad=pad, round=mode)
            assert op.infer(image(1, n)).sides == (expected,), (n, op)


def test_sizes_of_symbols_have_a_normal_form() -> None:
    height = Size.of(Symbol("H", divisor=32))
    x = image(3, height, height)
    for op in (layer("conv", c=64, k=7, stride=2, pad=3), layer("maxpool", k=3, stride=2, pad=1)):
        x = op.infer(x)
    assert x.shape == "64x(H/4)x(H/4)"


def _run(op: Layer, x: Any) -> Any:
    graph = net(op, image(x.shape[1], *x.shape[2:]))
    module = randomised(graph)
    return in_onnxruntime(to_onnx(graph, module, 20), [x])


@pytest.mark.parametrize(("parts", "sizes"), [(3, (2, 2, 2)), ((1, 3, 2), (1, 3, 2))])
def test_the_parts_of_a_split_are_numpys(parts: int | tuple[int, ...], sizes: tuple[int, ...]) -> None:
    (x,) = arrays([image(6, 2, 2)])
    found = [_run(part, x) for part in layer("split", parts=parts).spread(image(6, 2, 2))]
    for ours, expected in zip(found, np.split(x, np.cumsum(sizes)[:-1], axis=1), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_channel_shuffle_takes_one_channel_of_each_group_in_turn() -> None:
    # Zhang et al., figure 1: groups (0 1 2) and (3 4 5) become 0 3 1 4 2 5
    x = np.arange(6, dtype=np.float32).reshape(1, 6, 1)
    assert _run(layer("channel_shuffle", groups=2), x).ravel().tolist() == [0, 3, 1, 4, 2, 5]


def test_a_mirror_image_does_not_repeat_the_border_and_replicate_does() -> None:
    x = np.array([[[1, 2, 3]]], np.float32)
    assert _run(layer("pad", pad=(2, 1), mode="reflect"), x).ravel().tolist() == [3, 2, 1, 2, 3, 2]
    assert _run(layer("pad", pad=(2, 1), mode="replicate"), x).ravel().tolist() == [1, 1, 1, 2, 3, 3]
    assert _run(layer("pad", pad=(2, 1)), x).ravel().tolist() == [0, 0, 1, 2, 3, 0]


def test_pads_ends_are_top_bottom_left_right() -> None:
    y = _run(layer("pad", pad=(1, 2, 0, 3)), np.ones((1, 1, 1, 1), np.float32))
    assert y.shape == (1, 1, 4, 4)
    assert np.argwhere(y != 0).tolist() == [[0, 0, 1, 0]]


def test_l2norm_divides_by_the_length_over_channels_and_no_less_than_eps() -> None:
    # (3, 4) has length 5; (0.3, 0.4) has 0.5, less than an eps of 1
    x = np.array([[[3, 0.3], [4, 0.4]]], np.float32)
    np.testing.assert_allclose(_run(layer("l2norm", eps=1), x), [[[0.6, 0.3], [0.8, 0.4]]], rtol=1e-6)


def test_reshape_keeps_the_order_of_the_elements() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    y = _run(layer("reshape", shape=(3, 4)), x)
    assert y.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]]


def test_fc_with_each_is_one_matrix_at_every_position() -> None:
    op, (x,) = layer("fc", c=3, each=True), arrays([image(4, 2, 5)])
    graph = net(op, image(4, 2, 5))
    module = randomised(graph)
    weight, bias = (module.state_dict()[f"layer.{name}"].numpy() for name in ("weight", "bias"))
    expected = np.einsum("oc,nchw->nohw", weight, x) + bias[:, None, None]
    np.testing.assert_allclose(in_onnxruntime(to_onnx(graph, module, 20), [x]), expected, rtol=1e-5, atol=1e-5)
    assert op.macs(op.infer(image(4, 2, 5)), image(4, 2, 5)) == 3 * 4 * 2 * 5


def test_activations_are_their_formulas() -> None:
    formulas: list[tuple[str, dict[str, Any], Callable[[float], float]]] = [
        ("relu6", {}, lambda x: min(max(x, 0), 6)),
        ("leaky_relu", {}, lambda x: x if x >= 0 else 0.01 * x),
        ("leaky_relu", {"slope": 0.1}, lambda x: x if x >= 0 else 0.1 * x),
        ("elu", {"alpha": 0.5}, lambda x: x if x > 0 else 0.5 * (exp(x) - 1)),
        ("gelu", {}, lambda x: x / 2 * (1 + erf(x / sqrt(2)))),
        ("gelu", {"approximate": "tanh"}, lambda x: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))),
        ("silu", {}, lambda x: x / (1 + exp(-x))),
        ("hardswish", {}, lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("hardsigmoid", {}, lambda x: min(max(x / 6 + 0.5, 0), 1)),
        ("abs", {}, abs),
    ]
    x = np.linspace(-8, 8, 65, dtype=np.float32)
    for kind, fields, formula in formulas:
        for opset in (17, 20):
            graph = net(layer(kind, **fields), image(65))
            found = in_onnxruntime(to_onnx(graph, randomised(graph), opset), [x[None]])
            np.testing.assert_allclose(found[0], [formula(float(each)) for each in x], rtol=2e-6, atol=2e-6)
