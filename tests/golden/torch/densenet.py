"""DenseNet121: made by netc from densenet.cnn.

sha256 of densenet.cnn: 0817fd1ededc28eeda3eb3b4e103cb4485ed9e831cb1fd2cc41f92a17b4cd160
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """(in_channels, H, W) -> (in_channels + 32, H, W), densenet.cnn:15."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 128, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return torch.cat((x, y), dim=1)


class DenseBlock(nn.Sequential):
    """(in_channels, H, W) -> (C', H, W), densenet.cnn:24."""

    def __init__(self, in_channels: int, n: int) -> None:
        super().__init__(OrderedDict((f"denselayer{i + 1}", DenseLayer(in_channels + 32 * i)) for i in range(n)))


class Transition(nn.Module):
    """(in_channels, H, W) -> (in_channels // 2, H / 2, W / 2), densenet.cnn:26."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.relu(self.norm(x)))
        return F.avg_pool2d(x, 2)


class DenseNet121(nn.Module):
    """image (N, 3, 224, 224) -> scores (N, 1000).

    image is (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), rgb.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(64),
                relu=nn.ReLU(),
                maxpool=nn.MaxPool2d(3, stride=2, padding=1),
                denseblock1=DenseBlock(64, n=6),
                transition1=Transition(256),
                denseblock2=DenseBlock(128, n=12),
                transition2=Transition(512),
                denseblock3=DenseBlock(256, n=24),
                transition3=Transition(1024),
                denseblock4=DenseBlock(512, n=16),
                norm5=nn.BatchNorm2d(1024),
            )
        )
        self.classifier = nn.Linear(1024, 1000)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.features(image))
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        return self.classifier(x)
