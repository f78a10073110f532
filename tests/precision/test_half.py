"""Half precision: which nodes compute in it, how numbers become halves, and what a build says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

import netc_runtime
from netc.backends import onnx as backend
from netc.backends.build import build
from netc.backends.compare import compare
from netc.backends.compare.sides import FileSide, NetSide
from netc.backends.precision import half_road
from netc.backends.precision.half import Narrowed
from netc.backends.precision.parity import BOUNDS
from netc.backends.precision.wanted import Wanted
from netc.backends.precision.widths import BF16, F16, Width
from netc.backends.verify import kaiming
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.sections import Export
from netc.weights import save
from netc_runtime.manifest import Manifest
from tests.graphs import Net, randomised

Weights = dict[str, npt.NDArray[Any]]
FLOAT, HALF, BRAIN = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16


def small(export: Export | None = None) -> Graph:
    net = Net("Small", image=("N", 3, 12, 12))
    x = net("relu", net("bn", net("conv", "image", label="conv1", c=6, k=3, pad=1), label="bn1"))
    x = net("relu", net("conv", net("avgpool", x, k=3, stride=2, pad=1), label="conv2", c=8, k=3))
    net("fc", net("flatten", net("gap", x)), label="fc", c=5)
    return net.graph(scores="fc", export=export)


def narrowed(graph: Graph, width: Width = F16, **options: Any) -> onnx.ModelProto:
    return Narrowed(backend.lower(graph, width.opset if width is BF16 else 20), width, **options).model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value, as ONNX's own inference finds it."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    return {i.name: i.type.tensor_type.elem_type for i in (*graph.input, *graph.output, *graph.value_info)}


def built(graph: Graph, folder: Path, word: Any = "f16", weights: Weights | None = None, **options: Any) -> Path:
    out = folder / f"{word}.onnx"
    build(graph, randomised(graph) if weights is None else weights, out, precision=Wanted(word), **options)
    return out


def loaded(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(path.read_bytes())


def manifest(path: Path) -> Manifest:
    (entry,) = loaded(path).metadata_props
    return Manifest.from_json(entry.value)


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.name}.verify.json").read_text("utf-8"))


# --- numbers


@pytest.mark.parametrize(("width", "dtype"), [(F16, torch.float16), (BF16, torch.bfloat16)])
def test_numbers_become_halves_as_torchs_do(width: Width, dtype: torch.dtype) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    halfway = np.arange(0x3F80_0000, 0x3F90_0000, 0x800).astype(np.uint32)  # from 1.0 on, ties among them
    edges = np.array([0.0, -0.0, 65504, 65519.996, 65520, 1e-8, 6e-8, 2.98e-8, 3.4e38, -3.3961775e38], np.float32)
    numbers = np.concatenate([bits.view(np.float32), halfway.view(np.float32), edges])
    numbers = numbers[np.isfinite(numbers)]
    theirs = torch.asarray(numbers).to(dtype)
    assert np.array_equal(width.cast(numbers).view(np.int16), theirs.view(torch.int16).numpy())
    assert np.array_equal(width.exact(width.cast(numbers)), theirs.float().numpy())


# --- nodes


@pytest.mark.parametrize(("width", "number"), [(F16, HALF), (BF16, BRAIN)], ids=["f16", "bf16"])
def test_casts_stand_at_the_borders_alone(width: Width, number: int) -> None:
    model = narrowed(small(), width)
    found = types(model)
    assert (found["image"], found["scores"]) == (FLOAT, FLOAT)
    assert {found[name] for node in model.graph.node for name in node.output} == {number, FLOAT}
    # The unfolded batch norm computes in f32, on statistics in f32; everything else in halves.
    assert kinds(model) == [
        "Cast", "Conv", "Cast", "BatchNormalization", "Cast", "Relu", "AveragePool", "Conv", "Relu",
        "GlobalAveragePool", "Flatten", "Gemm", "Cast",
    ]  # fmt: skip
    assert found["bn1.running_var"] == FLOAT
    assert found["conv1.weight"] == found["fc.bias"] == number


def test_nodes_and_values_keep_their_names() -> None:
    plain = backend.skeleton(small())
    names = [node.name for node in plain.graph.node]
    assert [node.name for node in narrowed(small()).graph.node if node.op_type != "Cast"] == names
    assert [o.name for o in narrowed(small()).graph.output] == ["scores"]


def test_an_output_that_is_read_on_is_cast_beside(tmp_path: Path) -> None:
    net = Net("Two", image=("N", 3, 8, 8))
    x = net("conv", "image", label="a", c=4, k=3)
    net("conv", net("relu", x), label="b", c=2, k=3)
    graph = net.graph(early="a", late="b")
    path = built(graph, tmp_path)
    answers = netc_runtime.load(path, "cpu").predict(np.ones((2, 3, 8, 8), np.float32))
    assert {name: array.shape for name, array in answers.items()} == {"early": (2, 4, 6, 6), "late": (2, 2, 4, 4)}


def test_squares_do_not_overflow_and_zeros_are_no_nan(tmp_path: Path) -> None:
    # 300 squared is more than an f16 holds, and l2norm's eps of 1e-12 less than it tells from 0.
    net = Net("Norms", image=("N", 3, 6, 6))
    net("l2norm", net("lrn", net("conv", "image", label="conv", c=4, k=1), n=1))
    graph = net.graph(y="l2norm")
    weights = {"conv.weight": np.full((4, 3, 1, 1), 100, np.float32), "conv.bias": np.zeros(4, np.float32)}
    path = built(graph, tmp_path, weights=weights, verify=False)
    model = netc_runtime.load(path, "cpu")
    ones, zeros = (model.predict(np.full((1, 3, 6, 6), x, np.float32))["y"] for x in (1, 0))
    np.testing.assert_allclose(ones, 0.5, rtol=1e-3)  # four equal channels of a length of 1
    assert np.array_equal(zeros, np.zeros_like(zeros))


def test_a_layer_with_weights_beyond_f16_stays_in_f32(tmp_path: Path) -> None:
    graph = small()
    weights = randomised(graph)
    weights["conv2.weight"] = weights["conv2.weight"] * 1e6
    path = built(graph, tmp_path, weights=weights, verify=False)
    stored = {t.name: t.data_type for t in loaded(path).graph.initializer}
    assert (stored["conv2.weight"], stored["conv1.weight"], stored["fc.weight"]) == (FLOAT, HALF, HALF)
    assert record(path)["f16"]["in_f32"] == ["conv2"]


def test_values_beyond_f16_are_found_by_running_the_net(tmp_path: Path) -> None:
    graph = small()
    weights = randomised(graph)
    weights["conv1.weight"] = weights["conv1.weight"] * 3e4
    weights["conv1.bias"] = weights["conv1.bias"] * 3e4
    weights["bn1.running_mean"] = weights["bn1.running_mean"] * 3e4
    weights["bn1.running_var"] = weights["bn1.running_var"] * 9e8
    path = built(graph, tmp_path, weights=weights, fold=False)  # what is between conv1 and bn1 is large
    assert record(path)["f16"]["in_f32"] == ["conv1", "bn1"]
    assert netc_runtime.load(path, "cpu").check().samples > 0
    # bf16 reaches as far as f32.
    assert record(built(graph, tmp_path, "bf16", weights, fold=False))["bf16"]["in_f32"] == []


def test_a_layer_that_takes_bf16_at_a_newer_opset_is_named() -> None:
    with pytest.raises(Fault) as caught:
        Narrowed(backend.lower(small(), 21), BF16)
    assert caught.value.code == "N420"
    assert "Conv takes bf16 from opset 22 on, and the export's is 21: conv1 at test.cnn:2" in caught.value.message
    assert "--opset 22" in caught.value.help


# --- builds


@pytest.mark.parametrize("word", ["f16", "bf16"])
def test_a_build_is_verified_and_says_its_precision(tmp_path: Path, word: Any) -> None:
    path = built(small(), tmp_path, word)
    found = manifest(path)
    assert found.precision == word
    assert found.parity.verdict == "passed"
    assert (found.parity.bound, f"rounded to {word}" in found.parity.measure) == (
        {"f16": 2e-2, "bf16": 0.16}[word],
        True,
    )
    assert [(i.name, i.dtype) for i in (*found.inputs, *found.outputs)] == [("image", "f32"), ("scores", "f32")]
    written = record(path)
    assert written["precision"] == word
    assert written["parity"]["bound"] == 1e-4  # of the same nodes in f32
    assert 0 < written[word]["parity"]["figure"] <= found.parity.bound
    model = loaded(path)
    assert model.opset_import[0].version == (22 if word == "bf16" else 20)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{word}.onnx", f"{word}.onnx.verify.json"]
    assert built(small(), tmp_path, word).read_bytes() == path.read_bytes()


def test_the_runtime_runs_f16_and_its_golden_example(tmp_path: Path) -> None:
    graph = small()
    weights = randomised(graph)
    model = netc_runtime.load(built(graph, tmp_path, weights=weights), "cpu")
    assert model.check().samples == 5
    assert model.report().precision == "f16"
    x = np.random.default_rng(0).standard_normal((3, 3, 12, 12)).astype(np.float32)
    build(graph, weights, tmp_path / "f32.onnx")
    whole = netc_runtime.load(tmp_path / "f32.onnx", "cpu").predict(x)["scores"]
    found = model.predict(x)["scores"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - whole).max() < 5e-3 * np.abs(whole).max()


def test_half_the_size(tmp_path: Path) -> None:
    net = Net("Wide", image=("N", 64, 4, 4))
    net("conv", net("conv", "image", label="a", c=256, k=3, pad=1), label="b", c=256, k=3, pad=1)
    graph = net.graph(y="b")
    build(graph, randomised(graph), tmp_path / "f32.onnx", verify=False)
    half = built(graph, tmp_path, verify=False)
    assert half.stat().st_size / (tmp_path / "f32.onnx").stat().st_size == pytest.approx(0.5, abs=0.01)


def test_the_spec_asks_for_a_precision_and_a_build_for_another(tmp_path: Path) -> None:
    graph = small(Export(precision="f16"))
    weights = randomised(graph)
    build(graph, weights, tmp_path / "as_it_says.onnx", verify=False)
    assert manifest(tmp_path / "as_it_says.onnx").precision == "f16"
    assert manifest(built(graph, tmp_path, "f32", weights, verify=False)).precision == "f32"
    # An opset that is written is kept, and refused where it is too old.
    with pytest.raises(Fault, match="from opset 22 on, and the export's is 18"):
        built(small(Export(opset=18)), tmp_path, "bf16")


def test_external_data_holds_halves(tmp_path: Path) -> None:
    graph = small()
    path = built(graph, tmp_path, external_data=True)
    inline = built(graph, tmp_path / "..", "f16")
    ours, theirs = (
        netc_runtime.load(each, "cpu").predict(np.ones((1, 3, 12, 12), np.float32)) for each in (path, inline)
    )
    assert np.array_equal(ours["scores"], theirs["scores"])


def test_a_file_that_its_build_kept_is_equal_for_netc_verify(tmp_path: Path) -> None:
    # Answers that are small differences of large numbers: f16 loses more than its bound, as the net itself does.
    graph, weights = small(), dict(kaiming(small()))
    weights["conv2.weight"] = weights["conv2.weight"] + np.float32(1)
    weights["fc.weight"] = weights["fc.weight"] - weights["fc.weight"].mean(axis=1, keepdims=True)
    file = FileSide(built(graph, tmp_path, weights=weights), graph)
    found = compare(NetSide("small", graph, weights), file, bound=BOUNDS["f16"])
    assert found.equal
    assert found.worst.agreement.figure > BOUNDS["f16"]
    assert not compare(NetSide("small", graph, weights), file, bound=BOUNDS["f16"], strict=True).equal
    weights["conv2.weight"][0] = 0
    assert not compare(NetSide("small", graph, weights), file, bound=BOUNDS["f16"]).equal


# --- what is wrong is found


def test_a_net_that_f16_cannot_hold_apart_is_not_kept(tmp_path: Path) -> None:
    # Weights below 6e-8 vanish in f16, and the answers with them; bf16 holds them.
    graph = small()
    weights = kaiming(graph)
    weights["conv2.weight"] = weights["conv2.weight"] * np.float32(1e-9)
    weights["conv2.bias"] = weights["conv2.bias"] * np.float32(1e-9)
    weights["fc.bias"] = np.zeros_like(weights["fc.bias"])
    with pytest.raises(Fault) as caught:
        built(graph, tmp_path, weights=weights)
    assert caught.value.code == "N464"
    assert "f16 is too coarse: output scores (seeded inputs)" in caught.value.message
    assert list(tmp_path.iterdir()) == []
    built(graph, tmp_path, "bf16", weights)


@pytest.mark.parametrize("word", ["f16", "bf16"])
def test_a_file_with_other_weights_than_the_nets_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: Any
) -> None:
    # One kernel of six is cut off after its first bits, as a faulty cast would.
    right = Narrowed.weights

    def wrong(self: Narrowed, weights: Weights) -> Weights:
        if self.width.word == "f32":
            return dict(right(self, weights))
        found = dict(right(self, weights))
        found["conv2.weight"] = found["conv2.weight"].copy()
        found["conv2.weight"][0] = 0
        return found

    monkeypatch.setattr(Narrowed, "weights", wrong)
    with pytest.raises(Fault, match="too coarse") as caught:
        built(small(), tmp_path, word, kaiming(small()))
    assert caught.value.code == "N464"


def test_nodes_that_compute_something_else_fail_by_the_bound_of_f32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Padding that counts at the border moves the answers by less than bf16's bound may allow, but not f32's.
    right = Narrowed.__init__

    def wrong(self: Narrowed, *args: Any) -> None:
        right(self, *args)
        (pool,) = [node for node in self.model.graph.node if node.op_type == "AveragePool"]
        (counts,) = [each for each in pool.attribute if each.name == "count_include_pad"]
        counts.i = 1 - counts.i

    monkeypatch.setattr(Narrowed, "__init__", wrong)
    with pytest.raises(Fault) as caught:
        built(small(), tmp_path, "bf16")
    assert caught.value.code == "N430"


def test_an_infinity_in_the_half_file_alone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the search for large values, conv1's overflow; in f32 they do not.
    def nothing(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(half_road, "beyond", nothing)
    graph = small()
    weights = randomised(graph)
    for name in ("conv1.weight", "conv1.bias", "bn1.running_mean"):
        weights[name] = weights[name] * 3e4
    weights["bn1.running_var"] = weights["bn1.running_var"] * 9e8
    with pytest.raises(Fault) as caught:
        built(graph, tmp_path, weights=weights, fold=False)
    assert caught.value.code == "N464"
    assert "answers with a NaN, an infinity" in caught.value.message


def test_without_verification_nothing_is_run_and_torch_stays_out(root: Path, tmp_path: Path) -> None:
    path = built(small(), tmp_path, verify=False)
    found = manifest(path)
    assert (found.golden, found.parity.verdict, found.precision) == (None, "not verified", "f16")
    assert netc_runtime.load(path, "cpu").predict(np.ones((1, 3, 12, 12), np.float32))["scores"].shape == (1, 5)
    (tmp_path / "tiny.cnn").write_text(
        "language 1\nnet T { input image: f32[N, 3, 8, 8] output y: f32[N, 2]\n"
        "from image -> c: conv(4, k=3) -> gap -> flatten -> f: fc(2) => y }\n"
    )
    shapes = {"c.weight": (4, 3, 3, 3), "c.bias": (4,), "f.weight": (2, 4), "f.bias": (2,)}
    save({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, tmp_path / "w.safetensors")
    script = (
        "import sys; from netc import cli; options = '--weights w.safetensors --precision f16 --no-verify -o t.onnx'; "
        "code = cli.main(['build', 'tiny.cnn', *options.split()]); "
        "print(code, [m for m in ('torch', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{root}:{root / 'runtime'}"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_nan_is_one_in_bf16_too() -> None:
    bits = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0xFF800000, 0x3F808000, 0x3F818000], "<u4")
    halves = BF16.cast(bits.view("<f4"))
    assert [f"{each:04x}" for each in halves.tolist()] == ["7fff", "ffff", "7fc0", "7f80", "ff80", "3f80", "3f82"]
