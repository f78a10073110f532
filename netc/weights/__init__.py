"""Weights: tensors by `state_dict` name, read from files and written to them, and held to what a graph needs."""

from __future__ import annotations

import hashlib
import json

from netc.weights.fit import check, fitted
from netc.weights.loading import Reading, load
from netc.weights.safetensors_file import save
from netc.weights.tensors import Array, Lazy, Weights, little

__all__ = ["Array", "Lazy", "Reading", "Weights", "check", "digest", "fitted", "load", "save"]


def digest(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes, sorted by name: equal for equal weights, however they are stored."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = little(weights[name])
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.reshape(-1).data)
    return total.hexdigest()
