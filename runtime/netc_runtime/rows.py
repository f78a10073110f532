"""Running any number of rows: whether they may be split into batches, and doing it."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import RequestFault
from netc_runtime.manifest import Input, Output

Tensors: TypeAlias = dict[str, npt.NDArray[Any]]


def row_symbol(inputs: Sequence[Input], outputs: Sequence[Output]) -> str | None:
    """Give the symbol that counts the rows, when every tensor begins with it and it stands nowhere else; else nothing.

    Only then is a batch's output the outputs of its parts, one after the other.
    """
    shapes = [tensor.shape for tensor in (*inputs, *outputs)]
    if not inputs or not inputs[0].shape or not isinstance(inputs[0].shape[0], str):
        return None
    symbol = inputs[0].shape[0]
    first = all(shape and shape[0] == symbol for shape in shapes)
    # A derived side is text such as "H/8", so the symbol is looked for as a word.
    words = {word for shape in shapes for side in shape[1:] for word in re.findall(r"[\w.]+", str(side))}
    return symbol if first and symbol not in words else None


def run_rows(where: str, run: Callable[[Tensors], Tensors], feed: Tensors, rows: int, most: int) -> Tensors:
    """Run `rows` rows, at most `most` at a time, and give the outputs as if they had run at once.

    Raises: RequestFault R208 when an output has another number of rows than its batch.
    """
    if rows == 0:
        # Not every operator takes an empty batch; one row of zeros tells the outputs' sides and types.
        one = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in feed.items()}
        return {name: result[:0] for name, result in run(one).items()}
    if rows <= most:
        return run(feed)
    whole: Tensors = {}
    for start in range(0, rows, most):
        stop = min(start + most, rows)
        results = run({name: array[start:stop] for name, array in feed.items()})
        for name, result in results.items():
            if result.shape[:1] != (stop - start,):
                raise RequestFault(
                    "R208",
                    f'{where}: output "{name}" is {result.shape} for a batch of {stop - start} rows',
                    f"the graph mixes rows: load it with max_batch={rows} or more",
                )
            if start == 0:
                whole[name] = np.empty((rows, *result.shape[1:]), result.dtype)
            elif result.shape[1:] != whole[name].shape[1:]:
                raise RequestFault(
                    "R208",
                    f'{where}: output "{name}" is {result.shape} for one batch and {whole[name].shape} for the first',
                    f"the graph mixes rows: load it with max_batch={rows} or more",
                )
            whole[name][start:stop] = result
    return whole
