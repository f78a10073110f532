"""What layers refuse: the code, the argument or operand at fault, both numbers, and an edit that works."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from netc.op import Reject
from netc.ops import find, kinds
from netc.tensor import LARGEST, Size, Symbol, TensorType
from tests.one_layer import image, layer
from tests.test_ops_refuse_shapes import EDITS as EDITS_SHAPES
from tests.test_ops_refuse_shapes import REFUSED as REFUSED_SHAPES
from tests.test_ops_refuse_weighted import REFUSED as REFUSED_WEIGHTED

H, W = Size.of(Symbol("H")), Size.of(Symbol("W"))
H8 = Size.of(Symbol("H", divisor=8, high=64))
BIG = 2**31 - 1

Call = tuple[str, dict[str, Any], tuple[TensorType, ...]]
Refusal = tuple[Call, tuple[str, str | int | None, str, str]]

REFUSED: list[Refusal] = [
    # (kind, arguments, what enters), (code, argument or operand, message, help)
    (
        ("conv", {"c": 8, "k": 3}, (image(400),)),
        ("N201", None, "`conv` needs an image, and 400 features enter", "fc(8)"),
    ),
    (
        ("upconv", {"c": 8, "k": 3}, (image(400),)),
        ("N201", None, "`upconv` needs an image, and 400 features enter", "flatten"),
    ),
    (
        ("maxpool", {"k": 3}, (image(400),)),
        ("N201", None, "`maxpool` needs an image, and 400 features enter", "flatten"),
    ),
    (
        ("avgpool", {"k": 3}, (image(400),)),
        ("N201", None, "`avgpool` needs an image, and 400 features enter", "flatten"),
    ),
    (("gap", {}, (image(400),)), ("N201", None, "`gap` needs an image, and 400 features enter", "leave it out")),
    (("lrn", {"n": 5}, (image(400),)), ("N201", None, "`lrn` needs an image, and 400 features enter", "flatten")),
    (
        ("subsample", {"stride": 2}, (image(400),)),
        ("N201", None, "`subsample` needs an image, and 400 features", "flatten"),
    ),
    (
        ("fc", {"c": 10}, (image(16, 5, 5),)),
        ("N201", None, "`fc` takes features, and an image of 16x5x5 enters", "flatten -> fc(10)"),
    ),
    (
        ("fc", {"c": 10}, (image(16, 5),)),
        ("N201", None, "`fc` takes features, and a signal of 16x5 enters", "flatten -> fc(10)"),
    ),
    # 64 = 2^6 and 96 = 3 * 2^5: 6 divides one of them, 4 and 8 both
    (
        ("conv", {"c": 96, "k": 3, "groups": 6}, (image(64, 8, 8),)),
        ("N202", "groups", "6 groups do not divide 64 input and 96 output channels", "groups=4"),
    ),
    (
        ("upconv", {"c": 7, "k": 3, "groups": 5}, (image(3, 8, 8),)),
        ("N202", "groups", "5 groups do not divide 3 input and 7 output channels", "groups=1"),
    ),
    # the sentence of the house's example; 1 + 2 * 2 = 5
    (
        ("conv", {"c": 8, "k": 5}, (image(8, 1, 1),)),
        ("N203", "k", "a 5x5 kernel does not fit in a 1x1 image with pad 0", "the smallest padding that fits is pad=2"),
    ),
    (
        ("conv", {"c": 8, "k": 11, "pad": (1, 2)}, (image(8, 4, 40),)),
        ("N203", "k", "an 11x11 kernel does not fit in a 4x40 image with pad [1, 2]", "pad=[4, 0]"),
    ),
    # 4 (3 - 1) + 1 = 9
    (
        ("conv", {"c": 8, "k": 3, "dilation": 4}, (image(8, 8),)),
        (
            "N203",
            "k",
            "a length-3 kernel (dilated it spans length-9) does not fit in a length-8 image with pad 0",
            "pad=1",
        ),
    ),
    # at most 64 // 8 = 8
    (
        ("conv", {"c": 8, "k": 11}, (image(8, H8 // 8, 16),)),
        ("N203", "k", "an 11x11 kernel does not fit in a H/8x16 image with pad 0", "pad=[2, 0]"),
    ),
    (
        ("maxpool", {"k": 3}, (image(8, 2, 2),)),
        ("N203", "k", "a 3x3 kernel does not fit in a 2x2 image with pad 0", "pad=1"),
    ),
    (
        ("avgpool", {"k": 8}, (image(8, 7, 7),)),
        ("N203", "k", "an 8x8 kernel does not fit in a 7x7 image with pad 0", "pad=1"),
    ),
    # one side needs 2, and half of 1 is 0: no padding will do
    (
        ("maxpool", {"k": (1, 2), "dilation": (1, 8)}, (image(8, 3, 4),)),
        (
            "N203",
            "k",
            "a 1x2 kernel (dilated it spans 1x9) does not fit in a 3x4 image with pad 0",
            "k=3 with dilation=1",
        ),
    ),
    (
        ("avgpool", {"k": 3, "pad": 1}, (image(8, 2, 4, 4),)),
        ("N203", "k", "a 3x3x3 window is larger than a 2x4x4 image", "the largest window is k=2"),
    ),
    (
        ("conv", {"c": 8, "k": (3, 3, 3)}, (image(8, 9, 9),)),
        ("N204", "k", "`k` has 3 numbers, but the image has 2 sides", "k=3"),
    ),
    (
        ("conv", {"c": 8, "k": 3, "pad": (1, 1, 1)}, (image(8, 9, 9),)),
        ("N204", "pad", "`pad` has 3 numbers, but the image has 2", "pad=1"),
    ),
    (
        ("conv", {"c": 8, "k": 3, "stride": (2, 1)}, (image(8, 9),)),
        ("N204", "stride", "`stride` has 2 numbers, but the image has one", "=2"),
    ),
    (
        ("maxpool", {"k": 3, "pad": (1, 1, 0, 0)}, (image(8, 9, 9),)),
        ("N204", "pad", "`pad` has 4 numbers, but the image has 2", "pad=1"),
    ),
    (
        ("upconv", {"c": 8, "k": 3, "out_pad": (0,)}, (image(8, 9, 9),)),
        ("N204", "out_pad", "`out_pad` has one number, but", "out_pad=0"),
    ),
    (
        ("subsample", {"stride": (2, 2)}, (image(8, 9, 9, 9),)),
        ("N204", "stride", "`stride` has 2 numbers, but the image has 3", "=2"),
    ),
    (
        ("conv", {"c": 1, "k": 1, "pad": BIG}, (image(1, 1, 1),)),
        ("N205", "pad", f"the result is 1x{2 * BIG + 1}x{2 * BIG + 1}, and a size goes up to {LARGEST}", "pad less"),
    ),
    (
        ("upconv", {"c": 1, "k": 1, "stride": BIG}, (image(1, 3),)),
        ("N205", "stride", f"{2 * BIG + 1}, and a size goes up to {BIG}", "smaller"),
    ),
    (
        ("flatten", {}, (image(2**11, 2**10, 2**10),)),
        ("N205", None, f"the result is {2**31}, and a size goes up to {BIG}", "pooling"),
    ),
    (
        ("concat", {}, (image(BIG), image(1))),
        ("N205", None, f"the result is {2**31}, and a size goes up to {BIG}", "fewer channels"),
    ),
    (
        ("maxpool", {"k": 3, "pad": 2}, (image(8, 9, 9),)),
        ("N206", "pad", "pad 2 is more than half of a 3x3 window", "pad=1"),
    ),
    (
        ("avgpool", {"k": (2, 3), "pad": 2}, (image(8, 9, 9),)),
        ("N206", "pad", "pad 2 is more than half of a 2x3 window", "pad=1"),
    ),
    (
        ("maxpool", {"k": 3, "dilation": 2, "pad": "half"}, (image(8, 9),)),
        ("N206", "pad", "pad half, 2 here, is more than half of a length-3", "pad=1"),
    ),
    (
        ("maxpool", {"k": 2, "dilation": 2, "pad": 1}, (image(1, 1),)),
        ("N206", "dilation", "with dilation 2 and pad 1 a window can step over a side of 1", "dilation=1"),
    ),
    (
        ("conv", {"c": 8, "k": 4, "pad": "half"}, (image(8, 9, 9),)),
        ("N207", "pad", "`pad=half` needs an odd kernel, which has a middle, and k is 4", "k=5"),
    ),
    (
        ("avgpool", {"k": (2, 3), "pad": "half"}, (image(8, 9, 9),)),
        ("N207", "pad", "`pad=half` needs an odd kernel, which has a middle, and k is [2, 3]", "k=3"),
    ),
    (
        ("conv", {"c": 8, "k": 3, "pad": "same_upper"}, (image(8, H, W),)),
        (
            "N208",
            "pad",
            "`pad=same_upper` depends on the image's size, and H of 8xHxW is known only when the net runs",
            "pad=half",
        ),
    ),
    (
        ("conv", {"c": 8, "k": 2, "stride": 2, "pad": "same_lower"}, (image(8, 9, W),)),
        (
            "N208",
            "pad",
            "`pad=same_lower` depends on the image's size, and W of 8x9xW is known only",
            "pad=[0, 1, 0, 1]",
        ),
    ),
    (
        ("fc", {"c": 10}, (image(64, H, W),)),
        ("N209", None, "`fc` needs a fixed number of features, and 64xHxW", "gap -> flatten -> fc(10)"),
    ),
    (
        ("flatten", {}, (image(64, H, 4),)),
        ("N209", None, "`flatten` needs a fixed size, and 64xHx4", "gap -> flatten has 64 features"),
    ),
    (("lrn", {"n": 4}, (image(8, 9, 9),)), ("N210", "n", "`lrn(4)` has an even window", "lrn(3) or lrn(5)")),
    (
        ("pad_channels", {"c": 16}, (image(64, 8, 8),)),
        ("N211", "c", "`pad_channels(16)` only adds channels, and 64 enter", "pad_channels(64)"),
    ),
    (
        ("upconv", {"c": 8, "k": 3, "stride": 2, "out_pad": 2}, (image(8, 9, 9),)),
        ("N212", "out_pad", "`out_pad=2` must be smaller than the stride, 2", "out_pad=1"),
    ),
    # (2 - 1) 1 + 3 = 4, and 4 - 2 * 3 = -2
    (
        ("upconv", {"c": 8, "k": 3, "pad": 3}, (image(8, 2, 2),)),
        ("N213", "pad", "`pad=3` trims a 4x4 result to -2x-2", "the largest that leaves something is pad=1"),
    ),
    # the message of LANGUAGE's example; (56 - 1) // 2 + 1 = 28
    (
        ("add", {}, (image(512, 28, 28), image(256, 56, 56))),
        (
            "N301",
            1,
            "`add` needs equal shapes: 512x28x28 and 256x56x56",
            "conv(512, k=1, stride=2) on the second gives 512x28x28",
        ),
    ),
    (
        ("add", {}, (image(64, 8, 8), image(64, 8, 8), image(32, 8, 8))),
        ("N301", 2, "64x8x8 and 32x8x8", "conv(64, k=1)"),
    ),
    (
        ("mul", {}, (image(64, 8, 8), image(64, 16, 16))),
        ("N301", 1, "`mul` needs equal shapes: 64x8x8 and 64x16x16", "maxpool(k=2) on the second"),
    ),
    (
        ("add", {}, (image(64, 24, 12), image(64, 8, 12))),
        ("N301", 1, "64x24x12 and 64x8x12", "maxpool(k=[3, 1]) on the first"),
    ),
    (
        ("sub", {}, (image(64, 28, 28), image(64, 26, 26))),
        ("N301", 1, "`sub` needs equal shapes: 64x28x28 and 64x26x26", "pad=half"),
    ),
    (("maximum", {}, (image(64, 8, 8), image(64))), ("N301", 1, "64x8x8 (2 sides) and 64 (0 sides)", "gap -> flatten")),
    # floor(1 / 2) * 2 = 0
    (
        ("add", {}, (image(64, H, W), image(64, H // 2 * 2, W))),
        (
            "N301",
            1,
            "`add` needs equal shapes: 64xHxW and 64x(2*(H//2))xW",
            'at H=1 they are 1 and 0; `require H % 2 == 0, "why"` makes',
        ),
    ),
    (
        ("add", {}, (image(64, H8), image(64, H8 // 16 * 16))),
        ("N301", 1, "64xH and 64x", 'at H=8 they are 8 and 0; `require H % 16 == 0, "why"` makes them equal'),
    ),
    (("add", {}, (image(64, H), image(64, W))), ("N301", 1, "64xH and 64xW", "")),
    (("add", {}, (image(64, H), image(64, H - 2))), ("N301", 1, "64xH and 64x(H-2)", "at H=1 they are 1 and -1")),
    (
        ("add", {}, (image(3, 4), TensorType(2, 3, (4,)))),
        ("N301", 1, "`add` needs equal batches: N and 2", "same batch symbol"),
    ),
    (("concat", {}, (image(64, 8, 8), image(64))), ("N301", 1, "64x8x8 (2 sides) and 64 (0 sides)", "gap -> flatten")),
    (
        ("concat", {}, (image(64, 28, 28), image(32, 14, 14))),
        ("N302", 1, "`concat` needs equal sides: 64x28x28 and 32x14x14", "maxpool(k=2) on the first"),
    ),
    (
        ("concat", {}, (image(64, 56, 56), image(64, 1, 56))),
        ("N302", 1, "64x56x56 and 64x1x56", "maxpool(k=[56, 1]) on the first"),
    ),
    (("add", {}, (image(64, 8, 8),)), ("N303", None, "`add` takes 2 values or more, and 1 enters", "from a, b -> add")),
    (
        ("concat", {}, (image(64, 8, 8),)),
        ("N303", None, "`concat` takes 2 values or more, and 1 enters", "from a, b -> concat"),
    ),
    (
        ("sub", {}, (image(3), image(3), image(3))),
        ("N303", None, "`sub` takes exactly 2 values, and 3 enter", "from a, b -> sub"),
    ),
]


ALL = [*REFUSED, *REFUSED_SHAPES, *REFUSED_WEIGHTED]


@pytest.mark.parametrize("case", ALL, ids=[f"{said[0]}-{call[0]}-{i}" for i, (call, said) in enumerate(ALL)])
def test_a_refusal_names_its_code_its_place_both_numbers_and_a_way_out(case: Refusal) -> None:
    (kind, fields, xs), (code, at, message, help) = case
    with pytest.raises(Reject) as caught:
        layer(kind, **fields).infer(*xs)
    refused = caught.value
    assert refused.code == code
    assert (refused.operand if isinstance(at, int) else refused.at) == at
    assert message in refused.message
    assert help in refused.help


def test_every_code_of_the_layers_is_tested() -> None:
    said = {code for kind in kinds() for code in re.findall(r"N\d{3}", find_doc(kind))}
    assert said <= {code for _, (code, *_) in ALL}


@pytest.mark.parametrize("kind", sorted({kind for (kind, *_), _ in ALL}))
def test_a_layers_page_lists_every_code_it_gives(kind: str) -> None:
    given = {said[0] for call, said in ALL if call[0] == kind}
    assert given <= set(re.findall(r"N\d{3}", find_doc(kind)))


def find_doc(kind: str) -> str:
    cls = find(kind)
    assert cls is not None
    return cls.__doc__ or ""


EDITS: list[tuple[str, dict[str, Any], TensorType, dict[str, Any], str]] = [
    # a refusal, its help taken at its word, and what leaves then
    ("conv", {"c": 8, "k": 5}, image(8, 1, 1), {"pad": 2}, "8x1x1"),
    ("conv", {"c": 8, "k": 11, "pad": (1, 2)}, image(8, 4, 40), {"pad": (4, 0)}, "8x2x30"),
    ("conv", {"c": 96, "k": 3, "groups": 6}, image(64, 8, 8), {"groups": 4}, "96x6x6"),
    (
        "conv",
        {"c": 8, "k": 3, "stride": 2, "pad": "same_upper"},
        image(8, H, W),
        {"pad": "half"},
        "8x((H+1)//2)x((W+1)//2)",
    ),
    (
        "conv",
        {"c": 8, "k": 2, "stride": 2, "pad": "same_lower"},
        image(8, 9, W),
        {"pad": (0, 1, 0, 1)},
        "8x5x((W+1)//2)",
    ),
    ("maxpool", {"k": (1, 2), "dilation": (1, 8)}, image(8, 3, 4), {"k": 3, "dilation": 1}, "8x1x1"),
    ("avgpool", {"k": 3, "pad": 1}, image(8, 2, 4, 4), {"k": 2}, "8x2x3x3"),
    ("upconv", {"c": 8, "k": 3, "pad": 3}, image(8, 2, 2), {"pad": 1}, "8x2x2"),
]


@pytest.mark.parametrize(("kind", "fields", "x", "edit", "shape"), [*EDITS, *EDITS_SHAPES])
def test_the_edit_in_the_help_works(
    kind: str, fields: dict[str, Any], x: TensorType, edit: dict[str, Any], shape: str
) -> None:
    with pytest.raises(Reject):
        layer(kind, **fields).infer(x)
    assert layer(kind, **{**fields, **edit}).infer(x).shape == shape


def test_a_padding_smaller_than_the_help_says_does_not_fit() -> None:
    with pytest.raises(Reject, match="does not fit"):
        layer("conv", c=8, k=5, pad=1).infer(image(8, 1, 1))


def test_a_size_that_may_fit_is_let_through() -> None:
    # The elaborator makes a fact of it: H >= 5.
    assert layer("conv", c=8, k=5).infer(image(8, H, 9)).shape == "8x(H-4)x5"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("conv", {"c": 8}),  # k is required
        ("conv", {"k": 3}),
        ("conv", {"c": 0, "k": 3}),
        ("conv", {"c": 8, "k": 0}),
        ("conv", {"c": 8, "k": -3}),
        ("conv", {"c": 8, "k": ()}),
        ("conv", {"c": 8, "k": 3.0}),
        ("conv", {"c": 8, "k": True}),
        ("conv", {"c": "8", "k": 3}),
        ("conv", {"c": LARGEST + 1, "k": 3}),
        ("conv", {"c": 8, "k": 3, "pad": -1}),
        ("conv", {"c": 8, "k": 3, "pad": "same"}),
        ("conv", {"c": 8, "k": 3, "pad": ()}),
        ("conv", {"c": 8, "k": 3, "bias": 1}),
        ("conv", {"c": 8, "k": 3, "padding": 1}),
        ("maxpool", {"k": 2, "pad": "same_upper"}),
        ("maxpool", {"k": 2, "round": "up"}),
        ("avgpool", {"k": 2, "dilation": 2}),
        ("dropout", {"p": 1}),
        ("dropout", {"p": -0.1}),
        ("bn", {"eps": 0}),
        ("bn", {"decay": 1}),
        ("bn", {"momentum": 0.1}),
        ("lrn", {"n": 5, "alpha": float("inf")}),
        ("lrn", {"n": 5, "beta": float("nan")}),
        # what float32 does not hold
        ("lrn", {"n": 5, "k": 1e300}),
        ("leaky_relu", {"slope": 1e300}),
        ("leaky_relu", {"slope": float("-inf")}),
        ("elu", {"alpha": 1e-60}),
        ("ln", {"eps": 1e-60}),
        ("conv", {"c": 8, "k": 3, "init": 1e39}),
        ("scale", {"init": float("nan")}),
        ("flatten", {"order": "cwh"}),
        ("relu", {"inplace": True}),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        layer(kind, **fields)


def test_a_list_is_as_good_as_a_tuple() -> None:
    assert layer("conv", c=8, k=[1, 7], pad=[0, 0, 3, 3]) == layer("conv", c=8, k=(1, 7), pad=(0, 0, 3, 3))


@pytest.mark.parametrize("kind", kinds())
def test_foreign_names_lead_to_ours(kind: str) -> None:
    cls = find(kind)
    assert cls is not None
    for foreign, ours in cls.foreign.items():
        assert ours in cls.model_fields or " " in ours, (
            f"{kind}({foreign}=...) leads to {ours}, which {kind} does not take"
        )


def test_momentum_is_answered_with_the_sentence() -> None:
    cls = find("bn")
    assert cls is not None
    assert "torch's 0.1 weights the new value" in cls.foreign["momentum"]
    assert "`decay`" in cls.foreign["momentum"]
