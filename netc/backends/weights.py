"""Weights: tensors by `state_dict` name, read from and written to safetensors, and held to what a graph needs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import safetensors

from netc.atomic import replacing
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Param

Array: TypeAlias = npt.NDArray[Any]
Weights: TypeAlias = Mapping[str, Array]

COUNTER = "num_batches_tracked"  # torch counts training steps there; nothing computes with it, others have none
SHOWN = 20  # mismatches in one message
_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
_KINDS = {"f32": np.dtype(np.float32), "i64": np.dtype(np.int64)}


def load(path: str | os.PathLike[str], graph: Graph, *, deployed: bool = False) -> dict[str, Array]:
    """Read a safetensors file: exactly the graph's tensors, in its order.

    f16 and bf16 become f32 exactly, f64 by rounding to the nearest; no other type is converted. A missing
    `num_batches_tracked` is 0. With `deployed`, tensors that only training heads need are left out, there or not.

    Raises: Fault N402 for a file that cannot be read, N403 for one that is not safetensors or not whole; as `check`.
    """
    name = os.fspath(path)
    return _fitted({key: _float32(array) for key, array in _read(name).items()}, graph, f"{name}: ", deployed)


def check(weights: Weights, graph: Graph) -> None:
    """Hold weights to a graph.

    Raises: Fault N401, listing every tensor that is missing, unexpected, or of another shape or type; else N404, naming
    those that hold a NaN or an infinity.
    """
    fitted(weights, graph)


def fitted(weights: Weights, graph: Graph) -> dict[str, Array]:
    """The graph's tensors in its order, a missing `num_batches_tracked` as 0.

    Raises: Fault as `check` does.
    """
    return _fitted(weights, graph, "", deployed=False)


def save(weights: Weights, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write weights as safetensors, whole or not at all; equal weights and metadata give equal bytes.

    Raises: Fault as `netc.atomic.replacing` does.
    """
    # The library's writer would copy every tensor twice and promises no order; the format is a length, JSON, and bytes.
    arrays = {name: _little(weights[name]) for name in sorted(weights)}
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


def initial(graph: Graph, seed: int) -> dict[str, Array]:
    """Torch's initial weights for a seed, from which training starts."""
    from netc.backends import torch

    return torch.initial(graph, seed)


def digest(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes, sorted by name: equal for equal weights, however they are stored."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = _little(weights[name])
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.reshape(-1).data)
    return total.hexdigest()


def _little(array: Array) -> Array:
    # Not ascontiguousarray, which gives a single number a dimension.
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _read(path: str) -> dict[str, Array]:
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


def _float32(array: Array) -> Array:
    with np.errstate(over="ignore"):  # what is beyond f32 becomes an infinity, which is then refused by name
        return array.astype(np.float32) if array.dtype.str in ("<f2", "<f8") else array


def _fitted(weights: Weights, graph: Graph, prefix: str, deployed: bool) -> dict[str, Array]:
    expected = dict(graph.parameters())
    unexpected = [name for name in weights if name not in expected]
    if deployed:
        needed = {node.weights for node in graph.nodes if node.name in graph.deployed}
        expected = {name: p for name, p in expected.items() if name in needed or name.rpartition(".")[0] in needed}
    missing = [name for name in expected if name not in weights and name.rpartition(".")[2] != COUNTER]
    wrong = [_missing(name, expected[name], unexpected) for name in missing[:SHOWN]]
    wrong += [f"{name}: the net has no such tensor{_nearest(name, missing)}" for name in unexpected[:SHOWN]]
    for name, param in expected.items():
        if name in weights and (problem := _mismatch(weights[name], param)):
            wrong.append(f"{name}: {problem}")
    total = len(wrong) + max(0, len(missing) - SHOWN) + max(0, len(unexpected) - SHOWN)
    if wrong:
        more = f"\n  and {total - SHOWN} more" if total > SHOWN else ""
        tensors = "1 tensor does" if total == 1 else f"{total} tensors do"
        listed = "".join(f"\n  {line}" for line in wrong[:SHOWN])
        raise Fault("N401", f"{prefix}{tensors} not fit {graph.name}:{listed}{more}")
    unsound = [
        n for n in expected if n in weights and weights[n].dtype.kind == "f" and not np.isfinite(weights[n]).all()
    ]
    if unsound:
        more = f" and {len(unsound) - SHOWN} more" if len(unsound) > SHOWN else ""
        raise Fault(
            "N404",
            f"{prefix}a NaN or an infinity stands in {', '.join(unsound[:SHOWN])}{more}",
            help="the training diverged, or a number is beyond f32",
        )
    # What may be missing is a counter.
    return {n: weights[n] if n in weights else np.zeros(p.shape, _KINDS[p.dtype]) for n, p in expected.items()}


def _missing(name: str, param: Param, unexpected: Iterable[str]) -> str:
    return f"{name}: missing, {_shape(param.shape)}{_nearest(name, unexpected)}"


def _mismatch(array: Array, param: Param) -> str:
    if tuple(array.shape) != param.shape:
        return f"{_shape(array.shape)}, expected {_shape(param.shape)}"
    kind = _KINDS[param.dtype]
    if array.dtype == kind:
        return ""
    return f"{'a type unknown here' if array.dtype.kind == 'V' else array.dtype}, expected {kind}"


def _nearest(name: str, others: Iterable[str]) -> str:
    close = get_close_matches(name, list(others), n=1, cutoff=0.7)
    return f" (the nearest is {close[0]})" if close else ""


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
