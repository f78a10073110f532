import torch
from torch import nn

# AlexNet's first layers, on pictures of CIFAR's size.
net = nn.Sequential(
    nn.Conv2d(3, 64, 11, stride=4, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(3, stride=2),
    nn.Conv2d(64, 192, 5, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(3, stride=2),
    nn.Conv2d(192, 384, 3),
    nn.ReLU(),
)
net(torch.zeros(1, 3, 32, 32))
