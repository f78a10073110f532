"""The sections `train`, `export` and `expect`: what their keys are and what they may hold."""

# No `from __future__ import annotations`: Pydantic would evaluate every annotation's text, at each start.

from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

Positive: TypeAlias = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class _Made:
    """Marks a field whose value is a model already, validated where its call was read: only its type is looked at."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(get_args(source) or source)


class _Section(BaseModel):
    # Built on first use: a check of a text without a `train` section should not pay for ten validators.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class CrossEntropy(_Section):
    """Minus the sum of y log p over softmax of the logits, the mean over examples and positions."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    weight: Positive = 1.0


class BceWithLogits(_Section):
    """Binary cross entropy of each class's sigmoid, the mean over examples and classes."""

    kind: Literal["bce_with_logits"] = "bce_with_logits"
    weight: Positive = 1.0


Loss: TypeAlias = CrossEntropy | BceWithLogits
LOSSES: dict[str, type[CrossEntropy] | type[BceWithLogits]] = {
    "cross_entropy": CrossEntropy,
    "bce_with_logits": BceWithLogits,
}

Metric: TypeAlias = Literal["accuracy", "mean_iou", "mean_average_precision"]


class Sgd(_Section):
    """torch.optim.SGD: v = momentum * v + gradient; weight -= lr * v."""

    kind: Literal["sgd"] = "sgd"
    lr: Positive
    momentum: Share = 0.0
    weight_decay: NotNegative = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("`nesterov` looks ahead along the momentum; write momentum = 0.9, or take nesterov out")
        return self


class Adam(_Section):
    """torch.optim.Adam."""

    kind: Literal["adam"] = "adam"
    lr: Positive = 0.001
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0


class AdamW(_Section):
    """torch.optim.AdamW: the decay is decoupled from the gradient."""

    kind: Literal["adamw"] = "adamw"
    lr: Positive = 0.001
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.01


Optimizer: TypeAlias = Sgd | Adam | AdamW
OPTIMIZERS: dict[str, type[Sgd] | type[Adam] | type[AdamW]] = {"sgd": Sgd, "adam": Adam, "adamw": AdamW}


class Constant(_Section):
    """The learning rate stays."""

    kind: Literal["constant"] = "constant"


class Cosine(_Section):
    """The learning rate falls along half a cosine from `lr` to 0 over all steps (Loshchilov & Hutter, 1608.03983)."""

    kind: Literal["cosine"] = "cosine"


Schedule: TypeAlias = Constant | Cosine
SCHEDULES: dict[str, type[Constant] | type[Cosine]] = {"constant": Constant, "cosine": Cosine}


class WeightSource(_Section):
    """`weights("torchvision:resnet50/IMAGENET1K_V2")`: where initial weights come from."""

    source: str


class Train(_Section):
    """How a net is trained. `loss` and `metric` go by output, `init` and `lr_scale` by label."""

    loss: dict[str, Annotated[Loss, _Made()]]
    metric: dict[str, tuple[Metric, ...]] = {}
    optimizer: Annotated[Optimizer, _Made()]
    schedule: Annotated[Schedule, _Made()] = Constant.model_construct()
    epochs: Annotated[int, Field(gt=0, le=1_000_000)] = 10
    batch: Annotated[int, Field(gt=0, le=1_000_000)] = 64
    init: dict[str, Annotated[WeightSource, _Made()]] = {}
    lr_scale: dict[str, NotNegative] = {}


def _precision(word: object) -> object:
    # `fp16` and `f16` are the same word to most people.
    return {"fp32": "f32", "fp16": "f16"}.get(word, word) if isinstance(word, str) else word


class Export(_Section):
    """How a net is compiled to ONNX. `dynamic` None: every symbol stays dynamic."""

    opset: Annotated[int, Field(ge=17, le=26)] = 20
    dynamic: tuple[str, ...] | None = None
    precision: Annotated[Literal["f32", "f16", "bf16", "int8"], BeforeValidator(_precision)] = "f32"
    embed: tuple[Literal["preprocess", "labels", "decode"], ...] = ()


class Expect(_Section):
    """Published figures that `netc check` holds a net to.

    `params` counts the deployed net, `params_train` the training heads too.
    """

    params: int | None = None
    params_train: int | None = None
    macs: int | None = None
    at: dict[str, int] = {}
