"""The words of a picture: a layer as papers write it, shapes, numbers, and how wide they are."""

from __future__ import annotations

from typing import cast

from netc.op import Layer
from netc.tensor import TensorType, factor

FAMILIES = {
    "conv": ("conv", "depthwise", "local", "upconv"),
    "dense": ("fc", "scale"),
    "norm": ("bn", "gn", "ln", "lrn", "l2norm"),
    "act": (
        *("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh"),
        *("prelu", "abs", "softmax", "log_softmax", "dropout", "drop_path", "id"),
    ),
    "pool": ("maxpool", "avgpool", "gap", "gmp", "subsample"),
    "merge": ("add", "sub", "mul", "maximum", "concat"),
}
"""Which colour a layer kind has; kinds that stand nowhere here only move elements and have the colour `shape`."""

_FAMILY = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}

# What a reader of a picture can do without: the shape on the edge tells the padding, and the panel tells all.
_UNSAID = {"pad", "bias", "init", "eps", "decay", "count_pad", "round", "corners", "alpha", "beta", "over", "each"}


def family(kind: str) -> str:
    """The colour of a layer kind."""
    return _FAMILY.get(kind, "shape")


def rides(kind: str) -> bool:
    """Whether a layer of this kind may stand in one box with the layer before it."""
    return family(kind) in {"norm", "act"}


def short(op: Layer, rank: int) -> str:
    """A layer's arguments as papers write them: `3×3, 64, /2`. `rank` is the number of sides of what enters."""
    given = _given(op)
    said: list[str] = []
    k = getattr(op, "k", None)
    if "k" in type(op).model_fields and k is not None and not isinstance(k, float):
        said.append(_sides(k, rank))
    if op.positional is not None and op.positional != "k" and getattr(op, op.positional) is not None:
        said.append(_value(getattr(op, op.positional)))
    stride = getattr(op, "stride", None) or (k if hasattr(op, "stride") else 1)  # a window's own step is its size
    if _value(stride).strip("1×"):
        said.append("/" + _value(stride))
    rest = (n for n in given if n not in {*_UNSAID, "k", "stride", op.positional})
    said += [f"{name} {_value(given[name])}" for name in rest]
    return ", ".join(said)


def call(op: Layer) -> str:
    """A layer in the language, its defaults left out: `conv(64, k=7, stride=2)`."""
    words = [
        _literal(value) if name == op.positional else f"{name}={_literal(value)}"
        for name, value in sorted(_given(op).items(), key=lambda pair: pair[0] != op.positional)
    ]
    return f"{op.kind}({', '.join(words)})" if words else op.kind


def _given(op: Layer) -> dict[str, object]:
    """The arguments that differ from the defaults, in the order of the fields."""
    fields = type(op).model_fields
    return {n: getattr(op, n) for n, f in fields.items() if f.is_required() or getattr(op, n) != f.default}


def _sides(k: object, rank: int) -> str:
    sides = cast(tuple[object, ...], k) if isinstance(k, tuple) else (k,) * max(rank, 1)
    return "×".join(str(side) for side in sides)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(_value(v) for v in cast(tuple[object, ...], value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(v) for v in cast(tuple[object, ...], value))}]"
    return str(value)


def shape(x: TensorType) -> str:
    """One example's shape: `64×56×56`, `64×(H-2)×W`."""
    return "×".join(map(factor, x.dims[1:]))


def printable(text: str) -> str:
    """A stranger's text without what XML forbids, what drives a terminal, or what turns the writing round."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


def counted(number: int, noun: str) -> str:
    """A number and what is counted: `1 layer`, `4,320 parameters`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(text: str, most: int = 48) -> str:
    """A text that fits a box: its middle left out where it is long."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 + 1 :]}"


def width(text: str, size: float, *, bold: bool = False) -> int:
    """How many pixels a text takes in Helvetica, and so in Arial and Liberation Sans, at a size in pixels."""
    total = sum(_WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else _OTHERS.get(c, 1000) for c in text)
    return round(total * size / 1000 * (1.14 if bold else 1.06)) + 1


# Adobe's metrics of Helvetica for the characters 32 to 126, in thousandths of the size.
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_OTHERS = {"×": 584, "…": 1000, "–": 556, "·": 278}
