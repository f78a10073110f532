"""The entries of the cache: found, added, bounded; whole or not there."""

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from netc_runtime.cache import hashes
from netc_runtime.cache.place import unsafe

MODEL, WEIGHTS, ENTRY = "model.onnx", "weights.bin", "entry.json"
_T = TypeVar("_T")
_FILES = (MODEL, WEIGHTS, ENTRY)  # all that an entry's folder may hold; nothing else is ever deleted
_NAME = re.compile(r"[0-9a-f]{64}-[0-9a-f]{16}")
_UNFINISHED = re.compile(r"\.new-[0-9a-f]{16}")
UNFINISHED_SECONDS = 3600.0  # after which a folder that was not finished is somebody's who is gone


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached model: its folder, what it takes, and when it was last used, in seconds since 1970."""

    folder: Path
    size_bytes: int
    used: float


class Store:
    """The cache in one folder, for one kind of session: `machine` is `key.machine_key` of it.

    Several processes may use one folder. What goes wrong here never keeps a model from being opened: it is a note.
    """

    def __init__(self, folder: Path, most_bytes: int, machine: str) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._most_bytes = most_bytes
        self._machine = machine

    def find(self, files: Sequence[Path]) -> tuple[str | None, Path | None]:
        """Give the entry's name for a model's files, and the cached model where there is one and it is whole.

        Neither where the model cannot be cached, or the folder cannot be trusted.
        """
        try:
            reason = unsafe(self.folder)
            if reason is not None:
                self._note(f"{self.folder} is not used: {reason}")
                return None, None
            name = self._name(files)
        except OSError as error:
            self._note(f"{self.folder} cannot be used: {error.strerror or error}")
            return None, None
        if name is None:
            return None, None
        folder = self.folder / name
        if not self._whole(folder):
            return name, None
        with contextlib.suppress(OSError):
            os.utime(folder / ENTRY)  # used last
        return name, folder / MODEL

    def add(self, name: str, files: Sequence[Path], write: Callable[[Path, str], _T], expected_bytes: int) -> _T | None:
        """Make the entry of a model's files: `write` puts it at a path, its weights in a file of that name beside it.

        Gives what `write` gives, or None where the entry could not be made. An older entry of the name is replaced.
        """
        beside = self.folder / f".new-{secrets.token_hex(8)}"
        try:
            self._bound(spare=expected_bytes)
            if shutil.disk_usage(self.folder).free < 2 * expected_bytes:
                self._note(f"{self.folder} has no room for {expected_bytes:,} bytes more")
                return None
            beside.mkdir(mode=0o700)
            made = write(beside / MODEL, WEIGHTS)
            if self._name(files) != name:
                raise OSError("it changed while it was read")
            self._finish(beside, name)
        except Exception as error:  # ONNX Runtime's own derive from nothing narrower
            _delete(beside)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
            self._note(f"the model is not kept in {self.folder}: {reason}")
            return None
        self._bound()
        return made

    def discard(self, name: str) -> None:
        """Take an entry out that turned out to be of no use."""
        _delete(self.folder / name)

    def entries(self) -> Iterator[Entry]:
        """Give every entry in the folder, of whatever machine. Raises: OSError."""
        for each in os.scandir(self.folder):
            if _NAME.fullmatch(each.name) and each.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):  # another process may take it out meanwhile
                    folder = Path(each.path)
                    sizes = [(folder / file).lstat().st_size for file in _FILES if (folder / file).exists()]
                    yield Entry(folder, sum(sizes), (folder / ENTRY).lstat().st_mtime)

    def clear(self) -> int:
        """Take all entries out; give how many there were. Raises: OSError."""
        found = list(self.entries())
        for entry in found:
            _delete(entry.folder)
        return len(found)

    def _name(self, files: Sequence[Path]) -> str | None:
        hashed = hashes.model_hash(files, self.folder)
        return None if hashed is None else f"{hashed}-{self._machine[:16]}"

    def _whole(self, folder: Path) -> bool:
        # The files are those that were written: a change would show in the time of it, which nobody sets.
        try:
            told: Any = json.loads((folder / ENTRY).read_bytes())
            if told["machine"] != self._machine:
                return False
            files = cast("dict[str, list[int]]", told["files"])
            return MODEL in files and all(_told(folder / file) == numbers for file, numbers in files.items())
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False

    def _finish(self, beside: Path, name: str) -> None:
        files = [file for file in (MODEL, WEIGHTS) if (beside / file).exists()]
        for file in files:
            _sync(beside / file)
        told = {"machine": self._machine, "files": {file: _told(beside / file) for file in files}}
        (beside / ENTRY).write_text(json.dumps(told), "ascii")
        _sync(beside / ENTRY)
        folder = self.folder / name
        try:
            beside.rename(folder)
        except OSError:
            if self._whole(folder):
                _delete(beside)  # another process was first, and its entry is as good
                return
            _delete(folder)
            beside.rename(folder)

    def _bound(self, spare: int = 0) -> None:
        """Take out what was used longest ago, until `spare` bytes more go in, and what nobody finished."""
        with contextlib.suppress(OSError):
            hashes.forget_some(self.folder)
            found = sorted(self.entries(), key=lambda entry: entry.used)
            total = sum(entry.size_bytes for entry in found) + spare
            for entry in found:
                if total <= self._most_bytes:
                    break
                _delete(entry.folder)
                total -= entry.size_bytes
            for each in os.scandir(self.folder):
                old = time.time() - each.stat(follow_symlinks=False).st_mtime > UNFINISHED_SECONDS
                if _UNFINISHED.fullmatch(each.name) and old and each.is_dir(follow_symlinks=False):
                    _delete(Path(each.path))

    def _note(self, text: str) -> None:
        self.notes.append(f"session cache: {text}")


def _told(path: Path) -> list[int]:
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode]


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _delete(folder: Path) -> None:
    """Delete an entry's files and its folder; whatever else is in there stays, and the folder with it."""
    if not (_NAME.fullmatch(folder.name) or _UNFINISHED.fullmatch(folder.name)) or folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for file in _FILES:
            (folder / file).unlink(missing_ok=True)
        folder.rmdir()
