"""What the layers of shapes refuse: as in test_ops_refuse, whose test of every code reads this table as well."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from netc.op import Reject
from netc.tensor import LARGEST, Size, Symbol, TensorType
from tests.one_layer import image, layer

H, W = Size.of(Symbol("H")), Size.of(Symbol("W"))
UP_TO_4 = Size.of(Symbol("H", high=4))
BIG = 2**31 - 1

Call = tuple[str, dict[str, Any], tuple[TensorType, ...]]
Refusal = tuple[Call, tuple[str, str | int | None, str, str]]

REFUSED: list[Refusal] = [
    # (kind, arguments, what enters), (code, argument or operand, message, help)
    (("gmp", {}, (image(400),)), ("N201", None, "`gmp` needs an image, and 400 features enter", "leave it out")),
    (("pad", {"pad": 1}, (image(400),)), ("N201", None, "`pad` needs an image, and 400 features enter", "flatten")),
    # 12 = 2 * 2 * 3: 4 and 6 are as near to 5
    (
        ("channel_shuffle", {"groups": 5}, (image(12, 4, 4),)),
        ("N202", "groups", "5 groups do not divide 12 channels", "the nearest that divides them is 4"),
    ),
    (
        ("channel_shuffle", {"groups": 8}, (image(7),)),
        ("N202", "groups", "8 groups do not divide 7 channels", "the nearest that divides them is 7"),
    ),
    (
        ("pad", {"pad": (1, 2, 3)}, (image(8, 9, 9),)),
        ("N204", "pad", "`pad` has 3 numbers, but the image has 2 sides", "pad=1"),
    ),
    (
        ("pad", {"pad": BIG}, (image(1, 1),)),
        ("N205", "pad", f"the result is 1x{2 * BIG + 1}, and a size goes up to {LARGEST}", "pad less"),
    ),
    (
        ("fc", {"c": 10}, (image(16, H, 5),)),
        ("N209", None, "`fc` needs a fixed number of features, and 16xHx5", "gap -> flatten -> fc(10)"),
    ),
    (
        ("flatten", {"order": "hwc"}, (image(16, 5, W),)),
        ("N209", None, "`flatten` needs a fixed size, and 16x5xW", "gap -> flatten has 16 features"),
    ),
    (
        ("reshape", {"shape": (8, 4)}, (image(16, 2, W),)),
        ("N209", None, "`reshape` needs a fixed size, and 16x2xW has one known only when the net runs", "as numbers"),
    ),
    (
        ("slice", {"start": 3}, (image(3, 8, 8),)),
        ("N215", "start", "`slice` starts at channel 3, and 3 enter, numbered from 0", "start=2"),
    ),
    (
        ("slice", {"start": 1, "stop": 65}, (image(64, H, W),)),
        ("N215", "stop", "`slice` stops at channel 65, and 64 enter", "stop=64"),
    ),
    (
        ("slice", {"start": 8, "stop": 8}, (image(64),)),
        ("N215", "stop", "`slice` from 8 up to 8 keeps no channel", "stop=9"),
    ),
    # a side of 4 has 3 pixels beside its border
    (
        ("pad", {"pad": 4, "mode": "reflect"}, (image(8, 9, 4),)),
        ("N216", "pad", "pad 4 reflects 4 pixels, and a side of 4 has 3 beside its border", "mode=replicate"),
    ),
    (
        ("pad", {"pad": (0, 1), "mode": "reflect"}, (image(8, 9, 1),)),
        ("N216", "pad", "pad [0, 1] reflects 1 pixels, and a side of 1 has none beside its border", "mode=replicate"),
    ),
    (
        ("pad", {"pad": 4, "mode": "reflect"}, (image(8, UP_TO_4),)),
        ("N216", "pad", "pad 4 reflects 4 pixels, and a side of H has 3 beside its border", "mode=replicate"),
    ),
    # floor(H / 2) >= 4 from H = 8 on
    (
        ("pad", {"pad": (0, 3, 1, 1), "mode": "reflect"}, (image(8, H // 2, W),)),
        (
            "N216",
            "pad",
            "pad [0, 3, 1, 1] reflects 3 pixels, and a side of H//2 may have fewer",
            "require H >= 8 and W >= 2",
        ),
    ),
    # two symbols: no one bound is the answer
    (
        ("pad", {"pad": 2, "mode": "reflect"}, (image(8, H + W - 1),)),
        ("N216", "pad", "pad 2 reflects 2 pixels, and a side of H+W-1 may have fewer", "mode=replicate takes any"),
    ),
    # 4 * 3 * 5 = 60; 60 / (3 * 7) is no whole number, 60 / (2 * 3) = 10
    (
        ("reshape", {"shape": (2, 3, 7)}, (image(4, 3, 5),)),
        ("N217", "shape", "`reshape([2, 3, 7])` has 42 elements, and 4x3x5 has 60", "reshape([2, 3, 10])"),
    ),
    (
        ("reshape", {"shape": (7, 7)}, (image(60),)),
        ("N217", "shape", "`reshape([7, 7])` has 49 elements, and 60 has 60", "reshape([60])"),
    ),
]


EDITS: list[tuple[str, dict[str, Any], TensorType, dict[str, Any], str]] = [
    # a refusal, its help taken at its word, and what leaves then
    ("channel_shuffle", {"groups": 5}, image(12, 4, 4), {"groups": 4}, "12x4x4"),
    ("slice", {"start": 3}, image(3, 8, 8), {"start": 2}, "1x8x8"),
    ("slice", {"start": 1, "stop": 65}, image(64, H), {"stop": 64}, "63xH"),
    ("slice", {"start": 8, "stop": 8}, image(64), {"stop": 9}, "1"),
    ("pad", {"pad": 4, "mode": "reflect"}, image(8, 9, 4), {"mode": "replicate"}, "8x17x12"),
    ("pad", {"pad": 2, "mode": "reflect"}, image(8, H + W - 1), {"mode": "replicate"}, "8x(H+W+3)"),
    ("reshape", {"shape": (2, 3, 7)}, image(4, 3, 5), {"shape": (2, 3, 10)}, "2x3x10"),
    ("reshape", {"shape": (7, 7)}, image(60), {"shape": (60,)}, "60"),
]


@pytest.mark.parametrize(("low", "fits"), [(7, False), (8, True)])
def test_the_bound_that_the_help_asks_for_is_the_least_that_is_enough(low: int, fits: bool) -> None:
    # floor(7 / 2) = 3 pixels have 2 beside their border, floor(8 / 2) = 4 have 3.
    op, x = layer("pad", pad=3, mode="reflect"), image(8, Size.of(Symbol("H", low=low)) // 2)
    if fits:
        assert op.infer(x).shape == "8x(H//2+6)"
    else:
        with pytest.raises(Reject, match="a side of H//2 may have fewer"):
            op.infer(x)


@pytest.mark.parametrize(("divisor", "bound"), [(1, 5), (4, 8), (3, 6)])
def test_the_bound_is_one_that_the_divisor_admits(divisor: int, bound: int) -> None:
    with pytest.raises(Reject) as caught:
        layer("pad", pad=4, mode="reflect").infer(image(8, Size.of(Symbol("H", divisor))))
    assert f"require H >= {bound}," in caught.value.help


def test_zeros_and_borders_pad_an_image_of_any_size() -> None:
    for mode in ("zeros", "replicate"):
        assert layer("pad", pad=9, mode=mode).infer(image(3, H, 1)).shape == "3x(H+18)x19"


def test_fc_with_each_takes_any_image() -> None:
    assert layer("fc", c=5, each=True).infer(image(3, H, W)).shape == "5xHxW"
    assert layer("fc", c=5, each=True).infer(image(3)).shape == "5"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("leaky_relu", {"slope": float("nan")}),
        ("leaky_relu", {"negative_slope": 0.1}),
        ("elu", {"alpha": 0}),
        ("elu", {"alpha": float("inf")}),
        ("gelu", {"approximate": "sigmoid"}),
        ("gelu", {"approximate": True}),
        ("drop_path", {}),  # p is required
        ("drop_path", {"p": 1}),
        ("drop_path", {"p": -0.1}),
        ("l2norm", {"eps": 0}),
        ("l2norm", {"p": 1}),
        ("channel_shuffle", {}),
        ("channel_shuffle", {"groups": 0}),
        ("slice", {"start": -1}),
        ("slice", {"stop": 0}),
        ("slice", {"stop": -1}),
        ("slice", {"step": 2}),
        ("pad", {}),
        ("pad", {"pad": -1}),
        ("pad", {"pad": "half"}),
        ("pad", {"pad": ()}),
        ("pad", {"pad": 1, "mode": "circular"}),
        ("pad", {"pad": 1, "value": 1.0}),
        ("reshape", {}),
        ("reshape", {"shape": ()}),
        ("reshape", {"shape": 12}),
        ("reshape", {"shape": (-1, 4)}),
        ("reshape", {"shape": (1, 1, 1, 1, 1)}),
        ("flatten", {"order": "whd"}),
        ("fc", {"c": 3, "each": 1}),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        layer(kind, **fields)
