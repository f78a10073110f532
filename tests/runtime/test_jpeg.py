"""simplejpeg and Pillow: where the fast road is taken it gives Pillow's bits, and what is in doubt is Pillow's."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netc_runtime import image, jpeg
from netc_runtime.errors import ImageFault

simplejpeg: Any = pytest.importorskip("simplejpeg", reason="the extra [fast] is not installed")

Pixels = npt.NDArray[np.uint8]


def photo(height: int, width: int, channels: int, seed: int) -> Pixels:
    """Soft shapes with noise on them, and one hard edge."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    noisy = soft + random.normal(0, 10, soft.shape)
    noisy[height // 2 :, : width // 3] = (255, 0, 40)
    return noisy.clip(0, 255).astype(np.uint8)[..., :channels]


def pillow(data: bytes, mode: str) -> Pixels:
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened.convert(mode))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def encoded(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def decoded_fast(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which of the pictures that were decoded took the fast road."""
    told: list[bool] = []

    def tell(data: bytes, opened: Image.Image, order: str) -> Pixels | None:
        pixels = jpeg.fast_pixels(data, opened, order)
        told.append(pixels is not None)
        return pixels

    monkeypatch.setattr(image, "fast_pixels", tell)
    return told


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["444", "422", "420", "440", "411", "Gray"]),
    seed=st.integers(0, 2**16),
)
def test_every_subsampling_gives_pillow_s_bits(
    height: int, width: int, quality: int, subsampling: str, seed: int
) -> None:
    gray = subsampling == "Gray"
    pixels = np.ascontiguousarray(photo(height, width, 1 if gray else 3, seed))
    data = simplejpeg.encode_jpeg(pixels, quality, "GRAY" if gray else "RGB", subsampling)
    fast = jpeg.fast_pixels(data, opened(data), "RGB")
    assert fast is not None
    assert np.array_equal(fast, pillow(data, "RGB"))
    if gray:
        fast = jpeg.fast_pixels(data, opened(data), "GRAY")
        assert fast is not None
        assert np.array_equal(fast, pillow(data, "L")[..., None])


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
    optimize=st.booleans(),
    restart=st.integers(0, 3),
    keep_rgb=st.booleans(),
    mode=st.sampled_from(["RGB", "L"]),
)
def test_whatever_pillow_writes_is_read_as_pillow_reads_it(
    height: int,
    width: int,
    quality: int,
    subsampling: int,
    progressive: bool,
    optimize: bool,
    restart: int,
    keep_rgb: bool,
    mode: str,
) -> None:
    picture = Image.fromarray(photo(height, width, 3, height * width)).convert(mode)
    colors = {"keep_rgb": keep_rgb} if keep_rgb and mode == "RGB" else {"subsampling": subsampling}
    data = encoded(
        picture, quality=quality, progressive=progressive, optimize=optimize, restart_marker_blocks=restart, **colors
    )
    fast = jpeg.fast_pixels(data, opened(data), "RGB")
    assert fast is not None
    assert np.array_equal(fast, pillow(data, "RGB"))
    for color, reference in (
        ("rgb", pillow(data, "RGB")),
        ("bgr", pillow(data, "RGB")[..., ::-1]),
        ("gray", pillow(data, "L")[..., None]),
    ):
        found = image.decode(data, color)  # pyright: ignore[reportArgumentType]  # one of the three words
        assert found.flags.c_contiguous
        assert found.flags.writeable
        assert np.array_equal(found, reference)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_pillow_s(orientation: int, decoded_fast: list[bool]) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.fromarray(photo(20, 30, 3, 0))
    data = encoded(picture, exif=exif)
    assert image.decode(data).shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))
    assert decoded_fast == [orientation == 1]


def test_what_is_in_doubt_is_pillow_s(decoded_fast: list[bool]) -> None:
    picture = Image.fromarray(photo(40, 40, 3, 0))
    plain = encoded(picture)
    image.decode(plain)
    image.decode(encoded(picture.convert("CMYK")))
    buffer = io.BytesIO()
    picture.save(buffer, "MPO", save_all=True, append_images=[picture])
    image.decode(buffer.getvalue())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    image.decode(buffer.getvalue())
    assert decoded_fast == [True, False, False, False]


def test_a_damaged_jpeg_gives_what_pillow_gives(decoded_fast: list[bool]) -> None:
    data = encoded(Image.fromarray(photo(64, 64, 3, 0)), quality=90)
    random = np.random.RandomState(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(data)
        at = random.randint(600, len(data) - 2)
        damaged[at] ^= 1 << random.randint(8)
        try:
            found: Pixels | str = image.decode(bytes(damaged))
        except ImageFault as error:
            found = error.code
            refused += 1
        try:
            reference: Pixels | str = pillow(bytes(damaged), "RGB")
        except OSError:
            reference = "R304"
        assert np.array_equal(found, reference)
    assert 0 < sum(decoded_fast) < 100
    cut = data[: len(data) // 2]
    with pytest.raises(ImageFault, match="R304"):
        image.decode(cut)
    assert not decoded_fast[-1]


def test_a_library_that_gives_other_bits_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(photo(40, 40, 3, 0)))
    decode = simplejpeg.decode_jpeg
    jpeg.ready.cache_clear()

    def coarse(data: bytes, order: str) -> Pixels:
        return decode(data, order, fastupsample=True)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", coarse)
    try:
        assert jpeg.fast_pixels(data, opened(data), "RGB") is None
    finally:
        jpeg.ready.cache_clear()
    monkeypatch.undo()
    assert jpeg.fast_pixels(data, opened(data), "RGB") is not None


def test_a_pillow_on_another_jpeg_library_decodes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(feature: str) -> bool:
        return False

    data = encoded(Image.fromarray(photo(40, 40, 3, 0)))
    jpeg.ready.cache_clear()
    monkeypatch.setattr("PIL.features.check_feature", absent)
    try:
        assert jpeg.fast_pixels(data, opened(data), "RGB") is None
        assert np.array_equal(image.decode(data), pillow(data, "RGB"))
    finally:
        jpeg.ready.cache_clear()
