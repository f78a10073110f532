"""Data-parallel training of the emitted module, on two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.torch.zoo import EVERY, SPECS

RANKS = 2
LIGHT = ("lenet5.cnn:LeNet5", "shufflenet_v2.cnn:ShuffleNetV2_x0_5")
DEEP = ("cifar_resnet.cnn:ResNet1202", "preact_resnet.cnn:PreActResNet1001")
"""Another depth's nets have the same blocks; with small weights a thousand of them amplify what ranks round."""


def parallel(names: list[str], folder: Path) -> None:
    """Train on two ranks. Raises AssertionError with what a rank said."""
    words = [sys.executable, "-m", "tests.torch.distributed"]
    ranks = [
        subprocess.Popen(
            [*words, str(rank), str(RANKS), str(folder / "meet"), *names],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        said = [rank.communicate() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (out, error) in zip(ranks, said, strict=True):
        assert rank.returncode == 0, error[-3000:]
        assert [line.split()[0] for line in out.splitlines()] == names


@pytest.mark.slow
def test_gradients_are_the_mean_over_ranks_and_no_parameter_is_left_out(tmp_path: Path) -> None:
    parallel([*LIGHT], tmp_path)


@pytest.mark.slow
def test_training_heads_are_part_of_it(tmp_path: Path) -> None:
    parallel(["googlenet.cnn:GoogLeNet"], tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("spec", [path.name for path in SPECS])
def test_every_net_of_the_zoo_trains_in_parallel(spec: str, tmp_path: Path) -> None:
    parallel([name for name in EVERY if name.startswith(f"{spec}:") and name not in DEEP], tmp_path)
