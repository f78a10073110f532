"""The ONNX back end: the graph's own names, weights streamed behind a checked skeleton, equal bytes for equal input."""

from __future__ import annotations

import hashlib
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
from netc.backends.onnx import wire
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
    with backend.emitting(backend.lower(tiny()), randomised(tiny()), tmp_path / "a.onnx") as emitted:
        emitted.add(entries)
        assert emitted.sha256() == hashlib.sha256(data).hexdigest()
        assert emitted.size_bytes == len(data)
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


def test_an_open_file_beyond_protobufs_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.emit, "LIMIT", 2**20 + 100)
    with pytest.raises(Fault, match="no weights beside it, and 2 GiB") as caught:
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


def test_equal_layers_that_take_equal_types_are_lowered_and_judged_once(root: Path) -> None:
    graph = deploy(api.load(f"{root}/specs/cifar_resnet.cnn:ResNet110"), {})[0]
    lowered = backend.lower(graph, whole=False)
    # The stem; three stages of two convolutions, a norm, a relu and a sum; two strided ones, two shortcuts; the end.
    assert len(lowered.lowerings) < 30 < 300 < len(lowered.nodes)


def test_a_wrong_lowering_is_found_by_itself_too() -> None:
    with pytest.raises(AssertionError, match=r"first: ONNX infers \[0, 2, 2, 2\], and the layer's rule \[N, 2, 4, 4\]"):
        backend.lower(with_op(Wrong()), whole=False)


class Unknown(Layer):
    """Lowers to a node that ONNX does not have."""

    kind = "unknown"

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Rellu", xs[0])


@pytest.mark.parametrize("whole", [True, False])
def test_a_node_that_onnx_does_not_have_is_found(whole: bool) -> None:
    with pytest.raises(checked.ValidationError, match="No Op registered for Rellu"):
        backend.lower(with_op(Unknown()), whole=whole)


@pytest.mark.parametrize("opset", range(17, 27))
def test_the_ir_version_is_the_one_an_opset_needs_or_10(opset: int) -> None:
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    assert loaded(written(tiny(), opset=opset)).ir_version == max(10, needed)


ATTRIBUTES: dict[str, Any] = {
    "zero": 0,
    "one": 1,
    "yes": True,
    "negative": -1,
    "large": 2**40,
    "least": -(2**63),
    "half": 0.5,
    "third": 1 / 3,
    "infinite": float("-inf"),
    "text": "äöü",
    "ints": [0, -1, 300],
    "floats": [0.5, -1e30],
    "mixed": [1, 0.5],
    "tuple": (7,),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_written_as_onnx_writes_them(name: str) -> None:
    node = onnx.NodeProto.FromString(wire.attributes({name: ATTRIBUTES[name]}))
    assert list(node.attribute) == [onnx.helper.make_attribute(name, ATTRIBUTES[name])]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63, -1])
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    assert onnx.TensorProto.FromString(wire.number(1, value)).dims == [value if value < 2**63 else value - 2**64]


# --- weights in a file of their own


def pair(folder: Path, weights: Weights | None = None, name: str = "a.onnx", **kwargs: Any) -> tuple[Path, Path]:
    """An ONNX file with external data, and the data."""
    weights = randomised(wide()) if weights is None else weights
    backend.write(wide(), weights, folder / name, external_data=True, **kwargs)
    (data,) = folder.glob(f"{name}.*.data")
    return folder / name, data


def wide() -> Graph:
    net = Net("Wide", image=("N", 3, 8, 8))
    x = net("relu", net("conv", "image", label="conv", c=40, k=3))
    return net.graph(scores=net("fc", net("flatten", x), label="fc", c=7))


def test_external_data_is_aligned_and_small_tensors_stay_inside(tmp_path: Path) -> None:
    path, data = pair(tmp_path)
    weights = randomised(wide())
    made = onnx.load_model_from_string(path.read_bytes())
    found = {i.name: {e.key: e.value for e in i.external_data} for i in made.graph.initializer}
    assert {name for name, entries in found.items() if entries} == {
        "conv.weight",
        "fc.weight",
    }  # 4,320 and 40,320 bytes
    for name, entries in found.items():
        if entries:
            assert entries["location"] == data.name
            assert int(entries["offset"]) % 4096 == 0
            at = int(entries["offset"])
            assert data.read_bytes()[at : at + int(entries["length"])] == weights[name].tobytes()
    assert hashlib.sha256(data.read_bytes()).hexdigest().startswith(data.name.split(".")[-2])
    x = noise(2, 3, 8, 8)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"image": x})[0], run(written(wide()), image=x)["scores"])
    checked.check_model(path, full_check=True)


def test_external_data_of_equal_input_has_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = pair(tmp_path), pair(tmp_path / "b")
    assert [p.name for p in first] == [p.name for p in second]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_other_weights_leave_the_old_pair_as_it_was_until_the_new_one_stands(tmp_path: Path) -> None:
    path, data = pair(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = randomised(wide(), 1)

    def interrupted() -> None:
        with backend.emitting(backend.lower(wide()), other, path, external_data=True) as emitted:
            assert {p.name for p in tmp_path.iterdir()} >= {path.name, data.name}
            assert emitted.data is not None
            assert emitted.data.path.name != data.name
            assert path.read_bytes() == before[path.name]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert pair(tmp_path, other)[1] != data
    assert not data.exists()  # nothing reads it any more


def test_a_failure_leaves_data_that_was_there_before(tmp_path: Path) -> None:
    path, data = pair(tmp_path)
    with (
        pytest.raises(KeyboardInterrupt),
        backend.emitting(backend.lower(wide()), randomised(wide()), path, external_data=True),
    ):
        raise KeyboardInterrupt
    assert {p.name for p in tmp_path.iterdir()} == {path.name, data.name}


def test_others_data_is_left_alone(tmp_path: Path) -> None:
    _, other = pair(tmp_path, name="b.onnx")
    path, data = pair(tmp_path)
    backend.write(wide(), randomised(wide()), path)  # without
    assert not data.exists()
    assert other.exists()


def test_what_protobuf_does_not_take_goes_beside_it_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.emit, "LIMIT", 2**20 + 20_000)
    backend.write(wide(), randomised(wide()), tmp_path / "a.onnx")
    assert len(list(tmp_path.glob("a.onnx.*.data"))) == 1


def test_a_net_of_small_tensors_has_nothing_beside_it(tmp_path: Path) -> None:
    backend.write(tiny(), randomised(tiny()), tmp_path / "a.onnx", external_data=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
