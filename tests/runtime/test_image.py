"""Pictures: every kind of file has one defined result, and the recipe's arithmetic is worked by hand."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netc_runtime import image
from netc_runtime.errors import ImageFault
from netc_runtime.manifest import ImageRecipe

Pixels = npt.NDArray[np.uint8]


def random_pixels(*shape: int, seed: int = 0) -> Pixels:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def fault(call: Callable[[], object]) -> ImageFault:
    with pytest.raises(ImageFault) as caught:
        call()
    return caught.value


# --- decoding


def test_a_path_its_bytes_and_the_opened_picture_give_the_same_pixels(tmp_path: Path) -> None:
    pixels = random_pixels(5, 7, 3)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    with Image.open(path) as opened:
        for source in (path, str(path), path.read_bytes(), opened):
            assert np.array_equal(image.decode(source), pixels)


def test_bgr_is_rgb_backwards_and_contiguous() -> None:
    pixels = random_pixels(4, 6, 3)
    decoded = image.decode(encoded(Image.fromarray(pixels)), "bgr")
    assert np.array_equal(decoded, pixels[..., ::-1])
    assert decoded.flags.c_contiguous


def test_gray_is_the_luma_of_itu_r_601() -> None:
    pixels = random_pixels(16, 16, 3)
    gray = image.decode(encoded(Image.fromarray(pixels)), "gray")
    assert gray.shape == (16, 16, 1)
    # Pillow works in 16-bit fixed point: within one level of the exact sum.
    exact = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - exact).max() <= 1


def test_a_gray_picture_spreads_over_three_channels_and_back_unchanged() -> None:
    pixels = random_pixels(4, 6)
    data = encoded(Image.fromarray(pixels))
    assert np.array_equal(image.decode(data, "rgb"), np.repeat(pixels[..., None], 3, axis=2))
    assert np.array_equal(image.decode(data, "gray"), pixels[..., None])


# The eight orientations of TIFF 6.0: which array operation sets a stored picture upright.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    pixels = random_pixels(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    assert np.array_equal(image.decode(data), UPRIGHT[orientation](pixels))


def test_transparency_is_laid_on_white() -> None:
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    # 51 / 255 is a fifth: 0.2 * 200 + 0.8 * 255 = 244, 0.2 * 100 + 204 = 224, 0.2 * 0 + 204 = 204
    expected = [[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]
    assert image.decode(encoded(Image.fromarray(pixels))).tolist() == expected


def test_gray_with_alpha_is_laid_on_white_too() -> None:
    pixels = np.array([[[100, 255], [100, 0], [0, 51]]], np.uint8)
    data = encoded(Image.merge("LA", [Image.fromarray(pixels[..., band].copy()) for band in (0, 1)]))
    assert image.decode(data, "gray")[..., 0].tolist() == [[100, 255, 204]]


def palette_picture() -> Image.Image:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([2, 0, 1])
    return picture


def test_a_palette_is_looked_up() -> None:
    assert image.decode(encoded(palette_picture())).tolist() == [[[70, 80, 90], [10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize("transparency", [0, bytes([0, 255, 255])])
def test_a_transparent_palette_entry_is_white(transparency: int | bytes) -> None:
    data = encoded(palette_picture(), transparency=transparency)
    assert image.decode(data).tolist() == [[[70, 80, 90], [255, 255, 255], [40, 50, 60]]]


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    data = encoded(Image.fromarray(pixels), transparency=(1, 2, 3))
    assert image.decode(data).tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_one_bit_is_black_and_white() -> None:
    picture = Image.new("1", (2, 1))
    picture.putpixel((1, 0), 1)
    data = encoded(picture)
    assert image.decode(data, "gray")[..., 0].tolist() == [[0, 255]]
    assert image.decode(data).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_cmyk_is_pillow_s_conversion_without_a_profile() -> None:
    picture = Image.new("CMYK", (8, 8), (0, 255, 0, 0))
    # Without a profile magenta is no green at all: (255, 0, 255), up to JPEG's loss.
    for data, loss in ((encoded(picture, "TIFF"), 0), (encoded(picture, "JPEG", quality=95), 4)):
        assert np.abs(image.decode(data).astype(int) - [255, 0, 255]).max() <= loss


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_of_sixteen_bits_the_high_byte_counts(format: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    data = encoded(Image.fromarray(values), format)
    assert image.decode(data, "gray")[..., 0].tolist() == [[0, 0, 1, 128, 255]]
    assert image.decode(data)[..., 2].tolist() == [[0, 0, 1, 128, 255]]


def test_a_32_bit_picture_is_taken_only_within_sixteen_bits() -> None:
    within = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert image.decode(encoded(within, "TIFF"), "gray")[..., 0].tolist() == [[0, 255]]
    beyond = fault(lambda: image.decode(encoded(Image.fromarray(np.array([[-1, 65536]], np.int32)), "TIFF")))
    assert beyond.code == "R306"
    assert "values -1 to 65536, expected 0 to 65535" in beyond.message


def test_floating_point_and_lab_pixels_are_refused() -> None:
    float_tiff = encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    for source in (float_tiff, Image.new("LAB", (2, 2))):
        assert fault(lambda source=source: image.decode(source)).code == "R306"


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert image.decode(data)[0, 0].tolist() == [255, 0, 0]


def test_of_a_camera_s_multi_picture_file_the_first_counts() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 255, 255), (0, 0, 0))]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert image.decode(data).min() == 255


def test_premultiplied_and_other_modes_of_pillow_are_taken() -> None:
    assert image.decode(Image.new("RGBa", (1, 1), (0, 0, 0, 0))).tolist() == [[[255, 255, 255]]]
    assert image.decode(Image.new("La", (1, 1), (0, 0)), "gray").tolist() == [[[255]]]
    assert image.decode(Image.new("YCbCr", (1, 1), (255, 128, 128))).tolist() == [[[255, 255, 255]]]
    assert image.decode(Image.new("HSV", (1, 1), (0, 0, 255))).tolist() == [[[255, 255, 255]]]


# --- what is no picture


def test_a_bomb_is_refused_by_its_header_before_it_is_decoded() -> None:
    data = encoded(Image.new("1", (3000, 2000)))
    # All pixel data cut off: only the header can have been read.
    error = fault(lambda: image.decode(data[:60], max_pixels=5_999_999))
    assert error.code == "R305"
    assert "3000 x 2000 = 6000000 pixels, at most 5999999" in error.message
    assert image.decode(data, "gray", max_pixels=6_000_000).shape == (2000, 3000, 1)


@pytest.mark.parametrize("warn", ["ignore", "error"])
@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_bomb_beyond_pillow_s_own_limits_is_the_same_fault(side: int, warn: Any) -> None:
    header = encoded(Image.new("1", (16, 16)))
    # A PNG's width and height stand at bytes 16 to 24; Pillow checks the header's sum only where asked to.
    chunk = b"IHDR" + struct.pack(">II", side, side) + header[24:29]
    data = header[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + header[33:]
    with warnings.catch_warnings():
        warnings.simplefilter(warn, Image.DecompressionBombWarning)
        assert fault(lambda: image.decode(data)).code == "R305"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_picture_is_refused(format: str) -> None:
    data = encoded(Image.fromarray(random_pixels(64, 64, 3)), format)
    assert fault(lambda: image.decode(data[: len(data) // 2])).code == "R304"


def test_a_frame_of_another_size_than_its_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.new("RGB", (4, 4))

    def grow() -> None:
        monkeypatch.setattr(Image.Image, "size", (8, 8))

    monkeypatch.setattr(picture, "load", grow)
    error = fault(lambda: image.decode(picture))
    assert error.code == "R304"
    assert "its header says 4 x 4, its frame is 8 x 8" in error.message


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(encoded(Image.fromarray(random_pixels(64, 64, 3)))[:2000])
    error = fault(lambda: image.decode(path))
    assert (error.code, error.exit_code) == ("R304", 1)
    assert str(path) in error.message


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "R302", "0 bytes"),
        (b"hello, world", "R303", "begins b'hello, w'"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "R303", "SVG or XML"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><svg/>", "R303", "SVG or XML"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "R303", "known format"),
        (b"\x89PNG\r\n\x1a\n", "R304", "PNG without a whole header"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, code: str, words: str) -> None:
    error = fault(lambda: image.decode(data))
    assert error.code == code
    assert words in error.message


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\x00"]),
)
def test_arbitrary_bytes_are_never_anything_but_an_image_fault(tail: bytes, magic: bytes) -> None:
    with contextlib.suppress(ImageFault):
        image.decode(magic + tail)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent.png"
    for source, words in ((absent, "No such file"), (tmp_path, "is a folder"), ("a\0b", "null")):
        error = fault(lambda source=source: image.decode(source))
        assert error.code == "R301"
        assert words in error.message
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a regular file" in fault(lambda: image.decode(pipe)).message


# --- geometry


@pytest.mark.parametrize(
    ("height", "width", "resize", "expected"),
    [
        (480, 640, 256, (256, 341)),  # 256 * 640 / 480 = 341.33
        (640, 480, 256, (341, 256)),
        (500, 375, 224, (298, 224)),  # 224 * 500 / 375 = 298.67, cut
        (100, 100, 7, (7, 7)),
        (100, 50, (30, 20), (40, 20)),  # to cover 30 x 20 the width decides: 0.4 > 0.3
        (100, 50, (50, 20), (50, 25)),  # here the height: 0.5 > 0.4
    ],
)
def test_resize_covers_and_cuts_the_other_side(height: int, width: int, resize: Any, expected: tuple[int, int]) -> None:
    fitted = image.fit(np.zeros((height, width, 3), np.uint8), ImageRecipe(resize=resize))
    assert fitted.shape == (*expected, 3)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pillow_s_own_filter(name: Any, channels: int) -> None:
    pixels = random_pixels(40, 60, channels)
    fitted = image.fit(pixels, ImageRecipe(resize=16, filter=name))
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    expected = np.asarray(picture.resize((24, 16), getattr(Image.Resampling, name.upper())))
    assert np.array_equal(fitted, expected.reshape(16, 24, channels))


def test_stretch_makes_exactly_the_size() -> None:
    pixels = random_pixels(40, 60, 3)
    assert image.fit(pixels, ImageRecipe(resize=16, fit="stretch")).shape == (16, 16, 3)
    fitted = image.fit(pixels, ImageRecipe(resize=(16, 8), fit="stretch"))
    assert np.array_equal(fitted, np.asarray(Image.fromarray(pixels).resize((8, 16), Image.Resampling.BILINEAR)))


def test_pad_lies_within_the_size_on_central_zeros() -> None:
    white = np.full((20, 40, 3), 255, np.uint8)
    fitted = image.fit(white, ImageRecipe(resize=16, fit="pad"))
    # The longer side becomes 16, the shorter 16 * 20 / 40 = 8: four black rows above and four below.
    assert fitted.shape == (16, 16, 3)
    assert np.flatnonzero(fitted[:, 0, 0]).tolist() == list(range(4, 12))
    # 16 * 20 / 41 = 7.8 is cut to 7; of the nine rows left, four go above.
    odd = image.fit(np.full((20, 41, 3), 255, np.uint8), ImageRecipe(resize=16, fit="pad"))
    assert np.flatnonzero(odd[:, 0, 0]).tolist() == list(range(4, 11))


def test_pad_into_a_pair_and_of_a_thread_keeps_one_pixel() -> None:
    tall = image.fit(np.full((400, 2, 1), 255, np.uint8), ImageRecipe(resize=(20, 30), fit="pad"))
    assert tall.shape == (20, 30, 1)
    assert np.flatnonzero(tall[0, :, 0]).tolist() == [14]


@pytest.mark.parametrize(
    ("side", "crop", "first"),
    [
        (6, 4, 1),
        (7, 4, 2),  # (7 - 4) / 2 = 1.5, half to even: 2
        (9, 4, 2),  # (9 - 4) / 2 = 2.5, half to even: 2
        (5, 5, 0),
    ],
)
def test_the_crop_is_central_with_half_rounded_to_even(side: int, crop: int, first: int) -> None:
    ramp = np.arange(side, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp[:, None], (1, side)), np.tile(ramp, (side, 1)), np.zeros((side, side), np.uint8)], axis=2
    )
    fitted = image.fit(pixels, ImageRecipe(crop=crop))
    assert fitted[:, 0, 0].tolist() == list(range(first, first + crop))
    assert fitted[0, :, 1].tolist() == list(range(first, first + crop))


def test_a_picture_smaller_than_the_crop_is_padded_with_zeros() -> None:
    fitted = image.fit(np.full((2, 5, 3), 9, np.uint8), ImageRecipe(crop=(5, 2)))
    # Rows: 5 - 2 = 3 missing, one above and two below. Columns: (5 - 2) / 2 = 1.5, half to even: from 2.
    assert fitted[..., 0].tolist() == [[0, 0], [9, 9], [9, 9], [0, 0], [0, 0]]


@pytest.mark.parametrize("recipe", [ImageRecipe(crop=65536), ImageRecipe(resize=65536, fit="pad")])
def test_a_recipe_that_would_pad_to_a_bomb_is_refused(recipe: ImageRecipe) -> None:
    error = fault(lambda: image.fit(np.zeros((1, 2**16, 1), np.uint8), recipe))
    assert error.code == "R305"
    assert "becomes 65536 x 65536" in error.message


def test_a_thread_that_would_become_a_bomb_is_refused() -> None:
    error = fault(lambda: image.fit(np.zeros((1, 10_000, 1), np.uint8), ImageRecipe(resize=256)))
    assert error.code == "R305"
    assert "1 x 10000 becomes 256 x 2560000" in error.message


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["stretch", "pad"])
)
def test_stretch_and_pad_always_give_the_size(height: int, width: int, h: int, w: int, fit: Any) -> None:
    fitted = image.fit(np.zeros((height, width, 3), np.uint8), ImageRecipe(resize=(h, w), fit=fit))
    assert fitted.shape == (h, w, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_covering_then_cropping_never_pads(height: int, width: int, h: int, w: int) -> None:
    fitted = image.fit(np.full((height, width, 3), 255, np.uint8), ImageRecipe(resize=(h, w), crop=(h, w)))
    assert fitted.shape == (h, w, 3)
    assert fitted.min() == 255


@pytest.mark.xdist_group("torchvision")  # importing it takes seconds: one worker does
@pytest.mark.parametrize("height", [31, 64, 97])
@pytest.mark.parametrize("width", [32, 75, 120])
@pytest.mark.parametrize(
    ("resize", "crop", "filter"), [(40, 33, "bilinear"), (28, 40, "bicubic"), (None, 50, "bilinear")]
)
def test_geometry_is_torchvision_s_on_pillow_pictures(
    height: int, width: int, resize: int | None, crop: int, filter: Any, oracle: ModuleType
) -> None:
    pixels = random_pixels(height, width, 3, seed=height * width)
    picture: Any = Image.fromarray(pixels)
    transforms = oracle.transforms
    if resize is not None:
        mode = getattr(transforms.InterpolationMode, filter.upper())
        picture = transforms.Resize(resize, interpolation=mode)(picture)
    expected = np.asarray(transforms.CenterCrop(crop)(picture))
    assert np.array_equal(image.fit(pixels, ImageRecipe(resize=resize, crop=crop, filter=filter)), expected)


# --- normalisation


def test_the_tensor_is_pixel_times_scale_minus_mean_over_std() -> None:
    recipe = ImageRecipe(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    batch = random_pixels(2, 4, 5, 3)
    exact = (batch / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    tensor = image.normalise(batch, recipe)
    assert (tensor.dtype, tensor.shape, tensor.flags.c_contiguous) == (np.float32, (2, 3, 4, 5), True)
    # Four roundings to float32 of values below 3, the last one magnified by 1 / 0.224.
    assert np.abs(tensor - exact.transpose(0, 3, 1, 2)).max() < 2e-6


def test_the_defaults_leave_pixels_as_they_are() -> None:
    batch = random_pixels(1, 3, 3, 3)
    assert np.array_equal(image.normalise(batch, ImageRecipe()), batch.transpose(0, 3, 1, 2))


def test_one_value_serves_every_channel() -> None:
    batch = random_pixels(1, 3, 3, 3)
    one = image.normalise(batch, ImageRecipe(mean=(7.0,), std=(2.0,)))
    assert np.array_equal(one, image.normalise(batch, ImageRecipe(mean=(7.0,) * 3, std=(2.0,) * 3)))
    assert np.array_equal(one, (batch.transpose(0, 3, 1, 2).astype(np.float32) - 7) / 2)


def test_a_batch_equals_image_by_image_bit_for_bit() -> None:
    recipe = ImageRecipe(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    batch = random_pixels(7, 13, 11, 3)
    whole = image.normalise(batch, recipe)
    for index in range(7):
        assert image.normalise(batch[index : index + 1], recipe).tobytes() == whole[index].tobytes()


def test_a_gray_batch_may_leave_the_channel_out() -> None:
    batch = random_pixels(2, 4, 5)
    recipe = ImageRecipe(color="gray", scale=0.5)
    assert np.array_equal(image.normalise(batch, recipe), image.normalise(batch[..., None], recipe))
    assert image.normalise(batch, recipe).shape == (2, 1, 4, 5)


def test_an_empty_batch_stays_empty() -> None:
    assert image.normalise(np.zeros((0, 4, 5, 3), np.uint8), ImageRecipe()).shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((2, 4, 4, 3), np.float32),
        np.zeros((2, 4, 4, 1), np.uint8),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((4, 4), np.uint8),
    ],
)
def test_pixels_that_do_not_suit_the_recipe_are_refused(batch: Any) -> None:
    error = fault(lambda: image.normalise(batch, ImageRecipe()))
    assert error.code == "R308"
    assert f"{batch.dtype} {batch.shape}, expected uint8 pixels (N, H, W, 3)" in error.message
    assert fault(lambda: image.fit(np.zeros((4, 4), np.uint8), ImageRecipe())).code == "R308"


# --- the whole


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(["rgb", "bgr", "gray"]),
    st.none() | st.integers(1, 40) | st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.none() | st.integers(1, 40) | st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["crop", "pad", "stretch"]),
)
def test_read_is_decode_and_fit(height: int, width: int, color: Any, resize: Any, crop: Any, fit: Any) -> None:
    recipe = ImageRecipe(color=color, resize=resize, crop=crop, fit=fit)
    data = encoded(Image.fromarray(random_pixels(height, width, 3)))
    pixels = image.read(data, recipe)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, image.fit(image.decode(data, color), recipe))


def test_a_limit_above_pillow_s_own_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    error = fault(lambda: image.fit(np.zeros((4, 4, 3), np.uint8), ImageRecipe(crop=200)))
    assert error.code == "R305"


def test_prepare_decodes_fits_and_normalises() -> None:
    pixels = random_pixels(6, 8, 3)
    recipe = ImageRecipe(crop=4, color="bgr", scale=2.0, mean=(1.0, 2.0, 3.0))
    tensor = image.prepare(encoded(Image.fromarray(pixels)), recipe, (4, 4))
    bgr = pixels[1:5, 2:6, ::-1].astype(np.float32)  # (6 - 4) / 2 = 1, (8 - 4) / 2 = 2
    assert np.array_equal(tensor, (bgr * 2 - [1, 2, 3]).transpose(2, 0, 1))


@pytest.mark.parametrize("sides", [(4, 4), (4, None), (None, 4)])
def test_a_mismatch_names_both_sizes_and_a_recipe_that_fits(
    sides: tuple[int | None, int | None], tmp_path: Path
) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(random_pixels(6, 8, 3)).save(path)
    error = fault(lambda: image.prepare(path, ImageRecipe(), sides))
    assert error.code == "R307"
    assert f"{path} is 6 x 8, the model's input is {sides[0] or 6} x {sides[1] or 8}" in error.message
    assert "resize = " in error.help
    assert "crop = " in error.help
    assert image.prepare(path, ImageRecipe(), (None, None)).shape == (3, 6, 8)
