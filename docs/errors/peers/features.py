import torch
from torch import nn

net = nn.Sequential(
    nn.Conv2d(1, 6, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16 * 5 * 5, 120),  # LeNet-5's 400 features are those of a 32x32 picture
    nn.ReLU(),
    nn.Linear(120, 10),
)
net(torch.zeros(1, 1, 28, 28))
