"""The golden example: a seeded input, and how far a model's outputs lie from those recorded at export."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import ModelFault
from netc_runtime.manifest import Golden, Input


def golden_input(seed: int, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Make seeded examples, (N, C, ...), the same on every machine and in every version of numpy.

    An example has large shapes, four a side, under fine noise, as pictures have: independent noise is all alike to a
    net that averages over an image, and would hide what the net computes. The first examples of a larger batch are
    those of a smaller one. numpy promises that RandomState's stream never changes; `default_rng` may change its own.
    """
    made = np.empty(tuple(shape), np.float32)
    for index in range(shape[0]):
        random = np.random.RandomState([seed, index])
        fine = random.standard_normal(tuple(shape[1:]))
        if len(shape) > 2:
            coarse = random.standard_normal((shape[1], *(4 for _ in shape[2:])))
            for axis, side in enumerate(shape[2:], start=1):
                coarse = coarse.take(np.arange(side) * 4 // side, axis)
            fine = coarse + 0.25 * fine
        made[index] = fine
    return made


def golden_pixels(seed: int, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Make seeded pixels: 128 + 48 times what `golden_input` makes, rounded and kept within 0 to 255.

    Shape: (N, H, W, C)
    """
    rows, height, width, channels = shape
    made = golden_input(seed, (rows, channels, height, width)).transpose(0, 2, 3, 1)
    return np.clip(np.rint(128 + 48 * made), 0, 255).astype(np.uint8, order="C")


def golden_feed(golden: Golden, inputs: Sequence[Input]) -> dict[str, npt.NDArray[Any]]:
    """Make the golden input of every input; the seed grows by one from input to input, in the manifest's order."""
    return {
        tensor.name: (golden_pixels if tensor.dtype == "u8" else golden_input)(
            golden.seed + index, golden.shapes[tensor.name]
        )
        for index, tensor in enumerate(inputs)
    }


def golden_difference(where: str, golden: Golden, outputs: Mapping[str, npt.NDArray[Any]]) -> float:
    """Give the largest absolute difference over every recorded element.

    Raises: ModelFault R111 when it is beyond the tolerance or not a number, or when an element does not exist.
    """
    worst = 0.0
    for name, samples in golden.samples.items():
        flat = np.asarray(outputs[name]).reshape(-1)
        for index, expected in samples:
            at = f'{where}: the golden example does not reproduce: output "{name}"'
            if index >= flat.size:
                raise ModelFault("R111", f"{at} has {flat.size} elements, expected one at index {index}", _AGAIN)
            got = float(flat[index])
            difference = abs(got - expected)
            # Written so that a NaN fails.
            if not difference <= golden.tolerance:
                raise ModelFault(
                    "R111",
                    f"{at} at index {index} is {got:.9g}, expected {expected:.9g} within {golden.tolerance:.3g}",
                    _AGAIN,
                )
            worst = max(worst, difference)
    return worst


_AGAIN = "the file was changed, or this machine computes wrongly: export again, or try device=cpu"
