"""Local response normalisation across channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from netc.op import Call, Count, Kept, Layer, OnnxGraph, Operand, Reject, op, size_bytes
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
            torch.nn.LocalResponseNorm do
    """

    n: Count = Field(description="window: how many channels, odd")
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(default=1e-4, description="factor, divided by n")
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(default=0.75, description="exponent")
    k: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(default=1.0, description="added to the sum")

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
        ({"n": 1, "alpha": 0.2}, ((3, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        if self.n % 2 == 0:
            message = f"`lrn({self.n})` has an even window, which has no middle: ONNX Runtime refuses it at load"
            raise Reject("N210", message, at="n", help=f"an odd one: lrn({self.n - 1}) or lrn({self.n + 1})")
        return image("lrn", xs[0], "put it before `flatten`")

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        # The squares with zero channels around them, the divisor, and what is raised to a power for it.
        return Kept(True, False, size_bytes(y.with_(y.c + self.n - 1)) + 2 * size_bytes(y))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.local_response_norm", self.n, alpha=self.alpha, beta=self.beta, k=self.k)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        words = {"size": self.n, "alpha": float(self.alpha), "beta": float(self.beta), "bias": float(self.k)}
        if xs[0].type.rank == 2:
            return g.node("LRN", xs[0], **words)
        # ONNX allows any rank, ONNX Runtime's kernel only two sides: all of them in one, and back.
        flat = g.node("Reshape", xs[0], g.ints([0, 0, 1, -1]))
        return g.node("Reshape", g.node("LRN", flat, **words), g.node("Shape", xs[0]))
