"""Inputs that are arrays in files, .npy or .npz, and outputs as one .npz."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import RequestFault
from netc_runtime.pictures import ImageResult

if TYPE_CHECKING:
    from netc_runtime.decode import Decoded
    from netc_runtime.session import Model

Array = npt.NDArray[Any]

_NPY = b"\x93NUMPY"
MAX_BYTES = 2**32  # of a file's arrays, unpacked


def read(path: str, model: "Model") -> dict[str, Array]:
    """Read a model's inputs: by name from .npz, and where there is one input alone from .npy as well.

    Nothing in the file is run: arrays of objects are refused.

    Raises: RequestFault R211 where the file is not numpy's, or unpacks to more than MAX_BYTES.
    """
    file = Path(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(path, "not a regular file")
        _check_size(path, status.st_size)
        with file.open("rb") as opened:
            if opened.read(len(_NPY)) == _NPY:
                return _alone(path, np.load(file, mmap_mode="r", allow_pickle=False), model)
            opened.seek(0)
            with zipfile.ZipFile(opened) as archive:  # first, since numpy takes what is no zip for a pickle
                # No member gives more than zip's directory says.
                _check_size(path, sum(each.file_size for each in archive.infolist()))
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(path, reason or type(error).__name__) from error
    except (MemoryError, SyntaxError, zlib.error) as error:  # a header that lies, a member that is damaged
        raise _unreadable(path, str(error) or type(error).__name__) from error
    if len(arrays) == 1 and len(model.inputs) == 1:
        return _alone(path, next(iter(arrays.values())), model)
    return arrays


def write(file: BinaryIO, outputs: dict[str, Array]) -> None:
    """Write outputs as .npz, by name; numpy's own function takes no array named "file"."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in outputs.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)


def by_row(path: str, decoded: "dict[str, tuple[Decoded, ...]]") -> Iterator[ImageResult]:
    """Give what the outputs say row by row, each named for its file and its place there."""
    for row in range(min(map(len, decoded.values()), default=0)):
        yield ImageResult(f"{path}[{row}]", {name: results[row] for name, results in decoded.items()})


def _check_size(path: str, size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        raise _unreadable(path, f"it has {size_bytes} bytes, at most {MAX_BYTES} are read")


def _alone(path: str, array: Array, model: "Model") -> dict[str, Array]:
    if len(model.inputs) != 1:
        names = ", ".join(f'"{each.name}"' for each in model.inputs)
        raise RequestFault(
            "R211", f"{path} holds one array, {model.name} has the inputs {names}", "save a .npz of them"
        )
    return {model.inputs[0].name: array}


def _unreadable(path: str, reason: str) -> RequestFault:
    return RequestFault("R211", f"{path} cannot be read: {reason}", "write it with numpy.save or numpy.savez")
