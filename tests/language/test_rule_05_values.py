"""Rule 5: what `from`, `like =`, `@` and `x.c` can read."""

import pytest

from tests.language.spec import admitted, inputs, net, refused, shapes


def test_dots_go_down_into_blocks_and_groups() -> None:
    head = "block b() { inner: c -> relu }  block c() { g: { deep: conv(8, k=1) -> tanh } -> sigmoid }"
    graph = admitted(net("from image -> a: b from a.inner.g.deep -> x: relu from a, x -> add => y", head=head))
    assert inputs(graph, "x") == ("a.inner.g.deep",)
    assert inputs(graph, "add") == ("a.relu", "x")


def test_labels_in_arms_unlabelled_groups_and_taken_ifs_belong_to_the_body() -> None:
    chains = "from image -> add { | a: relu | id } -> { b: tanh } -> if true { c: sigmoid } from a, b, c -> s: concat"
    graph = admitted(net(f"{chains} -> conv(8, k=1) => y"))
    assert inputs(graph, "s") == ("a", "b", "c")


def test_labels_in_an_if_that_is_not_taken_name_nothing() -> None:
    refused(net("from image -> conv(8, k=1) -> if false { a: relu } from §a -> tanh => y"), "N111")


def test_labels_in_a_labelled_group_are_read_from_inside_without_its_name() -> None:
    graph = admitted(net("from image -> g: { a: conv(8, k=1) from a -> tanh } => y"))
    assert inputs(graph, "g.tanh") == ("g.a",)


def test_a_label_is_readable_below_its_stage_not_above() -> None:
    said = refused(
        net("from image -> a: relu from §late -> conv(8, k=1) => y from a -> late: tanh"),
        "N111",
        says="made below",
    )
    assert "above this line" in said.message


def test_a_label_is_readable_in_its_own_chain() -> None:
    graph = admitted(net("from image -> a: conv(8, k=1) -> relu -> add { | id | from a } => y"))
    assert inputs(graph, "add") == ("id", "a")


def test_a_label_cannot_be_read_in_its_own_stage() -> None:
    refused(net("from image -> a: add { | relu | from §a } -> conv(8, k=1) => y"), "N111")


def test_a_blocks_labels_are_its_own() -> None:
    head = "block b() { c: conv(8, k=1) -> relu }"
    refused(net("from image -> b -> x: relu from x, §c -> add => y", head=head), "N111", says="above this line")


def test_a_block_reads_nothing_of_its_caller() -> None:
    refused(net("from image -> a: relu -> b => y", head="block b() { from §a -> conv(8, k=1) }"), "N111")


@pytest.mark.parametrize(("side", "number"), [("c", 4), ("h", 20), ("w", 30)])
def test_sides_of_a_value(side: str, number: int) -> None:
    text = net(
        f"from image -> x: relu -> conv(x.{side}, k=1) => y", f"f32[N, {number}, 20, 30]", image="f32[N, 4, 20, 30]"
    )
    assert shapes(admitted(text))["conv"] == f"{number}x20x30"


def test_sides_in_one_and_three_dimensions() -> None:
    text = net("from image -> x: relu -> conv(x.t, k=1) => y", "f32[N, 7, 7]", image="f32[N, 4, 7]")
    assert shapes(admitted(text))["conv"] == "7x7"
    text = net("from image -> x: relu -> conv(x.d, k=1) => y", "f32[N, 2, 2, 3, 4]", image="f32[N, 4, 2, 3, 4]")
    assert shapes(admitted(text))["conv"] == "2x2x3x4"


def test_a_side_that_a_value_lacks_is_refused() -> None:
    refused(net("from image -> conv(§image.d, k=1) => y"), "N111", says="it has n, c, h, w")
    refused(net("from image -> gap -> f: flatten -> fc(§f.h) => y", "f32[N, 8]"), "N111", says="it has n, c")


def test_sides_of_an_input_and_of_a_value_inside_a_block() -> None:
    head = "block b() { inner: conv(4, k=1) -> relu }"
    assert shapes(admitted(net("from image -> a: b -> conv(2 * a.inner.c, k=1) => y", head=head)))["conv"] == "8x32x32"


def test_in_is_what_entered_the_block_in_arms_groups_and_repeats_too() -> None:
    head = (
        "block b() { conv(6, k=1) -> g: { c: conv(in.c + 5, k=1) } * 2 -> add { | id | from in -> d: conv(8, k=1) } }"
    )
    graph = admitted(net("from image -> b => y", head=head))
    # 3 channels enter the block: 3 + 5, in both turns.
    assert shapes(graph)["b.g.0.c"] == shapes(graph)["b.g.1.c"] == "8x32x32"
    assert inputs(graph, "b.d") == ("image",)


def test_in_is_the_inner_blocks_own() -> None:
    head = "block a() { conv(4, k=1) -> b }  block b() { relu -> conv(2 * in.c, k=1) }"
    assert shapes(admitted(net("from image -> a => y", head=head)))["a.b.conv"] == "8x32x32"


def test_a_net_has_no_in() -> None:
    refused(net("from §in -> conv(8, k=1) => y"), "N142", says="a net has no `in`")


def test_a_block_that_names_its_values_has_no_in() -> None:
    head = "block b() from a, c { from §in -> relu }"
    refused(net("from image, image -> b => y", head=head), "N142", says="start from a name")


def test_in_of_several_values_is_several() -> None:
    head = "block b() { from in -> add }"
    graph = admitted(net("from image -> a: relu from image, a -> b -> conv(8, k=1) => y", head=head))
    assert inputs(graph, "b.add") == ("image", "a")
    said = refused(net("from image -> a: relu from image, a -> b => y", head="block b() { conv(§in.c, k=1) }"), "N142")
    assert "name them" in said.help


@pytest.mark.parametrize(
    ("chains", "head"),
    [
        ("let c = 8 from image -> §c: conv(8, k=1) => y", ""),
        ("from image -> c: conv(8, k=1) => y let §c = 8", ""),
        ("let a = 1 let §a = 2 from image -> conv(8, k=1) => y", ""),
        ("let §image = 1 from image -> conv(8, k=1) => y", ""),
        ("from image -> b(1) => y", "block b(c) { §c: conv(8, k=1) }"),
        ("from image -> b(1) => y", "block b(c) { let §c = 2 conv(8, k=1) }"),
        ("from image -> b(1) => y", "block b(c) { { let §c = 2 conv(8, k=1) } }"),
        ("from image -> b(1, 2) => y", "block b(c, §c) { conv(8, k=1) }"),
        ("from image, image -> b(1) -> conv(8, k=1) => y", "block b(c) from §c, d { from c, d -> add }"),
        ("from image, image -> b -> conv(8, k=1) => y", "block b() from c, §c { from c -> relu }"),
    ],
)
def test_no_name_repeats_another_of_its_body(chains: str, head: str) -> None:
    refused(net(chains, head=head), "N112")


def test_outputs_live_apart() -> None:
    graph = admitted(net("from image -> y: conv(8, k=1) => y"))
    assert (graph.outputs[0].name, graph.outputs[0].value) == ("y", "y")


def test_an_output_is_no_value() -> None:
    text = net("from image -> conv(8, k=1) => y from §z -> relu => z").replace(
        "output y", "output z: f32[N, 8, 32, 32] output y"
    )
    refused(text, "N111")


def test_like_takes_a_value_by_its_label() -> None:
    head = "block b() { inner: conv(8, k=1, stride=2) -> relu }"
    chains = "from image -> a: b from image -> crop(like = a.inner, offset = 3) -> upsample(like = image)"
    graph = admitted(net(f"{chains} -> gap -> up: upsample(like = a) -> upsample(2) -> conv(8, k=1) => y", head=head))
    assert inputs(graph, "up") == ("gap", "a.relu")
    assert inputs(graph, "crop") == ("image", "a.inner")
    assert inputs(graph, "upsample") == ("crop", "image")
    assert shapes(graph)["crop"] == "3x16x16"


def test_like_reads_its_value() -> None:
    # `small` has no other reader, and none is missed.
    chains = "from image -> small: maxpool(k=2) from image -> crop(like = small) -> upsample(2) -> conv(8, k=1) => y"
    assert inputs(admitted(net(chains)), "crop") == ("image", "small")


def test_like_takes_a_label_that_is_there() -> None:
    refused(net("from image -> crop(like = §smaller) -> conv(8, k=1) => y"), "N111")
    refused(net("from image -> crop(like = §2) -> conv(8, k=1) => y"), "N122")


def test_like_is_given_once_and_by_its_name() -> None:
    chain = "from image -> small: maxpool(k=2) from image -> crop(%s) -> conv(8, k=1) => y"
    refused(net(chain % "like = small, §like = image"), "N124")
    refused(net("from image -> crop(§lke = image) -> conv(8, k=1) => y"), "N120", says="did you mean `like`?")


def test_a_size_that_does_not_fit_is_shown_at_like() -> None:
    chain = "from image -> small: maxpool(k=2) -> crop(like = §image) -> conv(8, k=1) => y"
    refused(net(chain), "N223", says="cuts 32x32 out of 16x16, and 32 is more than 16")
