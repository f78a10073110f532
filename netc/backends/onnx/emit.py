"""An ONNX file from a lowered graph: the model without weights first, then the weights, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Protocol

import numpy as np

import netc
from netc.backends.onnx import wire
from netc.backends.onnx.data_file import DataFile
from netc.diagnostic import Fault
from netc.op import Param
from netc.weights import Weights
from netc.weights.tensors import described, maker, pieces

IR_VERSION = 10  # or what a newer opset needs; ONNX Runtime 1.31 takes IR 13 and opset 26 at most
NEWER = {23: 11, 24: 12, 25: 13, 26: 13}  # opset: IR version
LIMIT = 2**31 - 1  # protobuf's, for one file
SPARE = 2**20  # of it, for what is added behind the weights
VERSION = netc.__version__

KINDS = {"f32": np.dtype("<f4"), "i64": np.dtype("<i8"), "f16": np.dtype("<f2"), "bf16": np.dtype("<u2")}  # bf16: bits


class Emittable(Protocol):
    """A graph in ONNX's nodes, ready to be written: a lowered one, or one in another precision."""

    opset: int
    params: dict[str, Param]
    """The tensors that stand behind the graph, by name."""

    def graph(self, initializers: Sequence[bytes] = ()) -> bytes:
        """GraphProto, with further initializers and without those tensors."""
        ...


def model(opset: int) -> bytes:
    """The fields of the model before its graph."""
    return wire.model(opset, max(IR_VERSION, NEWER.get(opset, 0)), "netc", VERSION)


def chunks(lowered: Emittable, weights: Weights, data: DataFile | None = None) -> Iterator[bytes | memoryview]:
    """A whole file but for metadata, in order; the tensors that `data` holds are only named.

    Equal arguments give equal bytes. Weights are made one piece at a time.
    """
    external = data.places if data is not None else dict[str, tuple[int, int]]()
    body = lowered.graph(
        [_elsewhere(name, lowered.params[name], data) for name in external] if data is not None else []
    )
    heads = {name: _head(name, param) for name, param in lowered.params.items() if name not in external}
    # One ModelProto, field by field; the graph's initializers come last in it.
    yield model(lowered.opset)
    yield wire.head(wire.GRAPH, len(body) + sum([len(head) + size for head, size in heads.values()]))
    yield body
    for name, (head, _) in heads.items():
        yield head
        for piece in pieces(maker(weights, name)):
            yield piece.data.cast("B")


def too_large(lowered: Emittable) -> bool:
    """Whether protobuf does not take the model with all of its weights."""
    weights = sum(size_bytes(param) + len(name) + 100 for name, param in lowered.params.items())
    return len(lowered.graph()) + weights > LIMIT - SPARE


def metadata(entries: Mapping[str, str]) -> bytes:
    """What is added behind a file for its metadata: protobuf takes a message's fields in any order."""
    return b"".join([wire.block(wire.METADATA, wire.entry(key, entries[key])) for key in sorted(entries)])


def refuse_unfit(lowered: Emittable, weights: Weights) -> None:
    """Raises: Fault N401 for a weight that is missing or of the wrong shape or type."""
    for name, param in lowered.params.items():
        if name not in weights:
            raise Fault("N401", f"the weights lack {name}, {_shape(param.shape)}")
        (shape, dtype), kind = described(maker(weights, name)), KINDS[param.dtype]
        if shape != param.shape or (dtype != kind and dtype.newbyteorder("<") != kind):
            wanted = f"{_shape(param.shape)} of {kind.name}"
            raise Fault("N401", f"the weights' {name} is {_shape(shape)} of {dtype}, expected {wanted}")


def size_bytes(param: Param) -> int:
    """What a tensor takes."""
    return prod(param.shape) * KINDS[param.dtype].itemsize


def _head(name: str, param: Param) -> tuple[bytes, int]:
    # All of an initializer but its bytes, which come last in it, and how many they are.
    start, end, size = _around(param)
    made = start + wire.text(wire.NAME, name) + end
    return wire.head(wire.INITIALIZER, len(made) + size) + made, size


@lru_cache(1024)
def _around(param: Param) -> tuple[bytes, bytes, int]:
    # What comes before an initializer's name and between it and the bytes; and how many these are.
    size = size_bytes(param)
    return wire.typed(param.dtype, param.shape), wire.head(wire.RAW_DATA, size), size


def _elsewhere(name: str, param: Param, data: DataFile) -> bytes:
    offset, size = data.places[name]
    return wire.tensor(name, param.dtype, param.shape) + wire.elsewhere(data.path.name, offset, size)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
