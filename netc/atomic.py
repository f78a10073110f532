"""Files that appear whole or not at all. Standard library and `Fault` only."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netc.diagnostic import Fault


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[BinaryIO, None, None]:
    """A file to write beside `path`, open for reading too; it takes `path`'s place when the block ends well.

    Whatever else ends the block (an error, Ctrl-C) removes it, and what stood at `path` stays as it was. The bytes are
    on the disk before the name changes. The file's own path is its `.name`; a new file's mode follows the umask, a
    replaced file's is kept; a symbolic link is followed, so that the file it names is replaced and the link stays.

    Raises: Fault N410 when `path` is a directory or a device, or its folder is missing; N411 when the folder or the
    file may not be written; N412 when the disk or the quota is full; N413 on any other failure of the file system.
    """
    with _beside(path) as file:
        _forget(Path(os.path.realpath(path)))
        yield file


@contextmanager
def _beside(path: str | os.PathLike[str]) -> Generator[BinaryIO, None, None]:
    shown = os.fspath(path)
    try:
        target = Path(os.path.realpath(shown))
        if target.is_dir():
            raise Fault("N410", f"{shown}: this is a directory, expected a file's name", help="name a file inside it")
        if target.exists() and not target.is_file():
            raise Fault("N410", f"{shown}: this is no regular file (a device, a pipe?)", help="name another file")
        if target.exists() and not os.access(target, os.W_OK):
            raise Fault("N411", f"{shown}: this file is write-protected", help="name another file", exit_code=3)
        if not target.parent.is_dir():
            raise Fault("N410", f"{shown}: there is no folder {Path(shown).parent}", help="create it, or name another")
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    except (OSError, ValueError) as error:
        raise fault(shown, error) from error
    temporary = Path(name)
    try:
        try:
            with open(name, "w+b", opener=lambda _path, _flags: descriptor) as file:
                _take_mode(descriptor, target)
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            if error.filename is None or error.filename == name:
                raise fault(shown, error) from error
            raise  # another file's trouble, which the block met
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def refuse_unwritable(path: str | os.PathLike[str]) -> None:
    """See that a file can be written, before the work is done; nothing changes. Raises: Fault as `replacing` does."""
    with suppress(_NotYetError), _beside(path):
        raise _NotYetError


class _NotYetError(Exception):
    """The file could be written, and is left alone."""


@contextmanager
def working(path: str | os.PathLike[str]) -> Generator[Path, None, None]:
    """A folder beside `path` for files on the way to it; it is gone when the block ends, however it does.

    Raises: as `replacing` does, where the folder cannot be made, or a file in it cannot be written.
    """
    shown = os.fspath(path)
    target = Path(os.path.realpath(shown))
    if not target.parent.is_dir():
        raise Fault("N410", f"{shown}: there is no folder {Path(shown).parent}", help="create it, or name another")
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{target.name[:100]}.", suffix=".work", dir=target.parent)
    except (OSError, ValueError) as error:
        raise fault(shown, error) from error
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.filename is None or str(error.filename).startswith(name):
                raise fault(shown, error) from error
            raise


def _take_mode(descriptor: int, target: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        mode = target.stat().st_mode & 0o777
    except OSError:
        mode = 0o666 & ~_umask()
    os.fchmod(descriptor, mode)


def _forget(target: Path) -> None:
    # The file that goes need not stay in memory: the new one takes its place there. In a virtual machine whose host
    # takes back what is free, to get other memory costs more than to fill it.
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _umask() -> int:
    # The only portable way to read it is to set it; the stricter value stands for the moment between.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # The new name outlives a power cut only when its folder is on the disk too. Windows cannot open a folder; some
    # network file systems refuse to sync one, and the file itself is already safe.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL}


def fault(path: str, error: OSError | ValueError) -> Fault:
    """What is said of a file that cannot be written: N410 to N413, as `replacing` raises them."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    at = path if path.isprintable() else repr(path)
    if number in _FULL:
        words = f"{at}: the disk is full or a limit is reached: {reason}"
        return Fault("N412", words, help="make room and try again; nothing was changed", exit_code=3)
    if number in _DENIED:
        words = f"{at}: this folder may not be written: {reason}"
        return Fault("N411", words, help="name a folder that you may write to", exit_code=3)
    if number is None or number in _NO_NAME:
        return Fault("N410", f"{at}: this is no name for a file: {reason}", help="name another file")
    return Fault("N413", f"{at}: cannot be written: {reason}", help="name another file or folder", exit_code=3)
