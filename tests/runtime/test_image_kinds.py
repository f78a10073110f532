"""Rare kinds of picture, each written byte by byte or by an option that a reader can check against its standard."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image, ImageCms

from netc_runtime import image
from netc_runtime.errors import ImageFault

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, depth: int, color: int, row: bytes, *chunks: bytes) -> bytes:
    """A PNG of one row of pixels, whose bytes are given."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + chunk(b"IEND", b"")


def words(*values: int) -> bytes:
    """PNG's 16-bit values, the high byte first."""
    return struct.pack(f">{len(values)}H", *values)


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def fault(call: Callable[[], object]) -> ImageFault:
    with pytest.raises(ImageFault) as caught:
        call()
    return caught.value


# --- sixteen bits


@pytest.mark.parametrize(
    ("color", "row", "expected"),
    [
        (GRAY, words(0x1234, 0xFF80), [[0x12] * 3, [0xFF] * 3]),
        (RGB, words(0x1234, 0xFF80, 0x00FF, 1, 2, 3), [[0x12, 0xFF, 0], [0, 0, 0]]),
        (RGBA, words(0x1234, 0xFF80, 0x00FF, 0xFFFF, 1, 2, 3, 0), [[0x12, 0xFF, 0], [255] * 3]),
        (GRAY_ALPHA, words(0x1234, 0xFFFF, 0x1234, 0), [[0x12] * 3, [255] * 3]),
    ],
)
def test_of_every_sixteen_bit_png_the_high_byte_counts(color: int, row: bytes, expected: object) -> None:
    assert image.decode(png(2, 16, color, row))[0].tolist() == expected


def test_a_sixteen_bit_tiff_whose_zero_is_white_is_turned_round() -> None:
    values = np.array([[0, 0x1234, 0xFFFF]], np.uint16)
    for zero_is_white, expected in ((1, [0, 0x12, 255]), (0, [255, 255 - 0x12, 0])):
        data = bytearray(encoded(Image.fromarray(values), "TIFF"))
        tag = data.index(struct.pack("<HHI", 262, 3, 1)) + 8  # PhotometricInterpretation, one SHORT
        data[tag : tag + 2] = struct.pack("<H", zero_is_white)
        assert image.decode(bytes(data), "gray")[0, :, 0].tolist() == expected


# --- a colour that is declared transparent


@pytest.mark.parametrize(
    ("depth", "color", "row", "key", "expected"),
    [
        # Of one bit, two bits and four, gray is spread over 0 to 255: 85 and 17 apart.
        (1, GRAY, bytes([0b01000000]), words(0), [[255] * 3, [255] * 3]),
        (2, GRAY, bytes([0b01100000]), words(1), [[255] * 3, [170] * 3]),
        (4, GRAY, bytes([0x5A]), words(5), [[255] * 3, [170] * 3]),
        (8, GRAY, bytes([5, 7]), words(5), [[255] * 3, [7] * 3]),
        (16, GRAY, words(0x0102, 0x0103), words(0x0102), [[255] * 3, [1] * 3]),
        (8, RGB, bytes([1, 2, 3, 4, 5, 6]), words(1, 2, 3), [[255] * 3, [4, 5, 6]]),
        (16, RGB, words(0x1234, 0x5678, 0x9ABC, 4, 5, 6), words(0x1234, 0x5678, 0x9ABC), [[255] * 3, [0] * 3]),
    ],
)
def test_a_transparent_colour_is_white_at_every_depth(
    depth: int, color: int, row: bytes, key: bytes, expected: object
) -> None:
    assert image.decode(png(2, depth, color, row, chunk(b"tRNS", key)))[0].tolist() == expected


def test_a_palette_may_be_shorter_than_its_pixels_say() -> None:
    data = png(2, 8, PALETTE, bytes([0, 200]), chunk(b"PLTE", bytes([9, 8, 7])))
    assert image.decode(data)[0].tolist() == [[9, 8, 7], [0, 0, 0]]


def test_a_palette_with_more_transparency_than_there_are_colours_is_a_fault() -> None:
    alpha = chunk(b"tRNS", bytes(300))
    data = png(2, 8, PALETTE, bytes([0, 200]), chunk(b"PLTE", bytes([9, 8, 7])), alpha)
    assert fault(lambda: image.decode(data)).code == "R304"


# --- CMYK

ADOBE = b"\xff\xee\x00\x0eAdobe"  # the marker that says which transform the colours went through, in its last byte


def cmyk_jpeg(*ink: int) -> bytes:
    """A JPEG of one flat colour; Pillow writes it as Adobe does, 255 for no ink."""
    data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
    assert ADOBE in data
    return data


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        # Each colour is (255 - ink) * (255 - black) / 255: 205 * 155 / 255 = 124.6 and 155 * 155 / 255 = 94.2.
        ((50, 0, 100, 100), (124.6, 155, 94.2)),
    ],
)
def test_a_cmyk_jpeg_is_read_as_adobe_s_with_its_marker_and_without(ink: Sequence[int], expected: object) -> None:
    marked = cmyk_jpeg(*ink)
    at = marked.index(ADOBE)
    for data in (marked, marked[:at] + marked[at + 16 :]):
        pixels = image.decode(data).astype(float)
        assert np.abs(pixels - np.array(expected)).max() <= 1.5


def test_a_ycck_jpeg_is_cmyk_in_luma_and_chroma() -> None:
    # 2 as the marker's last byte: the first three components are Y, Cb and Cr. The stored ones are 255 - ink.
    y, cb, cr, k = 150, 100, 180, 200
    data = bytearray(cmyk_jpeg(255 - y, 255 - cb, 255 - cr, 255 - k))
    at = data.index(ADOBE) + 15
    assert data[at] == 0
    data[at] = 2
    # JFIF's R, G and B are, in YCCK, the complements of C, M and Y, which Adobe stores inverted once more.
    r = y + 1.402 * (cr - 128)
    g = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    b = y + 1.772 * (cb - 128)
    inks = (r, g, b)  # C, M, Y = 255 - (255 - R), ...
    expected = [(255 - ink) * k / 255 for ink in inks]
    assert np.abs(image.decode(bytes(data)).astype(float) - expected).max() <= 2


# --- turned, profiled, animated, progressive


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_jpeg_is_upright(orientation: int) -> None:
    # TIFF 6.0, tag 274: where row 0 and column 0 of the stored picture belong. One quarter is dark.
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    stored = np.full((16, 32, 3), 255, np.uint8)
    stored[:8, :16] = 0
    exif = Image.Exif()
    exif[274] = orientation
    upright = image.decode(encoded(Image.fromarray(stored), "JPEG", exif=exif, quality=95))
    assert upright.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    height, width = upright.shape[0] // 2, upright.shape[1] // 2
    quarters = upright.reshape(2, height, 2, width, 3).mean(axis=(1, 3, 4))
    assert np.argwhere(quarters < 20).tolist() == [list(corner)]


def test_a_colour_profile_changes_nothing() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    create = cast("Any", ImageCms).createProfile
    profile = ImageCms.ImageCmsProfile(create("XYZ")).tobytes()  # far from sRGB
    for format, options in (("PNG", {}), ("TIFF", {}), ("JPEG", {"quality": 90}), ("WEBP", {"lossless": True})):
        plain = encoded(Image.fromarray(pixels), format, **options)
        profiled = encoded(Image.fromarray(pixels), format, icc_profile=profile, **options)
        assert len(profiled) > len(plain)
        assert np.array_equal(image.decode(profiled), image.decode(plain))


@pytest.mark.parametrize(("format", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_of_every_animation_the_first_frame_counts(format: str, options: dict[str, Any]) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert getattr(opened, "n_frames", 1) == 3
        opened.seek(2)
    assert np.unique(image.decode(data).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_a_progressive_jpeg_is_the_baseline_one() -> None:
    # Both hold the same coefficients, in another order.
    pixels = np.random.RandomState(1).randint(0, 256, (33, 47, 3)).astype(np.uint8)
    baseline, progressive = (
        encoded(Image.fromarray(pixels), "JPEG", quality=90, progressive=each) for each in (False, True)
    )
    assert b"\xff\xc2" in progressive
    assert b"\xff\xc2" not in baseline
    assert np.array_equal(image.decode(progressive), image.decode(baseline))


# --- faults


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.95])
def test_a_file_cut_anywhere_is_a_fault(format: str, share: float, tmp_path: Path) -> None:
    pixels = np.random.RandomState(2).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    data = encoded(Image.fromarray(pixels), format)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * share)])
    error = fault(lambda: image.decode(path))
    assert error.code == "R304"
    assert f"{path} is truncated or corrupt: " in error.message


def test_a_file_of_a_terabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(2**40)  # sparse: it takes no room
    error = fault(lambda: image.decode(path))
    assert error.code == "R309"
    assert f"{path} has {2**40} bytes, at most {2**30} are read" in error.message


def tiled_tiff(width: int, length: int) -> bytes:
    """A gray TIFF of 8 x 8 whose one tile is of these sides, deflated zeros: bombs are small."""
    packer = zlib.compressobj(9)
    tile = b"".join(packer.compress(bytes(width)) for _ in range(length)) + packer.flush()
    short, long = 3, 4
    entries = [
        *((256, short, 8), (257, short, 8), (258, short, 8), (259, short, 8), (262, short, 1), (277, short, 1)),
        *((322, long, width), (323, long, length), (324, long, 8), (325, long, len(tile))),
    ]
    # Little-endian: a SHORT in its field of four bytes reads as a LONG.
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    header = b"II*\0" + struct.pack("<I", 8 + len(tile))
    return header + tile + struct.pack("<H", len(entries)) + fields + struct.pack("<I", 0)


def test_a_small_tiff_in_a_huge_tile_is_refused_undecoded() -> None:
    assert image.decode(tiled_tiff(64, 32), max_pixels=2048).tolist() == [[[0] * 3] * 8] * 8
    error = fault(lambda: image.decode(tiled_tiff(64, 48), max_pixels=2048))
    assert error.code == "R305"
    assert "is stored in tiles of 64 x 48, at most 2048 pixels are read" in error.message


def test_a_compressed_text_that_would_fill_the_memory_is_a_fault() -> None:
    text = b"note\0\0" + zlib.compress(bytes(2**26), 9)  # 64 MiB out of 64 KiB
    data = png(1, 8, GRAY, b"\0", chunk(b"zTXt", text))
    assert fault(lambda: image.decode(data)).code in ("R303", "R304")
