"""Weights in a file of their own beside the ONNX file: what ONNX calls external data.

Its name ends in the start of its hash. So a new one never takes the place of one that an ONNX file still reads: until
the ONNX file itself is replaced, in one step, the old pair stands as it was.
"""

from __future__ import annotations

import re
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

    def record(self) -> dict[str, str | int]:
        """The file as JSON values."""
        return {"file": self.path.name, "size_bytes": self.size_bytes, "sha256": self.sha256}

    def discard(self) -> None:
        """Undo the writing."""
        if self.fresh:
            with suppress(OSError):
                self.path.unlink()


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
    made = DataFile(path, stream.size, sha256, places, fresh=not path.exists())
    hidden.replace(path)
    return made


def remove_data(out: Path, keep: Path | None = None) -> None:
    """Remove the data files that were written for an ONNX file, but for one."""
    pattern = re.compile(re.escape(out.name) + r"\.[0-9a-f]{16}\.data")
    for each in list(out.parent.iterdir()):
        if pattern.fullmatch(each.name) and (keep is None or each.name != keep.name):
            with suppress(OSError):
                each.unlink()


def _places(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for name, size in sizes.items():
        if size >= PAGE:
            places[name] = at, size
            at += -(-size // PAGE) * PAGE
    return places
