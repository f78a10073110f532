"""The ONNX back end: the graph's own names, weights streamed behind a checked skeleton, equal bytes for equal input."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from netc import api
from netc.backends import onnx as backend
from netc.backends.torch import as_tensor, module
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Layer, OnnxGraph, Operand
from netc.passes.deploy import deploy
from tests.graphs import Net, randomised, resnet

Weights = dict[str, npt.NDArray[Any]]
ort: Any = onnxruntime
checked: Any = onnx.checker


def written(graph: Graph, weights: Weights | None = None, **kwargs: Any) -> bytes:
    file = io.BytesIO()
    backend.write(graph, randomised(graph) if weights is None else weights, file, **kwargs)
    return file.getvalue()


def loaded(data: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(data)


def run(data: bytes, **feed: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


def noise(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def tiny() -> Graph:
    net = Net("Tiny", file="specs/tiny.cnn", image=("N", 3, "H", "W"))
    x = net("relu", net("bn", net("conv", "image", label="stem.conv", c=4, k=3, pad=1), label="stem.bn"))
    x = net("flatten", net("gap", net("lrn", x, n=3)))
    return net.graph(scores=net("fc", x, label="fc", c=5))


def test_names_are_the_graphs(root: Path) -> None:
    made = loaded(written(tiny()))
    graph = made.graph
    assert graph.name == "Tiny"
    assert [n.name for n in graph.node][:3] == ["stem.conv", "stem.bn", "relu"]
    assert [n.output[0] for n in graph.node][:3] == ["stem.conv", "stem.bn", "relu"]
    assert graph.node[-1].name == "fc"
    assert graph.node[-1].output[0] == "scores"  # the output's name, and no node more
    assert {i.name for i in graph.initializer if i.name[:8] != "constant"} == {
        *("stem.conv.weight", "stem.conv.bias", "fc.weight", "fc.bias"),
        *("stem.bn.weight", "stem.bn.bias", "stem.bn.running_mean", "stem.bn.running_var"),
    }
    assert graph.node[0].doc_string == "tiny.cnn:2"  # the file without its folders
    assert [i.name for i in graph.input] == ["image"]  # weights are no inputs
    dims = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["N", 3, "H", "W"]
    assert (made.producer_name, made.producer_version) == ("netc", __import__("netc").__version__)


@pytest.mark.parametrize(("opset", "ir"), [(17, 10), (20, 10), (26, 13)])
def test_opset_and_ir_version_are_written(opset: int, ir: int) -> None:
    data = written(tiny(), opset=opset)
    made = loaded(data)
    assert [(o.domain, o.version) for o in made.opset_import] == [("", opset)]
    assert made.ir_version == ir
    assert run(data, image=noise(2, 3, 5, 6))["scores"].shape == (2, 5)


def test_the_weights_are_the_arrays_bytes() -> None:
    weights = randomised(tiny())
    for tensor in loaded(written(tiny(), weights)).graph.initializer:
        if tensor.name in weights:
            assert numpy_helper.to_array(tensor).tobytes() == weights[tensor.name].tobytes()


def test_arrays_of_any_order_of_memory_are_written() -> None:
    weights = randomised(tiny())
    odd: Weights = {n: a.astype(">f4")[...] if a.dtype == np.float32 else a for n, a in weights.items()}
    odd["fc.weight"] = np.asfortranarray(weights["fc.weight"])
    assert written(tiny(), odd) == written(tiny(), weights)


def test_the_whole_passes_onnxs_own_check() -> None:
    checked.check_model(loaded(written(resnet((1, 1), 32, 10).graph(scores="fc"))), full_check=True)


def test_a_residual_net_answers_as_torch_does() -> None:
    graph = resnet((1, 2), 32, 10).graph(scores="fc")
    weights = randomised(graph)
    x = noise(3, 3, 32, 32)
    with torch.no_grad():
        expected = cast(torch.Tensor, module(graph, weights).eval()(as_tensor(x))).numpy()
    np.testing.assert_allclose(run(written(graph, weights), image=x)["scores"], expected, rtol=2e-4, atol=1e-3)


def test_equal_input_gives_equal_bytes() -> None:
    a = written(tiny(), metadata={"b": "2", "a": "1"})
    b = written(tiny(), dict(reversed(randomised(tiny()).items())), metadata={"a": "1", "b": "2"})
    assert a == b
    assert a != written(tiny(), randomised(tiny(), 1), metadata={"a": "1", "b": "2"})


def test_metadata_is_read_back_and_may_come_later(tmp_path: Path) -> None:
    entries = {"netc": '{"ä": 1}', "a": "x" * 300}
    data = written(tiny(), metadata=entries)
    assert {e.key: e.value for e in loaded(data).metadata_props} == entries
    with (tmp_path / "a.onnx").open("w+b") as file:
        backend.write(tiny(), randomised(tiny()), file)
        backend.append_metadata(file, entries)
    assert (tmp_path / "a.onnx").read_bytes() == data
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == entries


def test_a_path_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.onnx"
    target.write_bytes(b"old")
    weights = randomised(tiny())
    with pytest.raises(Fault, match=r"the weights lack fc\.bias"):
        backend.write(tiny(), {n: a for n, a in weights.items() if n != "fc.bias"}, target)
    assert target.read_bytes() == b"old"
    backend.write(tiny(), weights, target)
    assert target.read_bytes() == written(tiny(), weights)
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    weights = randomised(tiny())
    for wrong in (weights["fc.bias"][:4], weights["fc.bias"].astype(np.float64)):
        with pytest.raises(Fault, match=r"fc.bias is .*, expected 5 of float32") as caught:
            written(tiny(), {**weights, "fc.bias": wrong})
        assert caught.value.code == "N401"


def test_shared_weights_are_one_initializer() -> None:
    net = Net("Siamese", left=("N", 3, 4, 4), right=("N", 3, 4, 4))
    a = net("conv", "left", label="tower", c=2, k=1)
    b = net("conv", "right", label="again", weights="tower", c=2, k=1)
    graph = net.graph(y=net("sub", a, b))
    data = written(graph)
    assert [i.name for i in loaded(data).graph.initializer] == ["tower.weight", "tower.bias"]
    x = noise(2, 3, 4, 4)
    assert not run(data, left=x, right=x)["y"].any()


def test_an_output_named_like_another_node_keeps_its_name() -> None:
    net = Net("Names", image=("N", 3, 4, 4))
    a = net("conv", "image", label="scores", c=2, k=1)  # a node that is called like the output of another
    b = net("conv", a, label="image_like", c=2, k=1)
    graph = net.graph(scores=b, other=net("relu", a, label="scores.weight"))  # and one called like a tensor
    weights = randomised(graph)
    data = written(graph, weights)
    made = loaded(data).graph
    assert [o.name for o in made.output] == ["scores", "other"]
    assert [n.name for n in made.node] == ["scores", "image_like", "scores.weight"]
    assert [n.output[0] for n in made.node] == ["scores/2", "scores", "other"]
    assert len({n for node in made.node for n in node.output} | {i.name for i in made.initializer}) == 3 + 4
    assert run(data, image=noise(1, 3, 4, 4))["scores"].shape == (1, 2, 4, 4)


def test_one_value_may_feed_two_outputs_and_an_input_an_output() -> None:
    net = Net("Twice", image=("N", 2, 2, 2))
    a = net("relu", "image")
    graph = net.graph(a=a, b=a, c="image", d=net("id", a))
    x = noise(2, 2, 2, 2)
    found = run(written(graph), image=x)
    for name in "abd":
        assert np.array_equal(found[name], np.maximum(x, 0))
    assert np.array_equal(found["c"], x)


def test_an_input_and_an_output_of_one_name_are_refused() -> None:
    net = Net("Clash", image=("N", 2, 2, 2))
    with pytest.raises(Fault, match="both named `image`") as caught:
        written(net.graph(image=net("relu", "image")))
    assert caught.value.code == "N421"


class Fresh(Layer):
    """Says of itself that it needs opset 22."""

    opset = 22
    kind = "fresh"

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Relu", xs[0])


class Wrong(Layer):
    """Its rule says that the shape stays, its nodes halve it."""

    kind = "wrong"

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Relu", g.node("MaxPool", xs[0], kernel_shape=(2, 2), strides=(2, 2)))


def with_op(op: Layer) -> Graph:
    net = Net("Op", image=("N", 2, 4, 4))
    graph = net.graph(y=net("relu", net("relu", "image", label="first")))
    return replace(graph, nodes=(graph.nodes[0]._replace(op=op), graph.nodes[1]))


def test_a_layer_that_needs_a_newer_opset_is_refused_by_name() -> None:
    with pytest.raises(Fault, match=r"`fresh` needs opset 22, and the export's is 20: first at test.cnn:2") as caught:
        written(with_op(Fresh()))
    assert caught.value.code == "N420"
    assert written(with_op(Fresh()), opset=22)


def test_a_lowering_whose_shape_is_not_the_rules_is_our_bug_and_named() -> None:
    with pytest.raises(AssertionError, match=r"first: ONNX infers \[0, 2, 2, 2\], and the layer's rule \[N, 2, 4, 4\]"):
        written(with_op(Wrong()))


def test_a_file_beyond_protobufs_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LIMIT", 2**20 + 100)
    with pytest.raises(Fault, match="protobuf takes 2") as caught:
        written(tiny())
    assert caught.value.code == "N422"


def test_the_skeleton_holds_no_weights(root: Path) -> None:
    graph = deploy(api.load(f"{root}/specs/vgg.cnn:VGG16"), {})[0]
    made = backend.skeleton(graph)
    assert made.ByteSize() < 100_000  # of 553 MB
    assert {i.name for i in made.graph.input} == {"image", *(name for name, _ in graph.parameters())}


@pytest.mark.parametrize("spec", ["lenet5.cnn", "googlenet.cnn", "unet.cnn:UNet", "cifar_resnet.cnn:ResNet20"])
def test_the_zoos_skeletons_are_what_onnx_infers(spec: str, root: Path) -> None:
    graph = deploy(api.load(f"{root}/specs/{spec}"), {})[0]
    made = backend.skeleton(graph)  # checks on the way
    assert [o.name for o in made.graph.output] == [o.name for o in graph.outputs]
    assert not any(n.name.startswith("aux") for n in made.graph.node)
