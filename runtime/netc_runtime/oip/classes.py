"""The protocol's classification extension: an output's highest values as text, "value:index" or "value:index:label".

Source: Triton's extension_classification.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import ServeFault
from netc_runtime.manifest import Output


@dataclass(frozen=True, slots=True)
class Classes:
    """How many classes are asked for, their labels, and whether each row has its own."""

    count: int
    labels: tuple[str, ...] | None
    by_row: bool


def read_classes(count: int, output: Output, rows: str | None) -> Classes:
    """Give what a request's `classification` asks of an output; `rows` is the symbol of the model's rows.

    Raises: ServeFault R504 on a count below 1, R512 on an output that is one value, or true and false.
    """
    at = f'output "{output.name}"'
    if count < 1:
        raise ServeFault("R504", f"the parameter classification of {at} is {count}, expected 1 or more", _LEAVE)
    if output.dtype == "bool" or not output.shape:
        what = "BOOL" if output.dtype == "bool" else "a single value"
        raise ServeFault("R512", f"{at} is {what}, which has no highest classes", _LEAVE)
    # Axis 1 holds the classes: with two axes the first is of rows, also where their number is fixed.
    return Classes(count, output.labels, len(output.shape) > 1 or output.shape == (rows,))


def classified(array: npt.NDArray[Any], classes: Classes) -> tuple[list[int], list[str]]:
    """Give the shape and the texts of an output's classes, the highest first, of equal ones the lower index first.

    A NaN is below every number. An index counts through all of a row's values, as Triton's does; labels are those of a
    row that has as many values. A value is the shortest text that reads back to the same bits.

    Shape: (N, ...) -> (N, count), or without rows (...) -> (count,); never more than there are values
    """
    shape: list[int] = [*array.shape] if classes.by_row else [1, *array.shape]
    width = math.prod(shape[1:])
    count = min(classes.count, width)
    labels = classes.labels if classes.labels is not None and len(classes.labels) == width else None
    texts: list[str] = []
    for row in array.reshape(shape[0], width):
        # What is sorted upwards stands for the highest first: -x of floats, where NaN stays last, ~x of integers.
        order = np.argsort(-row if row.dtype.kind == "f" else ~row, kind="stable")[:count]
        for index in order.tolist():
            text = f"{row[index]!s}:{index}"
            texts.append(text if labels is None else f"{text}:{labels[index]}")
    return ([shape[0], count] if classes.by_row else [count]), texts


def packed(texts: list[str]) -> bytes:
    """Give texts as the protocol's BYTES: each after its length, of four bytes, little-endian."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(each).to_bytes(4, "little") + each for each in encoded)


_LEAVE = "leave classification out for its values"
