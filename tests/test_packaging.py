"""What a user gets: the two wheels, and what each needs and does in an environment that holds nothing else."""

# safetensors is typed in part.
# pyright: reportUnknownVariableType=false

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import netc

# One worker builds the wheels once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(600)]

CHECK_NEEDS = ["lark", "pydantic", "rich", "typer"]


@pytest.fixture(scope="module")
def wheels(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, each built from its own source distribution."""
    out = tmp_path_factory.mktemp("dist")
    for project in (root, root / "runtime"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(project))
    return {path.name.partition("-")[0]: path for path in out.glob("*.whl")}


def run(*command: str, cwd: Path | None = None) -> str:
    """Standard output of a command that must succeed, run where Python finds only what its environment holds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def environment_with(root: Path, folder: Path, *pip_arguments: list[str]) -> Path:
    """A new environment's folder of programs, after one `pip install` for each list of arguments."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    for arguments in pip_arguments:
        run(*pip, "install", "-q", "-c", str(root / "constraints.txt"), *arguments)
    return folder / "bin"


def found(python: Path, *modules: str, cwd: Path) -> list[str]:
    """Which of the modules this Python can import."""
    code = f"from importlib.util import find_spec; print(*[m for m in {modules!r} if find_spec(m)])"
    return run(str(python), "-c", code, cwd=cwd).split()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def package_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_of_netc_holds_the_package_the_zoo_and_the_sample(root: Path, wheels: dict[str, Path]) -> None:
    zoo = {f"netc/zoo/{path.name}" for path in (root / "specs").glob("*.cnn")}
    sample = {f"netc/sample/{path.name}" for path in (root / "examples" / "digits").glob("*.gz")}
    package = package_files(root / "netc")
    assert len(zoo) >= 7
    assert len(sample) == 4
    assert {"netc/py.typed", "netc/syntax/grammar.lark", "netc/labels/imagenet1k.txt"} <= package
    assert any(re.fullmatch(r"netc/errors/\w+\.md", name) for name in package)
    assert any(re.fullmatch(r"netc/std/\w+\.cnn", name) for name in package)
    assert names(wheels["netc"]) == package | zoo | sample | {"netc/sample/README.md"}


def test_the_wheel_of_the_runtime_holds_its_package_and_nothing_of_netc(root: Path, wheels: dict[str, Path]) -> None:
    package = package_files(root / "runtime" / "netc_runtime")
    assert "netc_runtime/py.typed" in package
    assert names(wheels["netc_runtime"]) == package


@pytest.mark.parametrize("name", ["netc", "netc_runtime"])
def test_a_wheel_states_version_licence_and_python(wheels: dict[str, Path], name: str) -> None:
    said = metadata(wheels[name])
    assert said["Version"] == netc.__version__
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"


def test_the_runtime_requires_neither_netc_nor_its_libraries(wheels: dict[str, Path]) -> None:
    required = {re.split(r"[^\w.-]", line)[0] for line in metadata(wheels["netc_runtime"]).get_all("Requires-Dist", [])}
    assert "numpy" in required
    assert required.isdisjoint({"netc", "torch", "lark", "onnx", "pydantic", "safetensors"})


def test_check_needs_neither_torch_nor_onnx(root: Path, wheels: dict[str, Path], tmp_path: Path) -> None:
    ours = ["--no-deps", str(wheels["netc"]), str(wheels["netc_runtime"])]
    programs = environment_with(root, tmp_path / "venv", CHECK_NEEDS, ours)
    absent = ("torch", "onnx", "onnxruntime", "numpy", "safetensors")
    assert found(programs / "python", *absent, "netc", cwd=tmp_path) == ["netc"]

    where = run(str(programs / "python"), "-c", "import netc; print(netc.__file__)", cwd=tmp_path).strip()
    zoo = sorted((Path(where).parent / "zoo").glob("*.cnn"))
    assert [path.name for path in zoo] == sorted(path.name for path in (root / "specs").glob("*.cnn"))
    for spec in zoo:
        run(str(programs / "netc"), "check", str(spec), cwd=tmp_path)


PREDICT = """
import sys, netc_runtime, numpy as np
model = netc_runtime.load(sys.argv[1], device="cpu")
np.save("logits.npy", model.predict(np.load("images.npy"))["digit"])
loaded = {name.partition(".")[0] for name in sys.modules}
assert loaded.isdisjoint({"netc", "torch", "lark", "onnx", "pydantic"}), loaded
"""


def test_the_runtime_alone_predicts_what_torch_does(root: Path, wheels: dict[str, Path], tmp_path: Path) -> None:
    weights = lenet5_weights()
    save_file(weights, tmp_path / "weights.safetensors")
    compiled = ("--weights", "weights.safetensors", "-o", "lenet5.onnx")
    run(sys.executable, "-m", "netc", "build", str(root / "specs" / "lenet5.cnn"), *compiled, cwd=tmp_path)
    images = torch.randn((3, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    np.save(tmp_path / "images.npy", images.numpy())

    programs = environment_with(root, tmp_path / "venv", [str(wheels["netc_runtime"])])
    absent = ("netc", "torch", "lark", "onnx", "pydantic", "safetensors")
    assert found(programs / "python", *absent, "netc_runtime", cwd=tmp_path) == ["netc_runtime"]
    run(str(programs / "python"), "-c", PREDICT, "lenet5.onnx", cwd=tmp_path)

    expected = lenet5(images, weights)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected.numpy(), rtol=1e-4, atol=1e-4)


def lenet5_weights() -> dict[str, torch.Tensor]:
    """Seeded weights under the names and shapes of specs/lenet5.cnn, scaled so that every layer passes signal on."""
    shapes = {"c1": (6, 1, 5, 5), "c3": (16, 6, 5, 5), "c5": (120, 400), "f6": (84, 120), "out": (10, 84)}
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:]))
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return weights


def lenet5(x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """LeNet-5 as specs/lenet5.cnn says it, written with torch alone."""
    x = F.avg_pool2d(torch.tanh(F.conv2d(x, weights["c1.weight"], weights["c1.bias"], padding=2)), 2)
    x = F.avg_pool2d(torch.tanh(F.conv2d(x, weights["c3.weight"], weights["c3.bias"])), 2).flatten(1)
    x = torch.tanh(F.linear(x, weights["c5.weight"], weights["c5.bias"]))
    x = torch.tanh(F.linear(x, weights["f6.weight"], weights["f6.bias"]))
    return F.linear(x, weights["out.weight"], weights["out.bias"])
