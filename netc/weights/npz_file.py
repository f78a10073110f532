"""NumPy's .npz: a zip archive with an array a member, read one at a time and never as a pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from tokenize import TokenError
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy

from netc.diagnostic import Fault, cut
from netc.weights.stored import Found, Stored
from netc.weights.tensors import Array, Made, step_of

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as numpy does; zipfile unpacks the others without any bound
_LONGEST = 10_000  # bytes of a header: numpy's own limit, which it looks at when it has read all of it
_DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    TokenError,
    TypeError,
    LookupError,
    OverflowError,
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
    if member.compress_type not in _PACKED:
        raise ValueError(f"{cut(member.filename, 200)} is packed in a way that numpy never does")
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        behind = member.file_size - file.tell()
    plain = not dtype.hasobject
    if plain and (any(side < 0 for side in shape) or behind != dtype.itemsize * _product(shape)):
        raise ValueError(
            f"{cut(member.filename, 200)} has {behind} bytes behind its header, and {shape} of {dtype} not"
        )
    if plain and not fortran and dtype == dtype.newbyteorder("<"):
        return Stored(shape, dtype.name, _Member(path, member, shape, dtype))
    return Stored(shape, dtype.name, lambda: _turned(path, member, shape, fortran, dtype))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its version {version} is for arrays with names in them")
    told = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(told, "little")
    if length > _LONGEST:
        raise ValueError(f"its header has {length} bytes, at most {_LONGEST} are read")
    header = io.BytesIO(told + file.read(length))
    return npy.read_array_header_1_0(header) if version == (1, 0) else npy.read_array_header_2_0(header)


class _Member(Made):
    """A tensor that is a member of an archive, unpacked piece by piece."""

    def __init__(self, path: str, member: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self._path, self._member = path, member

    def pieces(self, of: int = 1) -> Iterable[Array]:
        step, left = step_of(of), self.size
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
                _header(file)
                while True:
                    piece = np.empty(min(step, left), self.dtype)
                    left -= piece.size
                    self._fill(file, piece)
                    if not left and file.read(1):  # the checksum is looked at behind the last byte
                        raise ValueError(f"{cut(self._member.filename, 200)} is longer than it says")
                    yield piece
                    if not left:
                        return
        except _DAMAGED as error:
            raise _fault(self._path, error) from error

    def _fill(self, file: IO[bytes], piece: Array) -> None:
        view, at = piece.view(np.uint8).data, 0
        while at < len(view):
            got = cast(io.BufferedIOBase, file).readinto(view[at:])
            if not got:
                raise ValueError(f"{cut(self._member.filename, 200)} is not whole")
            at += got


def _turned(path: str, member: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Array:
    """An array whose numbers do not lie in our order."""
    assert not dtype.hasobject, "numbers alone are asked for"
    array = _Member(path, member, (_product(shape),), dtype)()
    return array.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _fault(path: str, error: Exception) -> Fault:
    return Fault(
        "N403", f"{path}: the .npz is damaged, or not all of it: {error}", help="copy it again, or save it anew"
    )
