"""Weights on the command line and from Python: every source, the options that choose, and what is said of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import numpy as safe

import netc
from netc import api
from netc.backends.torch import initial
from netc.weights import Reading
from netc.weights.onnx_file import find as onnx_tensors
from tests.command import Command

# pyright: reportUnknownMemberType=false

library: Any = safe

SPEC = """net Tiny {
  input image: f32[N, 1, 8, 8]
  output digit: f32[N, 3]
  from image -> body: conv(4, k=3) -> gap -> flatten -> head: fc(3) => digit
}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    Path("tiny.cnn").write_text(SPEC)
    return Command(capsys)


def state(seed: int = 1) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in initial(api.load("tiny.cnn"), seed).items()}


def built(path: str = "Tiny.onnx") -> dict[str, Any]:
    return {name: tensor.read() for name, tensor in onnx_tensors(path).tensors.items()}


def same(found: dict[str, Any], expected: dict[str, torch.Tensor]) -> bool:
    return set(found) == set(expected) and all(np.array_equal(found[n], t.numpy()) for n, t in expected.items())


def build(run: Command, *options: str) -> int:
    return run("build", "tiny.cnn", "--no-verify", *options)


def test_build_takes_a_checkpoint_and_says_what_it_chose(run: Command) -> None:
    torch.save({"model": {f"module.{n}": t for n, t in state().items()}, "model_ema": state(2)}, "c.pth")
    assert build(run, "--weights", "c.pth") == 0
    assert same(built(), state())
    assert run.err == "note: c.pth: taken is model, and not model_ema (--weights-key picks another)\n"
    assert build(run, "--weights", "c.pth", "--weights-key", "model_ema") == 0
    assert same(built(), state(2))
    assert run.err == ""


def test_build_verifies_what_it_read(run: Command) -> None:
    np.savez("w.npz", **{name: tensor.numpy() for name, tensor in state().items()})  # pyright: ignore[reportArgumentType]
    assert run("build", "tiny.cnn", "--weights", "w.npz") == 0
    assert "verified against float64 torch" in run.out


def test_names_that_differ_lead_to_a_map_and_the_map_is_applied(run: Command) -> None:
    torch.save({f"x.{n.replace('body', 'b').replace('head', 'h')}": t for n, t in state().items()}, "w.pth")
    assert build(run, "--weights", "w.pth") == 1
    assert "body.weight: missing, 4x1x3x3 (the nearest is x.b.weight)" in run.err
    assert "help: `netc weights map tiny.cnn:Tiny w.pth` proposes which is which" in run.err
    assert run("weights", "map", "tiny.cnn:Tiny", "w.pth", "-o", "m.toml") == 0
    assert run.out.splitlines() == [
        "layer  kind  in the source  by     because",
        "body   conv  x.b            shape  the only one left of its shape",
        "head   fc    x.h            shape  the only one left of its shape",
        "4 tensors: 4 by shape, 0 open",
        "m.toml: the map",
    ]
    assert build(run, "--weights", "w.pth", "--map", "m.toml") == 0
    assert same(built(), state())


def test_the_map_as_json_has_every_tensor_with_its_reason(run: Command) -> None:
    torch.save({f"x.{n}": t for n, t in state().items()}, "w.pth")
    found = run.json("weights", "map", "tiny.cnn", "w.pth")
    assert {key: found[key] for key in ("schema", "net", "source", "fits", "open", "unused", "heads")} == {
        "schema": 1,
        "net": "Tiny",
        "source": "w.pth",
        "fits": True,
        "open": 0,
        "unused": [],
        "heads": [],
    }
    assert found["tensors"][0] == {
        "name": "body.weight",
        "shape": [4, 1, 3, 3],
        "layer": "body",
        "kind": "conv",
        "from": "x.body.weight",
        "found": [4, 1, 3, 3],
        "by": "name",
        "reason": "the same name",
        "candidates": [],
        "reshape": None,
        "transpose": None,
        "fill": None,
    }


def test_what_is_open_is_listed_and_ends_with_1(run: Command) -> None:
    torch.save({"b.weight": torch.zeros(4, 1, 3, 3), "b.bias": torch.zeros(4), "h.weight": torch.zeros(9, 4)}, "w.pth")
    assert run("weights", "map", "tiny.cnn", "w.pth", "-o", "m.json") == 1
    lines = run.out.splitlines()
    assert lines[3:] == [
        "4 tensors: 2 by shape, 2 open",
        "open: head.weight 3x4: none of this shape is there",
        "open: head.bias 3: none of this shape is there",
        "of the source no row takes: h.weight",
        "m.json: the map, in which what is open waits for you",
    ]
    assert json.loads(Path("m.json").read_text())["tensors"]["head.weight"] == ""
    assert build(run, "--weights", "w.pth", "--map", "m.json") == 1
    assert "head.weight: is open" in run.err


def test_a_new_head_starts_from_the_seed(run: Command) -> None:
    torch.save({**state(), "head.weight": torch.zeros(9, 4), "head.bias": torch.zeros(9)}, "w.pth")
    assert build(run, "--weights", "w.pth") == 1
    assert 'help: --partial "head.*" lets it start anew' in run.err
    assert build(run, "--weights", "w.pth", "--partial", "head.*", "--init", "5") == 0
    assert run.err == "note: starts anew: head.weight 3x4 (9x4 in the file), head.bias 3 (9 in the file)\n"
    fresh = state(5)
    expected = {name: fresh[name] if name.startswith("head") else tensor for name, tensor in state().items()}
    assert same(built(), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_by_name_unless_it_is_allowed(run: Command, value: float) -> None:
    bad = state()
    bad["head.bias"] = torch.tensor([1.0, value, 2.0])
    torch.save(bad, "w.pth")
    assert build(run, "--weights", "w.pth") == 1
    assert run.err.startswith("error[N404]: w.pth: a NaN or an infinity stands in head.bias")
    assert not Path("Tiny.onnx").exists()
    assert build(run, "--weights", "w.pth", "--allow-nonfinite") == 0
    assert np.array_equal(built()["head.bias"], bad["head.bias"].numpy(), equal_nan=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--init", "0", "--partial", "head.*"], "--partial is about --weights, which is missing"),
        (["--init", "0", "--weights-key", "ema", "--map", "m"], "--weights-key, --map are about --weights"),
        (["--init", "0", "--allow-nonfinite"], "--allow-nonfinite is about --weights"),
        (["--weights", "w.pth", "--partial", "head.*"], "say with --init SEED what they start from"),
        (["--weights", "w.pth", "--init", "0"], "--weights and --init exclude each other, but for --partial"),
        (
            ["--emit", "torch", "--partial", "head.*", "--map", "m"],
            "--map, --partial have no meaning with --emit torch",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Command, options: list[str], said: str) -> None:
    assert run("build", "tiny.cnn", *options) == 2
    assert said in run.err


def test_a_file_with_code_in_it_is_refused_and_not_run(run: Command) -> None:
    class Exploit:
        def __reduce__(self) -> Any:
            return os.mkdir, ("pwned",)

    torch.save({"x": Exploit()}, "w.pth")
    for command in (["build", "tiny.cnn", "--weights"], ["weights", "show"], ["weights", "map", "tiny.cnn"]):
        assert run(*command, "w.pth") == 1
        assert run.err.startswith("error[N441]:")
    assert not Path("pwned").exists()


def test_what_is_not_installed_ends_with_3(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert build(run, "--weights", "timm:resnet18") == 3
    assert run.err == (
        "error[N445]: timm:resnet18: the package `timm` is not installed\n"
        "  = help: pip install timm, or name a file of weights\n"
    )


def test_show_lists_what_a_source_holds(run: Command) -> None:
    torch.save({"state_dict": {**state(), "half": torch.zeros(3, dtype=torch.bfloat16)}}, "w.ckpt")
    assert run("weights", "show", "w.ckpt") == 0
    assert run.out.splitlines() == [
        "tensor       shape    type       size",
        "body.weight  4x1x3x3  float32   144 B",
        "body.bias    4        float32    16 B",
        "head.weight  3x4      float32    48 B",
        "head.bias    3        float32    12 B",
        "half         3        bfloat16    6 B",
        "torch: 5 tensors, 226 B",
    ]
    found = run.json("weights", "show", "w.ckpt")
    assert found["tensors"][-1] == {"name": "half", "shape": [3], "dtype": "bfloat16", "size_bytes": 6}
    assert (found["schema"], found["source"], found["form"]) == (1, "w.ckpt", "torch")


def test_convert_writes_safetensors_under_the_same_names(run: Command) -> None:
    torch.save({"model": {**state(), "count": torch.tensor(3)}, "ema": state(2)}, "w.ckpt")
    assert run("weights", "convert", "w.ckpt", "-o", "w.safetensors", "--weights-key", "model") == 0
    assert run.out == "w.safetensors: 5 tensors from w.ckpt\n"
    found = library.load_file("w.safetensors")
    assert same(found, {**state(), "count": torch.tensor(3)})


def test_convert_writes_over_nothing_it_reads_and_nothing_it_cannot_hold(run: Command) -> None:
    torch.save({"a": torch.zeros(2, dtype=torch.bool)}, "w.ckpt")
    assert run("weights", "convert", "w.ckpt", "-o", "w.ckpt") == 2
    assert run("weights", "convert", "w.ckpt", "-o", "w.safetensors") == 1
    assert "a is bool" in run.err
    assert not Path("w.safetensors").exists()
    assert run("weights", "convert", "w.ckpt", "-o", "no/w.safetensors") == 1
    assert "error[N410]" in run.err


def test_a_map_writes_over_neither_the_spec_nor_the_weights(run: Command) -> None:
    torch.save(state(), "w.pth")
    for target in ("tiny.cnn", "w.pth"):
        assert run("weights", "map", "tiny.cnn", "w.pth", "-o", target) == 2
    assert Path("tiny.cnn").read_text() == SPEC


def test_help_names_the_commands_and_their_options(run: Command) -> None:
    assert run("weights", "--help") == 0
    for command in ("show", "convert", "map"):
        assert f"\n  {command}" in run.out
    assert run("weights", "map", "--help") == 0
    for word in ("SPEC[:NET]", "SOURCE", "-o, --out", "--weights-key KEY", "--json"):
        assert word in run.out
    assert run("build", "--help") == 0
    for word in ("--weights SOURCE", "--weights-key KEY", "--map FILE", "--partial PATTERN", "--allow-nonfinite"):
        assert word in run.out


def test_show_and_a_build_without_verification_do_not_import_torch(run: Command) -> None:
    Path("w.safetensors").write_bytes(library.save({name: tensor.numpy() for name, tensor in state().items()}))
    np.savez("w.npz", **{name: tensor.numpy() for name, tensor in state().items()})  # pyright: ignore[reportArgumentType]
    script = (
        "import sys; from netc.cli import main\n"
        "codes = [main(a.split()) for a in sys.argv[1:]]\n"
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    commands = [
        "weights show w.safetensors",
        "weights show w.npz",
        "weights map tiny.cnn w.npz",
        "build tiny.cnn --no-verify --weights w.npz",
        "weights show Tiny.onnx",
        "weights convert Tiny.onnx -o again.safetensors",
    ]
    done = subprocess.run([sys.executable, "-c", script, *commands], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- training and Python


TRAINED = """net Digits {
  input image: f32[N, 1, 28, 28] { scale = 1/255, mean = [0.1307], std = [0.3081] }
  output digit: f32[N, 10]
  from image -> body: conv(4, k=5, stride=4) -> relu -> flatten -> head: fc(10) => digit
}
train Digits { loss.digit = cross_entropy(), optimizer = sgd(lr = 0.001), epochs = 1, batch = 64 }
"""


@pytest.mark.slow
def test_training_starts_from_given_weights_and_a_new_head_from_the_seed(run: Command) -> None:
    Path("digits.cnn").write_text(TRAINED)
    given = initial(api.load("digits.cnn"), 7)
    other = {**given, "head.weight": np.zeros((3, 144), np.float32), "head.bias": np.zeros(3, np.float32)}
    torch.save({n: torch.from_numpy(a) for n, a in other.items()}, "w.pth")
    command = ["train", "digits.cnn", "--data", "sample", "--epochs", "1"]
    assert run(*command, "--weights", "w.pth") == 1
    assert "head.weight: 3x144, expected 10x144" in run.err
    assert run(*command, "--weights", "w.pth", "--partial", "head.*", "-o", "out.safetensors") == 0
    assert "note: starts anew: head.weight 10x144 (3x144 in the file)" in run.err
    trained = library.load_file("out.safetensors")
    fresh = initial(api.load("digits.cnn"), 0)

    def moved(name: str, start: Any) -> float:
        return float(np.abs(trained[name] - start[name]).max())

    # A learning rate of 0.001 moves weights little: each is near what it started from, and not near the other.
    assert 0 < moved("body.weight", given) < 0.1 * moved("body.weight", fresh)
    assert 0 < moved("head.weight", fresh) < 0.1 * float(np.abs(given["head.weight"] - fresh["head.weight"]).max())


def test_python_reads_the_same_sources_and_warns_of_choices(run: Command) -> None:
    torch.save({"model": state(), "ema": state(2)}, "c.pth")
    with pytest.warns(UserWarning, match="taken is model, and not ema") as warned:
        module = netc.compile("tiny.cnn", weights="c.pth")
    assert warned[0].filename == __file__
    assert same({n: t.numpy() for n, t in module.state_dict().items()}, state())
    netc.build("tiny.cnn", "Tiny.onnx", weights="c.pth", reading=Reading(key="ema"), verify=False)
    assert same(built(), state(2))


def test_python_completes_what_is_partial(run: Command) -> None:
    torch.save({**state(), "head.weight": torch.zeros(9, 4), "head.bias": torch.zeros(9)}, "w.pth")
    reading = Reading(partial=["head.*"])
    with pytest.warns(UserWarning, match=r"starts anew: head\.weight") as warned:
        netc.build("tiny.cnn", "Tiny.onnx", weights="w.pth", init=5, reading=reading, verify=False)
    assert warned[0].filename == __file__
    assert np.array_equal(built()["head.weight"], state(5)["head.weight"].numpy())
    with pytest.raises(netc.Fault, match="both where the weights are partial") as caught:
        netc.build("tiny.cnn", "Tiny.onnx", weights="w.pth", reading=reading, verify=False)
    assert caught.value.code == "N400"
    with pytest.warns(UserWarning, match="starts anew"):
        module = netc.compile("tiny.cnn", weights="w.pth", reading=reading)
    assert module.state_dict()["head.weight"].abs().sum() > 0
    assert np.array_equal(module.state_dict()["body.weight"].numpy(), state()["body.weight"].numpy())
