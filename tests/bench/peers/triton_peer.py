"""The model of Triton's Python backend, named after what it runs; its parameters name file and threads."""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import json
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    """Joins the requests that Triton's dynamic batcher gives, runs them, and parts the rows."""

    def initialize(self, args: Any) -> None:
        given = json.loads(args["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(given["threads"]["string_value"])
        file = given["file"]["string_value"]
        self.session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, self.session.get_outputs()[0].name

    def execute(self, requests: Any) -> Any:
        given = [backend.get_input_tensor_by_name(each, self.input).as_numpy() for each in requests]
        found: Any = self.session.run(None, {self.input: np.concatenate(given) if len(given) > 1 else given[0]})[0]
        ends = np.cumsum([len(each) for each in given])
        parts = np.split(found, ends[:-1])
        return [backend.InferenceResponse([backend.Tensor(self.output, part)]) for part in parts]
