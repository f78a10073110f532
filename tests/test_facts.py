"""The facts that decide correctness, on which frameworks and papers differ: each once, by name."""

from __future__ import annotations

import itertools
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from netc import api
from netc.backends import torch as torch_backend
from netc.op import Layer, Reject
from netc.sections import CrossEntropy
from netc.training.task import Head
from netc.training.trainer import total_loss
from tests.one_layer import Array, arrays, image, in_onnxruntime, in_torch, layer, net, randomised, to_onnx

# --- pooling


def caffes(n: int, k: int, stride: int, pad: int) -> int:
    """Caffe's pooling_layer.cpp: rounded up, and only with padding is a last window beyond it dropped."""
    windows = ceil((n + 2 * pad - k) / stride) + 1
    if pad and (windows - 1) * stride >= n + pad:
        windows -= 1
    return windows


def test_rounding_up_is_caffes_except_where_the_stride_is_larger_than_an_unpadded_window() -> None:
    differ: set[tuple[int, int, int, int]] = set()
    for n, k, stride in itertools.product(range(1, 16), range(1, 6), range(1, 8)):
        for pad in range(k // 2 + 1):
            if n + 2 * pad >= k:
                (ours,) = layer("maxpool", k=k, stride=stride, pad=pad, round="ceil").infer(image(1, n)).sides
                if ours != caffes(n, k, stride, pad):
                    differ.add((n, k, stride, pad))
    assert (6, 2, 3, 0) in differ  # a third window would start at 6, beyond the image
    assert all(stride > k and pad == 0 for _, k, stride, pad in differ)


@pytest.mark.parametrize("opset", [11, 12, 17, 22])
@pytest.mark.parametrize(("n", "k", "stride", "pad"), [(112, 3, 2, 0), (6, 2, 3, 0), (7, 3, 2, 1), (5, 2, 2, 1)])
def test_onnx_runtimes_own_rounding_up_is_torchs(n: int, k: int, stride: int, pad: int, opset: int) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[k], strides=[stride], pads=[pad, pad], ceil_mode=1)
    x = np.random.default_rng(0).standard_normal((2, 3, n), np.float32)
    expected = F.max_pool1d(torch.asarray(x), k, stride, pad, ceil_mode=True).numpy()
    np.testing.assert_array_equal(run(node, x, opset=opset), expected)


def test_an_average_says_in_both_back_ends_whether_padding_counts() -> None:
    # torch counts it unless told otherwise, ONNX does not, TensorFlow never does.
    assert torch.nn.AvgPool2d(2).count_include_pad is True
    assert onnx.defs.get_schema("AveragePool", 20).attributes["count_include_pad"].default_value.i == 0
    for counted in (True, False):
        op = layer("avgpool", k=2, pad=1, count_pad=counted)
        assert f"count_include_pad={counted}" in torch_backend.source(net(op, image(1, 4, 4)))
        assert attributes(op, "AveragePool")["count_include_pad"] == int(counted)


def test_googlenets_four_poolings_depend_on_rounding_up() -> None:
    # Szegedy et al., arXiv:1409.4842, table 1: 112 to 56, 56 to 28, 28 to 14, 14 to 7
    for n, up, down in ((112, 56, 55), (56, 28, 27), (28, 14, 13), (14, 7, 6)):
        assert layer("maxpool", k=3, stride=2, round="ceil").infer(image(1, n, n)).sides == (up, up)
        assert layer("maxpool", k=3, stride=2).infer(image(1, n, n)).sides == (down, down)


# --- normalisation


def test_lrn_divides_alpha_by_the_window_where_the_paper_does_not() -> None:
    # Krizhevsky et al. 2012: b = a / (k + alpha sum a^2)^beta, k = 2, n = 5, alpha = 1e-4: ours takes 5 alpha.
    op, (x,) = layer("lrn", n=5, alpha=5 * 1e-4, beta=0.75, k=2), arrays([image(7, 2, 2)])
    x = 40 * x
    energy = np.stack([(x[:, max(c - 2, 0) : c + 3] ** 2).sum(axis=1) for c in range(7)], axis=1)
    np.testing.assert_allclose(run_layer(op, x), x / (2 + 1e-4 * energy) ** 0.75, rtol=1e-5)


def test_onnx_runtime_refuses_an_even_window_of_lrn_at_load() -> None:
    x = np.ones((1, 8, 2, 2), np.float32)
    with pytest.raises(Exception, match="size_ % 2 == 1 was false"):
        run(helper.make_node("LRN", ["x"], ["y"], size=4), x)
    with pytest.raises(Reject, match="has an even window"):
        layer("lrn", n=4).infer(image(8, 2, 2))


def test_momentum_weights_the_new_value_in_torch_and_the_old_one_in_onnx() -> None:
    # One batch of mean 10 and variance 0, from a running mean of 0: torch's 0.1 gives 1, ONNX's 0.9 gives 1 as well.
    x = np.full((4, 1, 2), 10, np.float32)
    module = torch.nn.BatchNorm1d(1)
    module.train()(torch.asarray(x))
    assert module.running_mean is not None
    assert module.running_mean.item() == pytest.approx(1)
    schema = onnx.defs.get_schema("BatchNormalization", 20)
    assert schema.attributes["momentum"].default_value.f == pytest.approx(0.9)
    # `decay` is the weight of the old one: its default is both.
    ours = torch_backend.module(net(layer("bn"), image(1, 2)))
    ours.train()(torch.asarray(x))
    assert ours.state_dict()["layer.running_mean"].item() == pytest.approx(1)


# --- softmax, dropout, losses


@pytest.mark.parametrize(("kind", "node"), [("softmax", "Softmax"), ("log_softmax", "LogSoftmax")])
def test_softmax_has_its_axis_written_and_an_opset_that_reads_it_so(kind: str, node: str) -> None:
    # Before opset 13 it flattened everything from the axis on; since then its axis is the last one where not given.
    op = layer(kind)
    assert attributes(op, node)["axis"] == 1
    assert op.opset >= 13
    assert "dim=1" in torch_backend.source(net(op, image(3, 4, 4)))


@pytest.mark.parametrize(("kind", "whole"), [("dropout", False), ("drop_path", True)])
def test_p_is_the_fraction_dropped_and_the_rest_is_scaled_up(kind: str, whole: bool) -> None:
    module = torch_backend.module(net(layer(kind, p=0.25), image(2, 5))).train()
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
        torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
        y: Array = module(torch.ones(4000, 2, 5)).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # a binomial share of 4,000 examples: 0.25, and 0.0068 is a standard deviation
    assert (y[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)
    examples = y.reshape(4000, 10)
    assert (examples == examples[:, :1]).all() == whole


def test_onnxs_dropout_drops_and_scales_as_ours_does() -> None:
    # Training mode is the third input; the ratio is the dropped fraction.
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y"], seed=1)
    given = [helper.make_tensor("ratio", TensorProto.FLOAT, [], [0.25])]
    given += [helper.make_tensor("training", TensorProto.BOOL, [], [True])]
    y = run(node, np.ones((100, 100), np.float32), given)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.03)


def test_cross_entropy_has_a_minus_sign() -> None:
    # softmax of (2, 1, 0) is (0.66524, 0.24473, 0.09003): -log 0.66524 = 0.40761, where sum y log p is -0.40761
    head = Head("scores", CrossEntropy(), tested=True)
    logits = {"scores": torch.tensor([[2.0, 1.0, 0.0]])}
    assert total_loss([head], logits, torch.tensor([0])).item() == pytest.approx(0.40761, abs=1e-5)


# --- what is no gate


def test_onnxs_checker_and_inference_accept_a_kernel_larger_than_its_image_and_ours_does_not() -> None:
    # 4 - 11 + 1 = -6
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[11, 11])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 1, 11, 11])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    model = helper.make_model(helper.make_graph([node], "g", [x, w], [y]), opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType] -- typed in part
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim] == [1, 1, -6, -6]
    with pytest.raises(Reject, match="an 11x11 kernel does not fit in a 4x4 image"):
        layer("conv", c=1, k=11).infer(image(1, 4, 4))


# --- nets


def test_torchvisions_googlenet_has_3x3_where_the_paper_has_5x5(root: Path, oracle: ModuleType) -> None:
    with torch.device("meta"):
        theirs: Any = oracle.models.googlenet(aux_logits=False, init_weights=False)
    assert learned(theirs) == 6_624_904
    assert theirs.inception3a.branch3[1].conv.kernel_size == (3, 3)
    # The paper's, with biases, without batch norm
    assert api.load(root / "specs" / "googlenet.cnn").params() == 6_998_552


@pytest.mark.parametrize(("name", "macs"), [("ResNet50", 4_089_184_256), ("ResNet50v1", 3_857_973_248)])
def test_resnet_v1_strides_on_the_first_1x1_and_torchvisions_on_the_3x3(root: Path, name: str, macs: int) -> None:
    graph = api.load(f"{root / 'specs' / 'resnet.cnn'}:{name}")
    first = graph.node["layer2.0.conv1"], graph.node["layer2.0.conv2"]
    strides = [node.op.model_dump()["stride"] for node in first]
    assert strides == ([1, 2] if name == "ResNet50" else [2, 1])
    assert graph.macs() == macs
    assert graph.params() == 25_557_032


def test_torchvisions_resnet_strides_on_the_3x3(oracle: ModuleType) -> None:
    with torch.device("meta"):
        block: Any = oracle.models.resnet50().layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


def test_option_a_samples_the_first_of_two_pixels_and_puts_zeros_after_the_channels() -> None:
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 4)
    sampled = run_layer(layer("subsample", stride=2), x)
    assert sampled.tolist() == [[[1, 3], [5, 7]]]
    assert run_layer(layer("pad_channels", c=3), sampled).tolist() == [[[1, 3], [5, 7], [0, 0]]]
    assert layer("subsample", stride=2).params(image(2, 4)) == layer("pad_channels", c=3).params(image(2, 2)) == {}


def test_alexnets_two_groups_are_the_papers_and_one_tower_is_torchvisions(root: Path, oracle: ModuleType) -> None:
    paper = api.load(f"{root / 'specs' / 'alexnet.cnn'}:AlexNet2012")
    assert paper.params() == 60_965_224
    assert [i.type.sides for i in paper.inputs] == [(227, 227)]
    assert [node.op.kind for node in paper.nodes].count("lrn") == 2
    with torch.device("meta"):
        assert learned(oracle.models.alexnet()) == 61_100_840


def test_a_first_layer_has_d1_times_s_plus_1_parameters_and_the_next_d2_times_d1_s_plus_1() -> None:
    # The lecture's arithmetic, s the kernel's area: 6 (25 + 1) = 156 and 16 (6 * 25 + 1) = 2,416, as in LeNet-5
    d1, d2, s = 6, 16, 5 * 5
    first, second = layer("conv", c=d1, k=5), layer("conv", c=d2, k=5)
    assert parameters(first, 1) == d1 * (s + 1) == 156
    assert parameters(second, d1) == d2 * (d1 * s + 1) == 2_416


# --- orders


def test_flatten_follows_the_order_that_the_weights_were_trained_in() -> None:
    # An fc trained on channels-last features reads numpy's own flattening of the image laid out so.
    (x,) = arrays([image(3, 4, 5)])
    laid_out = {"chw": (0, 1, 2, 3), "hwc": (0, 2, 3, 1), "whc": (0, 3, 2, 1)}
    for order, axes in laid_out.items():
        np.testing.assert_array_equal(
            run_layer(layer("flatten", order=order), x), x.transpose(axes).reshape(len(x), -1)
        )


def learned(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parameters(op: Layer, c: int) -> int:
    return sum(param.size for param in op.params(image(c, 28, 28)).values())


def run_layer(op: Layer, x: Array) -> Array:
    """A layer in torch and in ONNX Runtime, which have to agree."""
    graph = net(op, image(x.shape[1], *x.shape[2:]))
    module = randomised(graph)
    found = in_torch(module, [x])
    np.testing.assert_allclose(in_onnxruntime(to_onnx(graph, module, 20), [x]), found, rtol=1e-5, atol=1e-5)
    return found


def attributes(op: Layer, kind: str) -> dict[str, Any]:
    """The attributes of the node of this kind that a layer over a 4x4 image is lowered to."""
    graph = net(op, image(3, 4, 4))
    model = onnx.load_model_from_string(to_onnx(graph, torch_backend.module(graph), 20))
    (node,) = (node for node in model.graph.node if node.op_type == kind)
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def run(node: onnx.NodeProto, x: Array, given: Any = (), opset: int = 20) -> Array:
    """One ONNX node over `x` in ONNX Runtime."""
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [tensor], [y], initializer=list(given))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return in_onnxruntime(model.SerializeToString(), [x])
