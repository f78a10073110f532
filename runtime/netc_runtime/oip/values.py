"""The numbers of a tensor in JSON: flat, or nested exactly as its shape is."""

from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import ServeFault

MOST_SAID = 8  # lengths of rows that a message lists
_FIX = "send its numbers flat in row-major order, or nested as the shape is"


def read_values(
    at: str, data: Any, shape: Sequence[int], dtype: np.dtype[Any], *, switches: bool = True
) -> npt.NDArray[Any]:
    """Make an array of a shape and an element type from JSON values, among which `switches`, true and false, may be.

    Raises: ServeFault R508 where the values are not nested so or not as many, R509 where one is of another kind or does
    not fit the type.
    """
    if not isinstance(data, list):
        raise ServeFault("R508", f"{at}: data is not an array", _FIX)
    count = 1
    for side in shape:
        count *= side
    flat = cast("list[Any]", data)
    if flat and isinstance(flat[0], list):
        flat = _flattened(at, flat, shape)
    if len(flat) != count:
        raise ServeFault("R508", f"{at}: data has {len(flat)} numbers, its shape {list(shape)} takes {count}", _FIX)
    return _array(at, flat, dtype, switches).reshape(tuple(shape))


def _flattened(at: str, data: list[Any], shape: Sequence[int]) -> list[Any]:
    level = data
    for axis, side in enumerate(shape):
        last = axis == len(shape) - 1
        expected = side if axis == 0 else None
        if expected is not None and len(level) != expected:
            raise ServeFault("R508", f"{at}: data has {len(level)} rows, its shape is {list(shape)}", _FIX)
        if last:
            return level
        kinds = set(map(type, level))
        if kinds - {list}:
            raise ServeFault("R508", f"{at}: data is not nested as its shape {list(shape)} is", _FIX)
        sizes = set(map(len, level))
        if sizes - {shape[axis + 1]}:
            found = ", ".join(map(str, sorted(sizes)[:MOST_SAID])) + ", ..." * (len(sizes) > MOST_SAID)
            raise ServeFault(
                "R508", f"{at}: data has {found} values along axis {axis + 1}, its shape is {list(shape)}", _FIX
            )
        level = list(chain.from_iterable(level))
    raise ServeFault("R508", f"{at}: data is nested, and its shape is {list(shape)}", _FIX)


def _array(at: str, flat: list[Any], dtype: np.dtype[Any], switches: bool) -> npt.NDArray[Any]:
    if dtype.kind == "f" and not switches:
        try:
            return _narrowed(at, np.frombuffer(array("d", flat)), dtype)
        except TypeError:
            pass  # it takes numbers, and true and false, alone: what there is instead is told below
    kinds = set(map(type, flat))
    allowed: dict[str, set[type]] = {"b": {bool}, "f": {int, float}}
    wrong = kinds - allowed.get(dtype.kind, {int})
    if wrong:
        names = {str: "a string", bool: "true or false", type(None): "null", list: "an array", dict: "an object"}
        said = names.get(min(wrong, key=lambda kind: kind.__name__), "a number with a fraction")
        raise ServeFault(
            "R509", f"{at}: data holds {said}, expected {_expected(dtype)}", "send numbers of its datatype"
        )
    try:
        if dtype.kind != "f":
            return np.array(flat, dtype)
        wide = np.array(flat, np.float64)
    except OverflowError:
        raise _beyond(at, dtype) from None
    return _narrowed(at, wide, dtype)


def _narrowed(at: str, wide: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        made = wide.astype(dtype)
    if not np.isfinite(made).all():
        raise _beyond(at, dtype)
    return made


def _beyond(at: str, dtype: np.dtype[Any]) -> ServeFault:
    return ServeFault("R509", f"{at}: data holds a number that {dtype} does not hold", "send numbers of its datatype")


def _expected(dtype: np.dtype[Any]) -> str:
    return {"b": "true and false", "f": "numbers"}.get(dtype.kind, "whole numbers")
