"""UNet2015: made by netc from unet.cnn.

sha256 of unet.cnn: 45654f7c0934ab854c0d8d55506ec0a5cf6b8feb39511845c08f13828958dfed
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Valid(nn.Module):
    """(in_channels, H, W) -> (c, H', W'), unet.cnn:41."""

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, c, 3)
        self.conv2 = nn.Conv2d(c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        return F.relu(self.conv2(x))


class Up(nn.Module):
    """(below_channels, H, W), (c, H, W) -> (c, H', W'), unet.cnn:44."""

    def __init__(self, below_channels: int, c: int, offset: int) -> None:
        super().__init__()
        self.offset = offset
        self.up = nn.ConvTranspose2d(below_channels, c, 2, stride=2)
        self.conv1 = nn.Conv2d(below_channels, c, 3)
        self.conv2 = nn.Conv2d(c, c, 3)

    def forward(self, below: Tensor, side: Tensor) -> Tensor:
        up = self.up(below)
        crop = side[:, :, self.offset : self.offset + up.shape[2], self.offset : self.offset + up.shape[3]]
        x = torch.cat((crop, up), dim=1)
        x = F.relu(self.conv1(x))
        return F.relu(self.conv2(x))


class UNet2015(nn.Module):
    """image (N, 1, 572, 572) -> mask (N, 2, 388, 388).

    image is pixel / 255, gray.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enc1 = Valid(1, 64)
        self.enc2 = Valid(64, 128)
        self.enc3 = Valid(128, 256)
        self.enc4 = Valid(256, 512)
        self.middle = Valid(512, 1024)
        self.dec4 = Up(1024, 512, offset=4)
        self.dec3 = Up(512, 256, offset=16)
        self.dec2 = Up(256, 128, offset=40)
        self.dec1 = Up(128, 64, offset=88)
        self.head = nn.Conv2d(64, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        enc1 = self.enc1(image)
        x = F.max_pool2d(enc1, 2)
        enc2 = self.enc2(x)
        x = F.max_pool2d(enc2, 2)
        enc3 = self.enc3(x)
        x = F.max_pool2d(enc3, 2)
        enc4 = self.enc4(x)
        x = F.max_pool2d(enc4, 2)
        x = F.dropout(x, 0.5, self.training)
        middle = self.middle(x)
        dec4 = self.dec4(middle, enc4)
        dec3 = self.dec3(dec4, enc3)
        dec2 = self.dec2(dec3, enc2)
        x = self.dec1(dec2, enc1)
        return self.head(x)
