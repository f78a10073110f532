"""Weights in a file of their own beside the ONNX file: what ONNX calls external data.

Its name ends in the start of its hash. So a new one never takes the place of one that an ONNX file still reads: until
the ONNX file itself is replaced, in one step, the old pair stands as it was.

A build holds its data file, by a lock on it, until the ONNX file has its name: of two builds of one file at once
neither removes what the other one is about to name.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from netc.atomic import replacing
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
    fresh: bool
    """Whether it was not there before: a file of this name holds the same bytes."""
    held: int | None
    """The open file that the lock is on; None where the system has no such locks."""

    def record(self) -> dict[str, str | int]:
        """The file as JSON values."""
        return {"file": self.path.name, "size_bytes": self.size_bytes, "sha256": self.sha256}

    def discard(self) -> None:
        """Undo the writing. What another build has put in its place since stays."""
        with suppress(OSError):
            if self.fresh and (self.held is None or _is(self.path, self.held)):
                self.path.unlink()
        self.release()

    def release(self) -> None:
        """Hold it no longer."""
        if self.held is not None:
            os.close(self.held)


def write_data(out: Path, sizes: Mapping[str, int], weights: Weights) -> DataFile:
    """Write the tensors of these sizes, but for small ones, beside an ONNX file that is going to be `out`.

    Raises: as `netc.atomic.replacing` does.
    """
    places = _places(sizes)
    hidden = out.with_name(f".{out.name[:100]}.{token_hex(8)}.data")  # until its hash is known; no other build's
    with replacing(hidden) as file, Stream(file) as stream:
        for name, (offset, _) in places.items():
            stream.write(bytes(offset - stream.size))
            for piece in pieces(maker(weights, name)):
                stream.write(piece.data.cast("B"))
        sha256 = stream.sha256()
    path = out.with_name(f"{out.name}.{sha256[:16]}.data")
    made = DataFile(path, stream.size, sha256, places, fresh=not path.exists(), held=_hold(hidden))
    hidden.replace(path)
    return made


def remove_data(out: Path, keep: Path | None = None) -> None:
    """Remove the data files that were written for an ONNX file, but for one, and for those that builds hold."""
    pattern = re.compile(re.escape(out.name) + r"\.[0-9a-f]{16}\.data")
    for each in list(out.parent.iterdir()):
        if pattern.fullmatch(each.name) and (keep is None or each.name != keep.name):
            with suppress(OSError):
                held = _hold(each)
                each.unlink()
                if held is not None:
                    os.close(held)


if sys.platform == "win32":  # an open file cannot be removed there, and not renamed either

    def _hold(path: Path) -> int | None:
        return None

else:
    import fcntl

    def _hold(path: Path) -> int | None:
        """A lock on a file, open until it is closed. Raises: OSError where another one has it."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise
            return None  # a file system without locks
        return file


def _is(path: Path, file: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(file))


def _places(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for name, size in sizes.items():
        if size >= PAGE:
            places[name] = at, size
            at += -(-size // PAGE) * PAGE
    return places
