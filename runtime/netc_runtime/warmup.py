"""Running a model before its first request, so that none waits for what happens once."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netc_runtime import contract
from netc_runtime.engines.runner import Tensors
from netc_runtime.manifest import Input, Manifest


@dataclass(frozen=True, slots=True)
class Warmed:
    """A batch that was run: its rows, and the seconds that its first run took and its second, where there was one."""

    rows: int
    first_seconds: float
    second_seconds: float | None


def known_sizes(inputs: Sequence[Input], manifest: Manifest | None, given: Mapping[str, int]) -> dict[str, int]:
    """Give the sizes of symbols other than the rows' that are known: as given, of the golden example, of the crop."""
    found: dict[str, int] = {}
    for tensor in inputs:
        if manifest is not None and manifest.golden is not None:
            shape = manifest.golden.shapes[tensor.name]
            found |= {side: size for side, size in zip(tensor.shape, shape, strict=True) if isinstance(side, str)}
        crop = None if tensor.image is None else tensor.image.crop
        if crop is not None:
            sides = [side for side in tensor.shape[1:] if isinstance(side, str)]
            if len(sides) == 2:
                found |= dict(zip(sides, crop if isinstance(crop, tuple) else (crop, crop), strict=True))
    return {**found, **given}


def zeros(inputs: Sequence[Input], sizes: Mapping[str, int], rows: int) -> Tensors | str:
    """Make zeros for so many rows, or say which sizes nobody has told."""
    counted = {tensor.shape[0] for tensor in inputs if tensor.shape and isinstance(tensor.shape[0], str)}
    bound = {**sizes, **{str(symbol): rows for symbol in counted}}
    unknown = [side for each in inputs for side in each.shape if isinstance(side, str) and side not in bound]
    if unknown:
        return f"the size of {', '.join(dict.fromkeys(unknown))} is not known"
    return {
        each.name: np.zeros(
            [bound[side] if isinstance(side, str) else side for side in each.shape], contract.DTYPES[each.dtype]
        )
        for each in inputs
    }


def warm(rows: int, run: Callable[[], object], *, once: bool = False) -> Warmed:
    """Run twice, or once, and give what that took. Raises: RequestFault R208 when the engine gives up."""

    def taken() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return Warmed(rows, taken(), None if once else taken())
