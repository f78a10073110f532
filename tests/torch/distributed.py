"""A rank of data-parallel training, as a process: `python -m tests.torch.distributed RANK WORLD FILE NET...`.

Two steps of each net under DistributedDataParallel; the second would fail where the first left a parameter unused. The
gradients have to be the mean over ranks of what the bare module computes from each rank's own batch.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from netc.backends.torch import module
from tests.torch.zoo import entering, graph, named

CLOSE = 1e-4
"""The most that a gradient may differ, in its largest element: ranks add in another order."""


def main(rank: int, world: int, file: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    for name in names:
        far = trained(name, rank)
        assert far <= CLOSE, f"{name}: a gradient differs by {far:.1e} of its largest element"
        sys.stdout.write(f"{name} {far:.1e}\n")
    dist.destroy_process_group()


def trained(name: str, rank: int) -> float:
    """How far the parallel module's gradients are from the mean of the bare one's."""
    torch.manual_seed(1)
    bare = module(graph(name))
    parallel = DistributedDataParallel(copy.deepcopy(bare))
    optimizer = torch.optim.SGD(parallel.parameters(), lr=1e-3)
    far = 0.0
    for step in range(2):
        x = tuple(each + 0.1 * rank + step for each in entering(name, "cpu"))
        if step == 0:
            for net in (bare, parallel):
                torch.manual_seed(3 + rank)
                loss(name, net, x).backward()
            for ours, theirs in zip(bare.parameters(), parallel.parameters(), strict=True):
                assert ours.grad is not None
                assert theirs.grad is not None
                dist.all_reduce(ours.grad)
                expected = ours.grad / dist.get_world_size()
                largest = float(expected.abs().max())
                if largest > 0:
                    far = max(far, float((theirs.grad - expected).abs().max()) / largest)
        else:
            optimizer.zero_grad()
            loss(name, parallel, x).backward()
        optimizer.step()
    return far


def loss(name: str, net: nn.Module, x: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Of every output, training heads included."""
    return torch.stack([y.square().mean() for y in named(name, net(*x)).values()]).sum()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
