"""EfficientNetB0: made by netc from efficientnet.cnn.

sha256 of efficientnet.cnn: 7522c4f842c239f98c3a6f5df62e9318ad481d99e4daae77318585a69c0b592c
sha256 of squeeze_excite.cnn: d6b8b4f9c61285cfd47ec7a5e252013757e3364ecdbed40be2ac7b0a49970aaa
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stem(nn.Sequential):
    """(3, H, W) -> (32, H / 2, W / 2), efficientnet.cnn:54."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.SiLU(),
        )


class Filter(nn.Sequential):
    """(in_channels, H, W) -> (in_channels, H / stride, W / stride), efficientnet.cnn:23."""

    def __init__(self, in_channels: int, k: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, k, stride=stride, padding=k // 2, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.SiLU(),
        )


class SqueezeExcite(nn.Module):
    """(in_channels, H, W) -> (in_channels, H, W), squeeze_excite.cnn:8."""

    def __init__(self, in_channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(in_channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(x, 1)
        y = F.silu(self.fc1(y))
        y = torch.sigmoid(self.fc2(y))
        return x * y


class Project(nn.Sequential):
    """(in_channels, H, W) -> (c, H, W), efficientnet.cnn:24."""

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, c, 1, bias=False),
            nn.BatchNorm2d(c),
        )


class Unit(nn.Sequential):
    """(in_channels, H, W) -> (c, H, W), efficientnet.cnn:22."""

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, c, 1, bias=False),
            nn.BatchNorm2d(c),
            nn.SiLU(),
        )


class Body(nn.Sequential):
    """(in_channels, H, W) -> (c, H / stride, W / stride), efficientnet.cnn:27."""

    def __init__(self, in_channels: int, t: int, k: int, c: int, stride: int) -> None:
        layers: list[nn.Module] = []
        if t != 1:
            layers.append(Unit(in_channels, t * in_channels))
        layers += [
            Filter(t * in_channels, k, stride),
            SqueezeExcite(t * in_channels, in_channels // 4),
            Project(t * in_channels, c),
        ]
        super().__init__(*layers)


class Mbconv(nn.Module):
    """(in_channels, H, W) -> (c, H / stride, W / stride), efficientnet.cnn:37."""

    def __init__(self, in_channels: int, t: int, k: int, c: int, stride: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.residual = stride == 1 and in_channels == c
        self.block = Body(in_channels, t, k, c, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        if self.residual:
            y = y * F.dropout(y.new_ones(y.shape[0], 1, 1, 1), self.drop, self.training)
            y = y + x
        return y


class Row(nn.Sequential):
    """(in_channels, H, W) -> (c, H / stride, W / stride), efficientnet.cnn:46."""

    def __init__(self, in_channels: int, t: int, k: int, stride: int, c: int, turns: int, drop: float) -> None:
        super().__init__(
            Mbconv(in_channels, t, k, c, stride, drop),
            *(Mbconv(c, t=6, k=k, c=c, stride=1, drop=drop + 0.0125 * (i + 1)) for i in range(turns - 1)),
        )


class EfficientNetB0(nn.Module):
    """image (N, 3, 224, 224) -> scores (N, 1000).

    image is (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), rgb.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Stem(),
            Row(32, t=1, k=3, stride=1, c=16, turns=1, drop=0.0),
            Row(16, t=6, k=3, stride=2, c=24, turns=2, drop=0.0125),
            Row(24, t=6, k=5, stride=2, c=40, turns=2, drop=0.0375),
            Row(40, t=6, k=3, stride=2, c=80, turns=3, drop=0.0625),
            Row(80, t=6, k=5, stride=1, c=112, turns=3, drop=0.1),
            Row(112, t=6, k=5, stride=2, c=192, turns=4, drop=0.1375),
            Row(192, t=6, k=3, stride=1, c=320, turns=1, drop=0.1875),
            Unit(320, 1280),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(1280, 1000),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        return self.classifier(x)
