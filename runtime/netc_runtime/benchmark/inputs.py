"""What a benchmark feeds a model: seeded arrays that meet the model's contract, or the pictures of a folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime import contract
from netc_runtime.errors import EnvironmentFault
from netc_runtime.golden import golden_input, golden_pixels
from netc_runtime.manifest import Input
from netc_runtime.session import Model

Feed: TypeAlias = dict[str, npt.NDArray[Any]]

MOST_BYTES = 2**32  # of the arrays of one request


@dataclass(frozen=True, slots=True)
class Request:
    """The arrays of one request by input, and how many rows they have."""

    feed: Feed
    rows: int


def make_request(model: Model, batch: int | None, sizes: Mapping[str, int], seed: int) -> Request:
    """Make one request of seeded numbers; `sizes` are those of symbols, of which a batch's is `batch`, or 1.

    A symbol that has no size takes that of the golden example, or of the recorded crop.

    Raises: EnvironmentFault R404 where `batch` or `sizes` do not suit the model; RequestFault R206; ManifestError R113.
    """
    bound = _sizes(model, batch, sizes)
    shapes = {
        tensor.name: tuple(side if isinstance(side, int) else bound[side] for side in tensor.shape)
        for tensor in model.inputs
    }
    held = sum(math.prod(shapes[each.name]) * contract.DTYPES[each.dtype].itemsize for each in model.inputs)
    if held > MOST_BYTES:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise _refused(
            model, f"{said} would take {held:,} bytes, at most {MOST_BYTES:,}", "give a smaller batch or size"
        )
    if model.manifest is not None:
        contract.require(model.name, model.manifest.require, bound)
    feed = {each.name: _array(each, shapes[each.name], seed + index) for index, each in enumerate(model.inputs)}
    first = shapes[model.inputs[0].name] if model.inputs else ()
    return Request(feed, first[0] if first else 1)


def _sizes(model: Model, batch: int | None, given: Mapping[str, int]) -> dict[str, int]:
    symbols = list(dict.fromkeys(side for each in model.inputs for side in each.shape if isinstance(side, str)))
    unknown = [name for name in given if name not in symbols]
    if unknown:
        known = ", ".join(symbols) or "none: every side is a number"
        raise _refused(
            model, f"it has no size {unknown[0]}; its sizes are {known}", "leave it out, or name one of these"
        )
    rows = list(dict.fromkeys(each.shape[0] for each in model.inputs if each.shape and isinstance(each.shape[0], str)))
    if batch is not None and not rows:
        fixed = next((each.shape[0] for each in model.inputs if each.shape), 1)
        if batch != fixed:
            raise _refused(
                model, f"a batch of {batch} is asked for, its inputs always have {fixed} row(s)", _FIXED.format(fixed)
            )
    found: dict[str, int] = {}
    for name in symbols:
        if name in rows and batch is not None and given.get(name, batch) != batch:
            raise _refused(
                model, f"{name} is {given[name]} and the batch {batch}", "they are one size: give one of them"
            )
        size = given.get(name, (batch or 1) if name in rows else _known(model, name))
        if size is not None:
            found[name] = size
    missing = [name for name in symbols if name not in found]
    if missing:
        example = ",".join(f"{name}=224" for name in missing)
        raise _refused(model, f"the size of {', '.join(missing)} is free", f"say how large, such as --shape {example}")
    return found


_FIXED = "give {}, or build the model with a symbol for the batch"


def _known(model: Model, symbol: str) -> int | None:
    """Give the size that the manifest knows a symbol by: the golden example's, or the crop's."""
    manifest = model.manifest
    if manifest is None:
        return None
    for tensor in model.inputs:
        for axis, side in enumerate(tensor.shape):
            if side != symbol:
                continue
            if manifest.golden is not None:
                return manifest.golden.shapes[tensor.name][axis]
            crop = None if tensor.image is None else tensor.image.crop
            sides = _picture_axes(tensor)
            if crop is not None and axis in sides:
                return crop if isinstance(crop, int) else crop[sides.index(axis)]
    return None


def _picture_axes(tensor: Input) -> Sequence[int]:
    return (1, 2) if tensor.dtype == "u8" else (2, 3)  # pixels have their channels last


def _array(tensor: Input, shape: tuple[int, ...], seed: int) -> npt.NDArray[Any]:
    dtype = contract.DTYPES[tensor.dtype]
    if tensor.dtype == "u8" and len(shape) == 4:
        return golden_pixels(seed, shape)
    if dtype.kind == "f":
        # Of pictures' statistics, which independent noise has not: some nets' work depends on the values.
        return golden_input(seed, shape or (1,)).reshape(shape).astype(dtype, copy=False)
    # Zeros and ones are within any table that integers may index.
    return np.random.RandomState([seed]).randint(0, 2, shape).astype(dtype)


def _refused(model: Model, message: str, help: str) -> EnvironmentFault:
    return EnvironmentFault("R404", f"{model.name}: {message}", help)
