"""A file that is hashed by a second thread while it is written, and that goes to the disk meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import numpy as np

ROOM = 1 << 21  # bytes that are hashed and written at once: threads that hand over less often wait less
ROOMS = 6
FIRST_TO_DISK, TO_DISK = 1 << 22, 1 << 23  # bytes after which the disk is given work: it is what takes longest


class _Room(NamedTuple):
    """Memory for a part of the file; it is free again when all that is done with that part is done."""

    memory: memoryview
    uses: tuple[Future[None], ...] = ()


class Stream:
    """Writes to the end of a binary file, with a thread that hashes, one that writes and one for the disk.

    Leaving the block ends its threads, whatever happened.

    Raises: OSError when the block is left, where the disk did not take what was written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1, "netc-hash")
        self._writer = ThreadPoolExecutor(1, "netc-write")
        self._disk = ThreadPoolExecutor(1, "netc-disk")
        self._rooms = deque([_room()])
        self._used = 0  # of the first room
        self._syncs: deque[Future[None]] = deque()
        self._unsynced, self._to_disk_at = 0, FIRST_TO_DISK

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._hasher.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=error is not None)
        self._disk.shutdown(cancel_futures=error is not None)
        if error is None:
            self._done()
            self._settled()

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes. Raises: OSError, of these or of earlier ones."""
        view = data if isinstance(data, bytes) else data.cast("B")
        size = len(view)
        self.size += size
        used = self._used + size
        if used < ROOM:  # as nearly always: there may be thousands of small tensors
            self._rooms[0].memory[self._used : used] = view
            self._used = used
            return
        view = memoryview(view)
        while view:
            part = view[: ROOM - self._used]
            self._rooms[0].memory[self._used : self._used + len(part)] = part
            self._used += len(part)
            view = view[len(part) :]
            if self._used == ROOM:
                self._hand_over()

    def flush(self) -> None:
        """Have everything in the file, for others to read. Raises: OSError."""
        self._hand_over()
        self._done()
        self._settled()

    def sha256(self) -> str:
        """The hash of what was written. Raises: OSError."""
        self._hand_over()
        self._writer.submit(self._to_disk).result()  # while the rest is hashed
        self._done()
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        memory = self._rooms.popleft().memory
        part = memory[: self._used]
        uses = self._hasher.submit(self._hash.update, part), self._writer.submit(self._write, part)
        self._rooms.append(_Room(memory, uses))
        self._used = 0
        if len(self._rooms) < ROOMS and not all(use.done() for use in self._rooms[0].uses):
            self._rooms.appendleft(_room())  # where it is needed: small files have one
        _finish(self._rooms[0])

    def _done(self) -> None:
        for room in self._rooms:
            _finish(room)

    # Of the thread that writes:

    def _write(self, part: memoryview) -> None:
        self._file.write(part)
        self._file.flush()
        self._unsynced += len(part)
        if self._unsynced >= self._to_disk_at and self._settled():
            self._to_disk()

    def _settled(self) -> bool:
        """Whether the disk has done all it was given. Raises: OSError where it failed, of which it tells once."""
        while self._syncs and self._syncs[0].done():
            self._syncs.popleft().result()
        return not self._syncs

    def _to_disk(self) -> None:
        self._unsynced, self._to_disk_at = 0, TO_DISK
        if hasattr(os, "fdatasync"):
            self._syncs.append(self._disk.submit(os.fdatasync, self._file.fileno()))


def _room() -> _Room:
    return _Room(np.empty(ROOM, np.uint8).data)  # a bytearray would be filled with zeros first


def _finish(room: _Room) -> None:
    for use in room.uses:
        use.result()
