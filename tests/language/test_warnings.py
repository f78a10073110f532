"""Warnings: what a right text would be better without, and what is not to be reported."""

from pathlib import Path

import pytest

from tests.language.spec import MARK, check, net


def warned(text: str, path: Path | None = None) -> list[tuple[str, str]]:
    """Code and marked text of every finding; all of them warnings, and the nets are there."""
    graphs, found = check(text.replace(MARK, ""), path)
    assert graphs, [d.message for d in found]
    assert {d.severity for d in found} <= {"warning"}
    return [(d.code, d.span.text) for d in found]


@pytest.mark.parametrize(
    "layer", ["conv(8, k=1)", "upconv(8, k=1)", "depthwise(k=1) -> pad_channels(8) -> conv(8, k=1)"]
)
def test_a_bias_before_batch_norm_is_reported_at_the_layer(layer: str) -> None:
    last = layer.rpartition("-> ")[2]
    assert warned(net(f"from image -> {layer} -> bn => y")) == [("W102", last)]


def test_a_bias_before_batch_norm_of_features_is_reported_too() -> None:
    text = net("from image -> fc(8) -> bn => y", "f32[N, 8]", image="f32[N, 3]")
    assert warned(text) == [("W102", "fc(8)")]


def test_the_warning_counts_the_numbers_and_shows_the_batch_norm() -> None:
    _, (found,) = check(net("from image -> conv(8, k=1) -> bn => y"))
    assert "8 numbers learn nothing" in found.message
    assert [label.span.text for label in found.labels] == ["bn"]


@pytest.mark.parametrize(
    "chain",
    [
        "conv(8, k=1, bias=false) -> bn",
        "conv(8, k=1, bias=true) -> bn",  # it is meant
        "conv(8, k=1) -> relu -> bn",
        "conv(8, k=1) -> dropout(0.5) -> bn",  # in training a bias changes what dropout leaves
        "a: conv(8, k=1) -> n: bn from a, n -> add",  # another reads it with its bias
        "local(8, k=1) -> bn",  # a bias at each place, and one mean a channel
    ],
)
def test_a_bias_that_does_something_or_is_meant_is_not_reported(chain: str) -> None:
    assert "W102" not in [code for code, _ in warned(net(f"from image -> {chain} => y"))]


def test_a_default_that_gives_the_bias_says_that_it_is_meant() -> None:
    assert warned(net("default conv(bias=true) from image -> conv(8, k=1) -> bn => y")) == []


def test_one_place_is_reported_once_however_often_it_is_expanded() -> None:
    text = net("from image -> u(8) * 3 => y", head="block u(c) { conv(c, k=1) -> bn }")
    assert warned(text) == [("W102", "conv(c, k=1)")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (net("from image -> u(8) => y", head="block u(c, k = 3) { conv(c, k=1) }"), "k = 3"),
        (net("let width = 3 from image -> conv(8, k=1) => y"), "width"),
        (net("from image -> conv(8, k=1) => y", head="let width = 3"), "width"),
        (net("let a, b = [8, 1] from image -> conv(a, k=1) => y"), "b"),
        (net("from image -> u => y", head="block u() { let w = 3 conv(8, k=1) }"), "w"),
        (net("from image -> trunk: id -> conv(8, k=1) => y"), "trunk"),
        (net("from image -> add { | x: id -> a: conv(8, k=1) | b: conv(8, k=1) } => y"), "x"),
        (net("from image -> { x: id -> conv(8, k=1) } => y"), "x"),
        (net("from image -> if 1 < 2 { x: id -> conv(8, k=1) } => y"), "x"),
        (net("from image -> if 2 < 1 { relu } else { x: id -> conv(8, k=1) } => y"), "x"),
        (net("from image -> conv(8, k=1) => y", head='use "std/resnet.cnn" (basic)'), "basic"),
        # a word in a comment is no use
        (net("let width = 3 # width\n from image -> conv(8, k=1) => y"), "width"),
    ],
)
def test_a_name_that_nothing_uses_is_reported(text: str, name: str) -> None:
    word = name.partition(" ")[0]
    if name == "k = 3":  # `k=1` of the layer is an argument's name: who tells them apart has to read more than words
        assert warned(text) == []
    else:
        assert warned(text) == [("W103", word)]


@pytest.mark.parametrize(
    "text",
    [
        net("from image -> s2: maxpool(k=1) -> conv(8, k=1) => y"),  # a label for the reader
        net("from image -> trunk: id -> a: conv(8, k=1) from trunk -> c: conv(8, k=1) from a, c -> add => y"),
        net("from image -> b: two => y from b.inner -> gap => y2", head="block two() { inner: id -> conv(8, k=1) }")
        .replace("output y:", "output y2: f32[N, 3, 1, 1] output y:"),
        net("let _spare = 3 from image -> conv(8, k=1) => y"),
        net('from image -> "c{n}": conv(8, k=1) => y', head="let n = 3"),
        net("from image -> conv(8, k=1) => y").replace("net A {", "net A(lr = 0.1) {")
        + "train A { loss.y = bce_with_logits(), optimizer = sgd(lr = lr) }",
        net("from image -> conv(8, k=1) -> c: id => y")
        + "train A { loss.y = bce_with_logits(), optimizer = adam(), lr_scale.c = 0.1 }",
    ],
)  # fmt: skip
def test_a_name_with_a_use_is_not_reported(text: str) -> None:
    assert warned(text) == []


def test_a_file_that_is_used_is_not_held_to_this() -> None:
    # Whoever wrote the library may have other users.
    text = net("from image -> conv(8, k=1) -> flatten -> fc(8) => y", "f32[N, 8]", head='use "std/vgg.cnn" (seq_conv)')
    assert warned(text) == [("W103", "seq_conv")]


def test_a_text_with_an_error_gets_no_advice() -> None:
    _, found = check(net("let width = 3 from image -> conv(9, k=1) => y"))
    assert [d.code for d in found] == ["N305"]


@pytest.mark.parametrize("image", ["f32[N, 32, 32, 3]", "f32[1, 28, 28, 1]"])
def test_channels_that_seem_to_come_last_are_reported_at_the_input(image: str) -> None:
    text = net("from image -> conv(8, k=1) -> gap -> flatten => y", image=image)
    text = text.replace("f32[N, 8, 32, 32]", f"f32[{image[4]}, 8]")
    assert warned(text) == [("W104", "image")]


@pytest.mark.parametrize("image", ["f32[N, 3, 32, 32]", "f32[N, 32, 16, 3]", "f32[N, 4, 4, 4]", "f32[N, 32, 32]"])
def test_other_images_are_not_reported(image: str) -> None:
    text = net("from image -> conv(8, k=1) -> gap -> flatten => y", "f32[N, 8]", image=image)
    assert warned(text) == []


def test_many_biases_before_batch_norm_are_one_warning_that_counts_them() -> None:
    chain = "from image -> a: conv(8, k=1) -> na: bn -> b: conv(8, k=1) -> nb: bn -> c: conv(8, k=1) -> nc: bn => y"
    _, (found,) = check(net(chain))
    assert found.message.endswith("8 numbers learn nothing; at 2 more places too")
    assert warned(net(f"default conv(bias=false) {chain}")) == []


def test_a_batch_that_only_the_output_names_is_reported() -> None:
    text = net("from image -> conv(8, k=1) -> gap -> flatten => y", "f32[§N, 8]", image="f32[3, 32, 32]")
    assert warned(text) == [("W105", "N")]
    assert warned(text.replace("§N", "3")) == []


@pytest.mark.parametrize(
    ("attrs", "train", "codes"),
    [
        ("{ decode = softmax }", "", ["W106"]),
        ("", "train A { loss.y = cross_entropy(), optimizer = adam() }", ["W106"]),
        ("{ decode = sigmoid }", "train A { loss.y = bce_with_logits(), optimizer = adam() }", []),
    ],
)
def test_a_softmax_over_one_channel_is_reported(attrs: str, train: str, codes: list[str]) -> None:
    text = net("from image -> fc(1) => y", f"f32[N, 1] {attrs}", image="f32[N, 3]")
    assert [code for code, _ in warned(text + train)] == codes


@pytest.mark.parametrize(
    ("recipe", "codes"),
    [
        ("resize = 24", [("W107", "24")]),
        ("resize = 24, crop = 24", []),
        ("resize = 24, fit = stretch", []),
        ("resize = [24, 24]", []),
        ("scale = 1/255, mean = 0.5, std = 0.5", []),
        ("mean = 0.5, std = 0.5", [("W108", "0.5")]),
        ("mean = [0.485, 0.456, 0.406]", [("W108", "[0.485, 0.456, 0.406]")]),
        ("mean = [123.7, 116.3, 103.5]", []),
        ("mean = 0", []),
        ("mean = [0.5, 0.5, 128]", []),
    ],
)
def test_a_recipe_that_hardly_any_picture_goes_with_is_reported(recipe: str, codes: list[tuple[str, str]]) -> None:
    text = net(
        "from image -> conv(8, k=1) -> gap -> flatten => y",
        "f32[N, 8]",
        image=f"f32[N, 3, 24, 24] {{ {recipe} }}",
    )
    assert warned(text) == codes


def test_sides_that_are_symbols_take_every_resized_picture() -> None:
    image = "f32[N, 3, H, W] { resize = 24 }"
    assert warned(net("from image -> conv(8, k=1) -> gap -> flatten => y", "f32[N, 8]", image=image)) == []
