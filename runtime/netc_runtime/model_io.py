"""Model files: what can be known of one before ONNX Runtime sees it, and the contract that it carries."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from netc_runtime import data_file
from netc_runtime.engine import Node, Session
from netc_runtime.errors import ManifestError, ModelFault
from netc_runtime.manifest import KEY, Input, Manifest, Output

_TYPES = {
    "tensor(float16)": "f16",
    "tensor(float)": "f32",
    "tensor(double)": "f64",
    "tensor(int8)": "i8",
    "tensor(int16)": "i16",
    "tensor(int32)": "i32",
    "tensor(int64)": "i64",
    "tensor(uint8)": "u8",
    "tensor(uint16)": "u16",
    "tensor(uint32)": "u32",
    "tensor(uint64)": "u64",
    "tensor(bool)": "bool",
}
_GRAPH, _OPSETS, _METADATA = 7, 8, 14  # fields of onnx.ModelProto
_MOST_FIELDS = 100_000  # of the outermost; functions and metadata are the many ones


class ModelFiles(NamedTuple):
    """A model's files: itself, then what holds its weights where that is another one."""

    paths: tuple[Path, ...]
    model_bytes: int

    @property
    def all_bytes(self) -> int:
        """What all of them take. Raises: OSError."""
        return self.model_bytes + sum(path.stat().st_size for path in self.paths[1:])


def check_file(path: Path) -> ModelFiles:
    """Check that a file can be an ONNX model; only the outermost fields are read.

    Raises: ModelFault, R101 cannot be opened, R102 not a regular file, R103 empty, R104 a git-LFS pointer, R105 another
    format, R106 truncated or not ONNX, R114 its weights are not beside it; ManifestError R108.
    """
    size, data = _outline(path)
    return ModelFiles((path, *([data_file.check_data(path, data)] if data is not None else [])), size)


def check_weights(path: Path) -> None:
    """Read the whole file of weights beside a model, where it has one of netc's, and check its hash.

    Raises: what `check_file` raises.
    """
    _, data = _outline(path)
    if data is not None:
        data_file.check_hash(path, data)


def read_manifest(path: Path, session: Session) -> Manifest | None:
    """Read the manifest that a loaded model carries, or nothing when it carries none.

    Raises: ManifestError R108 or R109; ModelFault R110 when it speaks of other inputs or outputs than the graph has.
    """
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        return None
    try:
        manifest = Manifest.from_json(text)
    except ManifestError as error:
        raise ManifestError(error.code, f"{path}: {error.message}", error.help) from error
    _agree(path, "input", manifest.inputs, session.get_inputs())
    _agree(path, "output", manifest.outputs, session.get_outputs())
    return manifest


def raw_contract(path: Path, session: Session) -> tuple[tuple[Input, ...], tuple[Output, ...]]:
    """Give the inputs and outputs of a graph without a manifest; a nameless free side becomes a symbol of its own.

    Raises: ModelFault R112 when an input or output is no tensor of numbers.
    """
    inputs = tuple(Input(*_described(path, "input", node)) for node in session.get_inputs())
    outputs = tuple(Output(*_described(path, "output", node)) for node in session.get_outputs())
    return inputs, outputs


def _outline(path: Path) -> tuple[int, str | None]:
    """Give a model's size in bytes, and what its metadata say of a file of weights."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ModelFault("R102", f"{path} is {what}, expected an ONNX file", "name the .onnx file itself")
        with path.open("rb") as file:
            start = file.read(1024)
            file.seek(0)
            _check_start(path, start)
            data = _check_fields(path, file, status.st_size)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelFault("R101", f"{path} cannot be opened: {reason}", "check the path and its permissions") from error
    return status.st_size, data


def _check_start(path: Path, start: bytes) -> None:
    if not start:
        raise ModelFault("R103", f"{path} is empty: 0 bytes", "copy or download it again")
    if start.startswith(b"version https://git-lfs.github.com/spec"):
        raise ModelFault("R104", f"{path} is a git-LFS pointer, not the model", "run: git lfs pull")
    text = start.lstrip().lower()
    other = {
        b"PK\x03\x04": ("a zip archive (a .pt, .npz or packed model)", "unpack it, or export the model to ONNX"),
        b"\x1f\x8b": ("gzip-compressed", "run gunzip on it"),
    }
    for magic, (what, help) in other.items():
        if start.startswith(magic):
            raise ModelFault("R105", f"{path} is {what}, expected an ONNX file", help)
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise ModelFault("R105", f"{path} is a web page, expected an ONNX file", "download the file, not its page")


def _check_fields(path: Path, file: BinaryIO, size: int) -> str | None:
    """Walk the outermost protobuf fields, skipping what they hold; give what the metadata say of a file of weights."""
    fields = 0
    seen: set[int] = set()
    data: str | None = None
    while (start := file.tell()) < size:
        tag = _varint(file)
        field, wire = (None, None) if tag is None else (tag >> 3, tag & 7)
        if field == 0 or wire not in (None, 0, 1, 2, 5):
            raise ModelFault("R106", f"{path} is not ONNX: byte {start} begins no field", "name an .onnx file")
        number = _varint(file) if wire in (0, 2) else 0
        if field is None or number is None:
            raise _truncated(path, size, "more")
        end = file.tell() + {0: 0, 1: 8, 5: 4}.get(wire or 0, number)
        if end > size:
            raise _truncated(path, size, str(end))
        if field == _METADATA and wire == 2 and number <= data_file.MOST:
            data = data_file.stated(file.read(number)) or data
        file.seek(end)
        seen.add(field)
        fields += 1
        if fields > _MOST_FIELDS:
            raise ModelFault("R106", f"{path} is not ONNX: it has over {_MOST_FIELDS:,} fields", "name an .onnx file")
    if not {_GRAPH, _OPSETS} <= seen:
        lacking = "graph" if _GRAPH not in seen else "operator set"
        raise ModelFault("R106", f"{path} is not ONNX: it has no {lacking}", "name an .onnx file")
    return data


def _truncated(path: Path, size: int, expected: str) -> ModelFault:
    help = "copy or download it again"
    return ModelFault("R106", f"{path} is truncated: it has {size} bytes, expected {expected}", help)


def _varint(file: BinaryIO) -> int | None:
    """Read a protobuf varint, or nothing where the file ends; one of more than ten bytes reads as field 0."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return 0


def _agree(path: Path, role: str, tensors: Sequence[Input] | Sequence[Output], nodes: Sequence[Node]) -> None:
    ours, graphs = [tensor.name for tensor in tensors], [node.name for node in nodes]
    if sorted(ours) != sorted(graphs):
        raise _disagree(path, f"has {role}s {', '.join(ours)}, the graph has {', '.join(graphs)}")
    by_name = {node.name: node for node in nodes}
    for tensor in tensors:
        node = by_name[tensor.name]
        sides = [side if isinstance(side, int) else None for side in node.shape]
        expected = [side if isinstance(side, int) else None for side in tensor.shape]
        fits = len(sides) == len(expected) and all(
            None in pair or pair[0] == pair[1] for pair in zip(sides, expected, strict=True)
        )
        if not fits or _TYPES.get(node.type) != tensor.dtype:
            raise _disagree(
                path,
                f'says {role} "{tensor.name}" is {tensor.dtype}{list(tensor.shape)}, '
                f"the graph says {node.type}{list(node.shape)}",
            )


def _disagree(path: Path, what: str) -> ModelFault:
    return ModelFault(
        "R110", f"{path}: the manifest {what}", "the file was edited after netc wrote it: export it again"
    )


def _described(path: Path, role: str, node: Node) -> tuple[str, str, tuple[int | str, ...]]:
    dtype = _TYPES.get(node.type)
    if dtype is None:
        raise ModelFault(
            "R112", f'{path}: {role} "{node.name}" is {node.type}, expected a tensor of numbers', "use another runtime"
        )
    shape = tuple(f"{node.name}.{axis}" if side is None else side for axis, side in enumerate(node.shape))
    return node.name, dtype, shape
