"""`netc verify`: whatever holds a net is compared with whatever else does, and the layer at fault is named."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from netc import api, weights
from netc.backends.build import build
from netc.graph import Graph
from netc_runtime.manifest import KEY
from tests.command import Command
from tests.graphs import randomised

SPEC = """net Small {
  input  image: f32[N, 3, 12, 12]
  output y: f32[N, 5]
  from image
  -> c1: conv(6, k=3, pad=1) -> b1: bn -> relu
  -> c2: conv(8, k=3) -> b2: bn -> act: relu
  -> maxpool(k=2, stride=2) -> flatten
  -> head: fc(5) => y
}
"""
SIZED = """net Map {
  input  image: f32[N, 3, H, W]
  require H % 4 == 0 and W % 4 == 0, "it is halved twice"
  output mask: f32[N, 2, H//4, W//4]
  from image -> c1: conv(4, k=3, pad=1, stride=2) -> relu -> c2: conv(2, k=3, pad=1, stride=2) => mask
}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its weights in two forms, and the model built of them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "small.cnn").write_text(SPEC)
    graph = api.load(folder / "small.cnn")
    tensors = randomised(graph)
    weights.save(tensors, folder / "small.safetensors")
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, folder / "small.pt")
    build(graph, tensors, folder / "small.onnx")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def netc(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def changed(source: str, target: str, tensor: str, factor: float = 1.5) -> None:
    """A model with one tensor scaled."""
    model = onnx.load(source)
    found = next(each for each in model.graph.initializer if each.name == tensor)
    found.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(found) * np.float32(factor)), tensor))
    onnx.save(model, target)


def rebuilt(name: str, text: str, **kwargs: Any) -> Graph:
    Path(f"{name}.cnn").write_text(text)
    graph = api.load(f"{name}.cnn")
    build(graph, randomised(graph), f"{name}.onnx", **kwargs)
    return graph


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("small.cnn=small.safetensors", "small.onnx"),
        ("small.cnn:Small=small.pt", "small.onnx"),
        ("small.onnx", "small.cnn=small.safetensors"),
        ("small.pt", "small.onnx"),  # the net of the model's own manifest
        ("small.onnx", "small.safetensors"),
        ("small.cnn=small.safetensors", "small.pt"),
        ("small.onnx", "small.onnx"),
    ],
)
def test_what_holds_one_net_is_equal(netc: Command, here: Path, a: str, b: str) -> None:
    assert netc("verify", a, b) == 0, netc.err
    assert "equal: the worst figure is " in netc.out
    found = netc.json("verify", a, b)
    assert (found["a"], found["b"], found["equal"], found["parting"]) == (a, b, True, None)
    assert found["figure"] < 1e-5
    # Float64 is the reference, on whichever side it is.
    assert found["reference"] == ("b" if a == "small.onnx" and b != "small.onnx" else "a")


def test_weights_alone_take_the_net_that_is_named(netc: Command, here: Path) -> None:
    assert netc("verify", "small.pt", "small.safetensors", "--net", "small.cnn") == 0
    assert netc("verify", "small.pt", "small.safetensors") == 2
    assert "no net is named: add --net SPEC, or write SPEC=small.pt" in netc.err


def test_initial_weights_are_those_of_the_seed(netc: Command, here: Path) -> None:
    assert netc("build", "small.cnn", "--init", "3", "-o", "three.onnx") == 0
    assert netc("verify", "small.cnn", "three.onnx", "--init", "3") == 0
    assert netc("verify", "small.cnn", "three.onnx", "--init", "4") == 1
    assert netc("verify", "small.cnn", "three.onnx") == 2
    assert "small.cnn has no weights: write small.cnn=WEIGHTS, or add --init SEED" in netc.err


def test_the_layer_at_fault_is_named_with_its_place(netc: Command, here: Path) -> None:
    changed("small.onnx", "wrong.onnx", "c2.weight")
    assert netc("verify", "small.cnn=small.safetensors", "wrong.onnx") == 1
    # Batch norm is folded: the file's c2 gives what the spec's b2 does, and is held against that.
    assert "they part at c2 (conv at small.cnn:6:10)" in netc.out
    found = netc.json("verify", "small.cnn=small.safetensors", "wrong.onnx")
    assert found["equal"] is False
    assert found["parting"]["layer"] == "c2"
    assert found["parting"]["figure"] > 0.1
    (reads,) = found["parting"]["reads"].values()
    assert reads < 1e-5
    largest = found["outputs"][0]["largest"]
    assert largest["index"][0] < 8
    assert abs(largest["reference"] - largest["other"]) == pytest.approx(
        found["figure"] * found["outputs"][0]["spread"], rel=1e-3
    )


def test_a_layer_of_an_unfolded_model_is_found_too(netc: Command, here: Path) -> None:
    build(api.load("small.cnn"), weights.load("small.safetensors", api.load("small.cnn")), "plain.onnx", fold=False)
    changed("plain.onnx", "wrong.onnx", "b1.bias")
    found = netc.json("verify", "small.pt", "wrong.onnx")
    assert (found["parting"]["layer"], found["parting"]["kind"]) == ("b1", "bn")


def test_an_attribute_at_fault_is_found_between_two_models(netc: Command, here: Path) -> None:
    model = onnx.load("small.onnx")
    node = next(each for each in model.graph.node if each.op_type == "MaxPool")
    attribute = next(each for each in node.attribute if each.name == "strides")
    attribute.ints[:] = [1, 1]
    pool = node.output[0]
    next(each for each in node.attribute if each.name == "kernel_shape").ints[:] = [6, 6]  # 5x5 places, as before
    onnx.save(model, "wrong.onnx")
    found = netc.json("verify", "small.onnx", "wrong.onnx")
    assert (found["parting"]["layer"], found["parting"]["kind"]) == (pool, "MaxPool")
    assert found["parting"]["place"].startswith("small.cnn:")


def test_the_layer_whose_weights_differ_is_found_between_two_checkpoints(netc: Command, here: Path) -> None:
    tensors = dict(weights.load("small.safetensors", api.load("small.cnn")))
    tensors["b2.running_mean"] = tensors["b2.running_mean"] + np.float32(1)
    weights.save(tensors, "other.safetensors")
    found = netc.json("verify", "small.pt", "other.safetensors", "--net", "small.cnn")
    assert (found["equal"], found["parting"]["layer"]) == (False, "b2")
    assert found["outputs"][0]["float32_torch"] is None  # both answer in float64


# --- models of others


def foreign(batch: int | str, side: int | str = 12, name: str = "x", **changes: Any) -> None:
    """conv -> relu -> mean over the picture, under names of its own, as another exporter might write it."""
    random = np.random.RandomState(0)
    kernel = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", [name, "w"], ["/c/out"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["/c/out"], ["/r/out"]),
        helper.make_node("GlobalAveragePool", ["/r/out"], ["/p/out"]),
        helper.make_node("Flatten", ["/p/out"], ["logits"]),
    ]
    kind = changes.get("kind", TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    Path("foreign.onnx").write_bytes(model.SerializeToString())
    weights.save({"c.weight": kernel * np.float32(changes.get("factor", 1))}, "foreign.safetensors")


OURS = """net Ours {
  input  image: f32[N, 3, %s]
  output y: f32[N, 4]
  from image -> c: conv(4, k=3, pad=1, bias=false) -> relu -> gap -> flatten => y
}
"""


@pytest.mark.parametrize(
    ("batch", "side", "ours"),
    [
        ("batch", 12, "12, 12"),
        (1, 12, "12, 12"),
        (3, 12, "12, 12"),
        ("b", "s", "H, W"),
        (2, 12, "H, W"),
        ("b", "s", "12, 12"),
    ],
)
def test_a_model_of_another_exporter_is_compared(
    netc: Command, here: Path, batch: int | str, side: int | str, ours: str
) -> None:
    foreign(batch, side)
    Path("ours.cnn").write_text(OURS % ours)
    found = netc.json("verify", "ours.cnn=foreign.safetensors", "foreign.onnx")
    assert found["equal"], netc.err
    assert found["notes"] == ["inputs are paired in order: image with x", "outputs are paired in order: y with logits"]
    assert found["outputs"][0]["shape"][0] == (9 if batch == 3 else 8)  # whole batches
    if ours == "H, W" and side == "s":
        # One symbol for both sides there, so that ours are equal here.
        assert [each["sizes"]["H"] == each["sizes"]["W"] for each in found["outputs"]] == [True, True]
    if side == 12 or ours == "12, 12":
        assert len(found["outputs"]) == 1


def test_a_model_of_another_exporter_may_differ_at_a_layer_nobody_can_name(netc: Command, here: Path) -> None:
    foreign("batch", factor=1.01)
    Path("ours.cnn").write_text(OURS % "12, 12")
    assert netc("verify", "ours.cnn=foreign.safetensors", "foreign.onnx") == 1
    assert "where they part is not known: the file's layers have other names than the net's" in netc.out


def test_two_foreign_models_are_tried_at_two_sizes(netc: Command, here: Path) -> None:
    foreign("b", "s")
    found = netc.json("verify", "foreign.onnx", "foreign.onnx")
    assert [each["sizes"] for each in found["outputs"]] == [{"s": 64}, {"s": 80}]
    found = netc.json("verify", "foreign.onnx", "foreign.onnx", "--at", "s=20")
    assert [each["sizes"] for each in found["outputs"]] == [{"s": 20}]


def test_symbols_take_sizes_that_the_spec_admits(netc: Command, here: Path) -> None:
    graph = rebuilt("map", SIZED)
    weights.save(randomised(graph), "map.safetensors")
    found = netc.json("verify", "map.safetensors", "map.onnx")
    assert found["equal"]
    sizes = [each["sizes"] for each in found["outputs"]]
    assert len(sizes) == 2
    assert all(number % 4 == 0 for each in sizes for number in each.values())
    found = netc.json("verify", "map.safetensors", "map.onnx", "--at", "H=20,W=8")
    assert [each["sizes"] for each in found["outputs"]] == [{"H": 20, "W": 8}]
    assert netc("verify", "map.safetensors", "map.onnx", "--at", "H=18") == 1
    assert "error[N431]" in netc.err
    assert netc("verify", "map.safetensors", "map.onnx", "--at", "Q=18") == 1
    assert "error[N439]: Q = 18 is given, and the inputs have N, H, W" in netc.err
    changed("map.onnx", "wrong.onnx", "c2.bias")
    assert netc.json("verify", "map.safetensors", "wrong.onnx")["parting"]["layer"] == "c2"


def test_a_fixed_batch_is_kept(netc: Command, here: Path) -> None:
    graph = rebuilt("three", SPEC.replace("[N,", "[3,"))
    weights.save(randomised(graph), "three.safetensors")
    assert netc.json("verify", "three.safetensors", "three.onnx")["outputs"][0]["shape"] == [9, 5]
    changed("three.onnx", "wrong.onnx", "c1.weight")
    assert netc.json("verify", "three.safetensors", "wrong.onnx")["parting"]["layer"] == "c1"


def test_heads_that_only_training_has_are_no_part_of_it(netc: Command, here: Path) -> None:
    text = SPEC.replace("  from image", "  output aux: f32[N, 2] { only = train }\n  from image").replace(
        "-> head: fc(5) => y", "-> head: fc(5) => y\n  from act -> gap -> flatten -> side: fc(2) => aux"
    )
    graph = rebuilt("aux", text)
    weights.save(randomised(graph), "aux.safetensors")
    assert netc("verify", "aux.cnn=aux.safetensors", "aux.onnx") == 0, netc.err


# --- what is allowed


def test_a_bound_that_is_given_is_all_that_is_allowed(netc: Command, here: Path) -> None:
    assert netc("verify", "small.pt", "small.onnx", "--bound", "1e-9") == 1
    found = netc.json("verify", "small.pt", "small.onnx", "--bound", "1e-9")
    assert (found["bound"], found["outputs"][0]["allowed"]) == (1e-9, 1e-9)
    changed("small.onnx", "near.onnx", "head.weight", 1.001)
    assert netc("verify", "small.pt", "near.onnx") == 1
    assert netc("verify", "small.pt", "near.onnx", "--bound", "0.1") == 0
    assert netc("verify", "small.onnx", "small.onnx", "--bound", "0") == 0, netc.err
    assert netc("verify", "small.onnx", "near.onnx", "--bound", "0") == 1, netc.err
    for no_number in ("nan", "inf"):
        assert netc("verify", "small.onnx", "small.onnx", "--bound", no_number) == 2


def test_the_bound_that_a_model_states_is_the_default(netc: Command, here: Path) -> None:
    changed("small.onnx", "near.onnx", "head.weight", 1.001)
    model = onnx.load("near.onnx")
    (entry,) = model.metadata_props
    manifest = json.loads(entry.value)
    manifest["parity"]["bound"] = 0.05
    entry.value = json.dumps(manifest)
    onnx.save(model, "wide.onnx")
    assert netc.json("verify", "small.pt", "wide.onnx")["bound"] == 0.05
    assert netc("verify", "small.pt", "wide.onnx") == 0


def test_other_precisions_are_held_to_bounds_of_their_own(netc: Command, here: Path, root: Path) -> None:
    spec = f"{root}/specs/lenet5.cnn"
    assert netc("build", spec, "--init", "0", "--precision", "f16", "-o", "half.onnx") == 0
    found = netc.json("verify", spec, "half.onnx", "--init", "0")
    assert found["equal"]
    assert found["bound"] == 2e-2
    assert 1e-4 < found["figure"] < 2e-2
    assert netc("verify", "half.onnx") == 0
    model = onnx.load("half.onnx")
    (entry,) = model.metadata_props
    entry.value = entry.value.replace('"precision":"f16"', '"precision":"int8"')
    onnx.save(model, "as_int8.onnx")
    found = netc.json("verify", spec, "as_int8.onnx", "--init", "0")
    assert (found["bound"], found["equal"]) == (1e-4, False)
    assert found["notes"] == ["int8 is held to accuracy, and has no figure to keep: see --bound"]


EMBEDDED = """net Seen {
  input  image: f32[N, 3, 12, 12] { scale = 1/255, mean = [0.4, 0.5, 0.6], std = [0.2, 0.3, 0.4] }
  output digit: f32[N, 4] { decode = softmax }
  output mask: f32[N, 3, 12, 12] { decode = argmax }
  from image -> c1: conv(6, k=3, pad=1) -> relu -> c2: conv(3, k=3, pad=1) => mask
  from c2 -> flatten -> head: fc(4) => digit
}
"""


@pytest.mark.parametrize("steps", [("preprocess",), ("decode",), ("preprocess", "decode")])
def test_a_model_that_normalises_or_decodes_itself_is_compared_with_its_net(
    netc: Command, here: Path, steps: tuple[str, ...]
) -> None:
    graph = rebuilt("plain", EMBEDDED)
    weights.save(randomised(graph), "seen.safetensors")
    build(graph, randomised(graph), "seen.onnx", embed=steps)
    found = netc.json("verify", "seen.safetensors", "seen.onnx")
    assert found["equal"], netc.err
    assert [each["output"] for each in found["outputs"]] == ["digit", "mask"]
    assert netc("verify", "seen.onnx", "seen.onnx") == 0, netc.err
    assert netc("verify", "seen.onnx") == 0, netc.err
    if "decode" in steps:
        assert netc("verify", "plain.onnx", "seen.onnx") == 1
        assert "error[N435]: seen.onnx decodes its outputs, and plain.onnx does not" in netc.err
    else:
        assert netc("verify", "plain.onnx", "seen.onnx") == 0, netc.err
        assert netc("verify", "seen.onnx", "plain.onnx") == 0, netc.err
    changed("seen.onnx", "wrong.onnx", "c2.bias", 3.0)
    found = netc.json("verify", "plain.cnn=seen.safetensors", "wrong.onnx")
    assert (found["equal"], found["parting"]["layer"]) == (False, "c2")


def test_real_pictures_are_compared_on_too(netc: Command, here: Path, root: Path) -> None:
    spec = f"{root}/specs/lenet5.cnn"
    assert netc("build", spec, "--init", "0", "-o", "lenet.onnx") == 0
    found = netc.json("verify", spec, "lenet.onnx", "--init", "0", "--data", "sample")
    assert [(each["inputs"], each["shape"]) for each in found["outputs"]] == [("seeded", [8, 10]), ("data", [256, 10])]
    assert found["equal"]
    found = netc.json("verify", "lenet.onnx", "lenet.onnx", "--data", "sample")
    assert [each["inputs"] for each in found["outputs"]] == ["seeded", "data"]
    assert netc("verify", "small.onnx", "small.onnx", "--data", "sample") != 0


def test_an_answer_that_is_no_number_is_a_difference(netc: Command, here: Path) -> None:
    changed("small.onnx", "nan.onnx", "head.weight", float("nan"))
    assert netc("verify", "small.pt", "nan.onnx") == 1
    assert "ONNX Runtime answers with a NaN" in netc.out
    assert netc.json("verify", "small.pt", "nan.onnx")["figure"] is None
    assert netc("verify", "nan.onnx", "nan.onnx") == 1


def test_outputs_that_never_change_are_equal_where_they_are_the_same(netc: Command, here: Path) -> None:
    tensors = dict(weights.load("small.safetensors", api.load("small.cnn")))
    tensors["head.weight"] = np.zeros_like(tensors["head.weight"])
    weights.save(tensors, "still.safetensors")
    assert netc("verify", "still.safetensors", "still.safetensors", "--net", "small.cnn") == 0
    tensors["head.bias"] = tensors["head.bias"] + np.float32(1)
    weights.save(tensors, "other.safetensors")
    assert netc("verify", "still.safetensors", "other.safetensors", "--net", "small.cnn") == 1
    assert "does not depend on the input" in netc.out


# --- a model alone


def test_a_model_alone_repeats_its_golden_example(netc: Command, here: Path) -> None:
    assert netc("verify", "small.onnx") == 0
    assert "the golden example reproduces: 5 numbers within" in netc.out
    assert "the spec in its manifest is whole and compiles" in netc.out
    found = netc.json("verify", "small.onnx")
    assert (found["net"], found["equal"], found["samples"]) == ("Small", True, 5)
    changed("small.onnx", "wrong.onnx", "c2.weight")
    assert netc("verify", "wrong.onnx") == 1
    assert "error[R111]" in netc.err


def test_a_model_alone_needs_an_example(netc: Command, here: Path) -> None:
    foreign("batch")
    assert netc("verify", "foreign.onnx") == 1
    assert "error[N437]: foreign.onnx cannot be verified alone: it carries no netc's manifest" in netc.err
    rebuilt("quick", SPEC, verify=False)
    assert netc("verify", "quick.onnx") == 1
    assert "built with --no-verify" in netc.err
    assert netc("verify", "small.pt") == 2
    assert netc("verify", "small.onnx", "--bound", "1", "--at", "H=2") == 2


def test_a_changed_spec_in_the_manifest_is_no_net(netc: Command, here: Path) -> None:
    model = onnx.load("small.onnx")
    (entry,) = model.metadata_props
    assert entry.key == KEY
    manifest = json.loads(entry.value)
    manifest["spec_text"] = manifest["spec_text"].replace("pad=1", "pad=2")
    entry.value = json.dumps(manifest)
    onnx.save(model, "forged.onnx")
    assert netc("verify", "small.pt", "forged.onnx") == 1
    assert "error[N436]" in netc.err
    assert netc("verify", "small.pt", "forged.onnx", "--net", "small.cnn") == 0


def test_a_spec_of_several_files_compiles_from_the_manifest(netc: Command, here: Path) -> None:
    Path("parts.cnn").write_text("block unit(c) { conv(c, k=3, pad=1) -> relu }\n")
    text = 'use "parts.cnn" (unit)\n' + SPEC.replace("-> c1: conv(6, k=3, pad=1)", "-> c1: unit(6)")
    graph = rebuilt("whole", text)
    weights.save(randomised(graph), "whole.safetensors")
    Path("parts.cnn").unlink()
    Path("whole.cnn").unlink()
    assert netc("verify", "whole.safetensors", "whole.onnx") == 0, netc.err


def test_a_comment_that_looks_like_the_start_of_a_file_is_one(netc: Command, here: Path) -> None:
    Path("parts.cnn").write_text("# --- a unit\nblock unit(c) { conv(c, k=3, pad=1) -> relu }\n# --- parts.cnn\n")
    text = SPEC.replace("-> c1: conv(6, k=3, pad=1)", "-> c1: unit(6)")
    graph = rebuilt("whole", f'language 1\n\n# --- the parts\nuse "parts.cnn" (unit)\n# --- ..\n{text}# --- ..\n')
    weights.save(randomised(graph), "whole.safetensors")
    assert netc("verify", "whole.onnx") == 0, netc.err
    assert netc("verify", "whole.safetensors", "whole.onnx") == 0, netc.err


def test_safetensors_whose_header_is_as_long_as_an_onnx_file_begins_are_weights(netc: Command, here: Path) -> None:
    tensors = weights.load("small.safetensors", api.load("small.cnn"))
    for letters in range(0, 257, 4):
        weights.save(tensors, "long.safetensors", {"note": "a" * letters})
        if Path("long.safetensors").read_bytes()[0] == 8:
            break
    else:
        pytest.fail("no header is so long")
    assert netc("verify", "long.safetensors", "small.onnx") == 0, netc.err


def test_a_shape_inside_two_models_is_no_difference(netc: Command, here: Path) -> None:
    text = "net Grouped { input x: f32[N, 4, 8, 8] output y: f32[N, 3]"
    rebuilt("a", f"{text} from x -> conv(4, k=3) -> gn(2) -> gap -> flatten -> head: fc(3) => y }}\n")
    assert "Shape" in {node.op_type for node in onnx.load("a.onnx").graph.node}
    changed("a.onnx", "b.onnx", "head.weight")
    assert netc("verify", "a.onnx", "b.onnx") == 1, netc.err
    assert netc.json("verify", "a.onnx", "b.onnx")["parting"]["layer"] == "y"


# --- what cannot be compared


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (OURS % "14, 14", "image f32[N, 3, 14, 14]"),
        ((OURS % "12, 12").replace("image: f32[N, 3, 12, 12]", "image: f32[N, 3, 12]"), "image f32[N, 3, 12]"),
    ],
)
def test_inputs_that_differ_are_said(netc: Command, here: Path, spec: str, said: str) -> None:
    foreign("batch")
    Path("ours.cnn").write_text(spec)
    assert netc("verify", "ours.cnn", "foreign.onnx", "--init", "0") == 1
    assert "error[N435]: the two cannot be compared" in netc.err
    assert said in netc.err
    assert "x f32[batch, 3, 12, 12]" in netc.err


def test_inputs_that_nobody_can_make_are_said(netc: Command, here: Path) -> None:
    foreign("batch", kind=TensorProto.FLOAT)
    model = onnx.load("foreign.onnx")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["x/f"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "x/f"
    onnx.save(model, "whole.onnx")
    assert netc("verify", "whole.onnx", "whole.onnx") == 1
    assert "error[N435]: whole.onnx: no inputs are made for x i64[batch, 3, 12, 12]" in netc.err


@pytest.mark.parametrize(
    ("content", "code", "exit_code"),
    [(None, "R101", 1), (b"", "R103", 1), (b"\x08garbage", "R106", 1), (b"PK\x03\x04", "R105", 1)],
)
def test_what_is_no_model_is_said_as_the_runtime_says_it(
    netc: Command, here: Path, content: bytes | None, code: str, exit_code: int
) -> None:
    if content is not None:
        Path("bad.onnx").write_bytes(content)
    assert netc("verify", "small.pt", "bad.onnx") == exit_code
    assert f"error[{code}]" in netc.err
    assert netc("verify", "bad.onnx") == exit_code


def test_options_without_a_meaning_are_refused(netc: Command, here: Path) -> None:
    assert netc("verify", "small.onnx", "small.onnx", "--net", "small.cnn") == 2
    assert "--net names the net of weights" in netc.err
    assert netc("verify", "small.pt", "small.onnx", "--at", "H") == 2
    assert netc("verify", "small.cnn=small.pt", "small.onnx", "--init", "3") == 2
    assert "--init is for a net without weights" in netc.err
    assert netc("verify", "small.onnx", "small.onnx", "--weights-key", "ema") == 2
    assert "--weights-key is for weights" in netc.err
    assert netc("verify", "small.pt", "small.onnx", "--search", ".") == 2
    assert "--search is for what a spec uses" in netc.err
    assert netc("verify", "small.onnx", "--search", ".") == 2


def renamed(here: Path) -> None:
    """Weights under names of their own, and the map from the net's."""
    theirs = {f"net/{name}": tensor for name, tensor in torch.load("small.pt", weights_only=True).items()}
    torch.save(theirs, here / "theirs.pt")
    rows = "".join(f'"{name.removeprefix("net/")}" = "{name}"\n' for name in theirs)
    (here / "map.toml").write_text(f"schema = 1\n\n[tensors]\n{rows}")


def test_weights_under_other_names_are_compared_by_a_map(here: Path, netc: Command) -> None:
    renamed(here)
    assert netc("verify", "small.cnn=theirs.pt", "small.onnx") == 1
    assert "netc weights map" in netc.err
    assert netc("verify", "small.cnn=theirs.pt", "small.onnx", "--map", "map.toml") == 0
    assert netc("verify", "small.onnx", "theirs.pt", "--map", "map.toml", "--net", "small.cnn") == 0


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (["small.cnn=theirs.pt", "small.pt"], "--map is for the weights of one side"),
        (["small.onnx", "small.onnx"], "--map is for the weights of one side"),
        (["small.onnx"], "--map is for two sides"),
    ],
)
def test_a_map_that_would_be_ignored_is_refused(here: Path, netc: Command, sides: list[str], words: str) -> None:
    renamed(here)
    assert netc("verify", *sides, "--map", "map.toml") == 2
    assert words in netc.err
