"""A learned factor a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, OnnxGraph, Operand, Param, Weight, Working, op
from netc.ops._init import INIT, InitialFactor, Learned
from netc.ops._norm import a_channel
from netc.tensor import TensorType


@op("scale")
class Scale(Learned):
    """Multiply each channel by a learned factor, which starts at 1: y_c = w_c x_c.

    Its one tensor has no name of its own: it takes the label as its whole name. `layer_scale: scale(init = 1e-6)` is
    torchvision's ConvNeXt, `gamma: scale(flat = true, init = 1e-6)` timm's.

    Shape:  unchanged; the tensor is (C, 1, 1), one 1 a side, or (C) with flat=true and for features
    MACs:   0: elementwise
    Errors: none of its own
    Source: Touvron et al., arXiv:2103.17239 (LayerScale); ONNX Mul-14; torch.nn.Parameter
    """

    flat: bool = Field(default=False, description="whether the tensor is stored as (C), without the sides' ones")
    init: InitialFactor = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        "init_values": "init",
        "value": "init",
        "layer_scale_init_value": "init",
        "dim": "the channels are known from what enters: leave `dim` out",
        "bias": "it has a factor alone; bn, ln and gn shift as well: leave `bias` out",
    }
    examples = (
        ({}, ((4, 3, 5),)),
        ({"flat": True}, ((4, 3, 5),)),
        ({"init": 1e-6}, ((6,),)),
        ({}, ((3, 7),)),
        ({"flat": True}, ((2, 2, 3, 4),)),
    )

    def _shape(self, x: TensorType) -> tuple[int, ...]:
        return (x.c,) if self.flat else (x.c, *[1] * x.rank)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"": Param(self._shape(xs[0]))}

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"parameters": Working("d", str(y.c))}

    def torch(self, *xs: TensorType) -> Call:
        x = xs[0]
        ones = f".reshape({', '.join(['-1', *['1'] * x.rank])})" if self.flat and x.rank else ""
        return Weight(self._shape(x), f"{{0}} * {{weight}}{ones}")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Mul", xs[0], a_channel(g, "", xs[0].type) if self.flat else g.param(""))
