"""Rule 9: defaults are lexical."""

import pytest

from tests.language.spec import admitted, fields, inputs, net, refused


def bias(chains: str, head: str = "", name: str = "conv") -> object:
    return fields(admitted(net(chains, head=head)), name, "bias")[0]


def test_a_default_holds_from_its_line_on() -> None:
    chains = "from image -> a: conv(8, k=1) default conv(bias=false) from a -> b: conv(8, k=1) => y"
    assert (bias(chains, name="a"), bias(chains, name="b")) == (True, False)


def test_a_default_ends_with_its_braces() -> None:
    chains = "from image -> { default conv(bias=false) a: conv(8, k=1) } -> b: conv(8, k=1) => y"
    assert (bias(chains, name="a"), bias(chains, name="b")) == (False, True)


@pytest.mark.parametrize(
    "inner",
    [
        "{ conv(8, k=1) }",
        "add { | conv(8, k=1) | x: conv(8, k=1) }",
        "if true { conv(8, k=1) }",
        "if false { id } else { conv(8, k=1) }",
        "{ { if true { conv(8, k=1) } } }",
    ],
)
def test_a_default_holds_in_arms_groups_and_ifs(inner: str) -> None:
    assert bias(f"default conv(bias=false) from image -> {inner} => y") is False


def test_a_default_does_not_reach_into_called_blocks() -> None:
    head = "block b() { conv(8, k=1) }"
    assert bias("default conv(bias=false) from image -> b => y", head, "b.conv") is True


def test_a_default_at_the_top_of_a_file_holds_to_its_end() -> None:
    head = "block before() { conv(8, k=1) }\ndefault conv(bias=false)\nblock after() { conv(8, k=1) }"
    chains = "from image -> before -> after -> conv(8, k=1) => y"
    assert [bias(chains, head, n) for n in ("before.conv", "after.conv", "conv")] == [True, False, False]


def test_an_argument_given_wins_one_by_one() -> None:
    chains = "default conv(bias=false, pad=1) from image -> conv(8, k=3, bias=true) => y"
    assert fields(admitted(net(chains)), "conv", "bias", "pad") == (True, 1)


def test_the_inner_default_wins_one_by_one() -> None:
    chains = "default conv(bias=false, pad=1) from image -> { default conv(pad=2) conv(8, k=5) } => y"
    assert fields(admitted(net(chains)), "conv", "bias", "pad") == (False, 2)
    chains = "default conv(pad=1) default conv(pad=2) from image -> conv(8, k=5) => y"
    assert fields(admitted(net(chains)), "conv", "pad") == (2,)


def test_a_default_may_give_the_size() -> None:
    chains = "default conv(8, k=3, pad=1) from image -> a: conv -> b: conv(k=1, pad=0) => y"
    assert fields(admitted(net(chains)), "b", "c", "k") == (8, 1)


def test_a_default_is_evaluated_where_it_stands() -> None:
    chains = "let p = 1 default conv(pad=p) from image -> conv(8, k=3) => y"
    assert fields(admitted(net(chains)), "conv", "pad") == (1,)


def test_a_default_of_one_layer_is_no_other_layers() -> None:
    assert bias("default upconv(bias=false) from image -> conv(8, k=1) => y") is True


def test_a_default_counts_for_a_layer_that_is_a_value() -> None:
    head = "block b(op) { default conv(bias=false) op(8, k=1) }"
    assert bias("from image -> b(conv) => y", head, "b.conv") is False


def test_a_default_is_for_layers_only() -> None:
    refused(
        net("default §b(c=8) from image -> b(8) => y", head="block b(c) { conv(c, k=1) }"), "N110", says="for layers"
    )
    refused(net("default §cnv(k=1) from image -> conv(8, k=1) => y"), "N110", says="did you mean `conv`?")


def test_a_wrong_default_is_reported_at_its_argument_once() -> None:
    chains = "default conv(§kk=1) from image -> a: conv(8, k=1) -> b: conv(8, k=1) => y"
    refused(net(chains), "N120", says="did you mean `k`?")
    chains = "default conv(k=§9) from image -> maxpool(k=8) -> conv(8) -> x: fc(8) => y"
    refused(net(chains), "N203", says="9x9")


def test_a_default_that_no_layer_uses_is_checked_too() -> None:
    refused(net("default conv(§kk=1) from image -> upconv(8, k=1) => y"), "N120", says="did you mean `k`?")


def test_the_languages_own_defaults_are_torchs() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> bn -> maxpool(k=2) => y", "f32[N, 8, 16, 16]"))
    assert fields(graph, "conv", "stride", "pad", "dilation", "groups", "bias") == (1, 0, 1, 1, True)
    # torch's momentum of 0.1 weights the new value; the language's decay weights the old one.
    assert fields(graph, "bn", "eps", "decay") == (1e-5, 0.9)
    assert fields(graph, "maxpool", "stride", "pad", "round") == (None, 0, "floor")


def test_a_default_gives_a_value_too_and_one_given_wins() -> None:
    chains = "from image -> half: maxpool(k=2) -> a: upsample -> b: upsample(like = half) -> a2: upsample"
    graph = admitted(net(f"default upsample(like = image) {chains} -> conv(8, k=1) => y"))
    assert inputs(graph, "a") == ("half", "image")
    assert inputs(graph, "b") == ("a", "half")
    assert inputs(graph, "a2") == ("b", "image")
