"""The published weights of torchvision and timm, through their own loading code, where these packages are installed."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from netc.diagnostic import Fault, cut
from netc.weights.stored import Found
from netc.weights.torch_file import stored

if TYPE_CHECKING:
    from torch import nn


def torchvision(model: str) -> Found:
    """A model's published weights, by torchvision's names: `resnet50/IMAGENET1K_V2`, or `resnet50` for its default.

    Raises: Fault N445 where the package is not installed or the download fails, N446 where it has no such model.
    """
    source = f"torchvision:{model}"
    name, slash, which = model.partition("/")
    models = _package("torchvision", source).models
    names: list[str] = models.list_models()
    if name not in names:
        raise _unknown(source, f"torchvision has no model {cut(name, 100)}", name, names)
    try:
        published: Any = models.get_model_weights(name)
    except ValueError as error:
        raise Fault("N446", f"{source}: torchvision publishes no weights for {name}") from error
    if slash and which not in published.__members__:
        there = list(published.__members__)
        raise _unknown(source, f"{name} has no weights {cut(which, 100)}", which, there, ", ".join(there))
    chosen = published[which] if slash else getattr(published, "DEFAULT", None) or next(iter(published))
    notes = () if slash else (f"{source}: taken is {chosen.name}, its default",)
    with _loading(source, chosen.url):
        net: nn.Module = models.get_model(name, weights=chosen, progress=False)
    return Found(source, "torchvision", stored(net.state_dict()), ordered=True, notes=notes)


def timm(model: str) -> Found:
    """A model's published weights, by timm's names: `resnet18.a1_in1k`, or `resnet18` for its default.

    Raises: Fault N445 where the package is not installed or the download fails, N446 where it has no such model.
    """
    source = f"timm:{model}"
    package = _package("timm", source)
    name, dot, _ = model.partition(".")
    if not package.is_model(name):
        raise _unknown(source, f"timm has no model {cut(name, 100)}", name, package.list_models())
    there: list[str] = package.list_pretrained(f"{name}.*") + package.list_pretrained(name)
    if not there or (dot and model not in there):
        listed = ", ".join(there) or "none"
        raise _unknown(source, f"timm has no weights {cut(model, 100)}", model, there, listed)
    with _loading(source, "the Hugging Face Hub"):
        net: nn.Module = package.create_model(model, pretrained=True)
    tag = getattr(net, "pretrained_cfg", {}).get("tag", "")
    notes = (f"{source}: taken is {name}.{tag}, its default",) if tag and not dot else ()
    return Found(source, "timm", stored(net.state_dict()), ordered=True, notes=notes)


def _package(name: str, source: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        what = f"the package `{name}` is not installed" if missing else f"`{name}` cannot be imported: {error}"
        raise Fault(
            "N445", f"{source}: {what}", help=f"pip install {name}, or name a file of weights", exit_code=3
        ) from error


@contextmanager
def _loading(source: str, where: str) -> Generator[None]:
    # Both libraries leave it to torch whether a downloaded pickle may run code; the variable is torch's to say no.
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    except UnpicklingError as error:
        raise Fault(
            "N441",
            f"{source}: what was loaded from {where} asks for more than weights: code that runs when it is loaded",
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a hub's client, a proxy or a full disk come up with
        said = cut(str(error).strip().partition("\n")[0] or type(error).__name__, 300)
        raise Fault(
            "N445",
            f"{source}: cannot be had from {where}: {said}",
            help="download it where there is a network, and name the file",
            exit_code=3,
        ) from error
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _unknown(source: str, what: str, name: str, names: list[str], listed: str = "") -> Fault:
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    way_out = f"there are {listed}" if listed else f"do you mean {' or '.join(close)}?" if close else ""
    return Fault("N446", f"{source}: {what}", help=way_out)
