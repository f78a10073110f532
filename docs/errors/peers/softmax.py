import torch
from torch import nn

net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=1))
loss = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
images, labels = torch.zeros(8, 1, 28, 28), torch.zeros(8, dtype=torch.long)
loss(net(images), labels).backward()
optimizer.step()
