"""Which folder the cache is in, and whether it may be trusted."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from netc_runtime.errors import EnvironmentFault

FOLDER, BYTES = "NETC_CACHE_DIR", "NETC_CACHE_MAX_BYTES"
DEFAULT_BYTES = 2 << 30


def environment_place(environ: Mapping[str, str] = os.environ) -> tuple[Path, int] | None:
    """Give the folder and the most bytes in it as the environment says, or nothing where `NETC_CACHE_DIR=off`.

    Without a word it is the user's own cache folder, which may be none: then there is no cache.

    Raises: EnvironmentFault R404 where `NETC_CACHE_MAX_BYTES` is no whole number.
    """
    text = environ.get(BYTES, str(DEFAULT_BYTES))
    if not (text.isascii() and text.isdigit()):
        raise EnvironmentFault("R404", f"{BYTES} is {text!r}, expected a whole number of bytes", f"unset {BYTES}")
    named = environ.get(FOLDER, "")
    if named == "off":
        return None
    folder = Path(named) if named else _users(environ)
    return None if folder is None else (folder.absolute(), int(text))


def _users(environ: Mapping[str, str]) -> Path | None:
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA")
        return Path(base) / "netc-runtime" / "Cache" if base else None
    home = environ.get("HOME")
    if sys.platform == "darwin":
        return Path(home) / "Library" / "Caches" / "netc-runtime" if home else None
    base = environ.get("XDG_CACHE_HOME")  # freedesktop.org's base directories: an absolute path or none
    if base and Path(base).is_absolute():
        return Path(base) / "netc-runtime"
    return Path(home) / ".cache" / "netc-runtime" if home else None


def unsafe(folder: Path) -> str | None:
    """Make the folder where it is missing; say why nothing in it may be trusted, or nothing.

    Who can write into it decides what this process computes. Raises: OSError.
    """
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            return "it belongs to another user"
        if status.st_mode & 0o022:
            return f"others may write into it; run: chmod 700 {folder}"
    return None
