"""What a model is: the SHA-256 of its files, remembered for as long as the files are the same."""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from netc_runtime.external import LOCATION

MOST_REMEMBERED = 1024
SETTLED_SECONDS = 2.0  # a file system's clock may not tell two changes apart that are nearer
ELSEWHERE = "elsewhere"
_NAME = re.compile(r"[0-9a-f]{64}\.hash")
_CONTENT = re.compile(rf"[0-9a-f]{{64}}|{ELSEWHERE}")
_CHUNK = 1 << 20


def fingerprint(files: Sequence[Path]) -> str:
    """Give what tells, without reading them, that files are the ones they were. Raises: OSError."""
    told = [file.stat() for file in files]
    numbers = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in told]
    return hashlib.sha256(repr(numbers).encode()).hexdigest()


def model_hash(files: Sequence[Path], folder: Path) -> str | None:
    """Give the hash of a model's files, from `folder` where it is remembered there; 64 hexadecimal digits.

    The first file is the model, the others hold its weights. Nothing for a model that names further files: whether
    those change cannot be told. Raises: OSError.
    """
    known = fingerprint(files)
    note = folder / f"{known}.hash"
    try:
        text = note.read_text("ascii")
    except (OSError, ValueError):
        text = ""
    if _CONTENT.fullmatch(text) is None:
        newest = max(max(s.st_mtime, s.st_ctime) for s in map(Path.stat, files))
        text = _hash(files)
        if fingerprint(files) != known:
            return None  # it is being written
        if time.time() - newest > SETTLED_SECONDS:
            _remember(note, text)
    return None if text == ELSEWHERE else text


def forget_some(folder: Path) -> None:
    """Keep no more than `MOST_REMEMBERED` notes, the newest."""
    notes = [entry for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    if len(notes) > MOST_REMEMBERED:
        notes.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime)
        for entry in notes[: len(notes) - MOST_REMEMBERED // 2]:
            Path(entry.path).unlink(missing_ok=True)


def _hash(files: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        part = hashlib.sha256()
        before = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                part.update(chunk)
                if len(files) == 1:
                    if LOCATION in before + chunk:
                        return ELSEWHERE
                    before = chunk[-len(LOCATION) :]
        total.update(part.digest())
    return total.hexdigest()


def _remember(note: Path, text: str) -> None:
    beside = note.with_name(f".{note.name}.{os.getpid()}")
    try:
        beside.write_text(text, "ascii")
        beside.replace(note)
    except OSError:
        beside.unlink(missing_ok=True)
