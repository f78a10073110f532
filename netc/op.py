"""The operation protocol: a layer kind is one Pydantic model whose methods are all there is to know about it.

A layer's fields are its arguments in the language. No op file imports torch or onnx: both back ends are answered with
data.

Annotations are no texts here: Pydantic would evaluate those of `Layer` again for each kind, in half of the time that it
takes to define one.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from netc.tensor import LARGEST, Side, TensorType, at

Count: TypeAlias = Annotated[int, Field(gt=0, le=LARGEST)]
"""A number of channels, units or groups."""


Float32: TypeAlias = Annotated[float, Field(ge=-1e38, le=1e38)]
"""A number that float32 holds."""

PositiveFloat32: TypeAlias = Annotated[float, Field(ge=1e-30, le=1e38)]
"""One above 0 that is no 0 in float32."""

Epsilon: TypeAlias = Annotated[float, Field(ge=1e-30, le=1)]
"""What keeps a division from 0, in float32 too."""


class Reject(Exception):
    """A rule refuses. It names an argument (`at`) or an operand (`operand`, from 0) and never sees a span."""

    def __init__(
        self, code: str, message: str, *, at: str | None = None, operand: int | None = None, help: str = ""
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.at, self.operand, self.help = code, message, at, operand, help


def listed(value: object) -> object:
    """A list as the tuple that strict Pydantic asks for; anything else as it is."""
    # The language's lists arrive as tuples; strict Pydantic takes a tuple for a tuple field and nothing else.
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


Sides: TypeAlias = Annotated[Count | Annotated[tuple[Count, ...], Field(min_length=1)], BeforeValidator(listed)]
"""One number for every side, or one a side: `k=3`, `k=1x7`, `k=[1, 7]`."""


def per_side(value: int | tuple[int, ...], rank: int, at: str) -> tuple[int, ...]:
    """One number a side. Raises Reject N204 where a list's length is not the number of sides."""
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        given = "one number" if len(value) == 1 else f"{len(value)} numbers"
        sides = "one side" if rank == 1 else f"{rank} sides"
        raise Reject(
            "N204",
            f"`{at}` has {given}, but the image has {sides}",
            at=at,
            help=f"write {at}={value[0]}" + (f", or {rank} numbers" if rank > 1 else ""),
        )
    return tuple(value)


Init: TypeAlias = Literal["weight", "bias", "ones", "zeros"]


class Param(NamedTuple):
    """A tensor under a layer's name. `learned` is false for a buffer such as a running mean."""

    shape: tuple[int, ...]
    learned: bool = True
    dtype: Literal["f32", "i64", "f16", "bf16"] = "f32"
    """A half is a file's own: a layer's rule asks for f32 or i64."""

    @property
    def size(self) -> int:
        """How many elements."""
        total = 1
        for side in self.shape:
            total *= side
        return total


Scalar: TypeAlias = int | float | bool | str | None
Argument: TypeAlias = Scalar | tuple[Scalar, ...]


class Module(NamedTuple):
    """A layer with state for the torch back end: `self.NAME = target(*args, **kwargs)`, then `self.NAME(before)`.

    `before` is what the module is called on, an expression over the operand `{0}`: torch's convolutions take the same
    padding on both ends of a side, so an uneven one is `F.pad({0}, (0, 1, 0, 1))`. `after` is an expression over the
    module's result `{0}`. `define` is the source of the class `target`, where torch has none: the file then holds it.
    """

    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = MappingProxyType({})
    before: str = "{0}"
    after: str = "{0}"
    define: str = ""


class Weight(NamedTuple):
    """A layer for the torch back end that is one tensor without a name of its own: `self.NAME = nn.Parameter(...)`.

    The tensor starts as ones. `text` is an expression over the operand `{0}` and the tensor `{weight}`.
    """

    shape: tuple[int, ...]
    text: str


class Inline(NamedTuple):
    """A layer without state for the torch back end: an expression over operands `{0}`, `{1}`, ... and `{training}`.

    It is made of the op's own words and validated numbers only, never of text from a spec. `torch`, `nn`, `F`
    (torch.nn.functional) and `Tensor` are in scope. `define` is the source of a function that it calls: the file then
    holds it.
    """

    text: str
    define: str = ""


Call: TypeAlias = Module | Weight | Inline


class Start(NamedTuple):
    """How a tensor of a new net is filled, for the torch back end: a statement over the tensor `{0}`.

    `define` is the source of the function that the statement calls, where torch has none.
    """

    text: str
    define: str = ""


class Reach(NamedTuple):
    """Which elements of one side of an operand the elements of the result's same side read.

    Element i of the result reads `reads[i]`, for i below the period, which is how many there are; element i + period
    reads `step` elements further on. Padding counts as read.
    """

    reads: tuple[range, ...] = (range(1),)
    step: int = 1


ELEMENT = Reach()
EVERYTHING = Reach((), 0)
NOTHING = Reach((range(0),), 0)

Reaches: TypeAlias = tuple[Reach | None, ...]
"""One a side; None where symbols do not tell."""


class Kept(NamedTuple):
    """What torch keeps for a layer's backward pass: the values that enter, the one that leaves, bytes beside them."""

    inputs: bool
    output: bool
    more: int = 0


class Need(NamedTuple):
    """A size that has to be 1 or more: below, the layer would do what `otherwise` says, and the error is `code`."""

    size: Side
    code: str
    otherwise: str


class Working(NamedTuple):
    """An arithmetic as a lecture writes it: in symbols, and with a layer's numbers; `2 (3 + 1)` is a product."""

    symbols: str
    numbers: str


def size_bytes(x: TensorType) -> int:
    """What a value of f32 takes. The batch and all sides are numbers."""
    total = 4 * at(x.batch, {}) * x.c
    for side in x.sides:
        total *= at(side, {})
    return total


class Operand(NamedTuple):
    """A value in the ONNX graph being built: its name there and its type."""

    name: str
    type: TensorType


Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]


class OnnxGraph(Protocol):
    """What a layer sees of the ONNX builder while it lowers itself; every name it returns is a value's."""

    opset: int

    def node(self, kind: str, *inputs: Operand | str, **attributes: Attribute) -> str:
        """Append a node and return its only output. An empty string skips an optional input."""
        ...

    def param(self, name: str) -> str:
        """The initializer for this layer's tensor `name` (`weight`, `bias`, ...)."""
        ...

    def ints(self, values: Sequence[int]) -> str:
        """A constant 1-D int64 tensor."""
        ...

    def floats(self, values: Sequence[float] | float, shape: Sequence[int] | None = None) -> str:
        """A constant float32 tensor: of the `shape` given, else 1-D, or 0-D for a number."""
        ...


class Layer(BaseModel):
    """The base of every layer kind: elementwise, without weights or cost, until a subclass says more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    kind: ClassVar[str] = ""
    positional: ClassVar[str | None] = None
    """The field that the one positional argument fills."""
    merges: ClassVar[bool] = False
    """Whether the layer takes two values or more; others take exactly one."""
    exactly: ClassVar[int | None] = None
    """For a merge that takes a fixed number of values."""
    values: ClassVar[tuple[str, ...]] = ()
    """Arguments that name a value, such as `like = x`: they enter as further operands, in this order."""
    spreads: ClassVar[bool] = False
    """Whether the layer is short for several, each applied to what enters: no graph has it, only what it stands for."""
    inference_identity: ClassVar[bool] = False
    """Whether the layer hands on what enters, unchanged, when the net is not being trained."""
    saves: ClassVar[tuple[Literal["input", "output"], ...]] = ()
    """What torch keeps for the backward pass: all that enters, what leaves, both or nothing. `kept` may say more."""
    opset: ClassVar[int] = 17
    """The lowest ONNX opset the lowering needs."""
    single: ClassVar[bool] = False
    """Whether a file in half precision computes the layer in f32: its sums or squares need the digits or the reach."""
    foreign: ClassVar[Mapping[str, str]] = {}
    """Argument names that other frameworks use: a field's name (a plain renaming), else the sentence to answer with."""
    examples: ClassVar[Sequence[tuple[Mapping[str, object], Sequence[tuple[int, ...]]]]] = ()
    """`(fields, input shapes without batch)` pairs that the registry's test drives through every path."""

    def infer(self, *xs: TensorType) -> TensorType:
        """The output's type. Raises Reject where the rule refuses."""
        return xs[0]

    def needs(self, *xs: TensorType) -> tuple[Need, ...]:
        """What `infer` refuses at some numbers of what is a symbol, beside a result without a side."""
        return ()

    def spread(self, x: TensorType) -> "tuple[Layer, ...]":
        """Of a layer that `spreads`: those it stands for, one a value. Raises Reject where the rule refuses."""
        return (self,)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        """The tensors under the layer's name, in torch's `state_dict` order."""
        return {}

    def starts(self, *xs: TensorType) -> Mapping[str, Start]:
        """How tensors are filled in a new net, by name; those not named start as torch starts them."""
        return {}

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        """Multiply-accumulates for one example; every side of `y` and `xs` is a number."""
        return 0

    def cost(self, y: TensorType, *xs: TensorType) -> int | None:
        """`macs`, None where they depend on a side that is a symbol: a layer without any has none at every size."""
        return self.macs(y, *xs) if type(self).macs is Layer.macs or all(x.static for x in (y, *xs)) else None

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        """What of each operand's sides an element of the result reads: by default the one in its own place.

        Where a side is not as long as the operand's, the default does not know. Statistics over an image, such as a
        norm's, do not count. Of an operand that gives its size alone: NOTHING.
        """
        return tuple(
            tuple(ELEMENT if x.rank == y.rank and y.sides[i] == side else None for i, side in enumerate(x.sides))
            for x in xs
        )

    def views(self, *xs: TensorType) -> bool:
        """Whether the result has no memory of its own: in torch it is another view of the first operand."""
        return False

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        """What torch keeps for the backward pass, on the CPU; the batch and all sides are numbers."""
        return Kept("input" in self.saves, "output" in self.saves)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        """How `parameters`, `macs`, the channels `c` and the sides (`t`; `h`, `w`; `d`, `h`, `w`) are worked out.

        What is not named is 0, or is handed on as it enters.
        """
        return {}

    def torch(self, *xs: TensorType) -> Call:
        """How torch says it."""
        raise NotImplementedError(type(self).__name__)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        """Append ONNX nodes to `g` and return the name of the output value."""
        raise NotImplementedError(type(self).__name__)


REGISTRY: dict[str, type[Layer]] = {}
"""The layer kinds loaded so far. Ask `netc.ops.find`, which loads a kind's file on first use."""

L = TypeVar("L", bound=type[Layer])


def op(kind: str, positional: str | None = None) -> Callable[[L], L]:
    """Register a layer kind under its name in the language."""

    def register(cls: L) -> L:
        assert kind not in REGISTRY or REGISTRY[kind].__module__ == cls.__module__, f"two files define the layer {kind}"
        cls.kind = kind
        cls.positional = positional
        REGISTRY[kind] = cls
        return cls

    return register
