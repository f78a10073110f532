import torch
from torch import nn

net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(128), nn.ReLU())
net(torch.zeros(1, 3, 32, 32))
