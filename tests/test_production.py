"""The demo in production: a machine with the runtime alone reads digits as the trained module of torch does."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import netc

# torch and safetensors are typed in part.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

MOST_PACKAGES = 12
DIGITS = 2000

# One picture at a time, as requests come; the logits of each are kept.
IMAGE_BY_IMAGE = """
import sys
from pathlib import Path
import numpy as np
import netc_runtime
from netc_runtime import image

model = netc_runtime.load(sys.argv[1], device="cpu")
recipe = model.inputs[0].image
tensors = [image.prepare(path, recipe, (28, 28)) for path in sorted(Path(sys.argv[2]).iterdir())]
np.save(sys.argv[3], np.concatenate([model.predict(tensor[None])["digit"] for tensor in tensors]))
loaded = {name.partition(".")[0] for name in sys.modules}
assert loaded.isdisjoint({"netc", "torch", "lark", "onnx", "pydantic", "safetensors"}), loaded
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, where Python finds only what its environment holds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    line = [str(each) for each in command]
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` makes, of fewer epochs: LeNet-5 trained on the sample, its model; and the test digits as PNG."""
    out = tmp_path_factory.mktemp("demo")
    netc_here = (sys.executable, "-c", f"import sys; sys.path[:0] = {[str(root), str(root / 'runtime')]!r}\n"
                 "from netc.cli import main; main()")  # fmt: skip
    spec = root / "specs" / "lenet5.cnn"
    run(
        *netc_here,
        "train",
        spec,
        "--data",
        "sample",
        "--seed",
        "0",
        "--epochs",
        "1",
        "-o",
        "lenet5.safetensors",
        cwd=out,
    )
    run(*netc_here, "build", spec, "--weights", "lenet5.safetensors", "-o", "lenet5.onnx", cwd=out)
    (out / "digits").mkdir()
    for number, pixels in enumerate(digits(root)):
        Image.fromarray(pixels).save(out / "digits" / f"{number:04}.png")
    return out


@pytest.fixture(scope="module")
def machine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment in which nothing was done but `pip install ./runtime`."""
    folder = tmp_path_factory.mktemp("machine") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=root)
    install = ("install", "-q", "--disable-pip-version-check", "-c", root / "constraints.txt", root / "runtime")
    run(folder / "bin" / "python", "-m", "pip", *install, cwd=root)
    return folder / "bin"


def digits(root: Path) -> npt.NDArray[np.uint8]:
    """The sample's test digits. IDX: four sides' worth of header, 16 bytes, then the pixels."""
    packed = gzip.decompress((root / "examples" / "digits" / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(packed, np.uint8, offset=16).reshape(DIGITS, 28, 28)


def by_torch(root: Path, demo: Path, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The logits of netc's torch module with the trained weights, picture by picture."""
    module = netc.compile(str(root / "specs" / "lenet5.cnn"))
    module.load_state_dict(load_file(demo / "lenet5.safetensors"))
    module.eval()
    # The spec's scale, mean and standard deviation.
    prepared = (torch.from_numpy(pixels.copy()).float() / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        return np.concatenate([module(each[None, None]).numpy() for each in prepared])


def test_the_runtime_is_at_most_twelve_packages_without_torch(machine: Path, tmp_path: Path) -> None:
    listed = json.loads(run(machine / "python", "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    names = {each["name"].lower().replace("_", "-") for each in listed}
    assert "netc-runtime" in names
    assert len(names) <= MOST_PACKAGES, sorted(names)
    assert names.isdisjoint({"torch", "lark", "pydantic", "onnx", "safetensors", "netc"})


def test_the_demo_s_pictures_get_torch_s_answers(root: Path, demo: Path, machine: Path) -> None:
    pictures = sorted((root / "examples" / "digits").glob("digit-*.png"))
    assert len(pictures) == 10
    out = run(machine / "netc-runtime", "predict", "lenet5.onnx", *pictures, "--json", "--top", "1", cwd=demo)
    results = json.loads(out)["results"]
    found = [result["outputs"]["digit"]["labels"][0]["index"] for result in results]
    pixels = np.stack([np.asarray(Image.open(path).convert("L")) for path in pictures])
    assert found == by_torch(root, demo, pixels).argmax(axis=1).tolist()


def test_every_test_digit_gets_torch_s_logits_and_class(root: Path, demo: Path, machine: Path) -> None:
    run(machine / "python", "-c", IMAGE_BY_IMAGE, "lenet5.onnx", "digits", "logits.npy", cwd=demo)
    ours, theirs = np.load(demo / "logits.npy"), by_torch(root, demo, digits(root))
    assert ours.shape == theirs.shape == (DIGITS, 10)
    largest = np.abs(theirs).max(axis=1, keepdims=True)
    assert (np.abs(ours - theirs) / largest).max() <= 1e-4
    assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))

    # And through the command, whose batches are larger.
    out = run(
        machine / "netc-runtime", "predict", "lenet5.onnx", "digits", "--format", "ndjson", "--top", "1", cwd=demo
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == [f"digits/{number:04}.png" for number in range(DIGITS)]
    found = [line["outputs"]["digit"]["labels"][0]["index"] for line in lines]
    assert found == theirs.argmax(axis=1).tolist()
    packed = gzip.decompress((root / "examples" / "digits" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    truth = np.frombuffer(packed, np.uint8, offset=8)
    assert (np.array(found) == truth).mean() > 0.85  # it has learnt to read, so that equal answers mean something
