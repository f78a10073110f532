"""Pictures to tensors: decoding, geometry and normalisation, the same code in training and in serving."""

import os
import re
import stat
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from netc_runtime.errors import ImageFault
from netc_runtime.flatten import flattened, raw_mode
from netc_runtime.geometry import SMALLER, fitted
from netc_runtime.manifest import ImageRecipe

Source: TypeAlias = str | os.PathLike[str] | bytes | Image.Image
Color: TypeAlias = Literal["rgb", "bgr", "gray"]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

MAX_PIXELS = 2**26  # 8192 x 8192; below the size at which Pillow itself begins to warn
MAX_BYTES = 2**30  # of a file: twice as much as so many pixels take in the widest format

# Raster formats whose decoders live in Pillow's own wheels; MPO opens as JPEG. EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
)
# How files of a format begin, to tell one that was cut short from what is no image at all.
_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II\*\0|MM\0\*",
    "WEBP": rb"RIFF....WEBP",
    "AVIF": rb"....ftypavi[fs]",
}
_ORIENTATION = 0x0112  # EXIF's tag
_TILE = (322, 323)  # TIFF's tags of a tile's width and length


def named(source: Source) -> str:
    """Give the words by which messages speak of a source."""
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or f"{source.mode} picture in memory")
    return os.fspath(source)


def decode(source: Source, color: Color = "rgb", max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a file, its bytes or a Pillow image to 8-bit pixels, upright.

    The EXIF orientation is applied. Transparency, and a colour declared transparent, is laid on white. Of an animation
    (GIF, APNG, WebP) or a camera's MPO the first frame counts. Palette, 1-bit and gray pictures spread over three
    channels. CMYK and YCCK are Pillow's conversion, JPEG's read as inverted, the way Adobe writes them. No colour
    profile is applied. Of 16-bit pixels the high byte counts. "gray" is Pillow's "L": (299 R + 587 G + 114 B) / 1000.

    Shape: (H, W, 3), or (H, W, 1) for "gray".
    Raises: ImageFault, R301 cannot be opened, R302 empty, R303 not an image of a format in FORMATS, R304 truncated or
    corrupt, R305 more than `max_pixels` by its header (nothing is decoded then), R306 pixels with no 8-bit meaning,
    R309 a file of more than MAX_BYTES (nothing is read then).
    """
    return _array(_decoded(source, color, max_pixels), color)


def fit(pixels: Pixels, recipe: ImageRecipe, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Apply the recipe's geometry: `resize` with its `fit` and `filter`, then the central `crop`.

    Sides and offsets are torchvision's on Pillow images: the side that is not given is cut to an integer, the crop's
    corner is rounded half to even, and a picture smaller than the crop is first padded with zeros.

    Shape: (H, W, C) -> (H', W', C)
    Raises: ImageFault, R305 when a step would make more than `max_pixels`, R308 when pixels are not uint8 of one or
    three channels.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8:
        raise _unsuited(pixels, "uint8 pixels (H, W, 1 or 3)")
    flat = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _array(fitted(flat, recipe, max_pixels), "gray" if pixels.shape[2] == 1 else "rgb")


def read(source: Source, recipe: ImageRecipe, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a picture and fit it: what `fit(decode(...))` gives, without an array of the whole picture between them.

    Shape: (H, W, C), contiguous
    Raises: ImageFault as `decode` and `fit` do.
    """
    return _array(fitted(_decoded(source, recipe.color, max_pixels), recipe, max_pixels), recipe.color)


def normalise(batch: Pixels, recipe: ImageRecipe) -> Floats:
    """Compute `(pixel * scale - mean) / std` in float32, each operation rounded; a batch equals image by image.

    Shape: (N, H, W, C) or, for a gray recipe, (N, H, W) -> (N, C, H, W), contiguous
    Raises: ImageFault, R308 when the batch is not uint8 of the recipe's channels.
    """
    pixels = batch[..., np.newaxis] if batch.ndim == 3 else batch
    if pixels.ndim != 4 or pixels.shape[3] != recipe.channels or batch.dtype != np.uint8:
        raise _unsuited(batch, f"uint8 pixels (N, H, W, {recipe.channels}) for a {recipe.color} recipe")
    rows, height, width, channels = pixels.shape
    tensor = np.empty((rows, channels, height, width), np.float32)
    scale = np.float32(recipe.scale)
    mean = np.asarray(recipe.mean, np.float32).reshape(-1, 1, 1)
    std = np.asarray(recipe.std, np.float32).reshape(-1, 1, 1)
    for row in range(rows):
        # One image at a time stays in cache: twice as fast as whole-batch operations at 32 x 224 x 224 x 3.
        out = tensor[row]
        np.copyto(out, pixels[row].transpose(2, 0, 1))
        out *= scale
        out -= mean
        out /= std
    return tensor


def prepare(
    source: Source, recipe: ImageRecipe, sides: tuple[int | None, int | None], max_pixels: int = MAX_PIXELS
) -> Floats:
    """Make the tensor of one picture by its recipe; `sides` are the input's height and width where they are numbers.

    Shape: (C, H, W)
    Raises: ImageFault, R307 when the result is not of these sides, and what `decode` and `fit` raise.
    """
    return normalise(picture(source, recipe, sides, max_pixels)[np.newaxis], recipe)[0]


def picture(
    source: Source, recipe: ImageRecipe, sides: tuple[int | None, int | None], max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Decode one picture and fit it, as `prepare` does before it normalises: what a graph that does this itself takes.

    Shape: (H, W, C), contiguous
    Raises: ImageFault as `prepare` does.
    """
    flat = _decoded(source, recipe.color, max_pixels)
    pixels = _array(fitted(flat, recipe, max_pixels), recipe.color)
    got, expected = pixels.shape[:2], tuple(fixed or free for fixed, free in zip(sides, pixels.shape[:2], strict=True))
    if got != expected:
        height, width = expected
        size = str(height) if height == width else f"[{height}, {width}]"
        before = "" if flat.size == got[::-1] else f" (before its recipe {flat.height} x {flat.width})"
        raise ImageFault(
            "R307",
            f"{named(source)} is {got[0]} x {got[1]}{before}, the model's input is {height} x {width} (height x width)",
            f"write `resize = {size}, fit = stretch`, or `resize` with `crop = {size}`, in the spec, and export again",
        )
    return pixels


def _bytes(source: str | os.PathLike[str], name: str) -> bytes:
    path = Path(source)
    try:
        # A pipe or a device would block or never end.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if path.is_dir() else "not a regular file"
            raise ImageFault("R301", f"{name} is {what}, expected an image", f"name files of {', '.join(FORMATS)}")
        if status.st_size > MAX_BYTES:
            raise too_large(name, status.st_size)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageFault("R301", f"{name} cannot be opened: {reason}", "check the path and its permissions") from error


def too_large(name: str, size_bytes: int) -> ImageFault:
    """Make the fault of a file that is not read because of its size."""
    return ImageFault("R309", f"{name} has {size_bytes} bytes, at most {MAX_BYTES} are read", "is it an image at all?")


def _unknown(name: str, data: bytes) -> ImageFault:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return ImageFault("R303", f"{name} is SVG or XML, not pixels", "render it to PNG first")
    begins = next((format for format, signature in _SIGNATURES.items() if re.match(signature, data, re.DOTALL)), None)
    if begins is not None:
        return ImageFault(
            "R304", f"{name} is truncated or corrupt: {begins} without a whole header", "copy or download it again"
        )
    known = ", ".join(FORMATS)
    return ImageFault(
        "R303", f"{name} is not an image of a known format (it begins {data[:8]!r})", f"known are {known}"
    )


def _decoded(source: Source, color: Color, max_pixels: int) -> Image.Image:
    """Decode a source, upright and of 8 bits: as L for "gray", else as RGB."""
    name = named(source)
    if isinstance(source, Image.Image):
        return _flat(source, color, name, max_pixels)
    data = source if isinstance(source, bytes) else _bytes(source, name)
    if not data:
        raise ImageFault("R302", f"{name} is empty: 0 bytes", "copy or download it again")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limits lie above ours; its warning is caught here only where warnings are errors.
        raise ImageFault("R305", f"{name}: {error}", SMALLER) from error
    except Exception as error:
        # A decoder meets a stranger's bytes with whatever exception comes; none of them is a bug of the caller's.
        raise _unknown(name, data) from error
    with image:
        return _flat(image, color, name, max_pixels)


def _flat(image: Image.Image, color: Color, name: str, max_pixels: int) -> Image.Image:
    _check_pixels(image, name, max_pixels)
    size, raw = image.size, raw_mode(image)
    try:
        image.load()
        if image.size != size:
            raise ValueError(f"its header says {size[0]} x {size[1]}, its frame is {image.size[0]} x {image.size[1]}")
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        flat = flattened(ImageOps.exif_transpose(image) if turned else image, name, raw)
        mode = "L" if color == "gray" else "RGB"
        return flat if flat.mode == mode else flat.convert(mode)
    except ImageFault:
        raise
    except Exception as error:
        # As above: a decoder may raise anything.
        reason = str(error) or type(error).__name__
        raise ImageFault("R304", f"{name} is truncated or corrupt: {reason}", "copy or download it again") from error


def _check_pixels(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageFault(
            "R305", f"{name} has {width} x {height} = {width * height} pixels, at most {max_pixels} are read", SMALLER
        )
    tags: Any = getattr(image, "tag_v2", {})
    sides = [tags.get(tag, 0) for tag in _TILE]
    # A tile is decoded whole, however little of it the picture shows.
    if not all(isinstance(side, int) for side in sides) or sides[0] * sides[1] > max_pixels:
        what = " x ".join(str(side) for side in sides)
        raise ImageFault("R305", f"{name} is stored in tiles of {what}, at most {max_pixels} pixels are read", SMALLER)


def _array(flat: Image.Image, color: Color) -> Pixels:
    array = np.array(flat, np.uint8)
    if color == "gray":
        return array[..., np.newaxis]
    return array if color == "rgb" else np.ascontiguousarray(array[..., ::-1])


def _unsuited(pixels: npt.NDArray[Any], expected: str) -> ImageFault:
    return ImageFault(
        "R308", f"pixels are {pixels.dtype} {pixels.shape}, expected {expected}", "give what `decode` and `fit` return"
    )
