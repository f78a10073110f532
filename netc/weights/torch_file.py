"""PyTorch's checkpoints: torch.load as it reads weights only, which runs no code of the file's."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from netc.diagnostic import Fault, cut
from netc.weights.checkpoint import pick
from netc.weights.stored import Found, Stored
from netc.weights.tensors import Array

# What trainers put beside the weights and what holds values alone: torchvision's and timm's `args`, numpy's numbers.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(word)) for word in "?bBhHiIlLqQefd"},
    (cast(Any, np)._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
    (cast(Any, np)._core.multiarray.scalar, "numpy._core.multiarray.scalar"),
]
_ASKED_FOR = re.compile(r"(?:GLOBAL|class|function|module) ([\w.]+)")


def find(path: str, key: str | None) -> Found:
    """The tensors of a checkpoint by name, mapped from the file where its format allows.

    Raises: Fault N403 for a file that is not whole or not torch's, N441 for one whose pickle asks for code, N442 where
    a `key` is needed or not there.
    """
    taken, notes = pick(_load(path), lambda value: isinstance(value, torch.Tensor), key, path)
    return Found(path, "torch", stored(cast(Mapping[str, torch.Tensor], taken)), ordered=True, notes=notes)


def stored(state: Mapping[str, torch.Tensor]) -> dict[str, Stored]:
    """The tensors of a state dict."""
    return {name: _stored(tensor) for name, tensor in state.items()}


def _stored(tensor: torch.Tensor) -> Stored:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested:  # it has no shape
        return Stored((), f"nested {dtype}", lambda: np.zeros((), np.void))
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        dtype = f"{str(tensor.layout).removeprefix('torch.')} {dtype}"  # a type that fits nowhere
    return Stored(tuple(tensor.shape), dtype, lambda: _numpy(tensor))


def _numpy(tensor: torch.Tensor) -> Array:
    found = tensor.detach().resolve_conj().resolve_neg()
    return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def _load(path: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old formats, to whoever wrote the file
        try:
            with torch.serialization.safe_globals(_HARMLESS):
                if zipfile.is_zipfile(path) and not path.endswith(".safetensors"):
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
                with Path(path).open("rb") as file:  # not the path, which torch would judge by its ending
                    return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refusal(path, str(error)) from error
        except MemoryError as error:
            raise Fault("N403", f"{path}: asks for more memory than there is", help="copy it again") from error
        except OSError:
            raise
        except Exception as error:  # of every kind: the format is read by code that trusts it
            said = cut(str(error).partition("\n")[0], 200)
            raise Fault(
                "N403", f"{path}: this is not torch's format, or not all of it: {said}", help="copy it again"
            ) from error


def _refusal(path: str, said: str) -> Fault:
    told = said.rpartition("WeightsUnpickler error: ")[2].strip() or said
    named = _ASKED_FOR.search(told)
    asked = named[1] if named else _first_global(path)
    if asked is None or _ends_with(path, asked.rpartition(".")[2]):
        said = cut(told.partition("\n")[0], 200)
        return Fault("N403", f"{path}: its pickle is not torch.save's, or damaged: {said}", help="copy it again")
    return Fault(
        "N441",
        f"{path}: its pickle asks for {cut(asked, 100)}, which is more than weights: code that runs when it is loaded",
        help="where you trust it, save the weights alone: torch.save(model.state_dict(), path)",
    )


def _first_global(path: str) -> str | None:
    """What a bare pickle of a protocol that torch.save never wrote names first, None where it names nothing."""
    texts: list[str] = []
    with suppress(ValueError), Path(path).open("rb") as file:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(texts[-2:])
            if isinstance(argument, str):
                texts.append(argument)
    return None


def _ends_with(path: str, text: str) -> bool:
    # A name that the end of the file cut short is no name.
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 200))
        return file.read().endswith(text[-200:].encode())
