"""A convolution of sixteen ones as an ONNX file, written without a library: it is opened on every provider."""

import struct

ANSWER = (9.0, 9.0, 9.0, 9.0)  # each of the four 3 x 3 windows of a 4 x 4 picture of ones, under a kernel of ones
SHAPE = (1, 1, 4, 4)
_KERNEL = (1, 1, 3, 3)
_FLOAT, _IR_VERSION, _OPSET = 1, 10, 20


def tiny_model() -> bytes:
    """Give the file: input `x`, output `y`, both f32; y = conv(x, kernel of ones), which on a GPU is cuDNN's work."""
    # The numbers are the fields of onnx.proto.
    weights = struct.pack("<9f", *[1.0] * 9)
    kernel = b"".join(_number(1, side) for side in _KERNEL) + _number(2, _FLOAT) + _text(8, "k") + _bytes(9, weights)
    node = _text(1, "x") + _text(1, "k") + _text(2, "y") + _text(4, "Conv")
    graph = (
        _bytes(1, node)
        + _text(2, "tiny")
        + _bytes(5, kernel)
        + _bytes(11, _value("x", SHAPE))
        + _bytes(12, _value("y", (1, 1, 2, 2)))
    )
    return _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, _OPSET))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, sides)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
