"""Safetensors files: read, checked to be whole, and written."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, cast

import numpy as np
import safetensors

from netc.atomic import replacing
from netc.diagnostic import Fault
from netc.weights.stored import Stored
from netc.weights.tensors import Array, Made, Weights, described, makers, pieces, step_of

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
_KINDS = {word: (np.dtype(text), np.dtype(text).name) for word, text in _STORED.items()}
_HALVES = np.dtype("<u2")


def tensors(path: str) -> dict[str, Stored]:
    """Every tensor of a file, in its order; their numbers are read when they are asked for.

    The file stays open as long as one of them is there. Reading one raises Fault N403 where the file has changed since.

    Raises: OSError for a file that cannot be read, Fault N403 for one that is not safetensors or not whole.
    """
    file = _File(path)
    try:
        # The library checks that the header is whole and that offsets, shapes and types agree and cover the file.
        with safetensors.safe_open(path, framework="np"):
            pass
    except safetensors.SafetensorError as error:
        words = f"{path}: the file's {file.size} bytes are not safetensors, or not all of it: {error}"
        raise Fault("N403", words) from error
    size = int.from_bytes(file.read(0, 8), "little")
    header = cast(dict[str, dict[str, Any]], json.loads(file.read(8, size)))
    header.pop("__metadata__", None)
    return {name: _stored(file, 8 + size, entry) for name, entry in header.items()}


class _File:
    """An open file that several threads read from.

    It is read, not mapped: where a mapped file is cut short, touching it ends the process with SIGBUS. Reading it piece
    by piece is as fast: 8 GB/s from the page cache, as summing up a mapped file is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = Lock()
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 -- open as long as there are tensors to read
        weakref.finalize(self, self._file.close)
        self._number = self._file.fileno()
        status = os.fstat(self._number)
        self.size, self._changed = status.st_size, status.st_mtime_ns

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from a place. Raises: Fault N403 as `fill` does."""
        found = bytearray(size)
        self.fill(at, found)
        return bytes(found)

    def fill(self, at: int, into: bytearray | Array) -> None:
        """Read as much as there is room for.

        Raises: Fault N403 where the file is not what it was when it was opened.
        """
        view = memoryview(into).cast("B") if isinstance(into, bytearray) else into.data.cast("B")
        done = _read(self, view, at)
        while 0 < done < len(view):
            got = _read(self, view[done:], at + done)
            done = done + got if got else -1
        status = os.fstat(self._number)
        if done != len(view) or status.st_mtime_ns != self._changed or status.st_size != self.size:
            raise Fault("N403", f"{self.path}: the file changed while it was read", help="try again when it is written")

    def read_in_turns(self, into: memoryview, at: int) -> int:
        """Read where a file has one place only that it is read from."""
        with self._lock:
            self._file.seek(at)
            return self._file.readinto(into) or 0

    def read_at(self, into: memoryview, at: int) -> int:
        """Read from a place."""
        return os.preadv(self._number, [into], at)


_read = _File.read_at if hasattr(os, "preadv") else _File.read_in_turns


class _Span(Made):
    """A tensor that is so many bytes of a file."""

    def __init__(self, file: _File, at: int, end: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        # Not Made's: what stands in the header says the size, and there may be thousands of tensors.
        self.shape, self.size, self.dtype = shape, (end - at) // dtype.itemsize, dtype
        self._file, self._at, self._end = file, at, end

    def pieces(self, of: int = 1) -> Iterable[Array]:
        step = step_of(of)
        return (self().reshape(-1),) if self.size <= step else self._several(step)

    def _several(self, step: int) -> Iterable[Array]:
        at = self._at
        for left in range(self.size, 0, -step):
            piece = np.empty(min(left, step), self.dtype)
            self._file.fill(at, piece)
            yield piece
            at += piece.nbytes

    def continues(self, before: Made) -> bool:
        if not isinstance(before, _Span):
            return False
        return self._at == before._end and self._file is before._file and self.dtype == before.dtype

    def through(self, last: Made) -> Made:
        assert isinstance(last, _Span)
        size = (last._end - self._at) // self.dtype.itemsize
        return _Span(self._file, self._at, last._end, (size,), self.dtype)

    def __call__(self) -> Array:
        whole = np.empty(self.shape, self.dtype)
        if self.size:
            self._file.fill(self._at, whole)
        return whole


class _Bfloat16(Made):
    """A tensor of bf16, as f32, of which it is the upper half."""

    def __init__(self, halves: _Span) -> None:
        super().__init__(halves.shape, np.dtype("<f4"))
        self._halves = halves

    def pieces(self, of: int = 1) -> Iterable[Array]:
        for piece in self._halves.pieces(of):
            yield np.left_shift(piece.astype(np.uint32), np.uint32(16)).view(np.float32)


def _stored(file: _File, start: int, entry: Mapping[str, Any]) -> Stored:
    at, end = entry["data_offsets"]
    at, end = start + at, start + end
    shape: tuple[int, ...] = tuple(entry["shape"])
    word: str = entry["dtype"]
    if word == "BF16":
        return Stored(shape, "bfloat16", _Bfloat16(_Span(file, at, end, shape, _HALVES)))
    if word not in _KINDS:
        return Stored(shape, f"void ({word})", lambda: np.zeros(shape, np.void))
    dtype, name = _KINDS[word]
    return Stored(shape, name, _Span(file, at, end, shape, dtype))


def save(weights: Weights, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write weights as safetensors, whole or not at all; equal weights and metadata give equal bytes.

    Raises: Fault as `netc.atomic.replacing` does.
    """
    # The library's writer would copy every tensor twice and promises no order; the format is a length, JSON, and bytes.
    start, makers = layout(weights, metadata)
    with replacing(path) as file:
        file.write(start)
        for make in makers:
            for piece in pieces(make):
                file.write(piece.data)


def layout(weights: Weights, metadata: Mapping[str, str] | None = None) -> tuple[bytes, list[Callable[[], Array]]]:
    """What a file of these weights begins with, and what makes the tensors behind it, in order."""
    order = sorted(weights)
    known = {name: _entry(*described(make)) for name, make in zip(order, makers(weights, order), strict=True)}
    order.sort(key=lambda name: -known[name].width)  # large elements first: then all of them are aligned
    entries = [f'"__metadata__":{_json({key: metadata[key] for key in sorted(metadata)})}'] if metadata else []
    at = 0
    for name in order:
        entry = known[name]
        end = at + entry.size
        entries.append(f'{_quoted(name)}:{{{entry.text},"data_offsets":[{at},{end}]}}')
        at = end
    text = f"{{{','.join(entries)}}}".encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, makers(weights, order)


_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring  # what `_json` does with a text, without what it does for others
_WORDS = {text: word for word, text in _STORED.items()}


class _Entry(NamedTuple):
    """What a header says of a tensor of some shape and type; the bytes of an element, and of all of them."""

    text: str
    width: int
    size: int


@lru_cache(1024)
def _entry(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Entry:
    text = f'"dtype":"{_WORDS[dtype.newbyteorder("<").str]}","shape":[{",".join(map(str, shape))}]'
    return _Entry(text, dtype.itemsize, prod(shape) * dtype.itemsize)
