"""How the weights of a new net start: the words of `init`, for every layer that has weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field

from netc.op import Float32, Layer, Start
from netc.tensor import TensorType

_WIDEST = 1_000_000
_Drawn: TypeAlias = tuple[Literal["normal", "trunc_normal", "uniform"], float]
"""A distribution around 0 with its width: the standard deviation, or for `uniform` the largest number."""

_FUNCTIONS = {
    # He et al., arXiv:1502.01852, over the fan out as in torchvision's nets
    "kaiming": 'nn.init.kaiming_normal_({0}, mode="fan_out", nonlinearity="relu")',
    "xavier": "nn.init.xavier_uniform_({0})",  # Glorot & Bengio 2010
    "orthogonal": "nn.init.orthogonal_({0})",  # Saxe et al., arXiv:1312.6120
    "zeros": "nn.init.zeros_({0})",
    "ones": "nn.init.ones_({0})",
    "bilinear": "bilinear_({0})",
    "normal": "nn.init.normal_({{0}}, std={})",
    "trunc_normal": "nn.init.trunc_normal_({{0}}, std={})",
    "uniform": "nn.init.uniform_({{0}}, {}, {})",
}

_BILINEAR = '''\
def bilinear_(weight: Tensor) -> None:
    """Fill a transposed convolution's kernel so that each channel is enlarged alone, by linear interpolation."""
    window = torch.ones(())
    for k in weight.shape[2:]:
        row = 1 - (torch.arange(k) - (k - 1) / 2).abs() / ((k + 1) // 2)
        window = window.unsqueeze(-1) * row
    with torch.no_grad():
        weight.zero_()
        for i in range(weight.shape[0]):
            weight[i, i % weight.shape[1]] = window'''


def _drawn(value: object) -> object:
    # A call arrives as its name and its arguments with their names, None where there is none: `normal(0.02)`.
    if not isinstance(value, tuple):
        return value
    if type(cast(object, value)) is not tuple:
        return list(cast("tuple[object, ...]", value))  # the language's own lists are a class of their own: no call
    if not (value and isinstance(value[-1], tuple)):
        return cast("tuple[object, ...]", value)  # read already
    name, args = cast("tuple[str, tuple[tuple[str | None, object], ...]]", value)
    width = "most" if name == "uniform" else "std"
    if len(args) != 1 or args[0][0] not in (None, width):
        raise ValueError(f"`{name}` takes one number, its `{width}`")
    number = args[0][1]
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number <= _WIDEST:
        raise ValueError(f"the `{width}` of `{name}` is a number above 0, at most {_WIDEST}")
    return name, float(number)


_Simple: TypeAlias = Literal["zeros", "ones"] | _Drawn | Float32 | None
_Fan: TypeAlias = Literal["kaiming", "xavier", "orthogonal"] | _Simple

InitialFactor: TypeAlias = Annotated[_Simple, BeforeValidator(_drawn)]
"""`zeros`, `normal(0.02)`, `1e-6`, ...: for a number a channel. None: as torch's own layer starts."""

InitialPlaces: TypeAlias = Annotated[Literal["kaiming", "xavier"] | _Simple, BeforeValidator(_drawn)]
"""`kaiming` and `xavier` too: for weights of each place."""

InitialMatrix: TypeAlias = Annotated[_Fan, BeforeValidator(_drawn)]
"""`kaiming`, `xavier` and `orthogonal` too: for weights from each input to each output."""

InitialKernel: TypeAlias = Annotated[Literal["bilinear"] | _Fan, BeforeValidator(_drawn)]
"""`bilinear` too: for weights with a window."""

INIT: Any = Field(
    default=None,
    description="how the weights of a new net start, the bias then at 0: a word, normal(std), trunc_normal(std), "
    "uniform(most) or a number; where not given, as torch's own layer starts",
)


class Learned(Layer):
    """A layer whose weights can be told how to start; a subclass has the field `init: InitialKernel = INIT` or so."""

    def starts(self, *xs: TensorType) -> Mapping[str, Start]:
        """`init`, for the weight, and zeros for the bias."""
        init: str | tuple[str, float] | float | None = getattr(self, "init", None)
        if init is None:
            return {}
        first, *rest = (name for name, param in self.params(*xs).items() if param.learned)
        return {first: _start(init), **{name: Start(_FUNCTIONS["zeros"]) for name in rest}}


def _start(init: str | tuple[str, float] | float) -> Start:
    if isinstance(init, tuple):
        kind, width = init
        return Start(_FUNCTIONS[kind].format(*((-width, width) if kind == "uniform" else (width,))))
    if isinstance(init, str):
        return Start(_FUNCTIONS[init], _BILINEAR if init == "bilinear" else "")
    return Start(f"nn.init.constant_({{0}}, {float(init)!r})")
