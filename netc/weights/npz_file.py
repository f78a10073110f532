"""NumPy's .npz: a zip archive with an array a member, read one at a time and never as a pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from tokenize import TokenError
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy

from netc.diagnostic import Fault, cut
from netc.weights.stored import Found, Stored
from netc.weights.tensors import Array

_DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    TokenError,
    zlib.error,
)
"""What zipfile and numpy raise for an archive that is cut off, damaged or made to be both small and large."""


def find(path: str) -> Found:
    """The arrays of a file by name, and the headers of all of them.

    Raises: Fault N403 where a member is no array, or not whole; OSError.
    """
    tensors: dict[str, Stored] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in tensors:
                    raise ValueError(f"{cut(name, 200)} stands there twice")
                tensors[name] = _tensor(path, archive, member)
    except _DAMAGED as error:
        raise _fault(path, error) from error
    return Found(path, "npz", tensors, ordered=True)


def _tensor(path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Stored:
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        behind = member.file_size - file.tell()
    plain = not dtype.hasobject
    if plain and (any(side < 0 for side in shape) or behind != dtype.itemsize * _product(shape)):
        raise ValueError(
            f"{cut(member.filename, 200)} has {behind} bytes behind its header, and {shape} of {dtype} not"
        )
    return Stored(shape, dtype.name, lambda: _read(path, member, shape, fortran, dtype))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        found = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        found = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"its version {version} is for arrays with names in them")
    return found


def _read(path: str, member: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Array:
    assert not dtype.hasobject, "numbers alone are asked for"
    array = np.empty(_product(shape), dtype)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            _header(file)
            view, at = array.view(np.uint8).data, 0
            while at < len(view) and (got := cast(io.BufferedIOBase, file).readinto(view[at:])):
                at += got
            if at < len(view) or file.read(1):  # the checksum is looked at behind the last byte
                raise ValueError(f"{cut(member.filename, 200)} is not whole")
    except _DAMAGED as error:
        raise _fault(path, error) from error
    array = array.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _fault(path: str, error: Exception) -> Fault:
    return Fault(
        "N403", f"{path}: the .npz is damaged, or not all of it: {error}", help="copy it again, or save it anew"
    )
