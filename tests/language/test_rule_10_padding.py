"""Rule 10: padding and rounding are words."""

import pytest

from tests.language.spec import admitted, net, refused, shapes


def out(stage: str, y: str, image: str = "f32[N, 8, 11, 12]") -> str:
    """The shape after a stage."""
    graph = admitted(net(f"from image -> {stage} => y", y, image=image))
    return shapes(graph)[graph.nodes[-1].name]


@pytest.mark.parametrize(
    ("stage", "shape"),
    [
        ("conv(8, k=3)", "8x9x10"),
        ("conv(8, k=3, pad=1)", "8x11x12"),
        ("conv(8, k=3, pad=[1, 2])", "8x11x14"),
        ("conv(8, k=3, pad=[1, 2, 0, 3])", "8x12x13"),  # top 1, bottom 2; left 0, right 3
        ("conv(8, k=1x7, pad=[0, 3])", "8x11x12"),
        ("conv(8, k=[1, 7])", "8x11x6"),
        ("conv(8, k=5, pad=half)", "8x11x12"),
        ("conv(8, k=3, pad=half, dilation=3)", "8x11x12"),  # 3 (3 - 1) // 2 = 3 a side
        ("conv(8, k=3, stride=2, pad=half)", "8x6x6"),
        ("conv(8, k=3, stride=2, pad=same_upper)", "8x6x6"),  # ceil(11 / 2), ceil(12 / 2)
        ("conv(8, k=2, stride=2, pad=same_lower)", "8x6x6"),
        ("conv(8, k=4, pad=same_upper)", "8x11x12"),
        ("maxpool(k=2)", "8x5x6"),  # the stride defaults to k
        ("maxpool(k=2, round=ceil)", "8x6x6"),
        ("maxpool(k=3, stride=2, round=floor)", "8x5x5"),
        ("maxpool(k=3, stride=2, round=ceil)", "8x5x6"),
        ("avgpool(k=3, stride=2, pad=1, count_pad=false)", "8x6x6"),
    ],
)
def test_the_words_and_numbers_of_padding(stage: str, shape: str) -> None:
    dims = ", ".join(shape.split("x"))
    assert out(stage, f"f32[N, {dims}]") == shape


def test_half_refuses_an_even_kernel() -> None:
    refused(net("from image -> conv(8, k=4, pad=§half) => y"), "N207", says="odd")


def test_same_with_a_symbolic_size_is_refused_with_its_reason() -> None:
    text = net("from image -> conv(8, k=3, stride=2, pad=§same_upper) => y", "f32[N, 8, P, Q]", image="f32[N, 3, H, W]")
    refused(text, "N208", says="known only when the net runs")
    refused(text, "N208", says="pad=half")


def test_half_with_a_symbolic_size_is_exact() -> None:
    graph = admitted(net("from image -> conv(8, k=3, pad=half) => y", "f32[N, 8, H, W]", image="f32[N, 3, H, W]"))
    assert shapes(graph)["conv"] == "8xHxW"


@pytest.mark.parametrize("pad", ["same", "valid", "halve"])
def test_there_is_no_silent_same(pad: str) -> None:
    refused(net(f"from image -> conv(8, k=3, pad=§{pad}) => y"), "N111", says="`" if pad == "halve" else "words are")


def test_a_list_of_the_wrong_length_is_refused() -> None:
    refused(net("from image -> conv(8, k=3, pad=§[1, 2, 3]) => y"), "N204", says="3 numbers")
    refused(net("from image -> conv(8, k=§[3, 3, 3]) => y"), "N204")


def test_a_kernel_that_does_not_fit_says_both_sizes_and_a_pad_that_works() -> None:
    said = refused(net("from image -> conv(8, k=§40) => y"), "N203", says="a 40x40 kernel")
    assert "32x32" in said.message
    assert "pad=4" in said.help  # 32 + 2 * 4 = 40
    assert said.labels[0].text == "3x32x32 comes from here"
    admitted(net("from image -> conv(8, k=40, pad=4) => y", "f32[N, 8, 1, 1]"))
