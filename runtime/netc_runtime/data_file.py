"""The file of weights that stands beside a model: seen to be there, and whole, before ONNX Runtime looks for it."""

import hashlib
import stat
from pathlib import Path

from netc_runtime import reading
from netc_runtime.errors import ModelFault

KEY = b"netc_data"  # the key in ONNX metadata_props
MOST = 4096  # bytes of an entry that is looked into


def stated(entry: bytes) -> str | None:
    """What an entry of a model's metadata (onnx.StringStringEntryProto) says of a file of weights, if it is this entry.

    The key comes first in what netc writes, and a value of less than 128 bytes, or of up to 16 KiB, behind it.
    """
    start = b"\x0a" + bytes([len(KEY)]) + KEY + b"\x12"
    if not entry.startswith(start):
        return None
    rest = entry[len(start) :]
    long = rest[:1] >= b"\x80"
    return rest[2 if long else 1 :].decode(errors="replace")


def check_data(model: Path, text: str) -> Path:
    """Check that the file which a model's metadata names is there, and give its path.

    It lies in the model's own folder: a name that leads elsewhere is refused.

    Raises: ModelFault R114 where it is missing, of another size, or named so; ManifestError R108.
    """
    keys = reading.fields(reading.parse(text), "netc_data", "file size_bytes sha256")
    name = reading.string(keys["file"], "netc_data: file")
    size = reading.integer(keys["size_bytes"], "netc_data: size_bytes", 0, 2**63 - 1)
    if name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ModelFault("R114", f"{model} names {name!r} as its weights, no file of its folder", "export it again")
    path = model.with_name(name)
    try:
        status = path.stat()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFault(
            "R114", f"{model} needs its weights, {path}: {reason}", "copy both files; they belong together"
        ) from error
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        found = f"{status.st_size} bytes" if stat.S_ISREG(status.st_mode) else "not a regular file"
        raise ModelFault(
            "R114", f"{model} needs its weights, {path} of {size} bytes: it is {found}", "copy or download it again"
        )
    return path


def check_hash(model: Path, text: str) -> None:
    """Read the file which a model's metadata names, and check that it holds what it did when the model was written.

    Raises: ModelFault R114 where it does not, or as `check_data` says; ManifestError R108.
    """
    path = check_data(model, text)
    expected = reading.string(reading.parse(text)["sha256"], "netc_data: sha256")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ModelFault(
            "R114",
            f"{model} needs its weights, {path} of SHA-256 {expected}: it has {found}",
            "copy or download it again",
        )
