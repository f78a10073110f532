"""The half precisions: how a number is stored, how fine it is, and how far it reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from netc.weights import Array

Half = Literal["f16", "bf16"]


@dataclass(frozen=True)
class Width:
    """A precision that a file's nodes compute in."""

    word: Literal["f32", "f16", "bf16"]
    number: int
    """TensorProto.DataType."""
    dtype: np.dtype[np.generic]
    """How numpy holds its elements; it has no bf16, whose bits are taken for whole numbers."""
    epsilon: float
    """The distance from 1 to the next number."""
    largest: float
    opset: int
    """From which on ONNX's layers take it."""
    cast: Callable[[Array], Array]
    """From float32: rounds to the nearest, ties to even; what is beyond `largest` becomes an infinity."""
    exact: Callable[[Array], Array]
    """To float32."""

    @property
    def tensor(self) -> str:
        """The type's name in ONNX's schemas."""
        return {"f32": "tensor(float)", "f16": "tensor(float16)", "bf16": "tensor(bfloat16)"}[self.word]


def _to_f16(array: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return array.astype("<f2")


def _to_bf16(array: Array) -> Array:
    # bf16 is the upper half of f32. What is added rounds up from just above a half, and a half to the even number.
    bits = np.asarray(array, "<f4", order="C").view("<u4")
    rounded = (bits + (0x7FFF + (bits >> np.uint32(16) & np.uint32(1)))) >> np.uint32(16)
    quiet = bits >> np.uint32(16) | np.uint32(0x40)  # a NaN stays one, where rounding would make it -0 or an infinity
    return np.where(bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000), quiet, rounded).astype("<u2")


def _of_bf16(array: Array) -> Array:
    return np.left_shift(array.astype(np.uint32), np.uint32(16)).view(np.float32)


def _as_f32(array: Array) -> Array:
    return array.astype("<f4", copy=False)


F32 = Width("f32", 1, np.dtype("<f4"), 2**-23, 3.4028235e38, 17, _as_f32, _as_f32)
F16 = Width("f16", 10, np.dtype("<f2"), 2**-10, 65504.0, 17, _to_f16, _as_f32)
BF16 = Width("bf16", 16, np.dtype("<u2"), 2**-7, 3.3895314e38, 22, _to_bf16, _of_bf16)
HALVES: dict[Half, Width] = {"f16": F16, "bf16": BF16}
