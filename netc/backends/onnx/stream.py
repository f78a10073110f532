"""A file that is hashed by a second thread while it is written, and that goes to the disk meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

TOGETHER = 1 << 19  # bytes; less than that is written and hashed with what follows
AHEAD = 8  # writes that may wait to be hashed
TO_DISK = 1 << 25  # bytes after which the disk is given work: it takes longer than everything before


class Stream:
    """Writes to the end of a binary file. Leaving the block ends its threads, whatever happened."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()
        self._small: list[bytes | memoryview] = []
        self._waiting = 0  # bytes of those
        self._hashing: deque[Future[None]] = deque()
        self._syncing: Future[None] | None = None
        self._synced = 0
        self._hasher = ThreadPoolExecutor(1, "netc-hash")
        self._disk = ThreadPoolExecutor(1, "netc-disk")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._hasher.shutdown(cancel_futures=True)
        self._disk.shutdown(cancel_futures=True)

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes, which must stay as they are. Raises: OSError."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        self.size += size
        if size < TOGETHER:
            self._small.append(data)
            self._waiting += size
            if self._waiting >= TOGETHER:
                self._write_small()
            return
        self._write_small()
        self._write(data, size)

    def flush(self) -> None:
        """Have everything in the file, for others to read. Raises: OSError."""
        self._write_small()
        self._file.flush()

    def sha256(self) -> str:
        """The hash of what was written. Raises: OSError."""
        self.flush()
        while self._hashing:
            self._hashing.popleft().result()
        if self._syncing is not None:
            self._syncing.result()
        return self._hash.hexdigest()

    def _write_small(self) -> None:
        if self._small:
            together = b"".join(self._small)
            self._small.clear()
            self._waiting = 0
            self._write(together, len(together))

    def _write(self, data: bytes | memoryview, size: int) -> None:
        if len(self._hashing) >= AHEAD:
            self._hashing.popleft().result()
        self._hashing.append(self._hasher.submit(self._hash.update, data))
        self._file.write(data)
        self._synced += size
        if self._synced >= TO_DISK and hasattr(os, "fdatasync") and (self._syncing is None or self._syncing.done()):
            if self._syncing is not None:
                self._syncing.result()
            self._synced = 0
            self._file.flush()
            self._syncing = self._disk.submit(os.fdatasync, self._file.fileno())
