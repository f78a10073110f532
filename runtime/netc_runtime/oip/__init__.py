"""The Open Inference Protocol, version 2: bytes to tensors and back, without any input or output of its own.

Source: https://github.com/kserve/open-inference-protocol (inference_rest), and Triton's binary tensor data extension.
"""

from netc_runtime.oip.reader import Reader
from netc_runtime.oip.request import InferRequest, Wanted, read_request
from netc_runtime.oip.response import Writer, write_response

__all__ = ["InferRequest", "Reader", "Wanted", "Writer", "read_request", "write_response"]
