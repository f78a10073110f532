"""Where a file takes or gives something else than the net: raw pixels for a normalised image, classes for logits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.diagnostic import Fault
from netc.graph import Graph, Input
from netc.weights import Array
from netc_runtime.golden import golden_pixels
from netc_runtime.manifest import ImageRecipe

NEAR = 0.01  # of a pixel's step: what float32 makes of a pixel lies nearer


def takes_pixels(graph: Graph, tensor: Input) -> bool:
    """Whether the graph's file is asked to take an input as pixels."""
    return tensor.recipe is not None and "preprocess" in graph.export.embed


def image_of_pixels(tensor: Input, seed: int, shape: tuple[int, ...]) -> Array:
    """A seeded image that pixels make by the input's recipe; `shape` is the image's, (N, C, H, W)."""
    assert tensor.recipe is not None, tensor.name
    from netc_runtime.image import normalise  # with Pillow, which a build without pixels has no use for

    rows, channels, *sides = shape
    return normalise(golden_pixels(seed, (rows, *sides, channels)), ImageRecipe(*tensor.recipe))


def pixels(tensor: Input, image: Array) -> Array:
    """The pixels that make an image by the input's recipe: `u8`, (N, H, W, C).

    Raises: Fault N432 where none do.
    """
    assert tensor.recipe is not None, tensor.name
    mean, std = (np.reshape(np.array(numbers), (-1, 1, 1)) for numbers in (tensor.recipe.mean, tensor.recipe.std))
    with np.errstate(all="ignore"):
        values = (image.astype(np.float64) * std + mean) / tensor.recipe.scale
        found = np.rint(values)
        wrong = ~((abs(values - found) < NEAR) & (found >= 0) & (found <= 255))
    if wrong.any():
        raise Fault(
            "N432",
            f"{tensor.name} is {float(image[wrong][0]):.6g} somewhere, which by the recipe no pixel is: "
            f"one of {float(values[wrong][0]):.6g} would be",
            help="the model takes pixels: give images that are made of pixels by its recipe, or leave `preprocess` out",
        )
    return found.astype(np.uint8).transpose(0, 2, 3, 1)


def entering(graph: Graph, feed: Mapping[str, Array], file: Mapping[str, str]) -> dict[str, Array]:
    """A feed as a file takes it; `file` tells the type of each of its inputs, in ONNX Runtime's words.

    Raises: Fault N432 for an image that no pixels make.
    """
    taken = {i.name: i for i in graph.inputs if i.recipe is not None and file.get(i.name) == "tensor(uint8)"}
    return {name: pixels(taken[name], array) if name in taken else array for name, array in feed.items()}
