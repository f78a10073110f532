"""GoogLeNet: made by netc from googlenet.cnn.

sha256 of googlenet.cnn: b3eaed00e7616ca47c9bad77a8f60dcdaffbe77c7fb0c0dd3c9e2274e5214489
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Unit(nn.Module):
    """(in_channels, H, W) -> (c, H / stride, W / stride), googlenet.cnn:4."""

    def __init__(self, in_channels: int, c: int, k: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, c, k, stride=stride, padding=k // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Mixed(nn.Module):
    """(in_channels, H, W) -> (n1 + n3 + n5 + np, H, W), googlenet.cnn:6."""

    def __init__(self, in_channels: int, n1: int, r3: int, n3: int, r5: int, n5: int, np: int) -> None:
        super().__init__()
        self.b1 = Unit(in_channels, n1, k=1)
        self.b3_reduce = Unit(in_channels, r3, k=1)
        self.b3 = Unit(r3, n3, k=3)
        self.b5_reduce = Unit(in_channels, r5, k=1)
        self.b5 = Unit(r5, n5, k=5)
        self.pool_proj = Unit(in_channels, np, k=1)

    def forward(self, x: Tensor) -> Tensor:
        b1 = self.b1(x)
        b3 = self.b3(self.b3_reduce(x))
        b5 = self.b5(self.b5_reduce(x))
        x = F.max_pool2d(x, 3, stride=1, padding=1)
        pool_proj = self.pool_proj(x)
        return torch.cat((b1, b3, b5, pool_proj), dim=1)


class AuxHead(nn.Module):
    """(in_channels, H, W) -> (1000), googlenet.cnn:15."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.proj = Unit(in_channels, 128, k=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, stride=3, ceil_mode=True)
        x = self.proj(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, 0.7, self.training)
        return self.fc2(x)


class GoogLeNet(nn.Module):
    """image (N, 3, 224, 224) -> scores (N, 1000), aux_scores (N, 1000), mid_scores (N, 1000).

    In evaluation mode without aux_scores and mid_scores, which only training has.
    image is pixel - (104, 117, 123), bgr.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Unit(3, 64, k=7, stride=2)
        self.conv2_reduce = Unit(64, 64, k=1)
        self.conv2 = Unit(64, 192, k=3)
        self.i3a = Mixed(192, 64, 96, 128, 16, 32, 32)
        self.i3b = Mixed(256, 128, 128, 192, 32, 96, 64)
        self.i4a = Mixed(480, 192, 96, 208, 16, 48, 64)
        self.i4b = Mixed(512, 160, 112, 224, 24, 64, 64)
        self.i4c = Mixed(512, 128, 128, 256, 24, 64, 64)
        self.i4d = Mixed(512, 112, 144, 288, 32, 64, 64)
        self.i4e = Mixed(528, 256, 160, 320, 32, 128, 128)
        self.i5a = Mixed(832, 256, 160, 320, 32, 128, 128)
        self.i5b = Mixed(832, 384, 192, 384, 48, 128, 128)
        self.classifier = nn.Linear(1024, 1000)
        self.aux1 = AuxHead(512)
        self.aux2 = AuxHead(528)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.conv1(image)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = F.local_response_norm(x, 5, alpha=0.0001, beta=0.75, k=1.0)
        x = self.conv2_reduce(x)
        x = self.conv2(x)
        x = F.local_response_norm(x, 5, alpha=0.0001, beta=0.75, k=1.0)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = self.i3a(x)
        x = self.i3b(x)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        i4a = self.i4a(x)
        x = self.i4b(i4a)
        x = self.i4c(x)
        i4d = self.i4d(x)
        x = self.i4e(i4d)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = self.i5a(x)
        x = self.i5b(x)
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        x = F.dropout(x, 0.4, self.training)
        scores = self.classifier(x)
        if not self.training:
            return scores
        aux_scores = self.aux1(i4a)
        mid_scores = self.aux2(i4d)
        return {"scores": scores, "aux_scores": aux_scores, "mid_scores": mid_scores}
