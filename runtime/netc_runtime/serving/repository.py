"""Models on disk: a folder of NAME/VERSION/model.onnx, or one file, which is version 1 of the model named after it."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from netc_runtime.errors import ServeFault

FILE = "model.onnx"
MOST_FILES = 1000  # beside a model
# No separator, no `..`, no NUL, nothing that a URL or a terminal would read in another way.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A version's file, and the sizes and times of what lies beside it; or why it is not to be loaded."""

    path: Path
    stamp: Stamp = ()
    problem: str = ""


def name_of(text: str) -> str | None:
    """Give a model's name if it is one: letters, digits, `_`, `.` and `-`, not `.` first, at most 128."""
    return text if _NAME.fullmatch(text) else None


def version_of(text: str) -> int | None:
    """Give a version's number if it is one: from 1, without leading zeros."""
    return int(text) if _VERSION.fullmatch(text) else None


class Repository:
    """A folder of models, or one model's file."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def scan(self) -> dict[str, dict[int, Found]]:
        """Give every model's versions; whatever is not named as a model or a version is passed over.

        Raises: ServeFault R542 when the folder cannot be read, or the one file has no name for a model.
        """
        try:
            if not self.root.is_dir():
                return self._one_file()
            models: dict[str, dict[int, Found]] = {}
            for folder in sorted(self.root.iterdir()):
                if name_of(folder.name) and folder.is_dir():
                    versions = self._versions(folder)
                    if versions:
                        models[folder.name] = versions
        except OSError as error:
            raise _unreadable(f"{self.root}: {error.strerror or error}") from error
        return models

    def stamp(self, path: Path) -> Stamp:
        """Give name, size, time and number of a model's file and, in a version's folder, of all files beside it.

        Raises: OSError; ServeFault R542 when a link leads out of the repository.
        """
        if not self.root.is_dir():
            return (_mark(path),)
        root = self.root.resolve()
        files = sorted(path.parent.iterdir())
        if len(files) > MOST_FILES:
            raise _unreadable(f"{path.parent} has {len(files)} files, at most {MOST_FILES} lie beside a model")
        for file in files:
            if not file.resolve().is_relative_to(root):
                raise _unreadable(f"{file} leads out of the repository")
        return tuple(_mark(file) for file in files)

    def _one_file(self) -> dict[str, dict[int, Found]]:
        status = self.root.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(f"{self.root} is neither a folder of models nor a file")
        name = name_of(self.root.stem)
        if name is None:
            raise _unreadable(f"{self.root}: {self.root.stem!r} is no name for a model: letters, digits, `_`, `.`, `-`")
        return {name: {1: Found(self.root, self.stamp(self.root))}}

    def _versions(self, folder: Path) -> dict[int, Found]:
        found: dict[int, Found] = {}
        for each in folder.iterdir():
            number = version_of(each.name)
            if number is not None:
                found[number] = self._found(each / FILE)
        return found

    def _found(self, path: Path) -> Found:
        try:
            stamp = self.stamp(path)
        except ServeFault as fault:
            return Found(path, problem=fault.message)
        except OSError as error:  # removed as we look, or not ours to read
            return Found(path, problem=f"{path.parent}: {error.strerror or error}")
        except RuntimeError:  # before Python 3.13 a link that leads to itself is one
            return Found(path, problem=f"{path.parent} has a link that leads to itself")
        if FILE not in {name for name, *_ in stamp}:
            return Found(path, problem=f"{path.parent} has no {FILE}")
        return Found(path, stamp)


def _mark(path: Path) -> tuple[str, int, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns, status.st_ino


def _unreadable(message: str) -> ServeFault:
    return ServeFault("R542", message, "give a folder of NAME/VERSION/model.onnx, or one .onnx file")
