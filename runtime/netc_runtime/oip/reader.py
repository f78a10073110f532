"""Requests to one model, most of whose heads came before: what a head says of the bytes behind it is read once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc_runtime.manifest import Input, Output
from netc_runtime.oip.request import InferRequest, read_request

LONGEST_HEAD = 4096  # bytes of JSON, of those that are kept
MOST_HEADS = 256


class _Tensor(NamedTuple):
    """An input's type and shape, and where its bytes lie behind the head."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    start: int


class _Known(NamedTuple):
    """What a head said; `request` has its arrays left out."""

    tensors: tuple[_Tensor, ...]
    size_bytes: int
    request: InferRequest


class Reader:
    """Reads a model's requests as `read_request` does; a client's heads are mostly alike, byte for byte."""

    def __init__(self, inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._heads: dict[bytes, _Known] = {}

    def read(self, body: bytes | bytearray, header: str | None) -> InferRequest:
        """Read a request. Raises: as `read_request` does."""
        if header is None or not (header.isascii() and header.isdigit() and len(header) < 6):
            return read_request(body, header, self._inputs, self._outputs)
        size = int(header)
        head = bytes(body[:size])
        known = self._heads.get(head)
        if known is not None and len(body) == size + known.size_bytes:
            asked = known.request
            view = body if isinstance(body, bytes) else memoryview(body).toreadonly()
            feed = {name: np.ndarray(shape, dtype, view, size + start) for name, dtype, shape, start in known.tensors}
            return InferRequest(feed, asked.wanted, asked.id, asked.timeout_us, head)
        asked = read_request(body, header, self._inputs, self._outputs)
        if size <= LONGEST_HEAD:
            self._keep(head, len(body) - size, asked)
        return asked

    def _keep(self, head: bytes, size_bytes: int, asked: InferRequest) -> None:
        tensors: list[_Tensor] = []
        at = 0
        for name, array in asked.feed.items():
            if array.dtype == np.bool_:
                return  # its bytes are to be looked at, each time
            tensors.append(_Tensor(name, array.dtype, array.shape, at))
            at += array.nbytes
        if at != size_bytes:
            return  # some are numbers in the head itself
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()  # heads with an id each never come again
        nothing: dict[str, npt.NDArray[Any]] = {}
        self._heads[head] = _Known(tuple(tensors), at, InferRequest(nothing, asked.wanted, asked.id, asked.timeout_us))
