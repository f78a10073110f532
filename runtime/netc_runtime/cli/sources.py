"""What the arguments of a command name: files, folders, patterns, lists of names, standard input."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from netc_runtime.errors import EnvironmentFault, ImageFault

STANDARD_INPUT = "-"
ARRAYS = (".npy", ".npz")


def images(paths: Iterable[str], *, recursive: bool = False) -> Iterator[str]:
    """Give the files, in order: of a folder its images by name, of a pattern that is no file what matches it.

    With `recursive`, of a folder's subfolders as well, which links are not followed into. A folder without images, and
    a pattern that nothing matches, stands for itself and is at fault when it is opened. Hidden files are passed over.
    """
    for path in paths:
        if path != STANDARD_INPUT and glob.has_magic(path) and not os.path.lexists(path):
            # Path.glob matches hidden files, which no shell does.
            for match in sorted(glob.iglob(path, recursive=True)) or [path]:  # noqa: PTH207
                yield from _of(match, recursive)
        else:
            yield from _of(path, recursive)


def is_arrays(path: str) -> bool:
    """Say whether a file is named as numpy's."""
    return path.lower().endswith(ARRAYS)


def listed(path: str) -> Iterator[str]:
    """Give the names in a file, or with "-" of standard input, a line each; empty lines are passed over.

    Raises: EnvironmentFault R404 where the list cannot be read.
    """
    try:
        if path == STANDARD_INPUT:
            yield from _lines(sys.stdin.buffer if sys.stdin is not None else ())
        else:
            with Path(path).open("rb") as file:
                yield from _lines(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EnvironmentFault("R404", f"the list {path} cannot be read: {reason}", "check the path") from error


def standard_input() -> bytes:
    """Read the one image on standard input.

    Raises: ImageFault R301 where it is closed, R309 where there is more than an image may have.
    """
    from netc_runtime.image import MAX_BYTES, too_large

    if sys.stdin is None:
        raise ImageFault("R301", "standard input is closed", "pipe an image into it")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise too_large("standard input", len(data))
    return data


def _lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            # In a list it is a file's name like others.
            yield f"./{name}" if name == STANDARD_INPUT else name


def _of(path: str, recursive: bool) -> Iterator[str]:
    found = False
    for each in _images_in(path, recursive):
        found = True
        yield each
    if not found:
        yield path


def _images_in(folder: str, recursive: bool) -> Iterator[str]:
    from netc_runtime.image import SUFFIXES

    # A folder that cannot be listed has none: opening it says why.
    for where, folders, files in os.walk(folder) if Path(folder).is_dir() else ():
        folders[:] = sorted(each for each in folders if not each.startswith(".")) if recursive else []
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield str(Path(where, name))
