"""Convolutions in float64 that torch would do slowly or in too much memory; the others stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import nn

Conv: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
COLUMNS = 2**26  # elements that torch may unfold at once: 512 MiB


def convolve_wisely(network: nn.Module) -> None:
    """Change a float64 network's convolutions in place; what they compute stays the same but for the last bits.

    torch unfolds an image before it convolves in float64, and has no kernel for a depthwise convolution: it does a
    channel at a time. Here a depthwise convolution is a sum over its kernel's places, and a large one is done by slabs.
    """
    for module in network.modules():
        if isinstance(module, Conv) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            depthwise = module.groups == module.in_channels > 1
            cast(Any, module).forward = _depthwise(module) if depthwise else _by_slabs(module)


def _depthwise(conv: Conv) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, bias = conv.weight, conv.bias
    times = conv.out_channels // conv.in_channels
    rank = weight.dim() - 2
    ones = (1, -1, *[1] * rank)

    def forward(x: torch.Tensor) -> torch.Tensor:
        x = _padded(conv, x)
        if times > 1:
            x = x.repeat_interleave(times, 1)
        sides = _sides(conv, x.shape[2:])
        y = x.new_zeros(len(x), conv.out_channels, *sides)
        if bias is not None:
            y += bias.view(ones)
        for place in product(*map(range, conv.kernel_size)):
            read = [
                slice(k * dilation, k * dilation + (side - 1) * stride + 1, stride)
                for k, dilation, side, stride in zip(place, conv.dilation, sides, conv.stride, strict=True)
            ]
            y.addcmul_(x[(..., *read)], weight[(slice(None), 0, *place)].view(ones))
        return y

    return forward


def _by_slabs(conv: Conv) -> Callable[[torch.Tensor], torch.Tensor]:
    function = cast(Any, {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[conv.weight.dim() - 2])

    def run(x: torch.Tensor, padding: tuple[int, ...]) -> torch.Tensor:
        return function(x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)

    def forward(x: torch.Tensor) -> torch.Tensor:
        padding = cast("tuple[int, ...]", conv.padding)
        sides = _sides(conv, [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)])
        row = len(x) * conv.in_channels * prod(conv.kernel_size) * prod(sides[1:])
        rows = max(1, COLUMNS // row)
        if rows >= sides[0]:
            return run(x, padding)
        x, none = _padded(conv, x), (0,) * len(sides)
        step, reach = conv.stride[0], conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
        slabs = ((start, min(start + rows, sides[0])) for start in range(0, sides[0], rows))
        return torch.cat([run(x[:, :, a * step : (b - 1) * step + reach], none) for a, b in slabs], 2)

    return forward


def _padded(conv: Conv, x: torch.Tensor) -> torch.Tensor:
    # F.pad's last side is first.
    ends = [end for each in reversed(cast("tuple[int, ...]", conv.padding)) for end in (each, each)]
    return F.pad(x, ends) if any(ends) else x


def _sides(conv: Conv, padded: Sequence[int]) -> list[int]:
    sides = zip(padded, conv.kernel_size, conv.stride, conv.dilation, strict=True)
    return [(n - dilation * (k - 1) - 1) // stride + 1 for n, k, stride, dilation in sides]
