"""What several layers refuse alike: a value that is no image, a size beyond the largest, groups that do not divide."""

from __future__ import annotations

from math import gcd, isqrt

from netc.op import Reject
from netc.tensor import LARGEST, TensorType, low


def image(kind: str, x: TensorType, instead: str) -> TensorType:
    """`x`, which has sides. Raises Reject N201, with `instead` as its help, where it has none."""
    if x.rank == 0:
        raise Reject("N201", f"`{kind}` needs an image, and {x.c} features enter", help=instead)
    return x


def bounded(y: TensorType, *, at: str | None = None, help: str) -> TensorType:
    """`y`, every size of which is within LARGEST. Raises Reject N205 where one is certainly above."""
    if any(low(size) > LARGEST for size in y.dims[1:]):
        raise Reject("N205", f"the result is {y.shape}, and a size goes up to {LARGEST}", at=at, help=help)
    return y


def divides(groups: int, enter: int, leave: int) -> None:
    """Raises Reject N202 where `groups` does not divide both channel counts."""
    if enter % groups == 0 and leave % groups == 0:
        return
    nearest = nearest_divisor(groups, gcd(enter, leave))
    raise Reject(
        "N202",
        f"{groups} groups do not divide {enter} input and {leave} output channels",
        at="groups",
        help=f"the nearest that divides both is groups={nearest}",
    )


def nearest_divisor(wanted: int, of: int) -> int:
    """The divisor of `of` that is nearest to `wanted`, the smaller of two."""
    small = [d for d in range(1, isqrt(of) + 1) if of % d == 0]
    return min([*small, *(of // d for d in small)], key=lambda d: (abs(d - wanted), d))
