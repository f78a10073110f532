"""Safetensors files: read, checked to be whole, and written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import safetensors

from netc.atomic import replacing
from netc.diagnostic import Fault
from netc.weights.tensors import Array, Weights, little

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}


def read(path: str) -> dict[str, Array]:
    """Every tensor of a file, as it is stored; of a type that numpy lacks: bf16 as f32, others as nothing.

    Raises: Fault N402 for a file that cannot be read, N403 for one that is not safetensors or not whole.
    """
    try:
        if not Path(path).is_file():
            Path(path).stat()
            raise Fault("N402", f"{path}: this is a directory or a device, expected a .safetensors file")
        data = np.fromfile(path, np.uint8)
        _validate(path, data)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Fault("N402", f"{path}: cannot be read: {reason}") from error
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = cast(dict[str, dict[str, Any]], json.loads(data[8:start].tobytes()))
    header.pop("__metadata__", None)
    return {name: _array(data[start:], entry) for name, entry in header.items()}


def _validate(path: str, data: npt.NDArray[np.uint8]) -> None:
    if not data.size:
        raise Fault("N403", f"{path}: the file is empty")
    if data[:8].tobytes() == b"version ":
        raise Fault("N403", f"{path}: this is a git-LFS pointer, not the weights", help="run git lfs pull")
    try:
        # The library checks that the header is whole and that offsets, shapes and types agree and cover the file.
        with safetensors.safe_open(path, framework="np"):
            pass
    except safetensors.SafetensorError as error:
        raise Fault(
            "N403",
            f"{path}: the file's {data.size} bytes are not safetensors, or not all of it: {error}",
            help="a torch checkpoint is converted with safetensors.torch.save_file(model.state_dict(), ...)",
        ) from error


def _array(data: npt.NDArray[np.uint8], entry: Mapping[str, Any]) -> Array:
    begin, end = cast(list[int], entry["data_offsets"])
    shape, word = cast(list[int], entry["shape"]), cast(str, entry["dtype"])
    raw = data[begin:end]
    if word == "BF16":
        # bf16 is the upper half of f32.
        return np.left_shift(raw.view(np.uint16).astype(np.uint32), np.uint32(16)).view(np.float32).reshape(shape)
    if word not in _STORED:
        return np.zeros(shape, np.void)  # a mismatch, which `_fitted` reports
    return np.require(raw.view(_STORED[word]).reshape(shape), requirements="A")


def save(weights: Weights, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write weights as safetensors, whole or not at all; equal weights and metadata give equal bytes.

    Raises: Fault as `netc.atomic.replacing` does.
    """
    # The library's writer would copy every tensor twice and promises no order; the format is a length, JSON, and bytes.
    arrays = {name: little(weights[name]) for name in sorted(weights)}
    words = {dtype: word for word, dtype in _STORED.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # large elements first: all are aligned
    header: dict[str, object] = {}
    if metadata:
        header["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    at = 0
    for name in order:
        array = arrays[name]
        end = at + array.nbytes
        header[name] = {"dtype": words[array.dtype.str], "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(arrays[name].reshape(-1).data)
