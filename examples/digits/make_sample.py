"""Cut the sample of this folder out of the full MNIST: `python make_sample.py FOLDER_WITH_FULL_MNIST [OUT]`.

Takes the first 10,000 training and the first 2,000 test examples, in the published order, and writes as PNG the
first test image of each class beyond those 2,000: neither training nor measuring on the sample has seen them.
"""

import gzip
import struct
import sys
from pathlib import Path

from PIL import Image

SIZES = {"train": 10_000, "t10k": 2_000}
SIDE = 28
IMAGES_MAGIC, LABELS_MAGIC = 0x803, 0x801  # unsigned bytes of rank 3 and of rank 1


def main(source: Path, out: Path) -> None:
    """Write the four gzip'd IDX files and the ten PNGs to `out`; raise ValueError for a source that is not MNIST."""
    for part, count in SIZES.items():
        images = read(source / f"{part}-images-idx3-ubyte.gz", IMAGES_MAGIC, SIDE * SIDE)
        labels = read(source / f"{part}-labels-idx1-ubyte.gz", LABELS_MAGIC, 1)
        header = struct.pack(">4I", IMAGES_MAGIC, count, SIDE, SIDE)
        write(out / f"{part}-images-idx3-ubyte.gz", header + images[: count * SIDE * SIDE])
        write(out / f"{part}-labels-idx1-ubyte.gz", struct.pack(">2I", LABELS_MAGIC, count) + labels[:count])
        if part == "t10k":
            for digit in range(10):
                at = labels.index(digit, count) * SIDE * SIDE
                picture = Image.frombytes("L", (SIDE, SIDE), images[at : at + SIDE * SIDE])
                picture.save(out / f"digit-{digit}.png", optimize=True)


def read(path: Path, magic: int, item_size_bytes: int) -> bytes:
    """The items of an IDX file, its header checked and taken off."""
    data = gzip.decompress(path.read_bytes())
    found, count = struct.unpack(">2I", data[:8])
    header_size_bytes = 4 + 4 * (magic & 0xFF)  # the magic number's last byte is the rank: one size an axis
    if found != magic or len(data) != header_size_bytes + count * item_size_bytes:
        raise ValueError(f"{path}: not the IDX file expected (magic {found:#x}, {len(data)} bytes, {count} items)")
    return data[header_size_bytes:]


def write(path: Path, data: bytes) -> None:
    """Compress with neither time nor file name in the header: equal data gives equal bytes (with one zlib)."""
    # not gzip.compress: the header's byte for the operating system differs there between Python releases
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(data)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent)
