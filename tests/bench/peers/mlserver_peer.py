"""A runtime of MLServer's over an ONNX file; its settings name the file, the input and the threads."""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedBaseClass=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from typing import Any

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Onnx(MLModel):
    """One session; batching is MLServer's own."""

    async def load(self) -> bool:
        given = self.settings.parameters.extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = given["threads"]
        self.session = onnxruntime.InferenceSession(given["file"], options, ["CPUExecutionProvider"])
        return True

    async def predict(self, payload: Any) -> Any:
        (tensor,) = payload.inputs
        output = self.session.run(None, {tensor.name: NumpyCodec.decode_input(tensor)})[0]
        name = self.session.get_outputs()[0].name
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output(name, output)])
