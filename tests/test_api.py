"""The pipeline as a library: checked values, and exceptions where a graph was asked for."""

# torch is typed in part.
# pyright: reportUnknownMemberType=false

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import netc
from netc import api
from netc import weights as stored
from netc.backends.torch import initial
from netc.diagnostic import Diagnostic, Fault, Source, Span, SpecError
from netc.elaborate.budget import Limits

# 2 classes of a picture of 8 x 8: conv 1x1x3x3 + 1, fc 36 x 2 + 2 = 84 parameters.
TINY = """net Tiny(classes = 2) {
  input  image: f32[N, 1, 8, 8] { scale = 1/255 }
  output kind: f32[N, classes] { labels = ["dark", "light"], decode = softmax }
  from image -> c1: conv(1, k=3) -> relu -> flatten -> f1: fc(classes) => kind
}
"""
SEVERAL = """net Base(c) {
  input  x: f32[N, 4]
  output y: f32[N, c]
  from x -> fc(c) => y
}
net One = Base(1)
net Two = Base(2)
"""
WRONG = TINY.replace("k=3", "k=33").replace("relu", "rlu")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.cnn"
    path.write_text(TINY)
    return path


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "several.cnn"
    path.write_text(SEVERAL)
    return path


# --- names


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("a.cnn", ("a.cnn", None)),
        ("a.cnn:Net", ("a.cnn", "Net")),
        ("C:/nets/a.cnn", ("C:/nets/a.cnn", None)),
        ("C:/nets/a.cnn:Net", ("C:/nets/a.cnn", "Net")),
        ("12:30/a.cnn", ("12:30/a.cnn", None)),
        ("a.cnn:b.cnn:Net", ("a.cnn:b.cnn", "Net")),
        ("nets:Net", ("nets:Net", None)),
        ("a.cnn:", ("a.cnn", "")),
    ],
)
def test_a_net_is_named_after_the_last_colon_behind_cnn(target: str, parts: tuple[str, str | None]) -> None:
    assert api.split(target) == parts


def test_a_folder_stands_for_its_specs_in_order(tmp_path: Path) -> None:
    for name in ("b.cnn", "a.cnn", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.cnn").touch()
    assert api.specs(tmp_path) == [tmp_path / "a.cnn", tmp_path / "b.cnn"]
    assert api.specs(tmp_path / "a.cnn") == [tmp_path / "a.cnn"]


# --- check


def test_check_gives_graphs_and_names_and_says_what_is_wrong(tiny: Path, several: Path) -> None:
    right = api.check(tiny)
    assert (right.ok, right.nets, right.diagnostics, right.name) == (True, ("Tiny",), (), tiny.as_posix())
    assert right.graphs["Tiny"].params() == 84
    both = api.check(str(several))
    assert (both.nets, tuple(both.graphs)) == (("Base", "One", "Two"), ("One", "Two"))
    tiny.write_text(WRONG)
    wrong = api.check(tiny)
    assert (wrong.ok, dict(wrong.graphs)) == (False, {})
    assert [d.code for d in wrong.diagnostics] == ["N203", "N110"]
    assert [d.span.line for d in wrong.diagnostics] == [4, 4]


def test_check_of_one_net_leaves_the_others_alone(several: Path) -> None:
    several.write_text(SEVERAL.replace("Base(2)", "Base(-2)"))
    assert api.check(f"{several}:One").ok
    assert not api.check(several).ok


def test_check_of_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    for name in ("not_there.cnn", "x" * 5000, "a\0b.cnn", "."):
        (found,) = api.check(f"{tmp_path}/{name}").diagnostics
        assert (found.code, found.severity) == ("N100", "error"), name
        assert "cannot be read" in found.message


def test_check_text_needs_no_file() -> None:
    checked = netc.api.check_text(Source("editor", TINY))
    assert (checked.name, checked.ok, checked.nets) == ("editor", True, ("Tiny",))


def test_warnings_do_not_make_a_check_fail() -> None:
    span = Span(Source("a.cnn", TINY), 0, 3)
    warning, error = Diagnostic("W301", "", span, severity="warning"), Diagnostic("N301", "", span)
    assert api.Checked("a.cnn", (warning,), {}, ()).ok
    assert not api.Checked("a.cnn", (warning, error), {}, ()).ok


def test_errors_are_found_behind_any_number_of_warnings() -> None:
    image = "f32[N, 3, 32, 32]"
    odd = f"net A§ {{\n  input x: {image} {{ resize = 32 }}\n  output y: {image}\n  from x -> relu => y\n}}\n"
    text = "".join(odd.replace("§", str(i)) for i in range(102))  # each a warning: its `resize` keeps proportions
    wrong = odd.replace("§", "bad").replace("relu", "rellu")
    for most in (0, 1, 100, 1000):
        checked = netc.api.check_text(Source("a.cnn", text), most=most)
        assert (checked.ok, len(checked.graphs), checked.dropped) == (True, 102, max(102 - max(most, 1), 0))
        for whole in (text + wrong, wrong + text):
            checked = netc.api.check_text(Source("a.cnn", whole), most=most)
            assert not checked.ok
            assert [d.code for d in checked.diagnostics if d.severity == "error"] == ["N110"]
            assert len(checked.diagnostics) == min(max(most, 1), 104)
            assert len(checked.diagnostics) + checked.dropped == 104


def test_limits_bound_what_is_elaborated(tiny: Path) -> None:
    (found,) = api.check(tiny, limits=Limits(nodes=2)).diagnostics
    assert found.code.startswith("N16")


def test_search_lets_a_spec_use_another_folder(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "shared" / "trunk.cnn").write_text("block trunk(c) { conv(c, k=3) -> relu }\n")
    spec = tmp_path / "own" / "a.cnn"
    spec.write_text('use "trunk.cnn" (trunk)\n' + TINY.replace("c1: conv(1, k=3) -> relu", "t: trunk(1)"))
    assert not api.check(spec).ok
    assert api.check(spec, search=[tmp_path / "shared"]).ok
    assert api.check(spec, search=[str(tmp_path / "shared")]).ok


# --- load


def test_load_gives_the_net_that_is_named_or_the_only_one(tiny: Path, several: Path) -> None:
    assert api.load(tiny).name == "Tiny"
    assert api.load(f"{several}:Two").name == "Two"


def test_load_raises_every_finding_and_tells_the_first(tiny: Path) -> None:
    tiny.write_text(WRONG)
    with pytest.raises(SpecError) as caught:
        api.load(tiny)
    assert [d.code for d in caught.value.diagnostics] == ["N203", "N110"]
    assert str(caught.value) == f"{tiny.as_posix()}:4:31: N203: a 33x33 kernel does not fit in an 8x8 image with pad 0"


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("", "several.cnn has 2 nets; name one: several.cnn:One, several.cnn:Two"),
        (":one", "several.cnn has no net `one`: did you mean `One`?"),
        (":Three", "several.cnn has no net `Three`: its nets are Base, One, Two"),
        (":", "several.cnn has no net ``: its nets are Base, One, Two"),
        (
            ":Base",
            "net `Base` of several.cnn takes arguments without a default: "
            "a variant of it, `net Name = Base(...)`, gives them",
        ),
    ],
)
def test_several_says_which_nets_there_are(
    several: Path, net: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(several.parent)
    with pytest.raises(api.Several) as caught:
        api.load(f"several.cnn{net}")
    assert str(caught.value) == words


def test_several_where_the_file_has_no_net_or_none_that_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "a.cnn"
    spec.write_text("block b(c) { conv(c) }\n")
    with pytest.raises(api.Several, match=r"^a\.cnn has no net$"):
        api.load("a.cnn")
    with pytest.raises(api.Several, match=r"^a\.cnn has no net `A`$"):
        api.load("a.cnn:A")
    spec.write_text(SEVERAL.partition("net One")[0])
    with pytest.raises(api.Several, match="takes arguments without a default"):
        api.load("a.cnn")
    spec.write_text(SEVERAL.partition("net Two")[0])
    assert api.load("a.cnn").name == "One"  # the only one that fits


def test_check_raises_several_for_a_net_that_is_not_there(tiny: Path) -> None:
    with pytest.raises(api.Several, match="did you mean `Tiny`"):
        api.check(f"{tiny}:Tinny")


# --- compile


def test_compile_gives_a_module_in_train_mode_whose_names_are_the_specs(tiny: Path) -> None:
    module = netc.compile(tiny)
    assert module.training
    assert {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()} == {
        "c1.weight": (1, 1, 3, 3),
        "c1.bias": (1,),
        "f1.weight": (2, 36),
        "f1.bias": (2,),
    }
    assert module(torch.zeros(3, 1, 8, 8)).shape == (3, 2)


def test_compile_takes_weights_of_a_file_a_mapping_or_another_module(tiny: Path, tmp_path: Path) -> None:
    graph = api.load(tiny)
    weights = initial(graph, 7)
    stored.save(weights, tmp_path / "w.safetensors")
    wanted = {name: torch.from_numpy(array) for name, array in weights.items()}
    first = netc.compile(tiny, weights=weights)
    for given in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors"), first.state_dict()):
        state = netc.compile(tiny, weights=given).state_dict()
        assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    with torch.no_grad():
        first.get_parameter("c1.weight").zero_()
    assert weights["c1.weight"].any()  # the module has copies


def test_compile_refuses_weights_that_do_not_fit(tiny: Path) -> None:
    weights = initial(api.load(tiny), 7)
    weights["f1.weights"] = weights.pop("f1.weight")
    with pytest.raises(Fault) as caught:
        netc.compile(tiny, weights=weights)
    assert caught.value.code == "N401"
    assert "f1.weight: missing, 2x36 (the nearest is f1.weights)" in caught.value.message


def test_parameters_are_weights_and_other_types_are_told(tiny: Path, tmp_path: Path) -> None:
    module = netc.compile(tiny, weights=initial(api.load(tiny), 7))
    parameters: dict[str, Any] = dict(module.named_parameters())  # which require gradients
    again = netc.compile(tiny, weights=parameters)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in module.state_dict().items())
    netc.build(tiny, tmp_path / "a.onnx", weights=parameters, verify=False)
    parameters["f1.bias"] = torch.zeros(2, dtype=torch.bfloat16)
    with pytest.raises(Fault, match=r"f1\.bias: bfloat16, expected float32") as caught:
        netc.compile(tiny, weights=parameters)
    assert caught.value.code == "N401"


def test_a_mapping_may_be_partial(tiny: Path, tmp_path: Path) -> None:
    body = {name: array for name, array in initial(api.load(tiny), 7).items() if name.startswith("c1.")}
    reading = stored.Reading(partial=["f1.*"])
    with pytest.warns(UserWarning, match=r"starts anew: f1\.weight") as warned:
        module = netc.compile(tiny, weights=body, reading=reading)
    assert warned[0].filename == __file__
    assert np.array_equal(module.state_dict()["c1.weight"].numpy(), body["c1.weight"])
    with pytest.warns(UserWarning, match="starts anew"):
        netc.build(tiny, tmp_path / "a.onnx", weights=body, init=5, reading=reading, verify=False)


@pytest.mark.parametrize(
    ("reading", "code"), [(stored.Reading(key="ema"), "N442"), (stored.Reading(map="map.toml"), "N444")]
)
def test_key_and_map_are_about_files(tiny: Path, reading: stored.Reading, code: str) -> None:
    with pytest.raises(Fault, match="is about the weights of a file") as caught:
        netc.compile(tiny, weights=initial(api.load(tiny), 7), reading=reading)
    assert caught.value.code == code


def test_a_counter_of_batch_norm_may_be_missing(tmp_path: Path) -> None:
    spec = tmp_path / "a.cnn"
    spec.write_text(TINY.replace("-> relu", "-> b1: bn -> relu"))
    weights = initial(api.load(spec), 7)
    del weights["b1.num_batches_tracked"]
    assert netc.compile(spec, weights=weights).state_dict()["b1.num_batches_tracked"] == 0


# --- build


def test_build_writes_a_verified_file_with_its_record(tiny: Path, tmp_path: Path) -> None:
    built = netc.build(tiny, tmp_path / "tiny.onnx", init=7)
    assert built.path == tmp_path / "tiny.onnx"
    assert built.parity is not None
    assert built.parity.passed
    assert built.record_path.is_file()
    model = onnx.load(built.path)
    assert [opset.version for opset in model.opset_import] == [20]
    # The same weights, by any road, give the same bytes.
    again = netc.build(tiny, str(tmp_path / "again.onnx"), weights=initial(api.load(tiny), 7), verify=False)
    assert again.parity is None
    model = onnx.load(built.path)
    assert [i.SerializeToString() for i in onnx.load(again.path).graph.initializer] == [
        i.SerializeToString() for i in model.graph.initializer
    ]


def test_build_takes_an_opset_and_real_inputs(tiny: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    built = netc.build(tiny, tmp_path / "tiny.onnx", init=7, opset=17, verify_data=images)
    assert built.opset == 17
    assert [opset.version for opset in onnx.load(built.path).opset_import] == [17]


@pytest.mark.parametrize(("weights", "init"), [(None, None), ({}, 0)])
def test_build_wants_weights_or_a_seed(
    tiny: Path, tmp_path: Path, weights: dict[str, Any] | None, init: int | None
) -> None:
    with pytest.raises(Fault, match=r"pass weights=\.\.\. or init=0") as caught:
        netc.build(tiny, tmp_path / "a.onnx", weights=weights, init=init)
    assert caught.value.code == "N400"
    assert not (tmp_path / "a.onnx").exists()


def test_build_takes_numbers_of_numpy_and_the_specs_words(tmp_path: Path) -> None:
    spec = tmp_path / "open.cnn"
    spec.write_text(TINY.replace("8, 8]", "H, W]").replace("flatten", "gap -> flatten"))
    sizes: dict[str, Any] = {"H": np.int64(9), "W": np.int32(8)}
    options: dict[str, Any] = {"precision": "fp16", "opset": np.int64(18), "sizes": sizes}
    built = netc.build(spec, tmp_path / "a.onnx", init=0, verify=False, **options)
    assert (built.record()["precision"], built.opset, built.record()["sizes"]) == ("f16", 18, {"H": 9, "W": 8})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 27}, "`opset` of the build is at most 26, not 27"),
        ({"precision": "f8"}, '`precision` of the build takes `f32`, `f16`, `bf16` or `int8`, not "f8"'),
    ],
)
def test_build_takes_what_an_export_section_does(
    tiny: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Fault) as caught:
        netc.build(tiny, tmp_path / "a.onnx", init=0, **options)
    assert (caught.value.code, caught.value.message) == ("N171", message)
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("options", [{"sizes": {"H": "9"}}, {"sizes": {"H": 9.0}}, {"opset": 18.0}])
def test_build_wants_whole_numbers(tiny: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        netc.build(tiny, tmp_path / "a.onnx", init=0, **options)


@pytest.mark.parametrize("name", ["tiny.cnn", "part.cnn", "w.safetensors"])
def test_build_does_not_write_over_what_it_reads(tmp_path: Path, name: str) -> None:
    (tmp_path / "part.cnn").write_text("block part(c) { conv(c, k=3) }\n")
    spec = tmp_path / "tiny.cnn"
    spec.write_text('use "part.cnn" (part)\n' + TINY.replace("c1: conv(1, k=3)", "c1: part(1)"))
    stored.save(initial(api.load(spec), 7), tmp_path / "w.safetensors")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(Fault, match="this file is read here") as caught:
        netc.build(spec, tmp_path / "." / name, weights=tmp_path / "w.safetensors", verify=False)
    assert caught.value.code == "N410"
    assert (tmp_path / name).read_bytes() == before


def test_build_of_a_wrong_spec_raises_its_findings(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(WRONG)
    with pytest.raises(SpecError):
        netc.build(tiny, tmp_path / "a.onnx", init=0)


def test_findings_can_be_sent_to_another_process(tiny: Path) -> None:
    tiny.write_text(WRONG)
    found = api.check(tiny).diagnostics
    assert [(d.code, d.message) for d in pickle.loads(pickle.dumps(found))] == [(d.code, d.message) for d in found]
