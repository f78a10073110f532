"""The fast road for JPEG: simplejpeg, where it is installed and gives the very pixels that Pillow gives."""

import functools
import importlib
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

_ORIENTATION = 0x0112
_SUBSAMPLINGS = ("444", "422", "420", "440", "411")


def fast_pixels(data: bytes, image: Image.Image, order: str) -> npt.NDArray[np.uint8] | None:
    """Decode the JPEG that Pillow has opened and not yet loaded; None where Pillow has to do it.

    That is: gray or RGB, upright as it is stored, and without any warning of the decoder's. What is damaged, turned,
    CMYK or not JPEG is Pillow's, and so is the fault that comes of it.

    `order` is RGB or BGR, or of a gray picture GRAY.

    Shape: (H, W, 3), or (H, W, 1)
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or (library := ready()) is None:
        return None
    try:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            return None
        pixels: npt.NDArray[np.uint8] = library.decode_jpeg(data, order)
    except Exception:
        # Whatever it did not like, Pillow says it in its words, or decodes it after all.
        return None
    return pixels if pixels.shape[:2] == (image.height, image.width) else None


@functools.cache
def ready() -> ModuleType | None:
    """Give simplejpeg where it is there and agrees with this Pillow, whose own library may be another or older one."""
    if not features.check_feature("libjpeg_turbo"):
        return None
    try:
        library: Any = importlib.import_module("simplejpeg")
    except ImportError:
        return None
    return library if all(_agree(library, subsampling) for subsampling in _SUBSAMPLINGS) else None


def _agree(library: Any, subsampling: str) -> bool:
    from io import BytesIO

    # Odd sides and steep colours: what upsampling and rounding do differently shows here if anywhere.
    pattern = (np.arange(35 * 51 * 3, dtype=np.uint32) ** 2 // 97 % 256).astype(np.uint8).reshape(35, 51, 3)
    data = library.encode_jpeg(pattern, quality=90, colorsubsampling=subsampling)
    return np.array_equal(library.decode_jpeg(data, "RGB"), np.asarray(Image.open(BytesIO(data))))
