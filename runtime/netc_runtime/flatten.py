"""A Pillow picture of any mode to 8-bit gray or RGB: one defined result for every kind of pixel."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from netc_runtime.errors import ImageFault

_WHITE = (255, 255, 255, 255)
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF's tag, and the value that turns gray round


def raw_mode(image: Image.Image) -> str:
    """Say in Pillow's words how a file holds its pixels: "RGB;16B"; ";I" at the end is inverted gray.

    It is known only of an opened file, before its pixels are loaded; "" is unknown.
    """
    tiles: Any = getattr(image, "tile", None)
    arguments: Any = tiles[0].args if tiles else ""
    raw = arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""
    tags: Any = getattr(image, "tag_v2", {})
    # Pillow inverts such gray up to 8 bits itself, and forgets it of 16.
    inverted = image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return raw + ";I" * inverted


def flattened(image: Image.Image, name: str, raw: str) -> Image.Image:
    """Give a loaded picture as L or RGB, whatever its mode; `raw` is its `raw_mode`.

    Raises: ImageFault R306 for pixels with no 8-bit meaning, and whatever Pillow raises on damaged palettes.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _high_byte(image, name, inverted=raw.endswith(";I"))
    if image.mode in ("F", "LAB"):
        what = "floating-point values" if image.mode == "F" else "CIE Lab values"
        raise ImageFault(
            "R306", f"{name} holds {what}, expected 8-bit or 16-bit pixels", "convert it to 8-bit RGB first"
        )
    if image.has_transparency_data:
        # Pillow converts a premultiplied mode only to its plain one.
        plain = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
        above = (image.convert(plain) if plain else _with_scaled_key(image, raw)).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, _WHITE), above).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _with_scaled_key(image: Image.Image, raw: str) -> Image.Image:
    """Give the picture with its transparent colour as its pixels are: Pillow scales these to 8 bits, and not that."""
    key = image.info.get("transparency")
    if raw in ("L;2", "L;4") and isinstance(key, int):
        key *= 255 // (3 if raw == "L;2" else 15)
    elif raw == "RGB;16B" and isinstance(key, tuple):
        key = tuple(value >> 8 for value in cast("tuple[int, ...]", key))
    else:
        return image
    scaled = image.copy()
    scaled.info["transparency"] = key
    return scaled


def _high_byte(image: Image.Image, name: str, *, inverted: bool) -> Image.Image:
    values: npt.NDArray[Any] = np.asarray(image)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise ImageFault(
            "R306", f"{name} holds values {low} to {high}, expected 0 to 65535", "convert it to 8 bits first"
        )
    pixels = (values.astype(np.uint16) >> 8).astype(np.uint8)
    if inverted:
        pixels = 255 - pixels
    key = image.info.get("transparency")
    if isinstance(key, int):
        pixels[values == key] = 255
    return Image.fromarray(pixels)
