"""The reference of the language, from the layers themselves: signatures, arguments, what each says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import BaseModel

from netc.elaborate.layers import describe
from netc.op import Layer
from netc.ops import find, kinds

FACTS = ("Shape", "MACs", "Errors", "Source")
"""What every layer's docstring says, in this order."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "With weights": (*("conv", "depthwise", "local", "upconv", "fc", "bn", "ln", "gn", "prelu", "scale"),),
    "Windows": ("maxpool", "avgpool", "gap", "gmp"),
    "Elementwise": (
        *("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "abs"),
        *("softmax", "log_softmax", "dropout", "drop_path", "lrn", "l2norm", "id"),
    ),
    "Merges": ("add", "sub", "mul", "maximum", "concat"),
    "Shape": (
        *("flatten", "reshape", "slice", "split", "channel_shuffle", "pad", "pad_channels", "subsample", "upsample"),
        "crop",
    ),
}
"""The layers by what they are for, as the language's definition lists them."""


def grouped() -> dict[str, list[str]]:
    """Every layer kind under its group; those of installed packages, and any that no group names, under `Others`."""
    known = kinds()
    found = {group: [kind for kind in members if kind in known] for group, members in GROUPS.items()}
    listed = {kind for members in found.values() for kind in members}
    others = [kind for kind in known if kind not in listed]
    return {**found, "Others": others} if others else found


def layer(kind: str) -> type[Layer]:
    """The layer of this name. Raises KeyError where there is none."""
    cls = find(kind)
    if cls is None:
        raise KeyError(kind)
    return cls


def spelled(value: object) -> str:
    """A value of an argument as the language writes it."""
    if value is None or value in ((), {}):
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, BaseModel):  # a call that is the default
        return str(getattr(value, "kind", "-"))
    if isinstance(value, tuple | list):
        items = cast("Sequence[object]", value)
        if items and isinstance(items[0], str):  # `normal(0.02)`
            return f"{items[0]}({', '.join(map(spelled, items[1:]))})"
        return f"[{', '.join(map(spelled, items))}]"
    return str(value)


def signature(cls: type[Layer]) -> str:
    """`conv(c, k, stride = 1, ...)`: arguments in the order of their definition; the first goes without a name."""
    words: list[str] = []
    for name, field in cls.model_fields.items():
        words.append(name if field.is_required() or field.default is None else f"{name} = {spelled(field.default)}")
    return f"{cls.kind}({', '.join([*words, *cls.values])})"


def facts(cls: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The first sentence of a layer's docstring with what explains it, and its facts by name, each on one line."""
    text: list[str] = []
    found: dict[str, str] = {}
    at = ""
    for line in (cls.__doc__ or "").splitlines():
        name, colon, rest = line.strip().partition(":")
        if colon and name in FACTS:
            at, found[name] = name, rest.strip()
        elif at and line.strip():
            found[at] += f" {line.strip()}"
        elif not at:
            text.append(line.strip())
    return "\n".join(text).strip(), found


def call(cls: type[Layer], fields: Mapping[str, object], operands: Sequence[str] = ()) -> str:
    """A layer as a spec writes it, `operands` for the arguments that name values."""
    words = [spelled(v) if n == cls.positional else f"{n}={spelled(v)}" for n, v in fields.items()]
    words += [f"{name} = {value}" for name, value in zip(cls.values, operands, strict=False)]
    return f"{cls.kind}({', '.join(words)})" if words else cls.kind


def takes(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Name, what it takes, default and description of every argument or key."""
    rows: list[tuple[str, str, str, str]] = []
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        default = "" if field.is_required() else spelled(field.default)
        rows.append((name, describe(field.annotation), default, field.description or ""))
    return rows


def elsewhere(cls: type[Layer]) -> list[str]:
    """`kernel_size is k`: what other frameworks call the arguments."""
    same: dict[str, list[str]] = {}
    for theirs, ours in cls.foreign.items():
        if ours in cls.model_fields:
            same.setdefault(ours, []).append(theirs)
    return [f"{', '.join(names)}: {ours}" for ours, names in same.items()]
