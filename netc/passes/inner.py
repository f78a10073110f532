"""Layers that passes make and no spec can name."""

from __future__ import annotations

from typing import ClassVar

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, Param, Weight
from netc.tensor import TensorType

_FLOAT = 1  # ONNX's number for f32


class Shift(Layer):
    """Add a constant to every element: y = x + w, w of the shape of an example.

    Source: ONNX Add-14
    """

    kind: ClassVar[str] = "shift"

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"": Param((xs[0].c, *(side for side in xs[0].sides if isinstance(side, int))))}

    def torch(self, *xs: TensorType) -> Call:
        return Weight(self.params(*xs)[""].shape, "{0} + {weight}")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Add", xs[0], g.param(""))


class Pixels(Layer):
    """The pixels of a picture, `u8` with the channels last, as an image.

    Only the file has the channels last: for a rule, and for torch, an image of `u8` is as any other.

    Source: ONNX Transpose-13, Cast-13
    """

    kind: ClassVar[str] = "pixels"
    single: ClassVar[bool] = True

    def infer(self, *xs: TensorType) -> TensorType:
        return xs[0]._replace(dtype="f32")

    def torch(self, *xs: TensorType) -> Call:
        return Inline("{0}")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Cast", g.node("Transpose", xs[0], perm=[0, 3, 1, 2]), to=_FLOAT)


class Normalise(Layer):
    """What a recipe does to pixels: y_c = (x_c scale - mean_c) / std_c.

    Source: ONNX Mul-14, Sub-14, Div-14
    """

    kind: ClassVar[str] = "normalise"
    single: ClassVar[bool] = True

    scale: float
    mean: tuple[float, ...]
    """One number, or one a channel; `std` alike."""
    std: tuple[float, ...]

    @property
    def hands_on(self) -> bool:
        """Whether it does nothing."""
        return self.subtracts_alone and not any(self.mean)

    @property
    def subtracts_alone(self) -> bool:
        """Whether all it does is to take a mean off."""
        return self.scale == 1 and set(self.std) == {1}

    def torch(self, *xs: TensorType) -> Call:
        numbers = ("mean", self.mean), ("std", self.std)
        mean, std = (f"{{0}}.new_tensor({values!r}).reshape({(-1, 1, 1)})" for _, values in numbers)
        return Inline(f"({{0}} * {self.scale!r} - {mean}) / {std}")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        y: Operand | str = xs[0]
        if self.scale != 1:
            y = g.node("Mul", y, g.floats(self.scale))
        if any(self.mean):
            y = g.node("Sub", y, _channels(g, self.mean))
        if set(self.std) != {1}:
            y = g.node("Div", y, _channels(g, self.std))
        return y if isinstance(y, str) else y.name


class Classes(Layer):
    """The number of the largest channel at each position, `i64`; of equal ones the first.

    A type has channels always, and so one here; the file has none.

    Source: ONNX ArgMax-13
    """

    kind: ClassVar[str] = "classes"

    def infer(self, *xs: TensorType) -> TensorType:
        return xs[0]._replace(c=1, dtype="i64")

    def torch(self, *xs: TensorType) -> Call:
        return Inline("{0}.argmax(1, keepdim=True)")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("ArgMax", xs[0], axis=1, keepdims=0)


def _channels(g: OnnxGraph, values: tuple[float, ...]) -> str:
    # One number a channel stands before the two sides of a picture.
    if len(set(values)) == 1:
        return g.floats(values[0])
    return g.node("Unsqueeze", g.floats(values), g.ints([1, 2]))
