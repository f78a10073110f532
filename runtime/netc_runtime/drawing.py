"""Answers as pictures: a mask in the colours of its classes, a mask or a point on the picture that the net saw."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from netc_runtime.decode import Decoded
from netc_runtime.manifest import Output

Pixels = npt.NDArray[np.uint8]

POINT = ("x", "y")  # the labels of an output that is a point, each from 0 to 1 of the picture's width and height
MOST_CLASSES = 256  # of a palette


def drawable(output: Output, *, decoded: bool = False) -> bool:
    """Say whether an output is a mask over a picture's two sides, or a point; `decoded`: the graph holds the argmax."""
    if output.decode == "none":
        return output.labels == POINT and len(output.shape) == 2
    flat = decoded and output.decode == "argmax"
    classes = len(output.labels or ()) if flat else output.shape[1]
    return len(output.shape) == (3 if flat else 4) and (
        output.decode == "sigmoid" or not isinstance(classes, int) or classes <= MOST_CLASSES
    )


def drawings(
    outputs: Mapping[str, Decoded], labels: Mapping[str, Sequence[str] | None], pixels: Pixels
) -> Iterator[tuple[str, Image.Image]]:
    """Give what can be drawn of a picture's answer, each with a name: an output's, or that and what it shows.

    A mask of argmax or softmax is a palette picture whose pixel is the class, "mask", and its colours half and half
    with the picture, "mask.overlay"; of sigmoid a gray picture for each class, its probability from 0 to 255,
    "mask.0-road". A point is drawn on the picture, "spot.point". `labels` are each output's of the manifest.

    Shape: `pixels` are (H, W, 3), the picture as the net saw it, resized and cropped
    """
    for name, output in outputs.items():
        values, safe = output.values, _safe(name)
        if output.decode == "argmax" and values.ndim == 2:
            yield from _mask(safe, values, pixels)
        elif output.decode == "softmax" and values.ndim == 3:
            yield from _mask(safe, values.argmax(axis=0), pixels)
        elif output.decode == "sigmoid" and values.ndim == 3:
            for index, probabilities in enumerate(values):
                shown = np.nan_to_num(probabilities * 255).round().astype(np.uint8)
                known = labels.get(name)
                label = "" if known is None else "-" + _safe(known[index])
                yield f"{safe}.{index}{label}", Image.fromarray(shown)
        elif output.decode == "none" and tuple(label.name for label in output.labels) == POINT:
            yield f"{safe}.point", _pointed(pixels, *(label.score for label in output.labels))


def class_colours() -> Pixels:
    """Give PASCAL VOC's colours of 256 classes: the bits of the class, three by three, from the highest of each colour.

    Shape: (256, 3)
    """
    classes = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((classes >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def _mask(name: str, classes: npt.NDArray[Any], pixels: Pixels) -> Iterator[tuple[str, Image.Image]]:
    mask = Image.fromarray(classes.astype(np.uint8))
    mask.putpalette(class_colours().tobytes())
    yield name, mask
    picture = Image.fromarray(pixels)
    # A net whose mask is smaller than its picture says one class for each block.
    coloured = mask.resize(picture.size, Image.Resampling.NEAREST).convert("RGB")
    yield f"{name}.overlay", Image.blend(picture, coloured, 0.5)


def _pointed(pixels: Pixels, x: float, y: float) -> Image.Image:
    picture = Image.fromarray(pixels)
    if 0 <= x <= 1 and 0 <= y <= 1:  # else, and of NaN, there is nothing to point at
        across, down = x * picture.width, y * picture.height
        radius = max(3, min(picture.size) // 40)
        draw = ImageDraw.Draw(picture)
        for reach, colour in ((radius + 1, (255, 255, 255)), (radius, (255, 0, 0))):
            draw.ellipse((across - reach, down - reach, across + reach, down + reach), fill=colour)
    return picture


def _safe(text: str) -> str:
    """Give a name as a part of a file's: a manifest is a stranger's text."""
    return "".join(each if each.isalnum() or each in "-_" else "_" for each in text)[:60]
