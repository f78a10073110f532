"""Weights: tensors by `state_dict` name, read from files and written to them, and held to what a graph needs."""

from __future__ import annotations

from netc.weights.examine import digest
from netc.weights.fit import check, fitted
from netc.weights.loading import Reading, completed, load, taken
from netc.weights.safetensors_file import save
from netc.weights.tensors import Array, Lazy, Weights

__all__ = ["Array", "Lazy", "Reading", "Weights", "check", "completed", "digest", "fitted", "load", "save", "taken"]
