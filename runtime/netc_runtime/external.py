"""Numbers of a model that lie in other files (onnx.TensorProto.external_data): only whole files of its folder are read.

ONNX Runtime refuses most of what leads elsewhere, but for a hard link and for `..` that comes back; here all of it has
one answer, before a byte of those files is read.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from netc_runtime.errors import ModelFault

# A key in protobuf: field 1, of 8 bytes. Whatever names another file holds these bytes.
LOCATION = b"\x0a\x08location"
_CHUNK = 1 << 20
_MEMORY = "_ORT_MEM_ADDR_"
_MOST_FIELDS = 3_000_000  # some 100,000 nodes
_MOST_ENTRIES = 64  # of a tensor; ONNX knows five keys
# Fields that lead to a tensor, by message: its number there, and the message it holds.
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function", 20: "training"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_NAME, _EXTERNAL = 8, 13  # of a tensor


def names_others(path: Path) -> bool:
    """Say whether the model may name other files: it never does where this says no. Raises: OSError."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if LOCATION in before + chunk:
                return True
            before = chunk[-len(LOCATION) :]
    return False


def check_external(path: Path) -> None:
    """Check every file that a model's tensors name: a regular one in its folder, long enough, without other names.

    Raises: ModelFault R118 where one is not, R106 where the model is not ONNX; OSError where it cannot be read.
    """
    if not names_others(path):
        return
    data = memoryview(path.read_bytes())
    for name, entries in _tensors(path, data, "model"):
        _check(path, name, entries)


def _tensors(path: Path, data: memoryview, message: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each tensor with external data: its name, and what is said of where the data are."""
    fields = 0
    # Field by field: a list of millions of empty ones would take a hundred times the file's own size.
    waiting = [(_fields(path, data), message)]
    while waiting:
        level, message = waiting[-1]
        for field, value in level:
            fields += 1
            if fields > _MOST_FIELDS:
                raise ModelFault("R106", f"{path} is not ONNX: it has over {_MOST_FIELDS:,} fields", "export it again")
            inner = _WAYS[message].get(field)
            if inner == "tensor":
                name, entries = _tensor(path, value)
                if "location" in entries:
                    yield name, entries
            elif inner is not None:
                waiting.append((_fields(path, value), inner))
                break
        else:
            waiting.pop()


def _tensor(path: Path, data: memoryview) -> tuple[str, dict[str, str]]:
    """Give a tensor's name, and the first entries of what is said of where its data are."""
    name, entries = "", dict[str, str]()
    for field, value in _fields(path, data):
        if field == _NAME:
            name = _text(value)
        elif field == _EXTERNAL:
            if len(entries) == _MOST_ENTRIES:
                raise ModelFault("R106", f"{path} is not ONNX: a tensor lies in too many places", "export it again")
            key, text = b"", b""
            for number, each in _fields(path, value):
                key, text = (each if number == 1 else key), (each if number == 2 else text)
            entries[_text(key)] = _text(text)
    return name, entries


def _fields(path: Path, data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Give the fields of a message that hold bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(path, data, at)
        wire = tag & 7
        size = 0
        if wire == 0:
            _, at = _varint(path, data, at)
        elif wire == 2:
            size, at = _varint(path, data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _no_onnx(path)
        if at + size > len(data):
            raise _no_onnx(path)
        if wire == 2:
            yield tag >> 3, data[at : at + size]
        at += size


def _varint(path: Path, data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _no_onnx(path)


def _text(value: memoryview | bytes) -> str:
    return bytes(value[:4096]).decode("utf-8", "replace")


def _check(path: Path, tensor: str, entries: dict[str, str]) -> None:
    location = entries["location"]
    at = f'{path}: tensor "{tensor}" lies in {location!r}'
    if _MEMORY in location:
        raise ModelFault("R118", f"{at}, an address in memory", "export the model to a file")
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or location[0] in "/\\" or ":" in parts[0] or ".." in parts:
        raise ModelFault("R118", f"{at}, which is no file of the model's folder", _EXPORT)
    folder = path.parent
    for part in parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise ModelFault("R118", f"{at}, behind a symbolic link", _COPY)
    file = folder / parts[-1]
    try:
        status = file.lstat()
    except OSError as error:
        raise ModelFault("R118", f"{at}: {error.strerror or error}", "copy both files; they belong together") from error
    if stat.S_ISLNK(status.st_mode):
        raise ModelFault("R118", f"{at}, a symbolic link", _COPY)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFault("R118", f"{at}, which is not a regular file", _COPY)
    if status.st_nlink > 1:
        raise ModelFault("R118", f"{at}, a hard link: another name of it may be a file elsewhere", _COPY)
    offset, length = (_number(at, entries, key) for key in ("offset", "length"))
    if (offset or 0) + (length or 0) > status.st_size:
        raise ModelFault(
            "R118",
            f"{at}, from byte {offset or 0} on {length or 0} bytes: the file has {status.st_size}",
            "copy or download it again",
        )


def _number(at: str, entries: dict[str, str], key: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelFault("R118", f"{at}: its {key} is {text!r}, expected a whole number", _EXPORT)
    return int(text)


def _no_onnx(path: Path) -> ModelFault:
    return ModelFault("R106", f"{path} is not ONNX: its fields cannot be read", "name an .onnx file")


_EXPORT = "export it again, with its data in a file beside it"
_COPY = "put a copy of the file itself there"
