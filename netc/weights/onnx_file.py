"""The initializers of an ONNX file by name, as views of the mapped file: no copy of the model is made."""

from __future__ import annotations

import json
import mmap
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np

from netc.diagnostic import Fault, cut
from netc.weights.protobuf import Field, WireError, fields
from netc.weights.stored import MOST_SIDES, Found, Stored
from netc.weights.tensors import Array

_MODEL = {"producer": 2, "graph": 7, "metadata": 14}  # numbers of fields, from onnx.proto
_GRAPH = {"node": 1, "initializer": 5}
_NODE = {"input": 1, "name": 3, "kind": 4}
_TENSOR = {"dims": 1, "type": 2, "name": 8, "raw": 9, "external": 13, "location": 14}
_ENTRY = {"key": 1, "value": 2}
_EXTERNAL = 1
_TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
_BFLOAT16 = 16
_ROLES = {  # of an operator's inputs, the first of which is what enters
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu"), ("", "weight", "bias")),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization"), ("", "weight", "bias")),
    "BatchNormalization": ("", "weight", "bias", "running_mean", "running_var"),
}


def find(path: str) -> Found:
    """The initializers of a model in the order of the nodes that use them, those in external files too.

    Integers and single numbers are left out, which are shapes and constants of the graph, but for torch's counters.
    A tensor without a layer's name has the place of the node that uses it.

    Raises: Fault N403 for a file that is not whole or no ONNX, N449 for external data outside its folder; OSError.
    """
    try:
        return _Model(path).found()
    except WireError as error:
        raise Fault(
            "N403", f"{path}: this is no ONNX, or not all of it: {error}", help="copy the file again"
        ) from error


class _Model:
    def __init__(self, path: str) -> None:
        self.path = path
        self.producer, self.graphs = "", 0
        self.metadata: dict[str, str] = {}
        self.tensors: dict[str, Stored] = {}
        self.users: dict[str, tuple[str, str]] = {}  # a tensor -> the first node's name, and the role it has there
        self.beside: dict[str, memoryview] = {}  # files of external data
        for field in fields(_mapped(path)):
            if field.number == _MODEL["producer"]:
                self.producer = field.text
            elif field.number == _MODEL["graph"]:
                self._graph(field.data)
            elif field.number == _MODEL["metadata"]:
                self.metadata |= _entry(field)
        if not self.graphs:
            raise WireError("it holds no graph")

    def found(self) -> Found:
        place = {name: at for at, name in enumerate(self.users)}
        names = sorted(
            (n for n, t in self.tensors.items() if self._learned(n, t)), key=lambda n: place.get(n, len(place))
        )
        tensors = {name: self.tensors[name] for name in names}
        return Found(self.path, "onnx", tensors, ordered=True, places=self._places(names), manifest=self._manifest())

    def _manifest(self) -> dict[str, Any] | None:
        try:
            found: Any = json.loads(self.metadata["netc"]) if self.producer == "netc" else None
        except (KeyError, ValueError, RecursionError):
            return None
        return cast(dict[str, Any], found) if isinstance(found, dict) else None

    def _learned(self, name: str, tensor: Stored) -> bool:
        if self.producer == "netc" and name.startswith("constant/"):
            return False
        return (bool(tensor.shape) and "float" in tensor.dtype) or name.endswith("num_batches_tracked")

    def _places(self, names: list[str]) -> dict[str, tuple[tuple[str, ...], str]]:
        """The layer and the role of what a converter gave a name of its own, such as onnx::Conv_193."""
        named = {self.users[name][0]: name for name in names if "::" not in name and name in self.users}
        places: dict[str, tuple[tuple[str, ...], str]] = {}
        for name in names:
            node, role = self.users.get(name, ("", ""))
            if "::" not in name or not node or not role:
                continue
            if node in named:  # the weight kept its name, and the bias is new
                places[name] = tuple(named[node].split(".")[:-1]), role
            else:
                places[name] = _path(node), role
        return places

    def _graph(self, data: memoryview) -> None:
        self.graphs += 1
        for field in fields(data):
            if field.number == _GRAPH["node"]:
                self._node(field.data)
            elif field.number == _GRAPH["initializer"]:
                name, tensor = self._tensor(field.data)
                if name in self.tensors:
                    raise WireError(f"{cut(name, 200)} stands there twice")
                self.tensors[name] = tensor

    def _node(self, data: memoryview) -> None:
        name, kind = "", ""
        inputs: list[str] = []
        for field in fields(data):
            if field.number == _NODE["input"]:
                inputs.append(field.text)
            elif field.number == _NODE["name"]:
                name = field.text
            elif field.number == _NODE["kind"]:
                kind = field.text
        roles = _ROLES.get(kind, ())
        for at, each in enumerate(inputs):
            self.users.setdefault(each, (name, roles[at] if at < len(roles) else ""))

    def _tensor(self, data: memoryview) -> tuple[str, Stored]:
        dims: list[int] = []
        name, kind, location, raw = "", 0, 0, None
        entries: dict[str, str] = {}
        for field in fields(data):
            if field.number == _TENSOR["dims"]:
                dims += field.numbers
            elif field.number == _TENSOR["type"]:
                kind = field.value
            elif field.number == _TENSOR["name"]:
                name = field.text
            elif field.number == _TENSOR["raw"]:
                raw = field.data
            elif field.number == _TENSOR["location"]:
                location = field.value
                if location not in (0, _EXTERNAL):  # which protobuf would leave out, and take the one before
                    raise WireError(f"{cut(name, 200)} lies at a place of kind {location}, which ONNX does not know")
            elif field.number == _TENSOR["external"]:
                entries |= _entry(field)
        if entries and location != _EXTERNAL:
            raise WireError(f"{cut(name, 200)} lies in the file and beside it")
        if len(dims) > MOST_SIDES:
            raise WireError(f"{cut(name, 200)} has {len(dims)} sides")
        if any(side >= 2**63 for side in dims):
            raise WireError(f"{cut(name, 200)} has a negative side")
        shape = tuple(dims)
        word = "u2" if kind == _BFLOAT16 else _TYPES.get(kind)
        if word is None:
            return name, Stored(shape, f"void (ONNX's type {kind})", lambda: np.zeros(shape, np.void))
        dtype = "bfloat16" if kind == _BFLOAT16 else np.dtype(word).name
        size = np.dtype(word).itemsize * prod(shape)
        if location == _EXTERNAL:
            raw = self._external(name, entries, size)
        if raw is None:
            return name, Stored(shape, dtype, lambda: _spelt_out(self.path, name, shape, data))
        if len(raw) != size:
            raise WireError(f"{cut(name, 200)} has {len(raw)} bytes, expected {size}")
        return name, Stored(shape, dtype, lambda: _view(raw, word, shape, kind == _BFLOAT16))

    def _external(self, name: str, entries: dict[str, str], size: int) -> memoryview:
        place = entries.get("location", "")
        file = Path(self.path).parent / place
        try:
            within = file.resolve().is_relative_to(Path(self.path).resolve().parent)
            offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(size)))
        except (ValueError, RuntimeError, OSError) as error:
            raise WireError(f"where {cut(name, 200)} lies is not said rightly: {error}") from error
        if not place or Path(place).is_absolute() or not within:
            raise Fault(
                "N449",
                f"{self.path}: {cut(name, 200)} lies in {cut(place, 200)!r}, which is outside the model's folder",
                help="external data lies beside the model; links that lead away are not followed",
            )
        if not file.is_file():
            raise Fault("N402", f"{self.path}: {cut(name, 200)} lies in {place}, and there is no such file beside it")
        if place not in self.beside:
            self.beside[place] = _mapped(str(file)) if file.stat().st_size else memoryview(b"")
        data = self.beside[place]
        if offset < 0 or length < 0 or offset + length > len(data):
            raise WireError(f"{place} has {len(data)} bytes, and {cut(name, 200)} should end at {offset + length}")
        return data[offset : offset + length]


def _path(node: str) -> tuple[str, ...]:
    """The layer that a node's name speaks of: torch calls one of `layer1.0.conv1` /layer1/layer1.0/conv1/Conv."""
    parts = [part for part in node.split("/") if part]
    scopes = parts[:-1] or parts
    own = [a for a, b in zip(scopes, [*scopes[1:], ""], strict=True) if not b.startswith(f"{a}.")]
    return tuple(".".join(own).split("."))


def _mapped(path: str) -> memoryview:
    with Path(path).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _entry(field: Field) -> dict[str, str]:
    entry = {each.number: each.text for each in fields(field.data)}
    return {entry.get(_ENTRY["key"], ""): entry.get(_ENTRY["value"], "")}


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
