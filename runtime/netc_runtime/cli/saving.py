"""Files that a command writes: beside their place, then renamed to it, and never over another without leave."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from netc_runtime.errors import EnvironmentFault

if TYPE_CHECKING:
    from PIL import Image


def write(path: Path, fill: Callable[[BinaryIO], object], *, force: bool) -> None:
    """Write a file by `fill`, whole or not at all.

    Raises: EnvironmentFault R405 where there is one already and `force` is not given, or it cannot be written.
    """
    if not force and os.path.lexists(path):
        raise EnvironmentFault("R405", f"{path} is there already", "give --force to write over it")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with beside.open("wb") as file:
                fill(file)
            beside.replace(path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(
            "R405", f"{path} cannot be written: {reason}", "make room, or write elsewhere"
        ) from error


class Pictures:
    """A folder that drawings are written to, named for the pictures they are of."""

    def __init__(self, folder: Path, *, force: bool) -> None:
        self._folder = folder
        self._force = force
        self._stems: set[str] = set()

    def save(self, source: str, drawings: Iterable[tuple[str, "Image.Image"]]) -> list[str]:
        """Write a picture's drawings as PNG; give their paths.

        Two pictures of one name in different folders are told apart by a number, in the order they come.

        Raises: EnvironmentFault R405 as `write` does.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            help = "name a folder that can be made"
            raise EnvironmentFault("R405", f"{self._folder} cannot be made: {error.strerror}", help) from error
        stem = self._stem(source)
        paths: list[str] = []
        for name, picture in drawings:
            path = self._folder / f"{stem}.{name}.png"
            write(path, lambda file, picture=picture: picture.save(file, "PNG"), force=self._force)
            paths.append(str(path))
        return paths

    def _stem(self, source: str) -> str:
        first = stem = Path(source).stem if source != "-" else "stdin"
        number = 1
        while stem in self._stems:
            number += 1
            stem = f"{first}-{number}"
        self._stems.add(stem)
        return stem
