"""ResNet18: made by netc from resnet.cnn.

sha256 of resnet.cnn: 9944764c04b413be7ade6b73a172aeccf46b96360230f1284ccbb7cf5894ca68
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Project(nn.Sequential):
    """(in_channels, H, W) -> (c, H / 2, W / 2), resnet.cnn:16."""

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, c, 1, stride=2, bias=False),
            nn.BatchNorm2d(c),
        )


class Basic(nn.Module):
    """(in_channels, H, W) -> (width, H / stride, W / stride), resnet.cnn:31."""

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = Project(in_channels, width) if stride != 1 or in_channels != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    """image (N, 3, 224, 224) -> scores (N, 1000).

    image is (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), rgb.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(
            Basic(64, 64),
            Basic(64, 64),
        )
        self.layer2 = nn.Sequential(
            Basic(64, 128, stride=2),
            Basic(128, 128),
        )
        self.layer3 = nn.Sequential(
            Basic(128, 256, stride=2),
            Basic(256, 256),
        )
        self.layer4 = nn.Sequential(
            Basic(256, 512, stride=2),
            Basic(512, 512),
        )
        self.fc = nn.Linear(512, 1000)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        return self.fc(x)
