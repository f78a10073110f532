"""LitServe over an ONNX file, as its documentation has it, in its own environment: MODEL INPUT SHAPE PORT THREADS."""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedBaseClass=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

import json
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime

MODEL, INPUT, SHAPE, PORT, THREADS = sys.argv[1:]


class Api(litserve.LitAPI):
    """Batches of up to 64, without waiting for them to fill."""

    def setup(self, device: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(THREADS)
        self.session = onnxruntime.InferenceSession(MODEL, options, ["CPUExecutionProvider"])

    def decode_request(self, request):  # pyright: ignore -- it reads an annotation as the name of a field
        return np.asarray(request["input"], np.float32).reshape(json.loads(SHAPE))

    def batch(self, inputs: Any) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.session.run(None, {INPUT: x})[0]

    def unbatch(self, output: Any) -> Any:
        return list(output)

    def encode_response(self, output: Any) -> Any:
        return {"output": output.tolist()}


if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(port=int(PORT), log_level="error")
