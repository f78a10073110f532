"""The initializers of an ONNX file by name, as views of the mapped file: no copy of the model is made.

Protobuf on the wire: a field is a tag (its number and how it is written) and a value; a message in a message is bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from netc.diagnostic import Fault, cut
from netc.weights.stored import Found, Stored
from netc.weights.tensors import Array

_MODEL = {"producer": 2, "graph": 7}  # numbers of fields, from onnx.proto
_GRAPH = {"initializer": 5}
_TENSOR = {"dims": 1, "type": 2, "name": 8, "raw": 9, "external": 13, "location": 14}
_ENTRY = {"key": 1, "value": 2}
_EXTERNAL = 1
_TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
_BFLOAT16 = 16


class _Field(NamedTuple):
    number: int
    value: int  # of a varint
    data: memoryview  # of anything else


class _Wire(ValueError):
    """The bytes are no protobuf."""


def find(path: str) -> Found:
    """The initializers of a model, those in external files too, where these lie in its folder.

    Integers and single numbers are left out, which are shapes and constants of the graph, but for torch's counters.

    Raises: Fault N403 for a file that is not whole or no ONNX, N449 for external data outside its folder; OSError.
    """
    data = _mapped(path)
    try:
        producer, graphs = "", 0
        beside: dict[str, memoryview] = {}  # files of external data
        tensors: dict[str, Stored] = {}
        for field in _fields(data):
            if field.number == _MODEL["producer"]:
                producer = bytes(field.data[:64]).decode("utf-8", "replace")
            if field.number != _MODEL["graph"]:
                continue
            graphs += 1
            for each in _fields(field.data):
                if each.number == _GRAPH["initializer"]:
                    name, tensor = _tensor(path, each.data, beside)
                    if name in tensors:
                        raise _Wire(f"{cut(name, 200)} stands there twice")
                    tensors[name] = tensor
        if not graphs:
            raise _Wire("it holds no graph")
    except (_Wire, UnicodeDecodeError) as error:
        raise Fault(
            "N403", f"{path}: this is no ONNX, or not all of it: {error}", help="copy the file again"
        ) from error
    ours = producer == "netc"
    kept = {n: t for n, t in tensors.items() if _learned(n, t) and not (ours and n.startswith("constant/"))}
    return Found(path, "onnx", kept, ordered=True)


def _learned(name: str, tensor: Stored) -> bool:
    return (bool(tensor.shape) and "float" in tensor.dtype) or name.endswith("num_batches_tracked")


def _mapped(path: str) -> memoryview:
    with Path(path).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _fields(data: memoryview) -> Iterator[_Field]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield _Field(number, value, data[:0])
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or number == 0:
            raise _Wire(f"there is no field of kind {kind}")
        if at + size > end:
            raise _Wire(f"a part of {size} bytes has {end - at}")
        yield _Field(number, 0, data[at : at + size])
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Wire("a number does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _tensor(path: str, data: memoryview, beside: dict[str, memoryview]) -> tuple[str, Stored]:
    dims: list[int] = []
    name, kind, location, raw = "", 0, 0, None
    entries: dict[str, str] = {}
    for field in _fields(data):
        if field.number == _TENSOR["dims"]:
            dims += _numbers(field)
        elif field.number == _TENSOR["type"]:
            kind = field.value
        elif field.number == _TENSOR["name"]:
            name = bytes(field.data).decode()
        elif field.number == _TENSOR["raw"]:
            raw = field.data
        elif field.number == _TENSOR["location"]:
            location = field.value
        elif field.number == _TENSOR["external"]:
            entry = {each.number: bytes(each.data).decode() for each in _fields(field.data)}
            entries[entry.get(_ENTRY["key"], "")] = entry.get(_ENTRY["value"], "")
    shape = tuple(dims)
    if kind == _BFLOAT16:
        word, dtype = "u2", "bfloat16"
    elif kind in _TYPES:
        word = _TYPES[kind]
        dtype = np.dtype(word).name
    else:
        return name, Stored(shape, f"void (ONNX's type {kind})", lambda: np.zeros(shape, np.void))
    size = np.dtype(word).itemsize
    for side in shape:
        size *= side
    if location == _EXTERNAL:
        raw = _external(path, name, entries, size, beside)
    if raw is not None and len(raw) != size:
        raise _Wire(f"{cut(name, 200)} has {len(raw)} bytes, expected {size}")
    if raw is None:
        return name, Stored(shape, dtype, lambda: _spelt_out(path, name, shape, data))
    return name, Stored(shape, dtype, lambda: _view(raw, word, shape, kind == _BFLOAT16))


def _numbers(field: _Field) -> list[int]:
    found = [] if field.data else [field.value]
    at = 0
    while at < len(field.data):
        value, at = _varint(field.data, at)
        found.append(value)
    if any(value >= 2**63 for value in found):
        raise _Wire("a side is negative")
    return found


def _external(path: str, name: str, entries: dict[str, str], size: int, beside: dict[str, memoryview]) -> memoryview:
    folder = Path(path).resolve().parent
    place = entries.get("location", "")
    file = Path(path).parent / place
    try:
        within = file.resolve().is_relative_to(folder)
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size)))
    except (ValueError, RuntimeError, OSError) as error:
        raise _Wire(f"where {cut(name, 200)} lies is not said rightly: {error}") from error
    if not place or Path(place).is_absolute() or not within:
        raise Fault(
            "N449",
            f"{path}: {cut(name, 200)} should be read from {cut(place, 200)!r}, which is outside the model's folder",
            help="external data lies beside the model; links that lead away are not followed",
        )
    if not file.is_file():
        raise Fault("N402", f"{path}: {cut(name, 200)} lies in {place}, and there is no such file beside it")
    if place not in beside:
        beside[place] = _mapped(str(file)) if file.stat().st_size else memoryview(b"")
    data = beside[place]
    if offset < 0 or length < 0 or offset + length > len(data):
        raise _Wire(f"{place} has {len(data)} bytes, and {cut(name, 200)} should end at {offset + length}")
    return data[offset : offset + length]


def _view(raw: memoryview, word: str, shape: tuple[int, ...], brain: bool) -> Array:
    array = np.require(np.frombuffer(raw, np.dtype(word).newbyteorder("<")), requirements="A")
    if brain:  # the upper half of f32
        array = np.left_shift(array.astype(np.uint32), np.uint32(16)).view(np.float32)
    return array.reshape(shape)


def _spelt_out(path: str, name: str, shape: tuple[int, ...], data: memoryview) -> Array:
    # Numbers in a field of their type, as small tensors are written.
    from google.protobuf.message import DecodeError
    from onnx import TensorProto, numpy_helper

    try:
        found = cast(Any, numpy_helper).to_array(TensorProto.FromString(bytes(data)))
        if found.shape != shape:
            raise ValueError(f"{found.shape} numbers, expected {shape}")
    except (DecodeError, ValueError, TypeError) as error:
        raise Fault("N403", f"{path}: {cut(name, 200)} is damaged: {error}", help="copy the file again") from error
    return found.astype(np.float32) if "float" in found.dtype.name and found.dtype.itemsize == 2 else found
