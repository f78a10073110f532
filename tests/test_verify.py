"""Parity that can fail, and a build that leaves a verified file or nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

import netc_runtime
from netc import api
from netc import weights as stored
from netc.backends import onnx as backend
from netc.backends.build import build
from netc.backends.torch import initial as new_weights
from netc.backends.torch import module
from netc.backends.verify import Agreement, Case, Parity, kaiming, measured, reference, spread, verify
from netc.backends.verify.probes import probes
from netc.diagnostic import Fault
from netc.graph import Graph, Requirement
from netc.op import OnnxGraph, Operand
from netc.ops.avgpool import Avgpool
from netc.ops.conv import Conv
from netc.sections import Export
from netc.tensor import Symbol
from netc_runtime.golden import golden_difference, golden_feed, golden_input
from netc_runtime.manifest import Manifest
from tests.graphs import Net, randomised, resnet

Weights = dict[str, npt.NDArray[Any]]


def small(side: int | str | Symbol = 12, batch: int | str = "N", pool: dict[str, Any] | None = None) -> Net:
    net = Net("Small", image=(batch, 3, side, side if isinstance(side, int) else Symbol("W", divisor=2)))
    x = net("relu", net("bn", net("conv", "image", label="conv1", c=6, k=3, pad=1), label="bn1"))
    x = net("avgpool", x, **(pool or {"k": 3, "stride": 2, "pad": 1}))
    x = net("flatten", net("gap", net("relu", net("conv", x, label="conv2", c=8, k=3))))
    net("fc", net("dropout", x), label="fc", c=5)
    return net


def graph_of(net: Net, **kwargs: Any) -> Graph:
    return net.graph(scores="fc", **kwargs)


def built(graph: Graph, folder: Path, weights: Weights | None = None, **kwargs: Any) -> Path:
    out = folder / "small.onnx"
    build(graph, randomised(graph) if weights is None else weights, out, **kwargs)
    return out


def refusal(graph: Graph, folder: Path, weights: Weights | None = None, **kwargs: Any) -> Fault:
    """The fault of a build, which leaves the folder as it was."""
    (folder / "small.onnx").write_bytes(b"old")
    with pytest.raises(Fault) as caught:
        built(graph, folder, weights, **kwargs)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {"small.onnx": b"old"}
    return caught.value


def loaded(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(path.read_bytes())


def manifest(path: Path) -> Manifest:
    (entry,) = loaded(path).metadata_props
    assert entry.key == "netc"
    return Manifest.from_json(entry.value)


def test_the_figure_is_worked_by_hand() -> None:
    # One element over two inputs, 1 and 3: the mean is 2, V = sqrt((1 + 1) / 2) = 1.
    assert spread(np.array([[1.0], [3.0]])) == 1
    # Two elements: 1, 3 and 10, 10: V = sqrt((1 + 1 + 0 + 0) / 4)
    assert spread(np.array([[1.0, 10.0], [3.0, 10.0]])) == pytest.approx(0.5**0.5)


def test_seeded_inputs_are_the_runtimes_golden_ones() -> None:
    net = Net("Two", left=("N", 3, 4, 4), right=("N", 3, 4, 4))
    graph = net.graph(y=net("add", "left", "right"))
    (case,) = reference(graph, {})
    for seed, name in enumerate(("left", "right")):
        assert np.array_equal(case.feed[name], golden_input(seed, (8, 3, 4, 4)))
    assert np.array_equal(case.answers["y"], np.float64(case.feed["left"]) + np.float64(case.feed["right"]))


def test_the_reference_is_float64_torch_in_evaluation_mode() -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    (case,) = reference(graph, weights)
    net = module(graph, weights).double().eval()
    x = torch.tensor(case.feed["image"].astype(np.float64))
    with torch.no_grad():
        expected = cast(torch.Tensor, net(x)).numpy()
    assert case.answers["scores"].dtype == np.float64
    np.testing.assert_allclose(case.answers["scores"], expected, rtol=1e-12)


def test_batches_of_1_2_and_7_are_cut_from_the_8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    seen: list[int] = []
    run = measured.open_session

    def noting(*args: Any) -> Any:
        inner = run(*args)

        def call(feed: dict[str, npt.NDArray[Any]]) -> Any:
            seen.append(len(feed["image"]))
            return inner(feed)

        return call

    monkeypatch.setattr(measured, "open_session", noting)
    built(graph, tmp_path, weights)
    assert sorted(seen) == [1, 2, 7]


def test_symbolic_sides_are_verified_at_two_sizes_the_spec_admits(tmp_path: Path) -> None:
    facts = (Requirement(["==", ["%", "H", 6], 0], "H % 6 == 0", ""), Requirement(["<", "W", 70], "W < 70", ""))
    graph = graph_of(small(side=Symbol("H", divisor=2)), requires=facts)
    weights = randomised(graph)
    sizes = [case.sizes for case in reference(graph, weights)]
    assert len(sizes) == 2
    assert sizes[0] != sizes[1]
    for each in sizes:
        assert each["H"] % 6 == 0
        assert each["W"] < 70
        assert each["W"] % 2 == 0
    record = json.loads(built(graph, tmp_path, weights).with_name("small.onnx.verify.json").read_text())
    assert [m["sizes"] for m in record["parity"]["measured"]] == sizes


def test_sides_that_must_be_equal_are_found() -> None:
    facts = (Requirement(["==", "H", "W"], "H == W", ""),)
    graph = graph_of(small(side="H"), requires=facts)
    assert [c.sizes["H"] == c.sizes["W"] for c in reference(graph, randomised(graph))] == [True, True]


def test_a_batch_that_a_requirement_names_is_one_that_it_admits(tmp_path: Path) -> None:
    facts = (Requirement(["==", ["%", "N", 3], 0], "N % 3 == 0", ""),)
    graph = graph_of(small(side="H"), requires=facts)
    weights = randomised(graph)
    assert all(case.sizes["N"] % 3 == 0 for case in reference(graph, weights))
    images = np.zeros((20, *[8 if not isinstance(d, int) else d for d in graph.inputs[0].type.dims[1:]]), np.float32)
    assert reference(graph, weights, data=images)[-1].sizes["N"] % 3 == 0
    path = tmp_path / "a.onnx"
    found = build(graph, weights, path).parity
    assert found is not None
    assert found.passed
    assert netc_runtime.load(path, device="cpu").check().samples > 0  # the golden example is such a batch


def test_requirements_that_nothing_meets_are_said() -> None:
    facts = (Requirement(["<", "H", 0], "H < 0", ""),)
    graph = graph_of(small(side="H"), requires=facts)
    with pytest.raises(Fault, match="no size for H, W") as caught:
        reference(graph, randomised(graph))
    assert caught.value.code == "N431"


def test_a_fixed_batch_takes_whole_batches(tmp_path: Path) -> None:
    graph = graph_of(small(batch=3))
    (case,) = reference(graph, randomised(graph))
    assert len(case.feed["image"]) == 9  # the least multiple of 3 from 8 on
    golden = manifest(built(graph, tmp_path)).golden
    assert golden is not None
    assert golden.shapes == {"image": (3, 3, 12, 12)}


def test_float32_is_well_below_the_bound(tmp_path: Path) -> None:
    graph = resnet((1, 1), 32, 10).graph(scores="fc")
    out = tmp_path / "a.onnx"
    found = build(graph, randomised(graph), out).parity
    assert found is not None
    assert 0 < found.figure < 3e-5


class Padded(Avgpool):
    """Counts padding the other way round in ONNX: a wrong border, of the right shape."""

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return Avgpool.onnx(self.model_copy(update={"count_pad": not self.count_pad}), g, *xs)


class Flipped(Conv):
    """Pads the other end in ONNX."""

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        assert isinstance(self.pad, tuple)
        return Conv.onnx(self.model_copy(update={"pad": self.pad[::-1]}), g, *xs)


def mutated(graph: Graph, kind: str, wrong: type[Any]) -> Graph:
    nodes = tuple(n._replace(op=wrong(**n.op.model_dump())) if n.op.kind == kind else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


@pytest.mark.parametrize("initial", [False, True])
def test_a_wrong_border_fails_whatever_the_weights(tmp_path: Path, initial: bool) -> None:
    graph = graph_of(small())
    weights = new_weights(graph, 0) if initial else randomised(graph)
    found = refusal(mutated(graph, "avgpool", Padded), tmp_path, weights)
    assert found.code == "N430"
    assert "is allowed" in found.message


def test_an_uneven_padding_the_wrong_way_round_fails(tmp_path: Path) -> None:
    net = Net("Small", image=("N", 3, 9, 9))
    x = net("relu", net("conv", "image", label="a", c=4, k=3, pad=(1, 0, 1, 0)))
    graph = net.graph(scores=net("fc", net("flatten", x), label="fc", c=3))
    assert refusal(mutated(graph, "conv", Flipped), tmp_path).code == "N430"


def test_an_output_that_hardly_moves_is_held_against_float32_and_kaiming(root: Path, tmp_path: Path) -> None:
    # Freshly made weights and a stack of means: what is left of the input lies below float32's rounding.
    net = Net("Still", image=("N", 3, 32, 32))
    x = net("relu", net("conv", "image", label="a", c=8, k=3, pad=1))
    x = net("flatten", net("gap", net("avgpool", x, k=3, stride=2, pad=1)))
    graph = net.graph(scores=net("fc", x, label="fc", c=5))
    weights = randomised(graph)
    weights["a.weight"] *= np.float32(1e-7)  # the bias is all
    weights["a.bias"] = np.abs(weights["a.bias"]) + np.float32(1)
    out = tmp_path / "a.onnx"
    found = build(graph, weights, out).parity
    assert found is not None
    assert not found.telling
    assert found.probe is not None
    assert found.probe.figure < 1e-4
    assert "Kaiming" in "".join(build(graph, weights, out).lines())
    assert refusal_of(mutated(graph, "avgpool", Padded), weights, out) == "N430"


def refusal_of(graph: Graph, weights: Weights, out: Path) -> str:
    with pytest.raises(Fault) as caught:
        build(graph, weights, out)
    return caught.value.code


def test_a_constant_output_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    weights["fc.weight"][:] = 0
    found = refusal(graph, tmp_path, weights)
    assert found.code == "N430"
    assert "does not depend on the input" in found.message


def test_weights_that_overflow_are_a_failure_with_a_reason(tmp_path: Path) -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    weights["conv1.weight"][:] = 3e38
    weights["conv2.weight"][:] = 3e38
    found = refusal(graph, tmp_path, weights, fold=False)
    assert found.code == "N430"
    assert "NaN, an infinity" in found.message


def agreement(figure: float, own: float = 0.0) -> Agreement:
    return Agreement("y", "seeded", {}, figure, 1.0, own)


@pytest.mark.parametrize(
    ("figures", "probe", "passed"),
    [
        ([(9e-5, 0.0)], None, True),
        ([(1.1e-4, 0.0)], None, False),
        ([(1.1e-4, 3e-5)], None, True),  # 4 * 3e-5 is allowed
        ([(1.1e-4, 2e-5)], None, False),
        ([(1e-6, 0.0), (inf, 0.0)], None, False),
        ([(0.1, 0.05)], None, False),  # float32 itself is that far off: says nothing without a probe
        ([(0.1, 0.05)], 9e-5, True),
        ([(0.1, 0.05)], 2e-4, False),
        ([(0.3, 0.05)], 9e-5, False),
    ],
)
def test_what_passes(figures: Sequence[tuple[float, float]], probe: float | None, passed: bool) -> None:
    second = None if probe is None else Parity((agreement(probe),))
    assert Parity(tuple(agreement(*each) for each in figures), second).passed is passed


def test_real_inputs_are_verified_too(tmp_path: Path) -> None:
    graph = graph_of(small())
    data = np.random.RandomState(5).uniform(-1, 1, (10, 3, 12, 12)).astype(np.float32)
    found = build(graph, randomised(graph), tmp_path / "a.onnx", verify_data=data).parity
    assert found is not None
    assert [a.origin for a in found.agreements] == ["seeded", "data"]
    one = build(graph, randomised(graph), tmp_path / "a.onnx", verify_data={"image": data[:1]}).parity
    assert one is not None
    assert one.agreements[1].spread == one.agreements[0].spread  # one example has none of its own


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((2, 3, 12), np.float32),
        np.zeros((2, 3, 12, 13), np.float32),
        np.zeros((2, 3, 12, 12), np.uint8),
        np.zeros((0, 3, 12, 12), np.float32),
        np.full((2, 3, 12, 12), np.nan, np.float32),
        {"other": np.zeros((2, 3, 12, 12), np.float32)},
    ],
)
def test_data_that_is_not_the_input_is_refused(tmp_path: Path, data: Any) -> None:
    assert refusal(graph_of(small()), tmp_path, verify_data=data).code == "N432"


def test_a_file_that_onnx_runtime_refuses_is_said(tmp_path: Path) -> None:
    graph = graph_of(small())
    (tmp_path / "a.onnx").write_bytes(b"garbage")
    cases = [Case("seeded", {}, {}, {})]
    with pytest.raises(Fault, match="ONNX Runtime refuses") as caught:
        verify(tmp_path / "a.onnx", graph, {}, cases)
    assert (caught.value.code, caught.value.exit_code) == ("N433", 3)


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    graph = graph_of(small())
    a = built(graph, tmp_path).read_bytes()
    b = built(graph, tmp_path, dict(reversed(randomised(graph).items()))).read_bytes()
    assert a == b
    assert a != built(graph, tmp_path, fold=False).read_bytes()


def test_the_golden_example_reproduces_in_the_built_file(tmp_path: Path) -> None:
    graph = graph_of(small())
    path = built(graph, tmp_path)
    made = manifest(path)
    assert made.golden is not None
    feed = golden_feed(made.golden, made.inputs)
    session: Any = __import__("onnxruntime").InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    answers = dict(zip(["scores"], session.run(None, dict(feed)), strict=True))
    assert golden_difference("small.onnx", made.golden, answers) < made.golden.tolerance / 10
    assert [index for index, _ in made.golden.samples["scores"]] == [0, 1, 2, 3, 4]
    for _, value in made.golden.samples["scores"]:
        assert value == float(f"{value:.6g}")


def test_the_golden_example_of_a_large_output_has_64_elements(tmp_path: Path) -> None:
    net = Net("Small", image=("N", 3, 20, 20))
    graph = net.graph(mask=net("conv", "image", label="a", c=2, k=1))
    golden = manifest(built(graph, tmp_path)).golden
    assert golden is not None
    places = [index for index, _ in golden.samples["mask"]]
    assert len(places) == 64
    assert (places[0], places[-1]) == (0, 2 * 20 * 20 - 1)


def test_the_manifest_says_what_the_spec_says(root: Path, tmp_path: Path) -> None:
    graph = api.load(f"{root}/specs/lenet5.cnn")
    weights = randomised(graph)
    made = manifest(built(graph, tmp_path, weights))
    assert made.net == "LeNet5"
    (image,), (digit,) = made.inputs, made.outputs
    assert (image.name, image.shape) == ("image", ("N", 1, 28, 28))
    assert image.image is not None
    assert (image.image.scale, image.image.mean, image.image.std) == (1 / 255, (0.1307,), (0.3081,))
    assert (digit.name, digit.shape, digit.decode) == ("digit", ("N", 10), "softmax")
    assert digit.labels == tuple("0123456789")
    assert made.spec_text == (root / "specs" / "lenet5.cnn").read_text()
    assert made.weights_blake3 == stored.digest(weights)
    assert made.parity.verdict == "passed"
    assert made.parity.bound == 1e-4
    assert made.versions["netc"]


def test_requirements_and_symbols_travel(root: Path, tmp_path: Path) -> None:
    graph = api.load(f"{root}/specs/unet.cnn:UNet")
    graph = replace(graph, name="UNet")
    path = tmp_path / "u.onnx"
    build(graph, new_weights(graph, 0), path, verify=False)
    made = manifest(path)
    assert made.inputs[0].shape == ("N", 1, "H", "W")
    assert made.outputs[0].shape == ("N", 2, "H", "W")
    assert "multiples of 16" in made.require[0].why
    assert made.parity.verdict == "not verified"


def test_a_build_without_verification_says_so(tmp_path: Path) -> None:
    graph = graph_of(small())
    path = built(graph, tmp_path, verify=False)
    assert manifest(path).golden is None  # nothing was run
    assert "torch" not in manifest(path).versions
    assert json.loads(Path(f"{path}.verify.json").read_text())["verdict"] == "not verified"
    assert build(graph, randomised(graph), path, verify=False).lines()[-1] == "not verified"


def test_the_record_holds_what_varies(tmp_path: Path) -> None:
    graph = graph_of(small())
    path = built(graph, tmp_path)
    record = json.loads(Path(f"{path}.verify.json").read_text())
    assert record["verdict"] == "passed"
    assert record["parity"]["bound"] == 1e-4
    assert 0 < record["parity"]["figure"] < 1e-4
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["size_bytes"] == path.stat().st_size
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.onnx", "small.onnx.verify.json"]


def test_heads_are_neither_built_nor_needed(tmp_path: Path) -> None:
    net = small()
    net("fc", "flatten", label="aux", c=3)
    graph = net.graph(train_only=("aux_scores",), scores="fc", aux_scores="aux")
    weights = {n: a for n, a in randomised(graph).items() if not n.startswith("aux")}
    path = built(graph, tmp_path, weights)
    model = loaded(path).graph
    assert [o.name for o in model.output] == ["scores"]
    assert not any("aux" in i.name for i in model.initializer)
    assert built(graph, tmp_path).read_bytes() == path.read_bytes()  # heads' weights change nothing


def test_an_export_option_that_no_input_has_is_refused_by_name(tmp_path: Path) -> None:
    found = refusal(graph_of(small(side="H"), export=Export(dynamic=("N", "H", "W", "X"))), tmp_path)
    assert found.code == "N424"
    assert "names X, which is no symbol" in found.message


def test_labels_are_embedded_as_the_manifest_always_does(tmp_path: Path) -> None:
    graph = graph_of(small(), export=Export(embed=("labels",), dynamic=("N",), opset=21))
    path = built(graph, tmp_path)
    assert manifest(path).embed == ("labels",)
    assert loaded(path).opset_import[0].version == 21
    assert loaded(built(graph, tmp_path, opset=19)).opset_import[0].version == 19


def test_weights_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    del weights["conv2.weight"]
    assert "conv2.weight: missing" in refusal(graph, tmp_path, weights).message
    assert refusal(graph, tmp_path, {**randomised(graph), "fc.bias": np.full(5, np.nan, np.float32)}).code == "N404"


def test_ctrl_c_while_verifying_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("netc.backends.build.measure", interrupted)
    (tmp_path / "small.onnx").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        built(graph_of(small()), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"small.onnx": b"old"}


def test_kaiming_weights_fit_the_net_and_follow_the_seed() -> None:
    graph = graph_of(small())
    stored.check(kaiming(graph), graph)
    assert stored.digest(kaiming(graph)) == stored.digest(kaiming(graph))
    assert stored.digest(kaiming(graph, 1)) != stored.digest(kaiming(graph))


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["lenet5.cnn", "cifar_resnet.cnn:ResNet20"])
def test_the_zoo_builds_from_initial_weights(spec: str, root: Path, tmp_path: Path) -> None:
    graph = api.load(f"{root}/specs/{spec}")
    assert build(graph, new_weights(graph, 0), tmp_path / "a.onnx").parity is not None


@pytest.mark.long
@pytest.mark.parametrize("spec", ["resnet.cnn:ResNet50", "googlenet.cnn", "unet.cnn:UNet", "vgg.cnn:VGG16"])
def test_the_large_ones_build_from_initial_weights(spec: str, root: Path, tmp_path: Path) -> None:
    graph = api.load(f"{root}/specs/{spec}")
    assert build(graph, new_weights(graph, 0), tmp_path / "a.onnx").parity is not None


def test_the_default_opset_is_one() -> None:
    assert Export().opset == backend.OPSET


def test_the_bound_is_the_callers(tmp_path: Path) -> None:
    graph = graph_of(small())
    weights = randomised(graph)
    path = built(graph, tmp_path, weights)
    cases = reference(graph, weights)
    found = verify(path, graph, weights, cases)
    assert found.bound == 1e-4
    assert found.passed
    strict = verify(path, graph, weights, cases, bound=found.figure / 10, own=lambda case: {"scores": 0.0})
    assert (strict.bound, strict.figure) == (found.figure / 10, found.figure)
    assert not strict.passed
    own = {
        "scores": found.worst.figure * found.worst.spread / 2
    }  # another road is half as far: 4 times that is allowed
    assert verify(path, graph, weights, cases, bound=found.figure / 10, own=lambda case: own).passed


def test_a_large_value_makes_batches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(small())
    (case,) = reference(graph, randomised(graph))

    def parts() -> list[tuple[int, int]]:
        found = [batch.inputs["image"] for batch in measured.batches(graph, case)]
        return [(each.start, each.stop) for each in found]

    assert parts() == [(0, 1), (1, 8), (3, 5)]
    monkeypatch.setattr(measured, "LARGEST", 6 * 12 * 12 * 3)  # three examples of the first layer's
    assert parts() == [(0, 1), (1, 4), (4, 7), (7, 10)]


def two_batches(left: int | str, right: int | str, side: int | str = 6) -> Net:
    net = Net("Two", left=(left, 3, 6, 6), right=(right, 2, side, side))
    net("conv", "left", label="a", c=4, k=3)
    net("conv", "right", label="b", c=4, k=3)
    return net


@pytest.mark.parametrize(
    ("left", "right", "counts"),
    [
        (3, 5, {"left": 9, "right": 15}),  # three rounds, so that the left one has 8 at least
        (4, "N", {"left": 8, "right": 8}),
        ("N", "M", {"left": 8, "right": 8}),
        (1, 20, {"left": 8, "right": 160}),
    ],
)
def test_batches_that_differ_go_in_together(
    left: int | str, right: int | str, counts: dict[str, int], tmp_path: Path
) -> None:
    graph = two_batches(left, right).graph(x="a", y="b")
    weights = randomised(graph)
    (case,) = reference(graph, weights)
    assert {name: len(array) for name, array in case.feed.items()} == counts
    assert {name: len(array) for name, array in case.answers.items()} == dict(zip("xy", counts.values(), strict=True))
    path = tmp_path / "a.onnx"
    found = build(graph, weights, path).parity
    assert found is not None
    assert found.passed
    assert netc_runtime.load(path, device="cpu").check().samples > 0  # the golden example has their shapes


def test_a_batch_tied_to_a_side_is_verified_at_two_sizes(tmp_path: Path) -> None:
    graph = two_batches("N", "M", "N").graph(x="a", y="b")
    weights = randomised(graph)
    cases = reference(graph, weights)
    # N is the left one's batch and the right one's sides; M follows the one batch that is known.
    assert [case.sizes for case in cases] == [{"N": 8}, {"N": 9}]
    assert [case.feed["left"].shape[0] for case in cases] == [8, 9]
    assert [case.feed["right"].shape for case in cases] == [(8, 2, 8, 8), (9, 2, 9, 9)]
    path = tmp_path / "a.onnx"
    found = build(graph, weights, path).parity
    assert found is not None
    assert found.passed
    assert netc_runtime.load(path, device="cpu").check().samples > 0


def test_a_wrong_second_output_fails_whatever_its_batch(tmp_path: Path) -> None:
    net = two_batches(2, 5)
    net("avgpool", "b", label="c", k=3, stride=1, pad=1)
    graph = net.graph(x="a", y="c")
    with pytest.raises(Fault) as caught:
        build(mutated(graph, "avgpool", Padded), randomised(graph), tmp_path / "a.onnx")
    assert "output y" in caught.value.message


def test_real_inputs_of_other_batches_go_in_whole_ones(tmp_path: Path) -> None:
    graph = two_batches(2, 3).graph(x="a", y="b")
    random = np.random.RandomState(1)
    data = {
        name: random.uniform(-1, 1, shape).astype(np.float32)
        for name, shape in (("left", (5, 3, 6, 6)), ("right", (7, 2, 6, 6)))
    }
    cases = reference(graph, randomised(graph), data=data)
    assert {name: len(array) for name, array in cases[1].feed.items()} == {"left": 4, "right": 6}  # two rounds
    with pytest.raises(Fault, match="another number of examples") as caught:
        reference(graph, randomised(graph), data={**data, "left": data["left"][:2]})
    assert caught.value.code == "N432"


def test_a_probe_that_amplifies_rounding_is_followed_by_one_that_tells(tmp_path: Path) -> None:
    # 24 blocks in a row: under random statistics hardly anything of the input is left, and float32 is off by 7 %.
    net = Net("Deep", image=("N", 4, 8, 8))
    x = "image"
    for block in range(24):
        y = net("bn", net("conv", x, label=f"c{block}", c=4, k=3, pad=1), label=f"b{block}")
        x = net("relu", y)
    graph = net.graph(scores=net("fc", net("flatten", x), label="fc", c=5))
    first, second, _ = probes(graph)
    told = [max(float32_share(graph, weights)) for weights in (first, second)]
    assert told[0] > 1e-2
    assert told[1] < told[0]
    found = build(graph, kaiming(graph), tmp_path / "a.onnx").parity
    assert found is not None
    assert not found.telling
    assert found.passed


def float32_share(graph: Graph, weights: stored.Weights) -> list[float]:
    (case,) = reference(graph, weights)
    return [far / spread(case.answers[name]) for name, far in measured.float32(graph, weights, case).items()]


# --- layers whose back ends once disagreed


def test_channels_that_stay_last_are_brought_back_before_a_layer_over_them(tmp_path: Path) -> None:
    net = Net("Lengths", image=("N", 4, 5, 6))
    graph = net.graph(y=net("l2norm", net("fc", "image", c=4, each=True)))
    built(graph, tmp_path)
    lengths = module(graph, randomised(graph))(torch.randn(2, 4, 5, 6)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(2, 5, 6))


@pytest.mark.parametrize("opset", [18, 20, 26])
@pytest.mark.parametrize(
    ("pad", "pool"),
    [
        (1, ("maxpool", {"k": 3, "stride": 2})),
        (2, ("maxpool", {"k": 3, "stride": 2, "pad": 1})),
        (5, ("avgpool", {"k": 3, "stride": 2})),
        ((1, 2, 3, 4), ("avgpool", {"k": 3, "stride": 2})),
    ],
)
def test_zeros_around_an_image_stay_zeros_in_a_pooling(tmp_path: Path, pad: Any, pool: Any, opset: int) -> None:
    # ONNX Runtime would make them the pooling's own padding, which is -inf or not allowed so wide.
    net = Net("Padded", image=("N", 2, 9, 9))
    graph = net.graph(y=net(pool[0], net("pad", "image", pad=pad), **pool[1]))
    path = built(graph, tmp_path, opset=opset)
    low = np.full((1, 2, 9, 9), -1, np.float32)
    (found,) = netc_runtime.load(path, device="cpu").predict({"image": low}).values()
    np.testing.assert_allclose(found, module(graph)(torch.tensor(low)).numpy(), rtol=1e-6)


@pytest.mark.parametrize("sides", [(Symbol("D"), 64, 65), (64, Symbol("D"), 65), (64, 65, Symbol("D"))])
def test_an_average_over_a_large_image_takes_every_side(tmp_path: Path, sides: Any) -> None:
    net = Net("Volume", image=("N", 2, *sides))
    built(net.graph(y=net("gap", "image")), tmp_path)


def test_the_largest_of_hundreds_of_values(tmp_path: Path) -> None:
    net = Net("Maxout", image=("N", 300, 2, 2))
    parts = [net("slice", "image", start=i, stop=i + 1) for i in range(300)]
    graph = net.graph(y=net("maximum", *parts))
    built(graph, tmp_path)
