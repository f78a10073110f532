"""Float64 convolutions, done otherwise than torch does them, are torch's."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from netc.backends.verify import float64

CONVS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 9, 7)),
    (nn.Conv2d(6, 6, (2, 5), stride=(2, 3), padding=(0, 2), dilation=(3, 1), groups=6, bias=False), (2, 6, 11, 13)),
    (nn.Conv2d(4, 12, 3, groups=4), (1, 4, 5, 5)),
    (nn.Conv1d(3, 3, 4, stride=2, groups=3), (2, 3, 12)),
    (nn.Conv3d(3, 3, (1, 2, 3), padding=(0, 1, 1), groups=3), (2, 3, 4, 5, 6)),
    (nn.Conv2d(6, 8, 3, padding=1), (2, 6, 9, 7)),
    (nn.Conv2d(6, 8, (5, 3), stride=(2, 1), padding=(2, 0), dilation=(2, 1), groups=2), (3, 6, 19, 7)),
    (nn.Conv1d(3, 5, 4, stride=3), (2, 3, 32)),
    (nn.Conv3d(2, 5, 3, padding=1, bias=False), (1, 2, 7, 5, 6)),
]


@pytest.mark.parametrize(("conv", "shape"), CONVS, ids=lambda each: str(each) if isinstance(each, nn.Module) else "")
@pytest.mark.parametrize("columns", [1, 2000, 2**26])
def test_the_answers_are_torchs(
    conv: nn.Module, shape: tuple[int, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float64, "COLUMNS", columns)
    theirs = deepcopy(conv).double()
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = deepcopy(theirs)
    float64.convolve_wisely(ours)
    with torch.inference_mode():
        expected: Any = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-13)
