"""Weights: tensors by `state_dict` name, read from files and written to them, and held to what a graph needs."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np

from netc.graph import Graph
from netc.weights import safetensors_file
from netc.weights.fit import check, fitted
from netc.weights.safetensors_file import save
from netc.weights.tensors import Array, Lazy, Weights, little

__all__ = ["Array", "Lazy", "Weights", "check", "digest", "fitted", "load", "save"]


def load(path: str | os.PathLike[str], graph: Graph, *, deployed: bool = False) -> dict[str, Array]:
    """Read a safetensors file: exactly the graph's tensors, in its order.

    f16 and bf16 become f32 exactly, f64 by rounding to the nearest; no other type is converted. A missing
    `num_batches_tracked` is 0. With `deployed`, tensors that only training heads need are left out, there or not.

    Raises: Fault N402 for a file that cannot be read, N403 for one that is not safetensors or not whole; as `check`.
    """
    name = os.fspath(path)
    return fitted(
        {key: _float32(array) for key, array in safetensors_file.read(name).items()},
        graph,
        prefix=f"{name}: ",
        deployed=deployed,
    )


def digest(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes, sorted by name: equal for equal weights, however they are stored."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = little(weights[name])
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.reshape(-1).data)
    return total.hexdigest()


def _float32(array: Array) -> Array:
    with np.errstate(over="ignore"):  # what is beyond f32 becomes an infinity, which is then refused by name
        return array.astype(np.float32) if array.dtype.str in ("<f2", "<f8") else array
