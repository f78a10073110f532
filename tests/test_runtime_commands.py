"""The runtime's commands under netc's name: arguments, words and exit codes are the runtime's own."""

import json
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

import netc_runtime.cli as runtime
from netc.cli.codes import UsageFault
from netc.cli.runtime import is_of_a_model
from tests.command import Command
from tests.processes import run


@pytest.fixture
def run_netc(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """y = relu(x), without a manifest, in the working directory."""
    monkeypatch.chdir(tmp_path)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    Path("m.onnx").write_bytes(made.SerializeToString())
    return Path("m.onnx")


@pytest.mark.parametrize("command", ["predict", "bench", "doctor"])
def test_the_runtime_gets_all_arguments_as_they_are_and_its_code_is_ours(
    run_netc: Command, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def stub(arguments: list[str]) -> int:
        asked.append(arguments)
        return 3

    monkeypatch.setattr(runtime, "main", stub)
    given = ["m.onnx", "--rate", "2", "--", "-weird.png", "--help"]
    assert run_netc(command, *given) == 3
    assert asked == [[command, *given]]


def test_check_of_a_model_is_the_runtime_s(run_netc: Command, model: Path) -> None:
    assert run_netc("check", model, "--device", "cpu", "--json") == 0
    said = json.loads(run_netc.out)
    assert (said["file"], said["nodes"]) == ("m.onnx", {"CPUExecutionProvider": 1})
    assert runtime.main(["check", "m.onnx", "--device", "cpu", "--json"]) == 0


@pytest.mark.parametrize("arguments", [["absent.onnx"], ["absent.onnx", "--json"], ["ABSENT.ONNX"]])
def test_its_exit_codes_are_the_runtime_s(run_netc: Command, model: Path, arguments: list[str]) -> None:
    assert run_netc("check", *arguments) == runtime.main(["check", *arguments]) == 1
    assert "error[R101]" in run_netc.err
    assert run_netc("check", "m.onnx", "--devise", "cpu") == 2
    assert "usage: netc-runtime" in run_netc.err


def test_check_of_a_model_beside_a_spec_is_refused(run_netc: Command, model: Path) -> None:
    for spec in ("a.cnn", "a.cnn:Net"):
        assert run_netc("check", "m.onnx", spec) == 2
        assert f"{spec} is a spec and m.onnx a model" in run_netc.err


@pytest.mark.parametrize(
    ("arguments", "of_a_model"),
    [
        (["m.onnx"], True),
        (["--json", "dir/M.ONNX"], True),
        (["a.cnn", "--json"], False),
        (["-", "--stdin-name", "m.onnx"], False),
        (["a.cnn", "--search", "old.onnx"], False),
        (["--m.onnx"], False),
        ([], False),
    ],
)
def test_a_model_is_known_by_its_ending(arguments: list[str], of_a_model: bool) -> None:
    assert is_of_a_model(arguments) == of_a_model


def test_a_spec_and_a_model_exclude_each_other() -> None:
    with pytest.raises(UsageFault):
        is_of_a_model(["a.cnn:Net", "m.onnx"])


def test_serve_is_the_runtime_s(run_netc: Command) -> None:
    assert run_netc("serve", "none.onnx") == 1
    assert "error[R542]" in run_netc.err
    assert run_netc("serve", "none.onnx", "--port", "x") == 2
    assert "usage: netc-runtime serve" in run_netc.err


def test_help_and_completion_list_what_is_there(run_netc: Command, tmp_path: Path) -> None:
    assert run_netc("--help") == 0
    for command in ("predict", "bench", "doctor", "serve"):
        assert f"\n  {command} " in run_netc.out
    done = run(
        sys.executable, "-m", "netc",
        _NETC_COMPLETE="complete_bash", COMP_WORDS="netc ", COMP_CWORD="1", cwd=tmp_path,
    )  # fmt: skip
    assert {"predict", "bench", "doctor", "check", "serve"} <= set(done.stdout.split())


@pytest.mark.parametrize("command", ["bench", "doctor", "serve"])
def test_help_of_a_command_is_the_runtime_s(run_netc: Command, command: str) -> None:
    assert run_netc(command, "--help") == 0
    assert f"usage: netc-runtime {command}" in run_netc.out
