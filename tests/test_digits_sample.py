"""The MNIST sample in examples/digits: what its README says it is."""

import gzip
import hashlib
import re
import struct
from pathlib import Path

import pytest
from PIL import Image

FILES = {
    "train-images-idx3-ubyte.gz": (0x803, 10_000, 28, 28),
    "train-labels-idx1-ubyte.gz": (0x801, 10_000),
    "t10k-images-idx3-ubyte.gz": (0x803, 2_000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (0x801, 2_000),
}
PICTURES = [f"digit-{digit}.png" for digit in range(10)]

# How often each digit occurs among the first 10,000 training and the first 2,000 test labels of MNIST, counted from the
# published files.
CLASS_COUNTS = {
    "train-labels-idx1-ubyte.gz": [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978],
    "t10k-labels-idx1-ubyte.gz": [175, 234, 219, 207, 217, 179, 178, 205, 192, 194],
}


@pytest.fixture
def digits(root: Path) -> Path:
    return root / "examples" / "digits"


@pytest.mark.parametrize("name", FILES)
def test_an_idx_file_holds_what_its_header_says(digits: Path, name: str) -> None:
    data = gzip.decompress((digits / name).read_bytes())
    header = FILES[name]
    assert struct.unpack_from(f">{len(header)}I", data) == header
    items = data[4 * len(header) :]
    count, *sides = header[1:]
    assert len(items) == count * (sides[0] * sides[1] if sides else 1)
    if name in CLASS_COUNTS:
        assert [items.count(digit) for digit in range(10)] == CLASS_COUNTS[name]


@pytest.mark.parametrize("name", FILES)
def test_a_packed_file_names_neither_time_nor_file(digits: Path, name: str) -> None:
    # RFC 1952: magic, method 8, no flags (so no file name), then four bytes of time
    assert (digits / name).read_bytes()[:8] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_one_gray_digit(digits: Path, name: str) -> None:
    with Image.open(digits / name) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (28, 28))
        pixels = picture.tobytes()
    assert min(pixels) == 0
    assert max(pixels) > 200  # white ink
    assert pixels.count(0) > 28 * 28 / 2  # on black ground


def test_no_picture_is_among_the_samples_images(digits: Path) -> None:
    seen = b"".join(gzip.decompress((digits / name).read_bytes())[16:] for name in FILES if "images" in name)
    images = {seen[at : at + 28 * 28] for at in range(0, len(seen), 28 * 28)}
    for name in PICTURES:
        with Image.open(digits / name) as picture:
            assert picture.tobytes() not in images, name


def test_the_readme_lists_every_file_with_its_sha256(digits: Path) -> None:
    readme = (digits / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", readme, re.MULTILINE)
    assert sorted(name for _, name in listed) == sorted([*FILES, *PICTURES])
    for checksum, name in listed:
        assert hashlib.sha256((digits / name).read_bytes()).hexdigest() == checksum, name
