"""A server in a process of its own, over models made by onnx.helper."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from netc import api
from netc_runtime.golden import golden_input
from netc_runtime.manifest import KEY, Golden, ImageRecipe, Input, Manifest, Output, Parity

LABELS = ("zero", "one", "two")


def write_model(path: Path, seed: int = 0) -> None:
    """Write scores = flatten(image) @ weight, over 1 x 4 x 4 pictures and three classes, with its golden example."""
    random = np.random.RandomState(seed)
    weight = random.standard_normal((16, 3)).astype(np.float32)
    inputs = (
        Input("image", "f32", ("N", 1, 4, 4), ImageRecipe(color="gray", scale=1 / 255, resize=(4, 4), fit="stretch")),
    )
    outputs = (Output("scores", "f32", ("N", 3), LABELS, "softmax"),)
    flat = (golden_input(seed, (2, 1, 4, 4)).reshape(2, 16) @ weight).reshape(-1)
    samples = {"scores": tuple((index, round(float(flat[index]), 4)) for index in range(6))}
    manifest = Manifest(
        net="Tiny",
        inputs=inputs,
        outputs=outputs,
        require=(),
        golden=Golden(seed, {"image": (2, 1, 4, 4)}, samples, 1e-3),
        parity=Parity("max |ours - reference| / V", 1e-4, "passed"),
        spec_text="net Tiny { }\n",
        spec_sha256="0" * 64,
        weights_blake3="f" * 64,
        versions={"netc": "0.1.0"},
    )
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 4, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3]),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {KEY: manifest.to_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(model.SerializeToString())
    beside.rename(path)


def write_lenet5(models: Path, root: Path) -> Path:
    """Write LeNet-5 with initial weights as a folder's model `lenet5`, version 1; give its file."""
    path = models / "lenet5" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    api.build(root / "specs" / "lenet5.cnn", path, init=0, verify=False)
    return path


class Served:
    """A server's process, and a client of it.

    `launch` is what Python is given to start the command with; unless `ready` it is not waited for that models are.
    """

    def __init__(
        self,
        models: Path,
        *options: str,
        headers: dict[str, str] | None = None,
        verify: Any = True,
        launch: Sequence[str] = ("-m", "netc_runtime"),
        ready: bool = True,
        **variables: str,
    ) -> None:
        self.models = models
        self.log = models.parent / "log.txt"
        environment = {**os.environ, "NETC_CACHE_DIR": "off", **variables}
        line = [sys.executable, *launch, "serve", str(models), "--port", "0", "--device", "cpu", *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        self.url = self._until(self._address)
        self.client = httpx.Client(base_url=self.url, timeout=30, headers=headers, verify=verify)
        if ready:
            self._until(lambda: self.client.get("/v2/health/ready").status_code == 200 or None)

    def _address(self) -> str | None:
        if found := re.search(r'listening at (http[^\s"]+)["\n]', self.log.read_text()):
            return found[1]
        assert self.process.poll() is None, self.log.read_text()
        return None

    def _until(self, found: Callable[[], Any]) -> Any:
        for _ in range(600):
            value = found()
            if value is not None:
                return value
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def infer(self, x: Any, model: str = "tiny", **more: Any) -> httpx.Response:
        """Ask by JSON."""
        array = np.asarray(x, np.float32)
        entry = {"name": "image", "shape": list(array.shape), "datatype": "FP32", "data": array.reshape(-1).tolist()}
        return self.client.post(f"/v2/models/{model}/infer", json={"inputs": [entry], **more})

    def stop(self) -> int:
        """End it as an operator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.client.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Served]:
    return Served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """A server over one model, `tiny`, in two versions."""
    models = tmp_path_factory.mktemp("served") / "models"
    write_model(models / "tiny" / "1" / "model.onnx", seed=0)
    write_model(models / "tiny" / "2" / "model.onnx", seed=1)
    made = Served(models, "--versions", "2", "--drain-seconds", "1", "--body-mib", "1")
    yield made
    assert made.stop() == 0
    log = made.log.read_text()
    assert "Traceback" not in log, log


def as_json(response: httpx.Response) -> Any:
    """The body of an answer that must be JSON."""
    assert response.headers["content-type"] == "application/json", response.text
    return json.loads(response.content)
