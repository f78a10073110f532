"""Where weights come from: a file of any format, told by what is in it; a folder; a library's published ones."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, cast

from netc.diagnostic import Fault, cut
from netc.weights import safetensors_file
from netc.weights.stored import MOST_SIDES, Found, Stored

LONGEST_NAME, MOST_PARTS = 4096, 256
LARGEST_TENSOR = 2**59  # elements, of 16 bytes at most
LARGEST_INDEX = 64 << 20  # bytes; an index has about a hundred for each tensor
IN_A_FOLDER = (  # as accelerate, transformers and diffusers save; the first that is there is taken
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_READS = "netc reads safetensors, PyTorch checkpoints, .npz and ONNX"
_OTHERS = (  # how a file begins that holds no weights, or not as they are
    (b"version ", "this is a git-LFS pointer, not the weights", "run git lfs pull"),
    (b"\x1f\x8b", "this file is compressed (gzip)", "unpack it first"),
    (b"BZh", "this file is compressed (bzip2)", "unpack it first"),
    (b"\xfd7zXZ\0", "this file is compressed (xz)", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "this file is compressed (zstd)", "unpack it first"),
    (b"7z\xbc\xaf", "this file is compressed (7z)", "unpack it first"),
    (b"\x89HDF\r\n", "this is HDF5, as Keras writes", "save it as .npz: numpy.savez(path, **{w.path: w.numpy() ...})"),
    (b"\x93NUMPY", "this is one array, and its name is not said", "save arrays by name: numpy.savez(path, **arrays)"),
    (b"<", "this is a page of HTML or XML, not the weights", "what was downloaded is perhaps an error's page"),
)


def find(source: str | os.PathLike[str], key: str | None = None) -> Found:
    """Look into a source without reading the numbers.

    A source is a file, a folder that accelerate saved, `torchvision:NAME[/WEIGHTS]`, or `timm:NAME[.TAG]`. `key` picks
    one of several sets: a checkpoint's `model_ema`, or what stands behind `teacher.` in names.

    Raises: Fault N402 for what cannot be read, N403 for what holds no weights or not all of them, N441 for a pickle
    with code in it, N442 where `key` is needed or not there, N445 and N446 for libraries, N449 for a file that leads
    out of its folder.
    """
    name = os.fspath(source)
    library, colon, model = name.partition(":")
    if colon and library in ("torchvision", "timm"):
        from netc.weights import library as published

        found = published.torchvision(model) if library == "torchvision" else published.timm(model)
    else:
        found = _in_folder(name, key) if os.path.isdir(name) else _in_file(name, key)  # noqa: PTH112 -- never raises
    _refuse_monstrous(found)
    if key is None or found.form == "torch":
        return found
    below = {tensor: stored for tensor, stored in found.tensors.items() if tensor.startswith(f"{key}.")}
    if not below:
        raise Fault("N442", f"{name}: no name begins with {cut(key, 100)}.", help="leave --weights-key out")
    return replace(found, tensors=below)


def _refuse_monstrous(found: Found) -> None:
    # No net has such tensors, and what is done for each part of a name or each side of a shape would not end.
    sound: set[tuple[int, ...]] = set()
    for tensor, stored in found.tensors.items():
        if len(tensor) <= MOST_PARTS and stored.shape in sound:  # as nearly all: there may be thousands
            continue
        if len(tensor) > LONGEST_NAME or tensor.count(".") > MOST_PARTS:
            said = f"the name {cut(tensor, 100)} has {len(tensor)} characters and {tensor.count('.') + 1} parts"
        elif len(stored.shape) > MOST_SIDES:
            said = f"{cut(tensor, 100)} has {len(stored.shape)} sides"
        elif prod(side or 1 for side in stored.shape) > LARGEST_TENSOR:
            said = f"{cut(tensor, 100)} has sides of more elements than any memory"
        else:
            sound.add(stored.shape)
            continue
        raise Fault("N403", f"{found.name}: {said}", help="the file is damaged, or is no net's weights")


def _in_folder(name: str, key: str | None) -> Found:
    there = [each for each in IN_A_FOLDER if (Path(name) / each).is_file()]
    if not there:
        raise Fault(
            "N402", f"{name}: this is a folder, and holds no {IN_A_FOLDER[0]}", help="name the file of weights in it"
        )
    found = _in_file(str(Path(name) / there[0]), key)
    if len(there) == 1:
        return found
    return replace(found, notes=(f"{name}: taken is {there[0]}, and not {', '.join(there[1:])}", *found.notes))


def _in_file(name: str, key: str | None, *, shard: bool = False) -> Found:
    try:
        if not Path(name).is_file():
            Path(name).stat()
            raise Fault("N402", f"{name}: this is no regular file (a device, a pipe?)", help="name a file of weights")
        with Path(name).open("rb") as file:
            head = file.read(512)
        return _of(name, head, key, shard)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Fault("N402", f"{name}: cannot be read: {reason}") from error


def _of(name: str, head: bytes, key: str | None, shard: bool) -> Found:
    if not head:
        raise Fault("N403", f"{name}: the file is empty")
    for start, what, way_out in _OTHERS:
        if head.lstrip().startswith(start):
            raise Fault("N403", f"{name}: {what}", help=way_out)
    if head[257:262] == b"ustar":
        raise Fault("N403", f"{name}: this is a tar archive", help="unpack it, and name the file of weights in it")
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(name, key)
    if head[:1] == b"\x80" and b"\0" <= head[1:2] <= b"\5":  # pickle's protocol: torch's format before version 1.6
        return _of_torch(name, key)
    if head[8:9] == b"{":  # behind the header's length
        return Found(name, "safetensors", safetensors_file.tensors(name))
    if head.lstrip()[:1] == b"{" and not shard:
        return _of_index(name)
    if begins_as_onnx(head) or name.endswith(".onnx"):
        from netc.weights import onnx_file

        return onnx_file.find(name)
    size = Path(name).stat().st_size
    raise Fault("N403", f"{name}: the file's {size} bytes are no weights, or not all of them", help=_READS)


def begins_as_onnx(head: bytes) -> bool:
    """Whether a file's first 9 bytes or more are an ONNX model's: field 1, a number, the version of ONNX."""
    return head[:1] == b"\x08" and head[8:9] != b"{"  # safetensors, whose header's length may begin so too


def _of_zip(name: str, key: str | None) -> Found:
    import zipfile

    try:
        with zipfile.ZipFile(name) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise Fault(
            "N403", f"{name}: the end of the file is missing, or it is damaged: {error}", help="copy it again"
        ) from error
    names = [each.filename for each in members]
    if names and all(each.endswith(".npy") for each in names):
        from netc.weights import npz_file

        return npz_file.find(name)
    if any(each.endswith("/constants.pkl") for each in names):
        raise Fault(
            "N403",
            f"{name}: this is a TorchScript archive, which holds code",
            help="save the weights alone: torch.save(torch.jit.load(path).state_dict(), other)",
        )
    if not any(each.rpartition("/")[2] == "data.pkl" for each in names):
        raise Fault("N403", f"{name}: this zip archive is neither torch's nor numpy's", help=_READS)
    if any(each.compress_type != zipfile.ZIP_STORED for each in members):
        raise Fault("N403", f"{name}: this archive was packed anew: torch.save does not compress", help="copy it again")
    return _of_torch(name, key)


def _of_torch(name: str, key: str | None) -> Found:
    from netc.weights import torch_file

    return torch_file.find(name, key)


def _of_index(name: str) -> Found:
    # {"weight_map": {tensor: file}}, beside the files it names.
    if Path(name).stat().st_size > LARGEST_INDEX:
        raise Fault("N403", f"{name}: this JSON is larger than any index of weights", help=_READS)
    try:
        index: Any = json.loads(Path(name).read_bytes())
    except (ValueError, RecursionError) as error:
        raise Fault("N403", f"{name}: this is no whole JSON: {error}", help=_READS) from error
    listed: Any = cast(dict[str, Any], index).get("weight_map") if isinstance(index, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(file, str) for file in cast(dict[str, Any], listed).values()):
        raise Fault("N403", f"{name}: this JSON is no index of weights, which has a `weight_map`", help=_READS)
    places = cast(dict[str, str], listed)
    files: dict[str, Found] = {}
    for file in dict.fromkeys(places.values()):
        if Path(file).name != file or file in ("", "..") or "\\" in file:
            raise Fault("N449", f"{name}: the index names {cut(file, 200)!r}, and its files lie beside it")
        files[file] = _in_file(str(Path(name).parent / file), None, shard=True)
    tensors: dict[str, Stored] = {}
    for tensor, file in places.items():
        if tensor not in files[file].tensors:
            raise Fault(
                "N403", f"{name}: {cut(tensor, 200)} should be in {file}, and is not there", help="copy it again"
            )
        tensors[tensor] = files[file].tensors[tensor]
    unlisted = [tensor for each in files.values() for tensor in each.tensors if tensor not in places]
    if unlisted:
        raise Fault("N403", f"{name}: the files hold {cut(unlisted[0], 200)}, which the index does not list")
    ordered = all(each.ordered for each in files.values())
    return Found(name, "an index of files", tensors, ordered, tuple(n for each in files.values() for n in each.notes))
