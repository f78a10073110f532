"""ONNX's messages as protobuf writes them: what onnx.proto calls them, field by field, as bytes.

A field is a tag, (number << 3 | kind), and its value: a varint (kind 0), four bytes (5), or a length and bytes (2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from netc.op import Attribute

TYPES = {"f32": 1, "u8": 2, "i8": 3, "i32": 6, "i64": 7, "bool": 9, "f16": 10, "f64": 11, "bf16": 16}
"""TensorProto.DataType, by netc's words."""
_SINGLES = [bytes([value]) for value in range(128)]  # nearly all numbers are tags and lengths of one byte
_HEADS = [_SINGLES[field << 3 | 2] + size for field in range(16) for size in _SINGLES]
_FLOAT, _INT, _STRING, _FLOATS, _INTS = 1, 2, 3, 6, 7  # AttributeProto.AttributeType


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the least first; a negative one in 64 bits."""
    if 0 <= value < 128:
        return _SINGLES[value]
    value &= 2**64 - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(field: int, value: int) -> bytes:
    """A field that is an integer."""
    return varint(field << 3) + varint(value)


def single(field: int, value: float) -> bytes:
    """A field that is a float. Raises OverflowError for what is beyond f32."""
    return varint(field << 3 | 5) + struct.pack("<f", value)


def head(field: int, size: int) -> bytes:
    """All of a field of so many bytes but these."""
    if field < 16:
        if size < 128:
            return _HEADS[field << 7 | size]
        if size < 128 << 7:
            return bytes((field << 3 | 2, size & 0x7F | 0x80, size >> 7))
    return varint(field << 3 | 2) + varint(size)


def block(field: int, value: bytes) -> bytes:
    """A field that is bytes, or a message."""
    return head(field, len(value)) + value


def text(field: int, value: str) -> bytes:
    """A field that is text."""
    data = value.encode()
    return head(field, len(data)) + data


def model(opset: int, ir_version: int, producer: str, version: str) -> bytes:
    """ModelProto, up to its graph."""
    opsets = text(1, "") + number(2, opset)
    return number(1, ir_version) + text(2, producer) + text(3, version) + block(8, opsets)


GRAPH, METADATA = 7, 14  # of ModelProto


def graph(name: str, nodes: Iterable[bytes], initializers: Iterable[bytes], inputs: bytes, outputs: bytes) -> bytes:
    """GraphProto, whose initializers may go on behind it."""
    made = [block(1, node) for node in nodes]
    made.append(text(2, name))
    made += [block(INITIALIZER, each) for each in initializers]
    return b"".join([*made, inputs, outputs])


INITIALIZER, INPUT, OUTPUT, VALUE = 5, 11, 12, 13  # of GraphProto


def attributes(values: Mapping[str, Attribute]) -> bytes:
    """A node's attributes, by name."""
    return b"".join([block(5, _attribute(name, values[name])) for name in sorted(values)])


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        kind, made = _STRING, text(4, value)
    elif isinstance(value, float):
        kind, made = _FLOAT, single(2, value)
    elif isinstance(value, int):
        kind, made = _INT, number(3, value)
    elif all(isinstance(each, int) for each in value):
        kind, made = _INTS, b"".join([number(8, int(each)) for each in value])
    else:
        kind, made = _FLOATS, b"".join([single(7, each) for each in value])
    return text(1, name) + made + number(20, kind)


def value(name: str, dtype: str, dims: Sequence[int | str]) -> bytes:
    """ValueInfoProto. A dim that is text is a symbol."""
    sides = [number(1, dim) if isinstance(dim, int) else text(2, dim) for dim in dims]
    shape = block(2, b"".join([block(1, side) for side in sides]))
    return text(1, name) + block(2, block(1, number(1, TYPES[dtype]) + shape))


NAME, RAW_DATA = 8, 9  # of TensorProto


def tensor(name: str, dtype: str, dims: Iterable[int]) -> bytes:
    """TensorProto, up to its bytes."""
    return typed(dtype, tuple(dims)) + text(NAME, name)


@lru_cache(1024)
def typed(dtype: str, dims: tuple[int, ...]) -> bytes:
    """TensorProto, up to its name."""
    return b"".join([number(1, dim) for dim in dims]) + number(2, TYPES[dtype])


def elsewhere(location: str, offset: int, size: int) -> bytes:
    """Of TensorProto: that its bytes stand in another file, from `offset` on."""
    entries = {"location": location, "offset": str(offset), "length": str(size)}
    return b"".join([block(13, entry(key, entries[key])) for key in entries]) + number(14, 1)


def entry(key: str, value: str) -> bytes:
    """StringStringEntryProto."""
    return text(1, key) + text(2, value)
