"""IDX files, the format of MNIST: a header of big-endian counts, then one byte an element, packed with gzip or not.

Source: http://yann.lecun.com/exdb/mnist, "The IDX file format".
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from netc.diagnostic import Fault

PARTS = {"train": "train", "test": "t10k"}
KINDS = {3: "images", 1: "labels"}
LARGEST_BYTES = 2**31  # of one file unpacked; EMNIST, the largest of the family, has 547 MB
MOST_PACKED = 1032  # deflate's highest ratio of unpacked to packed bytes (zlib, "Maximum Compression Factor")
CHUNK_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class Part:
    """One part, training or test: pictures (N, H, W) and the label of each."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    images_path: Path
    labels_path: Path


def read(folder: Path) -> tuple[Part, Part]:
    """The training and the test part of a folder that holds MNIST's four files.

    Raises Fault: N502 a file is missing, N503 one is damaged, N504 images and labels differ in number, N507 no images.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 -- Path.is_dir raises for a name that is too long
        raise Fault("N502", f"{folder} is not a folder", help="`idx:DIR` wants the folder of MNIST's four files")
    paths = {(part, rank): _find(folder, part, rank) for part in PARTS for rank in KINDS}
    missing = [_names(part, rank)[0] for (part, rank), path in paths.items() if path is None]
    if missing:
        raise Fault(
            "N502",
            f"{folder} lacks {', '.join(missing)}",
            help="each may also end in `.gz`, or be written `train-images.idx3-ubyte`",
        )
    train, test = (_part(paths[part, 3], paths[part, 1]) for part in PARTS)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise Fault(
            "N506",
            f"{test.images_path} has images of {_size(test)}, {train.images_path} of {_size(train)}",
            help="both parts must have images of one size",
        )
    return train, test


def _names(part: str, rank: int) -> list[str]:
    stem, kind = PARTS[part], KINDS[rank]
    plain = [f"{stem}-{kind}-idx{rank}-ubyte", f"{stem}-{kind}.idx{rank}-ubyte"]
    return plain + [f"{name}.gz" for name in plain]


def _find(folder: Path, part: str, rank: int) -> Path | None:
    return next((folder / name for name in _names(part, rank) if (folder / name).is_file()), None)


def _part(images_path: Path | None, labels_path: Path | None) -> Part:
    assert images_path is not None
    assert labels_path is not None
    images, labels = read_file(images_path, 3), read_file(labels_path, 1)
    if len(images) != len(labels):
        raise Fault(
            "N504",
            f"{images_path} has {len(images):,} images, {labels_path} has {len(labels):,} labels",
            help="take both files from one release",
        )
    if images.size == 0:
        raise Fault("N507", f"{images_path} has no images", help="its header says that a side or the count is 0")
    return Part(images, labels, images_path, labels_path)


def _size(part: Part) -> str:
    return f"{part.images.shape[1]}x{part.images.shape[2]}"


def read_file(path: Path, rank: int) -> NDArray[np.uint8]:
    """The array of one IDX file of bytes with `rank` dimensions; memory grows with what the file really holds.

    Raises Fault: N502 it cannot be read, N503 it is not such a file, is cut off, too long, or claims what it lacks.
    """
    try:
        packed = _starts_with_gzip(path)
        with closing(gzip.open(path, "rb") if packed else path.open("rb")) as file:
            sides = _header(path, file, rank)  # pyright: ignore[reportArgumentType] -- GzipFile reads as a BinaryIO
            total = prod(sides)
            _bound(path, total, packed, sides)
            payload = _payload(file, total + 1)  # pyright: ignore[reportArgumentType] -- the same
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Fault("N503", f"{path} is cut off or damaged: {error}", help="fetch the file again") from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise Fault("N502", message, help="check its permissions") from error
    if len(payload) != total:
        held = "more" if len(payload) > total else f"{len(payload):,}"
        raise Fault(
            "N503",
            f"{path}: the header promises {_product(sides)} = {total:,} bytes, the file holds {held}",
            help="fetch the file again",
        )
    return np.frombuffer(payload, np.uint8).reshape(sides)


def _starts_with_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _header(path: Path, file: BinaryIO, rank: int) -> tuple[int, ...]:
    size = 4 * (1 + rank)
    header = file.read(size)
    if len(header) < 4:
        raise Fault("N503", f"{path} has {len(header)} bytes, not even a header of {size}", help="fetch the file again")
    magic = struct.unpack_from(">I", header)[0]
    if magic != 0x800 + rank:
        kind = f"IDX {KINDS[rank]} file of bytes"
        raise Fault(
            "N503",
            f"{path} starts with 0x{magic:08x}, an {kind} with 0x{0x800 + rank:08x}",
            help="images and labels are swapped" if magic in {0x801, 0x803} else "this is no IDX file of bytes",
        )
    if len(header) < size:
        raise Fault("N503", f"{path} is cut off within its header of {size} bytes", help="fetch the file again")
    return struct.unpack_from(f">{rank}I", header, 4)


def _bound(path: Path, total: int, packed: bool, sides: tuple[int, ...]) -> None:
    """Refuse a header's claim before memory is taken for it."""
    held = path.stat().st_size * (MOST_PACKED if packed else 1)
    if total > held:
        size = f"{path.stat().st_size:,}"
        most = f"its {size} packed bytes can unpack to {held:,} at most" if packed else f"the file has {size}"
        raise Fault(
            "N503",
            f"{path}: the header promises {_product(sides)} = {total:,} bytes, but {most}",
            help="fetch the file again",
        )
    if total > LARGEST_BYTES:
        raise Fault(
            "N503",
            f"{path}: {total:,} bytes of images; an IDX file may hold {LARGEST_BYTES:,}",
            help="write the images into a folder per class and train with `--data folder:DIR`",
        )


def _payload(file: BinaryIO, most: int) -> bytearray:
    payload = bytearray()
    while len(payload) < most:
        chunk = file.read(min(CHUNK_BYTES, most - len(payload)))
        if not chunk:
            break
        payload += chunk
    return payload


def _product(sides: tuple[int, ...]) -> str:
    return " x ".join(f"{side:,}" for side in sides)
