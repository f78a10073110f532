"""int8: what it costs is measured on real digits and held to a budget; what hurts stays in float."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch

import netc
import netc_runtime
from netc import api
from netc.backends.build import build
from netc.backends.precision.examples import Calibration, Examples, batched, calibration
from netc.backends.precision.scores import Judge
from netc.backends.precision.speed import compared
from netc.backends.precision.wanted import Wanted
from netc.backends.torch import module
from netc.diagnostic import Fault, Source
from netc.graph import Graph, Recipe
from netc.training import data
from netc_runtime.manifest import Manifest
from tests.graphs import Net, randomised

Weights = dict[str, npt.NDArray[Any]]


@cache
def digits() -> tuple[Graph, Weights, Calibration]:
    """A net that tells the sample's digits apart: random convolutions, and a last layer by least squares."""
    net = Net("Digits", image=("N", 1, 28, 28))
    x = net("relu", net("conv", "image", label="c1", c=8, k=5, stride=2))
    x = net("maxpool", net("relu", net("conv", x, label="c2", c=16, k=3)), k=2)
    net("fc", net("flatten", x), label="out", c=10)
    graph = net.graph(digit="out")
    recipe = Recipe(color="gray", scale=1 / 255, mean=(0.1307,), std=(0.3081,))
    graph = replace(graph, inputs=(graph.inputs[0]._replace(recipe=recipe),))
    weights = randomised(graph)
    given = data.load("sample", graph)
    rows, tests = range(2000), range(500)
    whole = module(graph, weights).eval()
    seen: list[torch.Tensor] = []

    def see(_: torch.nn.Module, operands: tuple[torch.Tensor, ...]) -> None:
        seen.append(operands[0])

    whole.get_submodule("out").register_forward_pre_hook(see)
    with torch.no_grad():
        whole(torch.asarray(given.train.tensor(rows)))
    features = np.c_[seen[0].numpy(), np.ones(len(rows))].astype(np.float64)
    wanted = np.eye(10)[given.train.labels[: len(rows)]]
    solve: Any = np.linalg.solve  # typed in part
    found = solve(features.T @ features + 10 * np.eye(features.shape[1]), features.T @ wanted)
    weights["out.weight"], weights["out.bias"] = found[:-1].T.astype(np.float32), found[-1].astype(np.float32)

    def some(split: Any, count: range) -> Examples:
        pictures = split.tensor(count)
        return Examples(len(count), lambda rows: {"image": pictures[list(rows)]}, split.labels[: len(count)])

    return graph, weights, Calibration(some(given.train, range(64)), some(given.test, tests))


def hurt() -> tuple[Graph, Weights, Calibration]:
    """The same function in f32: one channel between c1 and c2 is a thousand times as large, and read so much less."""
    graph, weights, given = digits()
    changed = {name: array.copy() for name, array in weights.items()}
    changed["c1.weight"][0] *= 1000
    changed["c1.bias"][0] *= 1000
    changed["c2.weight"][:, 0] /= 1000
    return graph, changed, given


def built(folder: Path, graph: Graph, weights: Weights, given: Calibration | None, **options: Any) -> Path:
    out = folder / "int8.onnx"
    build(graph, weights, out, precision=Wanted("int8", given, **options))
    return out


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.name}.verify.json").read_text("utf-8"))


def fused(path: Path, folder: Path) -> list[str]:
    """The kinds of nodes that ONNX Runtime makes of a file."""
    runtime: Any = ort
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load_model_from_string((folder / "fused.onnx").read_bytes()).graph.node]


def test_digits_lose_next_to_nothing_and_the_file_says_so(tmp_path: Path) -> None:
    graph, weights, given = digits()
    path = built(tmp_path, graph, weights, given)
    found = record(path)["int8"]
    (score,) = found["scores"]
    assert score["measure"] == "top-1 accuracy"
    assert score["f32"] > 80
    assert score["drop"] == pytest.approx(score["f32"] - score["int8"])
    assert score["drop"] <= 0.5 == found["max_drop"]
    assert (found["in_float"], found["int8_layers"], found["examples"]) == ([], 3, {"ranges": 64, "test": 500})
    assert found["f32_size_bytes"] > path.stat().st_size
    assert [each["batch"] for each in found["speed"]] == [1, 8]
    model = netc_runtime.load(path, "cpu")
    manifest = cast(Manifest, model.manifest)
    assert manifest.precision == "int8"
    assert manifest.parity.bound == 0.5
    assert "percentage points of top-1 accuracy that int8 loses" in manifest.parity.measure
    assert model.check().samples == 10
    # The accuracy that is said is the one that the runtime reaches.
    answers = model.predict(given.test.read(range(500)))["digit"].argmax(1)
    assert 100 * (answers == given.test.labels).mean() == pytest.approx(score["int8"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["int8.onnx", "int8.onnx.verify.json"]
    assert path.read_bytes() == built(tmp_path, graph, weights, given).read_bytes()


def test_onnx_runtime_computes_it_in_integers_from_end_to_end(tmp_path: Path) -> None:
    kinds = fused(built(tmp_path, *digits()), tmp_path)
    assert sorted(kind for kind in kinds if kind not in ("Transpose", "Flatten")) == [
        "NhwcMaxPool", "QGemm", "QLinearConv", "QLinearConv", "QuantizeLinear",
    ]  # fmt: skip
    model = onnx.load_model_from_string((tmp_path / "int8.onnx").read_bytes())
    stored = {each.name: each.data_type for each in model.graph.initializer}
    assert stored["c1.weight_quantized"] == onnx.TensorProto.INT8
    assert list(next(e for e in model.graph.initializer if e.name == "c1.weight_scale").dims) == [8]  # one a channel
    assert {"c1", "c2", "out"} <= {node.name for node in model.graph.node}
    assert [o.name for o in model.graph.output] == ["digit"]
    assert model.producer_name == "netc"


def test_what_hurts_stays_in_float_until_the_budget_holds(tmp_path: Path) -> None:
    graph, weights, given = hurt()
    lost = record(built(tmp_path, graph, weights, given, max_drop=100.0))["int8"]
    assert lost["in_float"] == []
    assert lost["scores"][0]["drop"] > 3  # seven channels of eight are rounded away
    heard: list[str] = []
    held = record(built(tmp_path, graph, weights, given, max_drop=0.5, told=heard.append))["int8"]
    assert held["scores"][0]["drop"] <= 0.5
    kept = {each["layer"] for each in held["in_float"]}
    assert kept
    assert kept <= {"c1", "c2"}
    assert all(each["noise"] > 0 for each in held["in_float"])
    assert held["int8_layers"] == 3 - len(kept)
    assert heard[0].startswith("minmax ranges, 0 layers in float")


def test_a_budget_that_nothing_holds_ends_the_build(tmp_path: Path) -> None:
    graph, weights, given = digits()
    unlabelled = Examples(given.test.count, given.test.read)
    (tmp_path / "int8.onnx").write_bytes(b"old")
    with pytest.raises(Fault) as caught:  # without labels, no int8 explains all of the variance
        built(tmp_path, graph, weights, Calibration(given.ranges, unlabelled), max_drop=0.0)
    assert caught.value.code == "N462"
    assert "variance of f32's answers explained" in caught.value.message
    assert "and 0 are allowed" in caught.value.message
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"int8.onnx": b"old"}


def test_layers_are_kept_in_float_by_pattern(tmp_path: Path) -> None:
    graph, weights, given = digits()
    path = built(tmp_path, graph, weights, given, keep_float=["c*"])
    assert record(path)["int8"]["in_float"] == [{"layer": "c1", "noise": None}, {"layer": "c2", "noise": None}]
    assert "QLinearConv" not in fused(path, tmp_path)
    for patterns, code, said in (
        (["c3"], "N463", "no layer `c3`"),
        (["*"], "N461", "no layer would be int8"),
    ):
        with pytest.raises(Fault, match=said) as caught:
            built(tmp_path, graph, weights, given, keep_float=patterns)
        assert caught.value.code == code


@pytest.mark.parametrize("before", [True, False])
def test_a_norm_that_was_folded_stays_in_float_with_the_layer_that_took_it_over(tmp_path: Path, before: bool) -> None:
    net = Net("Normed", image=("N", 3, 8, 8))
    if before:
        y = net("conv", net("bn", "image", label="norm"), label="c1", c=4, k=3)
    else:
        y = net("bn", net("conv", "image", label="c1", c=4, k=3), label="norm")
    y = net("conv", net("dropout", net("relu", y), label="drop"), label="c2", c=4, k=3)
    net("fc", net("flatten", y), label="f", c=3)
    graph = net.graph(y="f")
    given = calibration(graph, np.random.default_rng(0).standard_normal((9, 3, 8, 8)).astype(np.float32))
    path = built(tmp_path, graph, randomised(graph), given, max_drop=50.0, keep_float=["norm"])
    assert record(path)["int8"]["in_float"] == [{"layer": "c1", "noise": None}]
    nodes = onnx.load_model_from_string(path.read_bytes()).graph.node
    made = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    reads = {node.name: node.input[1] in made for node in nodes if node.op_type == "Conv"}
    assert reads == {"c1": False, "c2": True}
    with pytest.raises(Fault, match="no layer that `drop` names is in the file") as caught:
        built(tmp_path, graph, randomised(graph), given, keep_float=["drop"])
    assert caught.value.code == "N463"


def test_a_nan_has_no_int8(tmp_path: Path) -> None:
    graph, weights, given = digits()
    weights = {**weights, "c1.bias": np.full_like(weights["c1.bias"], np.nan)}
    with pytest.raises(Fault) as caught:
        build(graph, weights, tmp_path / "a.onnx", precision=Wanted("int8", given), nonfinite=True, verify=False)
    assert caught.value.code == "N404"
    assert list(tmp_path.iterdir()) == []


def test_int8_without_data_is_refused(tmp_path: Path) -> None:
    graph, weights, _ = digits()
    with pytest.raises(Fault, match="real examples") as caught:
        built(tmp_path, graph, weights, None)
    assert caught.value.code == "N465"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "labels", "said"),
    [
        (
            np.zeros((4, 1, 27, 28), np.float32),
            None,
            r"float32\[4, 1, 27, 28\] for image, expected float32\[N, 1, 28, 28\]",
        ),
        (np.full((4, 1, 28, 28), np.nan, np.float32), None, "holds a NaN"),
        (np.zeros((0, 1, 28, 28), np.float32), None, r"float32\[0, 1, 28, 28\]"),
        (np.zeros((4, 1, 28, 28), np.float32), [1, 2, 3], r"the labels are int64\[3\], and there are 4 examples"),
        (np.zeros((4, 1, 28, 28), np.float32), [0.5] * 4, r"float64\[4\]"),
    ],
)
def test_calibration_data_that_do_not_fit_are_refused(array: Any, labels: Any, said: str) -> None:
    with pytest.raises(Fault, match=said) as caught:
        calibration(digits()[0], array, labels)
    assert caught.value.code == "N460"


def test_a_fixed_batch_is_fed_whole(tmp_path: Path) -> None:
    net = Net("Four", image=(4, 3, 8, 8))
    net("fc", net("flatten", net("relu", net("conv", "image", label="c", c=4, k=3))), label="f", c=3)
    graph = net.graph(y="f")
    given = calibration(graph, np.random.default_rng(0).standard_normal((9, 3, 8, 8)).astype(np.float32))
    assert batched(graph, given.test)[1:] == (4, True)
    found = record(built(tmp_path, graph, randomised(graph), given, max_drop=5.0))["int8"]
    assert found["examples"] == {"ranges": 8, "test": 8}
    assert [each["batch"] for each in found["speed"]] == [4]
    with pytest.raises(Fault, match="fewer than one batch of 4"):
        calibration(graph, np.zeros((3, 3, 8, 8), np.float32))


def test_some_examples_of_a_fixed_batch_are_whole_batches() -> None:
    net = Net("Three", image=(3, 3, 8, 8))
    net("relu", "image", label="r")
    given = calibration(net.graph(y="r"), np.zeros((18, 3, 8, 8), np.float32))
    found = batched(net.graph(y="r"), given.test)
    assert [len(feed["image"]) for feed in found.some(16).feeds()] == [3] * 5
    assert [len(feed["image"]) for feed in found.some(2).feeds()] == [3]


def test_examples_of_another_size_than_was_asked_for_are_refused() -> None:
    graph, _, given = digits()
    where = graph.inputs[0]
    other = replace(graph, inputs=(where._replace(type=where.type.with_(sides=(32, 32))),))
    with pytest.raises(Fault, match=r"float32\[1, 1, 28, 28\] for image, expected float32\[N, 1, 32, 32\]") as caught:
        batched(other, given.test)
    assert caught.value.code == "N460"


def test_as_many_examples_run_at_once_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net("Large", image=("N", 3, 8, 8))
    net("relu", net("conv", "image", label="c", c=5, k=3), label="r")  # 2 x 5 x 6 x 6 elements
    graph = net.graph(y="r")
    given = calibration(graph, np.zeros((9, 3, 8, 8), np.float32)).test
    assert batched(graph, given).size == 32
    for room, size in ((360 * 7 + 359, 7), (359, 1)):
        monkeypatch.setattr("netc.backends.precision.examples.ROOM", room)
        assert batched(graph, given).size == size


@pytest.mark.parametrize("wrong", [-1, 10])
def test_labels_that_are_no_classes_are_refused(tmp_path: Path, wrong: int) -> None:
    graph, weights, given = digits()
    labels = given.test.labels
    assert labels is not None
    test = replace(given.test, labels=np.where(np.arange(len(labels)) == 7, wrong, labels))
    with pytest.raises(Fault, match=f"output digit has the classes 0 to 9, and a label is {wrong}") as caught:
        built(tmp_path, graph, weights, Calibration(given.ranges, test))
    assert caught.value.code == "N460"
    assert list(tmp_path.iterdir()) == []


# --- scores, worked by hand


def judged(decode: Any, rank: int, f32: Any, ours: Any, labels: Any = None, classes: int = 2) -> float:
    net = Net("Head", x=("N", classes, *[2] * rank))
    net("relu", "x", label="y")
    graph = net.graph(y="y")
    graph = replace(graph, outputs=(graph.outputs[0]._replace(decode=decode),))
    count = len(f32)
    examples = Examples(count, lambda rows: {"x": np.array(rows)}, None if labels is None else np.array(labels))

    def run(answers: Any) -> Callable[[Any], Any]:
        return lambda feed: [np.array(answers, np.float32)[feed["x"]]]

    (score,) = Judge(graph, batched_by(examples), run(f32)).scores(run(ours))
    return score.drop


def batched_by(examples: Examples) -> Any:
    from netc.backends.precision.examples import Batched

    return Batched(examples, 2, False)


def test_accuracy_counts_labels() -> None:
    # f32 is right three times of four, the file once: 75 % - 25 %
    f32, ours = [[1, 0], [1, 0], [0, 1], [0, 1]], [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert judged("softmax", 0, f32, ours, labels=[0, 0, 1, 0]) == 50


def test_labels_judge_what_the_spec_trains_on_classes() -> None:
    text = """net Two {
      input x: f32[N, 4]
      output digit: f32[N, 10]
      output embedding: f32[N, 64]
      from x -> embedded: fc(64) => embedding
      from embedded -> fc(10) => digit
      train { loss.digit = cross_entropy  optimizer = sgd(lr = 0.1) }
    }"""
    graph = api.check_text(Source("two.cnn", text)).graphs["Two"]
    examples = Examples(2, lambda rows: {}, np.zeros(2, np.int64))
    assert Judge(graph, batched_by(examples), lambda _: []).kinds == ["accuracy", "variance"]
    untaught = Judge(replace(graph, train=None), batched_by(examples), lambda _: [])
    assert untaught.kinds == ["accuracy", "accuracy"]


def test_agreement_counts_classes() -> None:
    assert judged("softmax", 0, [[1, 0], [1, 0], [0, 1], [0, 1]], [[2, 1], [0, 1], [0, 1], [0, 9]]) == 25


def test_decisions_are_taken_at_the_threshold() -> None:
    # Logits above 0 are a probability above a half; 1 of 4 differs.
    assert judged("sigmoid", 0, [[-1, 1], [2, -3]], [[-2, 3], [-1, -1]]) == 25


def test_positions_count_intersection_over_union() -> None:
    # One picture of 2x2: f32 says 0 0 0 1, the file 0 0 1 1. Class 0: 2 of 3; class 1: 1 of 2.
    f32, ours = [[[[1, 1], [1, 0]], [[0, 0], [0, 1]]]], [[[[1, 1], [0, 0]], [[0, 0], [1, 1]]]]
    assert judged("argmax", 2, f32, ours) == pytest.approx(100 - 100 * (2 / 3 + 1 / 2) / 2)


def test_numbers_count_by_the_variance_that_is_explained() -> None:
    # f32's 0 and 2 have squares around their mean of 2 in all; the file is off by 1 once: half is lost.
    assert judged("none", 0, [[0], [2]], [[0], [1]], classes=1) == pytest.approx(50)
    assert judged("none", 0, [[1], [1]], [[1], [1]], classes=1) == 0  # it never varies, and is kept
    assert judged("none", 0, [[1], [1]], [[1], [2]], classes=1) == 100


def test_a_comparison_of_speed_takes_turns() -> None:
    ran: list[str] = []
    found = compared(8, lambda: ran.append("a"), lambda: ran.append("b"))
    assert "".join(ran[:12]) == "ab" + "ab" + "ab" + "ba" + "ab" + "ba"
    assert (found.batch, found.ratio) == (8, found.before_ms / found.after_ms)


def test_what_is_about_int8_alone_is_refused_elsewhere(tmp_path: Path) -> None:
    spec = tmp_path / "net.cnn"
    spec.write_text(
        "language 1\n\nnet N {\n"
        "  input x: f32[N, 1, 8, 8]\n  output y: f32[N, 2]\n  from x -> flatten -> fc(2) => y\n}\n"
    )
    images = np.zeros((4, 1, 8, 8), np.float32)
    asked: list[dict[str, Any]] = [
        {"calibrate": images},
        {"max_drop": 1.0},
        {"keep_float": ["fc"], "precision": "f16"},
    ]
    for words in asked:
        with pytest.raises(Fault, match="only int8 takes them") as caught:
            netc.build(spec, tmp_path / "n.onnx", init=0, **words)
        assert caught.value.code == "N467"
    with pytest.raises(Fault, match="no examples to calibrate on") as caught:
        netc.build(spec, tmp_path / "n.onnx", init=0, precision="int8", labels=[0, 1])
    assert caught.value.code == "N465"
    assert [p.name for p in tmp_path.iterdir()] == ["net.cnn"]


@pytest.mark.parametrize("opset", [17, 26])
def test_the_oldest_and_the_newest_opset_answer_as_the_default_does(tmp_path: Path, opset: int) -> None:
    graph, weights, given = digits()
    build(graph, weights, tmp_path / "other.onnx", precision=Wanted("int8", given), opset=opset)
    usual = built(tmp_path, graph, weights, given)
    assert onnx.load_model_from_string((tmp_path / "other.onnx").read_bytes()).opset_import[0].version == opset
    image = np.random.default_rng(1).standard_normal((5, 1, 28, 28)).astype(np.float32)
    ours, theirs = (netc_runtime.load(path).predict(image) for path in (tmp_path / "other.onnx", usual))
    assert ours.keys() == theirs.keys()
    for name, answer in ours.items():
        assert np.allclose(answer, theirs[name], atol=1e-3 * np.abs(theirs[name]).max())
