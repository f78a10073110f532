"""What layers with weights, or with a second value's sides, refuse: a table as in test_ops_refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from netc.op import Reject
from netc.ops import find
from netc.tensor import LARGEST, Side, Size, Symbol, TensorType
from tests.one_layer import image, layer

H, W = Size.of(Symbol("H")), Size.of(Symbol("W"))
BIG = 2**31 - 1

Call = tuple[str, dict[str, Any], tuple[TensorType, ...]]
Refusal = tuple[Call, tuple[str, str | int | None, str, str]]

REFUSED: list[Refusal] = [
    # (kind, arguments, what enters), (code, argument or operand, message, help)
    (
        ("depthwise", {"k": 3}, (image(400),)),
        ("N201", None, "`depthwise` needs an image, and 400 features enter", "flatten"),
    ),
    (("local", {"c": 8, "k": 3}, (image(400),)), ("N201", None, "`local` needs an image, and 400 features", "fc(8)")),
    (("upsample", {"factor": 2}, (image(4),)), ("N201", None, "`upsample` needs an image, and 4 features", "flatten")),
    (("crop", {}, (image(4), image(4, 2, 2))), ("N201", None, "`crop` needs an image, and 4 features", "slice")),
    # 6 = 2 * 3: 3 and 6 are nearest to 4 and 5
    (("gn", {"groups": 4}, (image(6, 8, 8),)), ("N202", "groups", "4 groups do not divide 6 channels", "gn(3)")),
    (("gn", {"groups": 32}, (image(48),)), ("N202", "groups", "32 groups do not divide 48 channels", "gn(24)")),
    (
        ("depthwise", {"k": 5, "pad": 1}, (image(8, 2, 9),)),
        ("N203", "k", "a 5x5 kernel does not fit in a 2x9 image with pad 1", "pad=[2, 0]"),
    ),
    (
        ("local", {"c": 8, "k": 5}, (image(8, 3, 3),)),
        ("N203", "k", "a 5x5 kernel does not fit in a 3x3 image with pad 0", "pad=1"),
    ),
    (
        ("depthwise", {"k": 3, "stride": (1, 2, 1)}, (image(8, 9, 9),)),
        ("N204", "stride", "`stride` has 3 numbers, but the image has 2 sides", "stride=1"),
    ),
    (
        ("local", {"c": 8, "k": (3, 3)}, (image(8, 9),)),
        ("N204", "k", "`k` has 2 numbers, but the image has one side", "k=3"),
    ),
    (
        ("upsample", {"factor": (2, 2)}, (image(8, 9, 9, 9),)),
        ("N204", "factor", "`factor` has 2 numbers, but the image has 3 sides", "factor=2"),
    ),
    (
        ("crop", {"offset": (1, 2)}, (image(8, 9), image(8, 3))),
        ("N204", "offset", "`offset` has 2 numbers, but the image has one side", "offset=1"),
    ),
    (
        ("depthwise", {"k": 1, "mult": BIG}, (image(2, 4, 4),)),
        ("N205", "mult", f"{2 * BIG}x4x4, and a size goes up to {LARGEST}", "smaller"),
    ),
    (
        ("local", {"c": 1, "k": 1, "pad": BIG}, (image(1, 1),)),
        ("N205", "pad", f"1x{2 * BIG + 1}, and a size goes up to {LARGEST}", "pad less"),
    ),
    (
        ("upsample", {"factor": BIG}, (image(1, 2),)),
        ("N205", "factor", f"1x{2 * BIG}, and a size goes up to {LARGEST}", "smaller"),
    ),
    (("depthwise", {"k": 4, "pad": "half"}, (image(8, 9),)), ("N207", "pad", "`pad=half` needs an odd kernel", "k=5")),
    (
        ("local", {"c": 1, "k": 2, "pad": "half"}, (image(8, 9),)),
        ("N207", "pad", "`pad=half` needs an odd kernel", "k=3"),
    ),
    (
        ("depthwise", {"k": 3, "pad": "same_upper"}, (image(8, H, 4),)),
        ("N208", "pad", "H of 8xHx4 is known only when the net runs", "pad=half"),
    ),
    (
        ("local", {"c": 8, "k": 3}, (image(3, 9, W),)),
        ("N221", None, "`local` has weights for each position, and 3x9xW has a size known only", "conv(8, ...)"),
    ),
    (
        ("ln", {"over": "all"}, (image(3, H, W),)),
        ("N221", "over", "`ln(over=all)` has a weight for each element, and 3xHxW has a size known", "the 3 channels"),
    ),
    (("ln", {}, (image(1, 28, 28),)), ("N222", None, "`ln` over the one number of 1x28x28 gives 0", "take it out")),
    (("ln", {"over": "all"}, (image(1, 1, 1),)), ("N222", None, "the one number of 1x1x1", "take it out")),
    # the largest divisor of 12 below 12
    (
        ("gn", {"groups": 12}, (image(12, 1, 1),)),
        ("N222", "groups", "12 groups of 12x1x1 are single numbers", "the most is gn(6)"),
    ),
    (("gn", {"groups": 1}, (image(1),)), ("N222", "groups", "1 groups of 1 are single numbers", "take it out")),
    (("upsample", {}, (image(4, 3, 3),)), ("N121", None, "`upsample` needs a factor, or a value", "like=...")),
    (("crop", {}, (image(4, 3, 3),)), ("N121", None, "`crop` needs `like`", "add like=...")),
    (
        ("upsample", {"factor": 2, "corners": True}, (image(4, 3, 3),)),
        ("N122", "corners", "`corners` is about `mode=bilinear`, and the mode is nearest", "mode=bilinear"),
    ),
    (
        ("upsample", {"factor": 2}, (image(4, 3, 3), image(4, 6, 6))),
        ("N124", "factor", "`upsample` takes a factor or `like`, and both are here", "take one of them out"),
    ),
    # FCN-8s (arXiv:1411.4038): 576 + 31 = 607
    (
        ("crop", {"offset": 31}, (image(21, 600, 700), image(3, 576, 576))),
        ("N223", "offset", "cuts 576x576 out of 600x700 from 31 on, and 576 + 31 is more than 600", "offset=[24, 31]"),
    ),
    (
        ("crop", {}, (image(4, 6, 6), image(4, 8, 6))),
        ("N223", "like", "`crop` cuts 8x6 out of 6x6, and 8 is more than 6", "crop it instead"),
    ),
    # 2 ((1 + 1) // 2) = 2
    (
        ("crop", {}, (image(4, H, W), image(4, (H + 1) // 2 * 2, W))),
        ("N223", "like", "xW out of HxW, and 2 is more than 1 at H=1", '`require H % 2 == 0, "why"` is enough'),
    ),
    # 8 + 2 > 9; the least height is 10
    (
        ("crop", {"offset": (2, 0)}, (image(4, H, W), image(4, 8, W))),
        ("N223", "offset", "8xW out of HxW from [2, 0] on, and 8 + 2 is more than 1 at H=1", "`require H >= 10, "),
    ),
    (
        ("crop", {}, (image(4, 224, 224), image(4, H, H))),
        ("N223", "like", "HxH out of 224x224, and 225 is more than 224 at H=225", "`require H <= 224, "),
    ),
    (
        ("crop", {}, (image(4, H, 4), image(4, W, 4))),
        ("N223", "like", "Wx4 out of Hx4, and 2 is more than 1 at W=2, H=1", "sides of the same symbols"),
    ),
    (
        ("crop", {}, (image(4, 8, 8), image(4, 8))),
        ("N308", "like", "`crop` takes the sides of 4x8 (1 sides) for 4x8x8 (2 sides)", "a value of 2 sides"),
    ),
    (
        ("upsample", {}, (image(4, 8), image(4))),
        ("N308", "like", "`upsample` takes the sides of 4 (0 sides) for 4x8 (1 sides)", "a value of 1 side"),
    ),
    (
        ("upsample", {}, (image(4, 8), TensorType(2, 4, (8,)))),
        ("N308", "like", "`upsample` and its `like` need equal batches: N and 2", "the same batch symbol"),
    ),
    (
        ("crop", {}, (image(4, 8), TensorType(2, 4, (8,)))),
        ("N308", "like", "`crop` and its `like` need equal batches: N and 2", "the same batch symbol"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("kind", sorted({kind for (kind, *_), _ in REFUSED}))
def test_a_layers_page_lists_every_code_it_gives_and_no_other(kind: str) -> None:
    cls = find(kind)
    assert cls is not None
    given = {said[0] for call, said in REFUSED if call[0] == kind}
    assert given == set(re.findall(r"N\d{3}", cls.__doc__ or ""))


def _size(name: str, **facts: int) -> Size:
    return Size.of(Symbol(name, **facts))


EDITS: list[tuple[str, dict[str, Any], tuple[TensorType, ...], str]] = [
    # a layer after the help of its refusal was taken at its word, and what leaves
    ("gn", {"groups": 3}, (image(6, 8, 8),), "6x8x8"),
    ("gn", {"groups": 6}, (image(12, 1, 1),), "12x1x1"),
    ("depthwise", {"k": 5, "pad": (2, 0)}, (image(8, 2, 9),), "8x2x5"),
    ("ln", {}, (image(3, H, W),), "3xHxW"),
    ("crop", {"offset": (24, 31)}, (image(21, 600, 700), image(3, 576, 576)), "21x576x576"),
    (
        "crop",
        {},
        (image(4, _size("H", divisor=2), W), image(4, (_size("H", divisor=2) + 1) // 2 * 2, W)),
        "4xHxW",
    ),
    ("crop", {"offset": (2, 0)}, (image(4, _size("H", low=10), W), image(4, 8, W)), "4x8xW"),
    ("crop", {}, (image(4, 224, 224), image(4, _size("H", high=224), _size("H", high=224))), "4xHxH"),
]


@pytest.mark.parametrize(("kind", "fields", "xs", "shape"), EDITS)
def test_the_edit_in_the_help_works(kind: str, fields: dict[str, Any], xs: tuple[TensorType, ...], shape: str) -> None:
    assert layer(kind, **fields).infer(*xs).shape == shape


@pytest.mark.parametrize("fact", [{"low": 9}, {"divisor": 3}])
def test_a_promise_weaker_than_the_help_says_is_not_enough(fact: dict[str, int]) -> None:
    height = _size("H", **fact)
    with pytest.raises(Reject, match="`crop` cuts 8xW out of HxW"):
        layer("crop", offset=(2, 0)).infer(image(4, height, W), image(4, 8, W))


def _unet(height: Side) -> list[tuple[Side, Side]]:
    # U-Net's contracting path (arXiv:1505.04597): twice 3x3 without padding, four times halved; then up again.
    down: list[Side] = []
    for _ in range(4):
        height = height - 4
        down.append(height)
        height = height // 2
    pairs: list[tuple[Side, Side]] = []
    height = height - 4
    for wide in reversed(down):
        height = height * 2
        pairs.append((wide, height))
        height = height - 4
    return pairs


def test_u_nets_crops_are_proved_at_every_size() -> None:
    # At 572: 64 of 56 and so on, the paper's figure 1.
    assert _unet(572) == [(64, 56), (136, 104), (280, 200), (568, 392)]
    for wide, up in _unet(H):
        # With a symbol nothing is rounded the same way twice: floors under floors, whose difference is bounded still.
        assert layer("crop").infer(image(8, wide, wide), image(8, up, up)).sides == (up, up)
    # The offset of the paper's lowest crop is (64 - 56) / 2 = 4, and that of its widest 88: so are they for any size.
    for (wide, up), offset in zip(_unet(H), (4, 16, 40, 88), strict=True):
        layer("crop", offset=offset).infer(image(8, wide), image(8, up))
        with pytest.raises(Reject, match=r"more than \d+ at H="):
            layer("crop", offset=2 * offset + 1).infer(image(8, wide), image(8, up))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("depthwise", {}),  # k is required
        ("depthwise", {"k": 3, "mult": 0}),
        ("depthwise", {"k": 3, "groups": 2}),
        ("depthwise", {"k": 3, "c": 8}),
        ("depthwise", {"k": 3, "init": "nothing"}),
        ("local", {"c": 8}),
        ("local", {"c": 8, "k": 3, "dilation": 2}),
        ("local", {"c": 8, "k": 3, "init": "orthogonal"}),  # of what, when each place has a matrix of its own
        ("ln", {"over": "sides"}),
        ("ln", {"eps": 0}),
        ("gn", {}),
        ("gn", {"groups": 0}),
        ("gn", {"groups": 2, "eps": 2}),
        ("prelu", {"shared": 1}),
        ("scale", {"init": "kaiming"}),
        ("scale", {"flat": "yes"}),
        ("upsample", {"factor": 1.5}),
        ("upsample", {"factor": 0}),
        ("upsample", {"factor": 2, "mode": "bicubic"}),
        ("crop", {"offset": -1}),
        ("crop", {"offset": "centre"}),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        layer(kind, **fields)
