"""Local response normalisation across channels."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Kept, Layer, OnnxGraph, Operand, PositiveFloat32, Reject, op, size_bytes
from netc.ops._checks import image
from netc.ops._words import call
from netc.tensor import TensorType


@op("lrn", positional="n")
class Lrn(Layer):
    """Divide each element by its neighbours' energy over `n` channels: y = x / (k + alpha / n * sum x^2) ^ beta.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: N201 not an image; N210 an even window
    Source: Krizhevsky et al. 2012, section 3.3, which does not divide alpha by n; Caffe, ONNX LRN-13 and
            torch.nn.LocalResponseNorm do. In ONNX: Mul-14, Conv-11, Sqrt-13 or Pow-15, Div-14
    """

    n: Count = Field(description="window: how many channels, odd")
    alpha: PositiveFloat32 = Field(default=1e-4, description="factor, divided by n")
    beta: PositiveFloat32 = Field(default=0.75, description="exponent")
    k: PositiveFloat32 = Field(default=1.0, description="added to the sum")

    single = True
    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        "size": "n",
        "local_size": "n",
        "depth_radius": "write n=2 * depth_radius + 1",
        "bias": "k",
    }
    examples = (
        ({"n": 5}, ((8, 4, 5),)),
        ({"n": 3, "alpha": 0.5, "beta": 1, "k": 2}, ((4, 3, 3),)),
        ({"n": 7, "alpha": 0.1}, ((3, 6),)),
        ({"n": 3, "alpha": 2, "beta": 0.5}, ((5, 4, 3),)),
        ({"n": 5, "alpha": 0.3, "beta": 0.6}, ((7, 3, 4),)),
        ({"n": 1, "alpha": 0.2}, ((3, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        if self.n % 2 == 0:
            message = (
                f"`lrn({self.n})` has an even window, which has no middle: torch puts one more before it, ONNX behind"
            )
            raise Reject("N210", message, at="n", help=f"an odd one: lrn({self.n - 1}) or lrn({self.n + 1})")
        return image("lrn", xs[0], "put it before `flatten`")

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        # The squares with zero channels around them, the divisor, and what is raised to a power for it.
        return Kept(True, False, size_bytes(y.with_(y.c + self.n - 1)) + 2 * size_bytes(y))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.local_response_norm", self.n, alpha=self.alpha, beta=self.beta, k=self.k)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        # ONNX has this very layer, LRN, and ONNX Runtime runs it on one thread, with a power for each element: in
        # GoogLeNet two of them take two fifths of the time. So the energy is what a convolution with a band of ones
        # sums. The factor goes in before the square, which then does not overflow in float16.
        x, c = xs[0], xs[0].type.c
        kernel = [1] * x.type.rank
        scaled = g.node("Mul", x, g.floats(sqrt(self.alpha / self.n)))
        ones, bias = g.floats(self._band(c), (c, c, *kernel)), g.floats([float(self.k)] * c)
        energy = g.node("Conv", g.node("Mul", scaled, scaled), ones, bias, kernel_shape=kernel)
        return g.node("Div", x, self._power(g, energy))

    def _band(self, c: int) -> list[float]:
        # (c, c), in which row i has ones at the channels of its window.
        found: list[float] = []
        for i in range(c):
            first, last = max(i - self.n // 2, 0), min(i + self.n // 2 + 1, c)
            found += [0.0] * first + [1.0] * (last - first) + [0.0] * (c - last)
        return found

    def _power(self, g: OnnxGraph, energy: str) -> str:
        # Roots take a fraction of the time of a power.
        if self.beta == 1:
            return energy
        if self.beta not in (0.5, 0.75):
            return g.node("Pow", energy, g.floats(float(self.beta)))
        root = g.node("Sqrt", energy)
        return root if self.beta == 0.5 else g.node("Mul", root, g.node("Sqrt", root))
