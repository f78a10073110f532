"""What may be wrong with a model file: each has its code and words, from the library and the command; nothing hangs."""

# pyright: reportUnknownMemberType=false

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import netc_runtime
from netc_runtime import dry_load as dry
from netc_runtime.dry_load import DryLimits, dry_load
from netc_runtime.errors import ModelFault, RequestFault, RuntimeFault
from netc_runtime.external import check_external, names_others

X = np.ones((1, 4), np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[TensorProto] = (),
    *,
    opset: int = 20,
    ir: int = 10,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model from x (N, 4) to y (N, 4)."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], list(weights))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def relu(**changes: Any) -> onnx.ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"])], **changes)


def adding(weight: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def external(location: str, offset: object = 0, length: object = 16) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def of_dims(*dims: int) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    del tensor.dims[:]
    tensor.dims.extend(dims)
    return tensor


def allocating(elements: int) -> onnx.ModelProto:
    """A few bytes that ask for so many floats when they run; the optimiser cannot know how many."""
    numbers = {"zero": 0, "one": 1, "many": elements}
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Mul", ["rows", "many"], ["count"]),
        helper.make_node("ConstantOfShape", ["count"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model(nodes, [numpy_helper.from_array(np.array([n], np.int64), name) for name, n in numbers.items()])


def endless() -> onnx.ModelProto:
    """A loop that does not end in any time that somebody waits."""
    inside = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["v"], ["w"]),
        ],
        "inside",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    return model(
        [helper.make_node("Loop", ["most", "true", "x"], ["y"], body=inside)],
        [
            numpy_helper.from_array(np.array(2**62, np.int64), "most"),
            numpy_helper.from_array(np.array(True), "true"),
        ],
    )


CYCLE = [
    helper.make_node("Add", ["x", "b"], ["a"]),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("Relu", ["a"], ["y"]),
]
FOREIGN = [helper.make_node("Foo", ["x"], ["y"], domain="evil")]
Case = tuple[Callable[[], onnx.ModelProto | bytes], str, Sequence[str]]
CASES: dict[str, Case] = {
    "empty": (lambda: b"", "R103", ["is empty: 0 bytes", "copy or download it again"]),
    "garbage": (lambda: b"\x0b" + b"\xff" * 99, "R106", ["not ONNX"]),
    "truncated": (lambda: relu().SerializeToString()[:-3], "R106", ["is truncated", "copy or download it again"]),
    "git-lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "R104", ["git lfs pull"]),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "R105", ["zip archive", "unpack it"]),
    "opset too new": (lambda: relu(opset=99), "R107", ["99", "26"]),
    "IR too new": (lambda: relu(ir=99), "R107", ["99", "13"]),
    "custom domain": (lambda: model(FOREIGN, domains=["evil"]), "R107", ["evil:Foo"]),
    "cycle": (lambda: model(CYCLE), "R107", ["acyclic"]),
    "huge dims": (lambda: adding(of_dims(2**62)), "R107", ["refuses the model"]),
    "dims that overflow": (lambda: adding(of_dims(2**40, 2**40)), "R107", ["refuses the model"]),
    "negative dims": (lambda: adding(of_dims(-4)), "R107", ["refuses the model"]),
    "absolute": (
        lambda: adding(external("/etc/hostname")),
        "R118",
        ["'/etc/hostname'", "no file of the model's folder"],
    ),
    "absolute for Windows": (lambda: adding(external("C:\\w.bin")), "R118", ["no file of the model's folder"]),
    "out of the folder": (lambda: adding(external("../w.bin")), "R118", ["no file of the model's folder"]),
    "out of it and back": (lambda: adding(external("sub/../w.bin")), "R118", ["no file of the model's folder"]),
    "symbolic link": (lambda: adding(external("link.bin")), "R118", ["a symbolic link"]),
    "behind a link": (lambda: adding(external("away/w.bin")), "R118", ["behind a symbolic link"]),
    "hard link": (lambda: adding(external("hard.bin")), "R118", ["a hard link"]),
    "pipe": (lambda: adding(external("pipe.bin")), "R118", ["not a regular file"]),
    "folder": (lambda: adding(external("sub")), "R118", ["not a regular file"]),
    "missing": (lambda: adding(external("none.bin")), "R118", ["No such file", "copy both files"]),
    "short": (lambda: adding(external("w.bin", length=17)), "R118", ["17 bytes", "the file has 16"]),
    "beyond the end": (lambda: adding(external("w.bin", offset=2**62)), "R118", ["the file has 16"]),
    "negative offset": (lambda: adding(external("w.bin", offset=-4)), "R118", ["offset is '-4'"]),
    "negative length": (lambda: adding(external("w.bin", length=-16)), "R118", ["length is '-16'"]),
    "length of no number": (lambda: adding(external("w.bin", length="1_6")), "R118", ["length is '1_6'"]),
    "nameless": (lambda: adding(external("")), "R118", ["no file of the model's folder"]),
    "address in memory": (lambda: adding(external("*/_ORT_MEM_ADDR_/*", 140_000_000_000)), "R118", ["in memory"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with good weights, and with files that are no such."""
    found = tmp_path / "model"
    (found / "sub").mkdir(parents=True)
    (found / "w.bin").write_bytes(np.ones(4, np.float32).tobytes())
    (tmp_path / "w.bin").write_bytes(np.ones(4, np.float32).tobytes())
    (found / "link.bin").symlink_to(tmp_path / "w.bin")
    (found / "away").symlink_to(tmp_path)
    (found / "hard.bin").hardlink_to(tmp_path / "w.bin")
    os.mkfifo(found / "pipe.bin")
    return found


def saved(folder: Path, made: onnx.ModelProto | bytes) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_fault_has_its_code_and_words(folder: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, code, words = CASES[name]
    path = saved(folder, make())
    with pytest.raises(ModelFault) as caught:
        netc_runtime.load(path, "cpu")
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    said = f"{caught.value.message} {caught.value.help}"
    assert [word for word in words if word not in said] == [], said
    assert str(path) in said or path.name in said
    assert ".cc:" not in said
    assert caught.value.help
    assert capfd.readouterr() == ("", "")  # ONNX Runtime prints nothing beside it


@pytest.mark.parametrize("name", ["empty", "custom domain", "hard link", "pipe"])
def test_the_command_exits_with_1_and_no_traceback(
    folder: Path, name: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    make, code, _ = CASES[name]
    path = saved(folder, make())
    for word in ("check", "predict", "bench"):
        more = [folder / "w.bin"] if word == "predict" else []
        exit_code, out, err = command(word, path, *more, "--device", "cpu")
        assert (exit_code, out) == (1, ""), err
        assert f"error[{code}]: " in err
        assert "Traceback" not in err


def test_a_folder_and_a_pipe_are_no_models(folder: Path) -> None:
    for path in (folder, folder / "pipe.bin"):
        with pytest.raises(ModelFault) as caught:
            netc_runtime.load(path, "cpu")
        assert caught.value.code == "R102"


def test_data_in_the_models_folder_are_read(folder: Path) -> None:
    (folder / "sub" / "w.bin").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    path = saved(folder, adding(external("sub/w.bin", offset=16)))
    assert netc_runtime.load(path, "cpu").predict(X)["y"].tolist() == [[5, 6, 7, 8]]


def test_tensors_are_found_wherever_they_are(folder: Path) -> None:
    bad = external("../w.bin")
    body = helper.make_graph([helper.make_node("Constant", [], ["y"], value=bad)], "body", [], [])
    sparse = helper.make_node("Constant", [], ["y"], sparse_value=onnx.SparseTensorProto(values=bad, dims=[4]))
    several = helper.make_node("Foo", [], ["y"])
    several.attribute.append(onnx.AttributeProto(name="t", type=onnx.AttributeProto.TENSORS, tensors=[bad]))
    function = model([helper.make_node("F", ["x"], ["y"])])
    function.functions.append(
        helper.make_function("d", "F", ["a"], ["b"], [helper.make_node("Constant", [], ["b"], value=bad)], [])
    )
    held = [
        model([helper.make_node("Constant", [], ["y"], value=bad)]),
        model([helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)]),
        model([sparse]),
        model([several]),
        function,
    ]
    for made in held:
        with pytest.raises(ModelFault) as caught:
            check_external(saved(folder, made))
        assert caught.value.code == "R118"


def test_a_file_of_too_many_fields_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = adding(external("w.bin"))
    made.graph.initializer.extend([TensorProto()] * 1000)
    path = saved(folder, made)
    monkeypatch.setattr("netc_runtime.external._MOST_FIELDS", 2000)
    check_external(path)
    monkeypatch.setattr("netc_runtime.external._MOST_FIELDS", 1000)
    with pytest.raises(ModelFault, match="over 1,000 fields") as caught:
        check_external(path)
    assert caught.value.code == "R106"


def test_a_tensor_in_too_many_places_is_refused(folder: Path) -> None:
    tensor = external("w.bin")
    for index in range(100):
        tensor.external_data.add(key=f"key{index}", value="0")
    with pytest.raises(ModelFault, match="too many places") as caught:
        check_external(saved(folder, adding(tensor)))
    assert caught.value.code == "R106"


def test_words_that_look_like_a_location_are_no_location(folder: Path) -> None:
    made = relu()
    made.doc_string = "\n\x08location"
    path = saved(folder, made)
    assert names_others(path)
    check_external(path)
    assert netc_runtime.load(path, "cpu").predict(X)["y"].tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("cut", [1, 2, 5, 9])
def test_fields_that_do_not_fit_are_no_onnx(folder: Path, cut: int) -> None:
    inside = adding(external("w.bin")).graph.SerializeToString()
    path = folder / "m.onnx"
    path.write_bytes(b"\x3a" + bytes([len(inside) - cut]) + inside[:-cut])
    with pytest.raises(ModelFault) as caught:
        check_external(path)
    assert caught.value.code in ("R106", "R118")


# --- in a process of its own


def test_a_good_model_loads_and_runs_dry(digits: Path, folder: Path) -> None:
    assert dry_load(digits).ran
    found = dry_load(saved(folder, relu()))
    assert found.ran
    assert found.peak_bytes is None or found.peak_bytes > 1_000_000
    assert found.bounded == (sys.platform == "linux")
    assert netc_runtime.load(digits, "cpu", dry=True).check().samples == 3


def test_sizes_that_nobody_has_said_are_not_run(segmenter: Callable[..., Path]) -> None:
    assert not dry_load(segmenter()).ran


def test_a_constant_of_12_terabytes_is_refused(folder: Path) -> None:
    path = saved(folder, allocating(3_000_000_000_000))
    with pytest.raises(RuntimeFault) as caught:
        netc_runtime.load(path, "cpu").predict(X)  # here the system has no such memory to give
    assert (caught.value.code, "12000000000000" in caught.value.message) == ("R208", True)
    with pytest.raises(ModelFault) as caught:
        netc_runtime.load(path, "cpu", dry=True)
    assert caught.value.code == "R115"


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not bound a process's memory")
def test_memory_that_the_machine_has_is_refused_beyond_the_limit(
    folder: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    path = saved(folder, allocating(1_000_000_000))
    with pytest.raises(ModelFault) as caught:
        dry_load(path, DryLimits(memory_bytes=2 << 30))
    assert caught.value.code == "R115"
    assert "2,147,483,648 bytes" in caught.value.message
    code, out, err = command("check", path, "--device", "cpu", "--max-memory", "2048")
    assert (code, out, err.startswith("error[R115]: ")) == (1, "", True)


def test_a_model_that_does_not_end_is_refused(folder: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    path = saved(folder, endless())
    code, out, err = command("check", path, "--device", "cpu", "--max-seconds", "3")
    assert (code, out) == (1, "")
    assert err.startswith("error[R116]: ")
    assert "did not load and run within 3 s" in err


def ending(script: str) -> Callable[..., Any]:
    """A Popen that runs a script in the child's place."""
    plain = subprocess.Popen

    def start(_: Sequence[str], **named: Any) -> Any:
        return plain([sys.executable, "-c", script], **named)

    return start


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "R117", "is ended by signal 11"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "R115", "the system ended the process"),
        ("raise SystemExit(7)", "R117", "exits with 7"),
        ("print('no JSON')", "R117", "exits with 0"),
        ("""print('{"fault": {"code": "R999", "message": "?"}}')""", "R117", "fails: ?"),
        ("""print('{"fault": {"code": "R208", "message": "std::bad_alloc"}}')""", "R115", "std::bad_alloc"),
        ("""print('{"fault": {"code": "R108", "message": "m", "help": "h"}}')""", "R108", "m"),
    ],
)
def test_however_the_process_ends_it_is_a_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, code: str, words: str
) -> None:
    monkeypatch.setattr(dry.subprocess, "Popen", ending(script))
    with pytest.raises(RuntimeFault) as caught:
        dry_load(saved(folder, relu()))
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_module_in_the_current_folder_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(folder, relu())
    (folder / "numpy.py").write_text("open('run', 'w').close()")
    monkeypatch.chdir(folder)
    assert dry_load(path.name).ran
    assert not (folder / "run").exists()


@pytest.mark.parametrize("count", [8, pytest.param(400, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_changed_bytes_are_a_model_or_a_typed_fault(digits: Path, folder: Path, count: int) -> None:
    whole = digits.read_bytes()
    random = np.random.RandomState(count)
    seen: set[str] = set()
    for _ in range(count):
        data = bytearray(whole)
        for at in random.randint(len(data), size=random.randint(1, 9)):
            data[at] = random.randint(256)
        path = saved(folder, bytes(data))
        try:
            dry_load(path, DryLimits(memory_bytes=4 << 30, seconds=60))
        except (ModelFault, RequestFault) as fault:
            seen.add(fault.code)
    assert seen
