"""LeNet5: made by netc from lenet5.cnn.

sha256 of lenet5.cnn: 6bcb0432c8187360223fbbad825990891d94096c14b755c2ec835e3757f5361b
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet5(nn.Module):
    """image (N, 1, 28, 28) -> digit (N, 10).

    image is (pixel / 255 - 0.1307) / 0.3081, gray.
    """

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5, padding=2)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c5 = nn.Linear(400, 120)
        self.f6 = nn.Linear(120, 84)
        self.out = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.tanh(self.c1(image))
        x = F.avg_pool2d(x, 2)
        x = torch.tanh(self.c3(x))
        x = F.avg_pool2d(x, 2)
        x = torch.flatten(x, 1)
        x = torch.tanh(self.c5(x))
        x = torch.tanh(self.f6(x))
        return self.out(x)
