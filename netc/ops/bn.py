"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from netc.op import Call, Epsilon, Kept, Module, OnnxGraph, Operand, Param, Working, op
from netc.ops._init import INIT, InitialFactor, Learned
from netc.ops._words import unlike
from netc.tensor import TensorType


@op("bn")
class Bn(Learned):
    """Normalise each channel by the batch's mean and variance (at inference: their running averages), scale and shift.

    Shape:  unchanged; (C) or (C, sides)
    MACs:   0: elementwise, and folded into the convolution before it
    Errors: none of its own
    Source: Ioffe & Szegedy, arXiv:1502.03167; ONNX BatchNormalization-15; torch.nn.BatchNorm1d, 2d, 3d
    """

    eps: Epsilon = Field(default=1e-5, description="added to the variance")
    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="weight of the old running average; torch's momentum weights the new value: 1 - decay"
    )
    init: InitialFactor = INIT

    single = True
    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        "momentum": "frameworks disagree on `momentum`: torch's 0.1 weights the new value, ONNX's 0.9, Keras's 0.99 "
        "and Caffe's 0.999 the old one; write `decay`, the weight of the old one",
        "epsilon": "eps",
        "num_features": "the channels are known from what enters: leave `num_features` out",
        "moving_average_fraction": "decay",
    }
    examples = (
        ({}, ((6, 5, 7),)),
        ({"eps": 0.001, "decay": 0.99}, ((3, 4, 4),)),
        ({}, ((5,),)),
        ({"eps": 0.1}, ((4, 9),)),
        ({"decay": 0}, ((3, 2, 3, 4),)),
    )

    def params(self, *xs: TensorType) -> dict[str, Param]:
        each = (xs[0].c,)
        return {
            "weight": Param(each),
            "bias": Param(each),
            "running_mean": Param(each, learned=False),
            "running_var": Param(each, learned=False),
            "num_batches_tracked": Param((), learned=False, dtype="i64"),
        }

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(True, False, 2 * 4 * y.c)  # the batch's mean and standard deviation

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"parameters": Working("2 d", f"2 * {y.c}")}

    def torch(self, *xs: TensorType) -> Call:
        momentum = round(1 - self.decay, 12)  # 1 - 0.9 is 0.09999999999999998
        words = {**unlike(1e-5, eps=self.eps), **unlike(0.1, momentum=momentum)}
        return Module(f"nn.BatchNorm{max(xs[0].rank, 1)}d", (xs[0].c,), words)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        tensors = (g.param(name) for name in ("weight", "bias", "running_mean", "running_var"))
        return g.node("BatchNormalization", xs[0], *tensors, epsilon=self.eps)
