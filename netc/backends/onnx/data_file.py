"""Weights in a file of their own beside the ONNX file: what ONNX calls external data.

Its name ends in the start of its hash. So a new one never takes the place of one that an ONNX file still reads: until
the ONNX file itself is replaced, in one step, the old pair stands as it was.

Builds with data files share a lock on the folder, each until its ONNX file has its name. What is left over is removed
by who has the lock alone: so nothing goes that another build is about to name, and where several end at once, what is
left over stays until the next one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from netc.atomic import fault, replacing
from netc.backends.onnx.stream import Stream
from netc.weights import Weights
from netc.weights.tensors import maker, pieces

PAGE = 4096  # bytes; tensors begin at multiples of it, so that a runtime can map them; smaller ones stay in the model


@dataclass(frozen=True)
class DataFile:
    """A written file, and where each tensor stands in it: offset and size in bytes."""

    path: Path
    size_bytes: int
    sha256: str
    places: Mapping[str, tuple[int, int]]
    out: Path
    before: tuple[int, int] | None
    """The ONNX file that is going to name it, and which file had that name before."""
    fresh: bool
    """Whether it was not there before: a file of this name holds the same bytes."""
    lock: int | None
    """The open folder that this build shares; None where the system has no such locks."""

    def record(self) -> dict[str, str | int]:
        """The file as JSON values."""
        return {"file": self.path.name, "size_bytes": self.size_bytes, "sha256": self.sha256}

    def discard(self) -> None:
        """Undo the writing; what another build has named meanwhile stays."""
        self.release()
        if self.fresh:
            with _alone(self.path.parent) as alone, suppress(OSError):
                if alone and file_at(self.out) == self.before:
                    self.path.unlink()

    def release(self) -> None:
        """Share the folder no longer."""
        if self.lock is not None:
            os.close(self.lock)


def write_data(out: Path, sizes: Mapping[str, int], weights: Weights) -> DataFile:
    """Write the tensors of these sizes, but for small ones, beside an ONNX file that is going to be `out`.

    Raises: as `netc.atomic.replacing` does.
    """
    places, before = _places(sizes), file_at(out)
    lock = _share(out.parent)
    hidden = out.with_name(f".{out.name[:100]}.{token_hex(8)}.data")  # until its hash is known; no other build's
    try:
        with replacing(hidden) as file, Stream(file) as stream:
            for name, (offset, _) in places.items():
                stream.write(bytes(offset - stream.size))
                for piece in pieces(maker(weights, name)):
                    stream.write(piece.data.cast("B"))
            sha256 = stream.sha256()
        path = out.with_name(f"{out.name}.{sha256[:16]}.data")
        fresh = not path.exists()
        try:
            hidden.replace(path)
        except OSError as error:
            raise fault(os.fspath(path), error) from error
    except BaseException:
        with suppress(OSError):
            hidden.unlink()
        if lock is not None:
            os.close(lock)
        raise
    return DataFile(path, stream.size, sha256, places, out, before, fresh, lock)


def remove_data(out: Path, own: tuple[int, int] | None, keep: Path | None = None) -> None:
    """Remove the data files that were written for an ONNX file, but for one, where `out` is still that file and no
    build is at work in the folder.
    """
    pattern = re.compile(re.escape(out.name) + r"\.[0-9a-f]{16}\.data")
    with _alone(out.parent) as alone:
        if not alone or file_at(out) != own:
            return
        for each in list(out.parent.iterdir()):
            if pattern.fullmatch(each.name) and (keep is None or each.name != keep.name):
                with suppress(OSError):
                    each.unlink()


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file has a name now; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


if sys.platform == "win32":

    def _share(folder: Path) -> int | None:
        return None

    @contextmanager
    def _alone(folder: Path) -> Generator[bool]:
        yield True

else:
    import fcntl

    def _share(folder: Path) -> int | None:
        """Wait until no build has the folder alone, and share it until the number given is closed."""
        return _locked(folder, fcntl.LOCK_SH)

    @contextmanager
    def _alone(folder: Path) -> Generator[bool]:
        """Whether no build shares the folder, and none will in the block; true where nothing can be locked."""
        try:
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            if lock is not None:
                os.close(lock)

    def _locked(folder: Path, how: int) -> int | None:
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(opened, how)
        except BaseException as error:
            os.close(opened)
            if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
                return None  # a file system without locks, or without those that it was asked for
            raise
        return opened


def _places(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for name, size in sizes.items():
        if size >= PAGE:
            places[name] = at, size
            at += -(-size // PAGE) * PAGE
    return places
