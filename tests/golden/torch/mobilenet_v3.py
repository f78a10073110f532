"""MobileNetV3Small: made by netc from mobilenet_v3.cnn.

sha256 of mobilenet_v3.cnn: 79b665f890426bb7712b8dd551ce06f6e7fdb33ae3ec7683d403396e9761669c
sha256 of squeeze_excite.cnn: d6b8b4f9c61285cfd47ec7a5e252013757e3364ecdbed40be2ac7b0a49970aaa
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Unit(nn.Sequential):
    """(in_channels, H, W) -> (c, H / stride, W / stride), mobilenet_v3.cnn:18."""

    def __init__(self, in_channels: int, c: int, k: int, stride: int, act: type[nn.Module]) -> None:
        super().__init__(
            nn.Conv2d(in_channels, c, k, stride=stride, padding=k // 2, bias=False),
            nn.BatchNorm2d(c, eps=0.001, momentum=0.01),
            act(),
        )


class SqueezeExcite(nn.Module):
    """(in_channels, H, W) -> (in_channels, H, W), squeeze_excite.cnn:8."""

    def __init__(self, in_channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(in_channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(x, 1)
        y = F.relu(self.fc1(y))
        y = F.hardsigmoid(self.fc2(y))
        return x * y


class Body(nn.Sequential):
    """(in_channels, H, W) -> (c, H / stride, W / stride), mobilenet_v3.cnn:21."""

    def __init__(
        self, in_channels: int, k: int, t: int, c: int, act: type[nn.Module], stride: int, squeezed: int | None = None
    ) -> None:
        layers: list[nn.Module] = []
        if t != in_channels:
            layers.append(Unit(in_channels, t, k=1, stride=1, act=act))
        layers.append(
            nn.Sequential(
                nn.Conv2d(t, t, k, stride=stride, padding=k // 2, groups=t, bias=False),
                nn.BatchNorm2d(t, eps=0.001, momentum=0.01),
                act(),
            )
        )
        if squeezed is not None:
            layers.append(SqueezeExcite(t, squeezed))
        layers.append(
            nn.Sequential(
                nn.Conv2d(t, c, 1, bias=False),
                nn.BatchNorm2d(c, eps=0.001, momentum=0.01),
            )
        )
        super().__init__(*layers)


class Bneck(nn.Module):
    """(in_channels, H, W) -> (c, H / stride, W / stride), mobilenet_v3.cnn:34."""

    def __init__(
        self, in_channels: int, k: int, t: int, c: int, act: type[nn.Module], stride: int, squeezed: int | None = None
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == c
        self.block = Body(in_channels, k, t, c, act, stride, squeezed=squeezed)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        if self.residual:
            y = y + x
        return y


class MobileNetV3Small(nn.Module):
    """image (N, 3, 224, 224) -> scores (N, 1000).

    image is (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), rgb.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Unit(3, 16, k=3, stride=2, act=nn.Hardswish),
            Bneck(16, k=3, t=16, c=16, act=nn.ReLU, stride=2, squeezed=8),
            Bneck(16, k=3, t=72, c=24, act=nn.ReLU, stride=2),
            Bneck(24, k=3, t=88, c=24, act=nn.ReLU, stride=1),
            Bneck(24, k=5, t=96, c=40, act=nn.Hardswish, stride=2, squeezed=24),
            Bneck(40, k=5, t=240, c=40, act=nn.Hardswish, stride=1, squeezed=64),
            Bneck(40, k=5, t=240, c=40, act=nn.Hardswish, stride=1, squeezed=64),
            Bneck(40, k=5, t=120, c=48, act=nn.Hardswish, stride=1, squeezed=32),
            Bneck(48, k=5, t=144, c=48, act=nn.Hardswish, stride=1, squeezed=40),
            Bneck(48, k=5, t=288, c=96, act=nn.Hardswish, stride=2, squeezed=72),
            Bneck(96, k=5, t=576, c=96, act=nn.Hardswish, stride=1, squeezed=144),
            Bneck(96, k=5, t=576, c=96, act=nn.Hardswish, stride=1, squeezed=144),
            Unit(96, 576, k=1, stride=1, act=nn.Hardswish),
        )
        self.classifier = nn.Sequential(
            nn.Linear(576, 1024),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(1024, 1000),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        return self.classifier(x)
