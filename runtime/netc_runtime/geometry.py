"""A picture's sides: resized with Pillow's filters, padded and cropped, to torchvision's very offsets."""

from PIL import Image

from netc_runtime.errors import ImageFault
from netc_runtime.manifest import ImageRecipe, Size

SMALLER = "scale the picture down, or allow more with max_pixels"
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fitted(flat: Image.Image, recipe: ImageRecipe, max_pixels: int) -> Image.Image:
    """Resize a picture and crop it, as a recipe says.

    Raises: ImageFault R305 when a step would make more than `max_pixels`.
    """
    if recipe.resize is not None:
        flat = _resize(flat, recipe.resize, recipe, max_pixels)
    return flat if recipe.crop is None else _centre(flat, *_pair(recipe.crop), max_pixels)


def _resize(flat: Image.Image, resize: Size, recipe: ImageRecipe, max_pixels: int) -> Image.Image:
    width, height = flat.size
    box_height, box_width = _pair(resize)
    if recipe.fit == "stretch":
        new_height, new_width = box_height, box_width
    # box_height / height >= box_width / width, cross-multiplied: covering takes the larger scale, "pad" the smaller.
    elif (box_height * width >= box_width * height) == (recipe.fit == "crop"):
        new_height, new_width = box_height, max(1, box_height * width // height)
    else:
        new_height, new_width = max(1, box_width * height // width), box_width
    _check_made(flat, new_height, new_width, max_pixels)
    if (new_width, new_height) != flat.size:
        flat = flat.resize((new_width, new_height), _FILTERS[recipe.filter])
    return _centre(flat, box_height, box_width, max_pixels) if recipe.fit == "pad" else flat


def _centre(flat: Image.Image, height: int, width: int, max_pixels: int) -> Image.Image:
    _check_made(flat, max(height, flat.height), max(width, flat.width), max_pixels)
    top, left = _corner(flat.height, height), _corner(flat.width, width)
    try:
        return flat.crop((left, top, left + width, top + height))  # beyond the picture: zeros
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:  # where max_pixels is above Pillow's
        raise ImageFault("R305", f"a picture of {flat.height} x {flat.width}: {error}", SMALLER) from error


def _corner(side: int, wanted: int) -> int:
    """Where a central part begins; a shorter side is first padded, the smaller half before it."""
    # Python rounds half to even, as torchvision does.
    return -((wanted - side) // 2) if side < wanted else round((side - wanted) / 2)


def _check_made(flat: Image.Image, height: int, width: int, max_pixels: int) -> None:
    if height * width > max(max_pixels, flat.width * flat.height):
        raise ImageFault(
            "R305",
            f"a picture of {flat.height} x {flat.width} becomes {height} x {width} by its recipe, "
            f"at most {max_pixels} pixels are made",
            "crop the picture to a usual shape, or allow more with max_pixels",
        )


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
