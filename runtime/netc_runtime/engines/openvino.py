"""OpenVINO on the CPU, where its package is installed: `pip install netc-runtime[openvino]`.

The package `openvino` itself, not a build of ONNX Runtime with it: two of those overwrite each other. By default it
computes in f32; its bf16 and f16 are quicker on processors that have them, and less exact.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np

from netc_runtime import engine
from netc_runtime.engines.runner import Placement, Tensors, buckets
from netc_runtime.errors import EnvironmentFault, ModelFault
from netc_runtime.settings import Arithmetic


def problem() -> str | None:
    """Say why OpenVINO cannot be used here, or nothing."""
    return None if find_spec("openvino") is not None else "the package openvino is not installed"


class OpenVinoRunner:
    """A compiled model; implements `Runner`. It compiles anew at each number of rows that it has not seen.

    Raises: EnvironmentFault R403 where OpenVINO is not there, ModelFault R107 where it refuses the model.
    """

    def __init__(self, path: Path, threads: int, arithmetic: Arithmetic) -> None:
        try:
            openvino: Any = importlib.import_module("openvino")
        except ImportError as error:
            raise EnvironmentFault(
                "R403",
                f"device openvino is asked for and not available: {error}",
                'python -m pip install "netc-runtime[openvino]"',
            ) from error
        hints = {
            "INFERENCE_PRECISION_HINT": arithmetic,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            model = openvino.Core().read_model(path)
            self._names = [str(port.get_any_name()) for port in model.outputs]
            self._model = openvino.compile_model(model, "CPU", hints)
        except Exception as error:  # it raises RuntimeError, and others
            words = " ".join(str(error).split())
            raise ModelFault(
                "R107",
                f"{path}: OpenVINO {openvino.__version__} refuses the model: {words}",
                "use device=cpu",
            ) from error
        self._where = path.name
        self._arithmetic = str(self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self._version = str(openvino.__version__)
        self._free: LifoQueue[Any] = LifoQueue()  # a request is of one thread at a time

    def run(self, feed: Tensors) -> Tensors:
        """As `Runner` says."""
        try:
            request = self._free.get_nowait()
        except Empty:
            request = self._model.create_infer_request()
        try:
            request.infer(feed, share_inputs=True)
            # Its buffers are the next run's as well.
            return {name: np.array(request.get_output_tensor(i).data) for i, name in enumerate(self._names)}
        except Exception as error:
            raise engine.gives_up(self._where, feed, error) from error
        finally:
            self._free.put(request)

    def placement(self) -> Placement:
        """As `Runner` says."""
        return Placement(f"openvino {self._version}", "cpu", self._arithmetic)

    def batches(self, most: int) -> tuple[int, ...]:
        """As `Runner` says."""
        return buckets(most)
