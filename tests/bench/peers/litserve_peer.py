"""LitServe over an ONNX file, as its documentation has it, in its own environment.

Its arguments: MODEL INPUT SHAPE PORT THREADS WIRE.
"""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedBaseClass=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

import json
import sys
from base64 import b64decode
from typing import Any

import litserve
import numpy as np
import onnxruntime

MODEL, INPUT, SHAPE, PORT, THREADS, WIRE = sys.argv[1:]


class Api(litserve.LitAPI):
    """Batches of up to 64, without waiting for them to fill."""

    def setup(self, device: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(THREADS)
        self.prepare: Any = None
        if WIRE == "picture":
            from netc_runtime import load

            self.prepare = load(MODEL, "cpu", cache=False).picture
        self.session = onnxruntime.InferenceSession(MODEL, options, ["CPUExecutionProvider"])

    def decode_request(self, request):  # pyright: ignore -- it reads an annotation as the name of a field
        if self.prepare is not None:
            return self.prepare(b64decode(request["picture"]))[1]
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
