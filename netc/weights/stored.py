"""Tensors as a file holds them: their shape and type are known before their numbers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostic import Fault
from netc.weights.tensors import Array, Weights, described, maker

MOST_SIDES = 64  # that numpy's and torch's arrays have


class Stored(NamedTuple):
    """A tensor that is not read yet. `dtype` is numpy's word, or where numpy has none the format's own: `bfloat16`.

    `read` gives the numbers, those of bfloat16 as float32; it is called for types that numpy has, and for bfloat16.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


@dataclass(frozen=True)
class Found:
    """What a source holds, by the names it uses, in its order.

    `name` is what people call the source, `form` its format. In an `ordered` one, tensors stand as the model that was
    saved defines them. `notes` are choices that were made on the way here, each a sentence for the user. `places` give
    a tensor's layer, as a path, and its role there, where the source knows more than the name says. `manifest` is what
    a model that netc built says of itself.
    """

    name: str
    form: str
    tensors: Mapping[str, Stored]
    ordered: bool = False
    notes: tuple[str, ...] = ()
    places: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict[str, tuple[tuple[str, ...], str]])
    manifest: Mapping[str, Any] | None = None


def in_memory(weights: Weights) -> dict[str, Stored]:
    """Weights as stored tensors; what is made is not made for this."""
    found: dict[str, Stored] = {}
    for name in weights:
        make = maker(weights, name)
        shape, dtype = described(make)
        found[name] = Stored(shape, _word(dtype), make)
    return found


def in_hand(given: Mapping[str, Any]) -> dict[str, Stored]:
    """Arrays and torch's tensors as stored tensors; a tensor may be of a type that numpy lacks, or need gradients."""
    found: dict[str, Stored] = {}
    for name, each in given.items():
        if hasattr(each, "detach"):
            word = str(each.dtype).removeprefix("torch.")
            found[name] = Stored(tuple(each.shape), word, partial(each.numpy, force=True))
        else:
            found |= in_memory({name: np.asarray(each)})
    return found


@lru_cache
def _word(dtype: np.dtype[Any]) -> str:
    return dtype.name


def shown(shape: tuple[int, ...]) -> str:
    """A shape for people: `64x3x7x7`."""
    return "x".join(map(str, shape)) or "one number"


def bytes_of(tensor: Stored) -> int | None:
    """How many bytes a tensor's numbers take where they are stored; None where its type says nothing."""
    width = 2 if tensor.dtype == "bfloat16" else _width(tensor.dtype)
    return None if width is None else width * prod(tensor.shape)


def _width(dtype: str) -> int | None:
    try:
        return np.dtype(dtype).itemsize or None
    except TypeError:
        return None


def storable(found: Found) -> None:
    """Raises: Fault N401 where safetensors cannot hold a tensor as it is read."""
    types = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"}
    other = [f"{name} is {tensor.dtype}" for name, tensor in found.tensors.items() if tensor.dtype not in types]
    if other:
        more = f" and {len(other) - 20} more" if len(other) > 20 else ""
        raise Fault("N401", f"{found.name}: {', '.join(other[:20])}{more}: netc writes floats and integers")
