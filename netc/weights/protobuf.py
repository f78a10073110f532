"""Protobuf on the wire: a field is a tag (its number and how it is written) and a value; a message in one is bytes.

Read without a copy, and without the classes that a library makes of a schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Field(NamedTuple):
    """A field: its number, and its value. A whole number is in `value`, anything else in `data`."""

    number: int
    value: int
    data: memoryview

    @property
    def text(self) -> str:
        """Raises: WireError."""
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError as error:
            raise WireError(f"a name is no text: {error}") from error

    @property
    def numbers(self) -> list[int]:
        """A repeated whole number, written one by one or together. Raises: WireError."""
        found = [] if self.data else [self.value]
        at = 0
        while at < len(self.data):
            value, at = _varint(self.data, at)
            found.append(value)
        return found


class WireError(ValueError):
    """The bytes are no protobuf."""


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message in their order. Raises: WireError where the bytes are none."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield Field(number, value, data[:0])
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or number == 0:
            raise WireError(f"there is no field of kind {kind}")
        if at + size > end:
            raise WireError(f"a part of {size} bytes has {end - at}")
        yield Field(number, 0, data[at : at + size])
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
