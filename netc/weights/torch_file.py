"""PyTorch's checkpoints: torch.load as it reads weights only, which runs no code of the file's."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
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
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        dtype = f"{str(tensor.layout).removeprefix('torch.')} {dtype}"  # a type that fits nowhere
    return Stored(tuple(tensor.shape), dtype, lambda: _numpy(tensor))


def _numpy(tensor: torch.Tensor) -> Array:
    found = tensor.detach()
    return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def _load(path: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old formats, to whoever wrote the file
        try:
            with torch.serialization.safe_globals(_HARMLESS):
                if zipfile.is_zipfile(path) and not path.endswith(".safetensors"):
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
                with open(path, "rb") as file:  # noqa: PTH123 -- torch would read a path by its ending
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
    told = said.rpartition("WeightsUnpickler error: ")[2] if "WeightsUnpickler" in said else said
    asked = _ASKED_FOR.search(told)
    if asked is None:
        return Fault("N403", f"{path}: its pickle is damaged: {cut(told.strip().partition(chr(10))[0], 200)}")
    return Fault(
        "N441",
        f"{path}: its pickle asks for {cut(asked[1], 100)}, which is more than weights, and code that runs when loaded",
        help="where you trust it, save the weights alone: torch.save(model.state_dict(), path)",
    )
