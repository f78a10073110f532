"""A hundred thousand predictions from eight threads: every answer is right, and memory stays where it was."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

import netc_runtime
from netc_runtime import memory
from netc_runtime.manifest import Input, Output
from tests.processes import run

THREADS, PREDICTIONS = 8, 100_000
GROWTH_BYTES = 4_000_000  # a leak of 40 bytes a prediction would be as much

Array = npt.NDArray[np.float32]


class Case(NamedTuple):
    """An input and what the model must make of it."""

    x: Array
    y: Array


@pytest.fixture
def convolution(save_raw: Callable[..., Path]) -> Path:
    """y = mean over the picture of relu(conv(x)), (N, 4) of (N, 3, 12, 12)."""
    random = np.random.RandomState(1)
    weights = {"w": random.randn(4, 3, 3, 3).astype(np.float32), "b": random.randn(4).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    inputs, outputs = [Input("x", "f32", ("N", 3, 12, 12))], [Output("y", "f32", ("N", 4))]
    path: Path = save_raw(nodes, inputs, outputs, weights)
    np.savez(path.with_suffix(".npz"), allow_pickle=False, **weights)
    return path


def worked(x: Array, weights: Any) -> Array:
    """The same in numpy: nine shifted products, no ONNX Runtime."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(x), 4, 12, 12)) + weights["b"].reshape(1, 4, 1, 1)
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row : row + 12, column : column + 12]
            total += np.einsum("nchw,oc->nohw", window, weights["w"][:, :, row, column].astype(np.float64))
    return np.maximum(total, 0).mean(axis=(2, 3)).astype(np.float32)


def measured(path: str, weights_path: str) -> tuple[float, int | None, int | None]:
    """Predict, in this process: the largest error, and the bytes held before and after."""
    weights = np.load(weights_path)
    random = np.random.RandomState(2)
    cases: list[Case] = []
    for number in range(64):
        x = random.randn(1 + number % 9, 3, 12, 12).astype(np.float32)  # 1 to 9 rows: split at 4, and padded
        cases.append(Case(x, worked(x, weights)))
    model = netc_runtime.load(path, "cpu", max_batch=4)

    def predict(thread: int, count: int) -> float:
        worst = 0.0
        for number in range(count):
            case = cases[(number * 7 + thread) % len(cases)]
            y = model.predict(case.x)["y"]
            assert y.shape == case.y.shape
            worst = max(worst, float(np.abs(y - case.y).max()))
        return worst

    def together(predictions: int) -> float:
        with ThreadPoolExecutor(THREADS) as pool:
            return max(pool.map(predict, range(THREADS), [predictions // THREADS] * THREADS))

    together(PREDICTIONS // 10)  # every thread's buffers and ONNX Runtime's are there after these
    before = memory.held().now_bytes
    worst = together(PREDICTIONS)
    return worst, before, memory.held().now_bytes


# In a process of its own: what other tests have left there would come and go with theirs.
SCRIPT = f"import sys, json; from {__name__} import measured; print(json.dumps(measured(*sys.argv[1:])))"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_predictions_from_eight_threads_are_right_in_flat_memory(convolution: Path) -> None:
    done = run(sys.executable, "-W", "error", "-c", SCRIPT, str(convolution), str(convolution.with_suffix(".npz")))
    assert done.returncode == 0, done.stderr
    worst, before, after = json.loads(done.stdout)
    assert worst < 1e-5
    assert before is not None
    assert after is not None
    assert after - before < GROWTH_BYTES
