"""A second reader of the Open Inference Protocol, version 2, slow and plain: what the server's own is held to.

Written from the protocol's text, the binary tensor extension's and the table of faults: the standard library's JSON,
and tensors as bytes by `struct`. What this server refuses beyond the protocol stands in STRICTER.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netc_runtime.manifest import Input, Output

STRICTER = (
    "a key or a parameter that this server does not know",
    "objects and arrays more than 64 deep",
    "an id of more than 1024 bytes",
    "a side from 2^31, and sides of more than 2^48 elements, a 0 counted as a 1",
    "a whole number that 64 bits do not hold is one with a fraction",
    "half of a surrogate pair, as an escape",
    "a timeout below 1",
)
DEEPEST, LONGEST_ID, SIDES_END, MOST_ELEMENTS = 64, 1024, 2**31, 2**48
TYPES = {
    "bool": ("BOOL", "?"),
    "u8": ("UINT8", "B"),
    "u16": ("UINT16", "H"),
    "u32": ("UINT32", "I"),
    "u64": ("UINT64", "Q"),
    "i8": ("INT8", "b"),
    "i16": ("INT16", "h"),
    "i32": ("INT32", "i"),
    "i64": ("INT64", "q"),
    "f16": ("FP16", "e"),
    "f32": ("FP32", "f"),
    "f64": ("FP64", "d"),
}
"""Our name of an element type: the protocol's, and `struct`'s."""
CODES = dict(TYPES.values())


class Refused(Exception):
    """A body that is no request for the model, or no answer."""


@dataclass(frozen=True)
class Tensor:
    """A tensor: the protocol's name of its type, its sides, and its bytes; of BYTES, its texts."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: bytes | tuple[bytes, ...]


@dataclass(frozen=True)
class Asked:
    """A request: its tensors as they stand, and of each output wanted its name, whether as bytes, and its classes."""

    tensors: tuple[Tensor, ...]
    wanted: tuple[tuple[str, bool, int | None], ...]
    id: str | None
    timeout: int | None


def request(body: bytes, header: str | None, inputs: Sequence[Input], outputs: Sequence[Output]) -> Asked:
    """Read a request. Raises: Refused."""
    text, rest = parts(body, header)
    top = json_object(text)
    _need(set(top) <= {"id", "parameters", "inputs", "outputs"})
    parameters = _parameters(top, {"binary_data_output": bool, "timeout": int})
    timeout = parameters.get("timeout")
    _need(timeout is None or timeout >= 1)
    identity = top.get("id", "")
    _need(type(identity) is str and len(identity.encode()) <= LONGEST_ID)
    tensors: list[Tensor] = []
    at = 0
    models = {each.name: each for each in inputs}
    for entry in _objects(top.get("inputs")):
        _need(type(entry.get("name")) is str and entry["name"] in models)
        tensor, at = _tensor(entry, models[entry["name"]], rest, at, header is not None)
        tensors.append(tensor)
    _need(sorted(each.name for each in tensors) == sorted(models))
    _need(at == len(rest))
    every = parameters.get("binary_data_output", False)
    wanted = [_wanted(entry, outputs, every) for entry in _objects(top.get("outputs", []))]
    _need(len({name for name, _, _ in wanted}) == len(wanted))
    listed = wanted or [(each.name, every, None) for each in outputs]
    return Asked(tuple(tensors), tuple(listed), top.get("id"), timeout)


def answer(body: bytes, length: int | None) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    """Read an answer: what stands beside its outputs, and these. Raises: Refused."""
    text, rest = parts(body, None if length is None else str(length))
    top = json_object(text)
    tensors: list[Tensor] = []
    at = 0
    for entry in _objects(top.pop("outputs", None)):
        _need(set(entry) <= {"name", "shape", "datatype", "parameters", "data"})
        name, datatype, shape = entry["name"], entry["datatype"], _shape(entry["shape"])
        size = _parameters(entry, {"binary_data_size": int}).get("binary_data_size")
        _need((size is None) == ("data" in entry))
        part = b""
        if size is not None:
            _need(length is not None and at + size <= len(rest))
            part, at = rest[at : at + size], at + size
        if datatype == "BYTES":
            texts = _texts(part) if size is not None else tuple(each.encode() for each in entry["data"])
            _need(len(texts) == math.prod(shape))
            tensors.append(Tensor(name, datatype, shape, texts))
            continue
        content = _packed(entry["data"], shape, datatype) if size is None else part
        _need(len(content) == math.prod(shape) * struct.calcsize(f"<{CODES[datatype]}"))
        tensors.append(Tensor(name, datatype, shape, content))
    _need(at == len(rest))
    return top, tuple(tensors)


def parts(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """Part a body into its JSON and what follows. Raises: Refused."""
    if header is None:
        return body, b""
    _need(re.fullmatch("[0-9]{1,19}", header) is not None and int(header) <= len(body))
    return body[: int(header)], body[int(header) :]


def json_object(data: bytes) -> dict[str, Any]:
    """Read one object, each key once, every number finite. Raises: Refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _need(len({name for name, _ in pairs}) == len(pairs))
        return dict(pairs)

    try:
        text = data.decode()
        found = json.loads(text, object_pairs_hook=once, parse_constant=_none, parse_float=_finite, parse_int=_whole)
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair has no UTF-8
    except (ValueError, OverflowError, RecursionError):  # of ValueError: no UTF-8, no JSON, too many digits
        raise Refused from None
    _need(type(found) is dict)
    depth = 0
    for each in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += (each in "{[") - (each in "}]")
        _need(depth <= DEEPEST)
    return found


def _need(claim: bool) -> None:
    if not claim:
        raise Refused


def _none(word: str) -> Any:
    raise Refused(word)


def _finite(text: str) -> float:
    _need(math.isfinite(float(text)))
    return float(text)


def _whole(text: str) -> int | float:
    value = int(text)
    return value if -(2**63) <= value < 2**64 else float(value)


def _objects(given: Any) -> list[dict[str, Any]]:
    _need(type(given) is list and all(type(each) is dict for each in given))
    return given


def _parameters(entry: Mapping[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    given: dict[str, Any] = entry.get("parameters", {})
    _need(type(given) is dict and all(type(value) is known.get(name) for name, value in given.items()))
    return given


def _shape(given: Any) -> tuple[int, ...]:
    _need(type(given) is list)
    shape: list[int] = given
    _need(all(type(side) is int and 0 <= side < SIDES_END for side in shape))
    _need(math.prod(side or 1 for side in shape) <= MOST_ELEMENTS)
    return tuple(shape)


def _tensor(entry: dict[str, Any], model: Input, rest: bytes, at: int, announced: bool) -> tuple[Tensor, int]:
    _need(set(entry) <= {"name", "shape", "datatype", "parameters", "data"})
    datatype, code = TYPES[model.dtype]
    _need(entry.get("datatype") == datatype)
    shape = _shape(entry.get("shape"))
    _need(len(shape) == len(model.shape))
    size = _parameters(entry, {"binary_data_size": int}).get("binary_data_size")
    if size is None:
        _need("data" in entry and datatype != "FP16")
        return Tensor(model.name, datatype, shape, _packed(entry["data"], shape, datatype)), at
    _need("data" not in entry and announced)
    _need(size == math.prod(shape) * struct.calcsize(f"<{code}") and at + size <= len(rest))
    part = rest[at : at + size]
    _need(datatype != "BOOL" or set(part) <= {0, 1})
    return Tensor(model.name, datatype, shape, part), at + size


def _packed(data: Any, shape: tuple[int, ...], datatype: str) -> bytes:
    _need(type(data) is list)
    flat = _flat(data, shape) if any(type(each) is list for each in data) else data
    _need(len(flat) == math.prod(shape))
    kinds = {"BOOL": {bool}, "FP32": {int, float}, "FP64": {int, float}}.get(datatype, {int})
    _need(all(type(each) in kinds for each in flat))
    try:
        return struct.pack(f"<{len(flat)}{CODES[datatype]}", *flat)
    except (struct.error, OverflowError):
        raise Refused from None


def _flat(data: Any, shape: tuple[int, ...]) -> list[Any]:
    if not shape:
        return [data]
    _need(type(data) is list and len(data) == shape[0])
    return [value for each in data for value in _flat(each, shape[1:])]


def _texts(data: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    while data:
        _need(len(data) >= 4)
        (size,) = struct.unpack("<I", data[:4])
        _need(len(data) >= 4 + size)
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return tuple(found)


def _wanted(entry: dict[str, Any], outputs: Sequence[Output], every: bool) -> tuple[str, bool, int | None]:
    _need(set(entry) <= {"name", "parameters"})
    output = next((each for each in outputs if each.name == entry.get("name")), None)
    _need(output is not None)
    assert output is not None
    parameters = _parameters(entry, {"binary_data": bool, "classification": int})
    count = parameters.get("classification")
    _need(count is None or (count >= 1 and output.dtype != "bool" and bool(output.shape)))
    return output.name, parameters.get("binary_data", every), count
