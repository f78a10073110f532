"""Rule 3: arguments of layers and blocks."""

import pytest

from tests.language.spec import admitted, fields, names, net, refused


def test_a_layer_takes_one_positional_argument_its_size() -> None:
    graph = admitted(net("from image -> conv(8, k=3, pad=1) => y"))
    assert fields(graph, "conv", "c", "k", "pad") == (8, 3, 1)
    refused(net("from image -> conv(8, §3) => y"), "N123", says="one argument without a name (`c`)")


def test_the_size_may_be_named() -> None:
    assert fields(admitted(net("from image -> conv(k=1, c=8) => y")), "conv", "c") == (8,)


def test_a_layer_without_a_size_takes_no_positional_argument() -> None:
    refused(net("from image -> maxpool(§2) -> conv(8, k=1) => y"), "N123", says="name it: k=2")


def test_a_block_takes_arguments_by_position_or_by_name() -> None:
    head = "block b(c, k, pad = 0) { conv(c, k=k, pad=pad) }"
    for call in ("b(8, 3, 1)", "b(8, 3, pad=1)", "b(pad=1, k=3, c=8)", "b(8, pad=1, k=3)"):
        graph = admitted(net(f"from image -> {call} => y", head=head))
        assert fields(graph, "b.conv", "c", "k", "pad") == (8, 3, 1), call


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("conv(8, §kk=3)", "N120", "did you mean `k`?"),
        ("conv(8, k=1, §kernel_size=3)", "N120", "netc calls it `k`"),
        ("conv(8, k=1, §padding=3)", "N120", "netc calls it `pad`"),
        ("conv(8, k=1, §bais=false)", "N120", "did you mean `bias`?"),
        ("conv(8, k=1, §in_channels=3)", "N120", "leave `in_channels` out"),
        ("bn(§momentum=0.1)", "N120", "decay"),
        ("§conv(8)", "N121", "needs `k`"),
        ("§conv(k=1)", "N121", "needs `c`"),
        ("§conv", "N121", "needs `c`"),
        ("conv(8, k=1, §k=1)", "N124", "given twice"),
        ("conv(8, §c=8, k=1)", "N124", "given twice"),
        ("conv(8, k=1, bias=§1)", "N122", "true or false"),
        ("conv(8, k=§1.5)", "N122", "whole number"),
        ("conv(§0, k=1)", "N122", "more than 0"),
        ("conv(8, k=1, pad=§-1)", "N122", "at least 0"),
        ("conv(§true, k=1)", "N122", "true or false"),
        ('conv(8, k=§"3")', "N122", "whole number"),
        ("conv(8, k=§[])", "N122", ""),
        ("reshape(§[1, 2, 3, 4, 5, 6])", "N122", "holds at most 4 numbers, not 6"),
        ("dropout(§1.5)", "N122", ""),
        ("maxpool(k=2, round=§up)", "N111", "its words are ceil, floor"),
        ("maxpool(k=2, round=§cell)", "N111", "did you mean `ceil`?"),
        ("conv(8, k=1, bias=§True)", "N111", "write true"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_at_its_place(call: str, code: str, says: str) -> None:
    refused(net(f"from image -> {call} -> x: conv(8, k=1) => y"), code, says=says)


def test_a_typo_is_one_finding_not_two() -> None:
    # `kernal` is unknown and `k` is missing: one mistake.
    refused(net("from image -> conv(8, §kernal=3) => y"), "N120", says="did you mean `k`?")


def test_one_bad_pair_is_one_finding() -> None:
    refused(net('from image -> conv(8, k=§["a", 1.5]) => y'), "N122")


def test_two_bad_arguments_are_two_findings() -> None:
    refused(net("from image -> conv(§0, k=1, stride=§0) => y"), "N122", "N122")


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("b(8, 1, §2)", "N123", "one too many"),
        ("b(8, §kk=1)", "N120", "did you mean `k`?"),
        ("§b(k=1)", "N121", "needs `c`"),
        ("b(8, §c=8)", "N124", "given twice"),
        ("§b", "N121", "it is b(c, k = ...)"),
    ],
)
def test_a_blocks_arguments_are_checked_the_same_way(call: str, code: str, says: str) -> None:
    refused(net(f"from image -> {call} => y", head="block b(c, k = 1) { conv(c, k=k) }"), code, says=says)


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        ("leaky_relu(0.1, §0.9)", "N123", "takes 1 argument without a name; this is one too many"),
        ("leaky_relu(slope=0.1, §slope=0.9)", "N124", "given twice"),
        ("leaky_relu(0.1, §slope=0.9)", "N124", "given twice"),
        ("relu(§5)", "N123", "takes no arguments without a name"),
        ("inner(§zz = 9)", "N120", "takes no `zz`"),
        ("inner(3, §4, 5)", "N123", "takes 1 argument; this is one too many"),
        ("inner(3, §c = 4)", "N124", "given twice"),
    ],
)
def test_arguments_of_a_layer_or_block_that_is_a_value_are_checked_too(value: str, code: str, says: str) -> None:
    head = "block unit(act) { conv(8, k=1) -> act }\nblock inner(c = 3) { conv(c, k=1) }"
    refused(net(f"from image -> unit({value}) => y", head=head), code, says=says)
    admitted(
        net("from image -> unit(leaky_relu(0.1)) -> unit(inner(8)) => y", head=head).replace("unit(i", "u: unit(i")
    )


def test_a_name_is_a_call_without_arguments() -> None:
    assert names(admitted(net("from image -> conv(8, k=1) -> relu() -> b() => y", head="block b() { tanh }"))) == names(
        admitted(net("from image -> conv(8, k=1) -> relu -> b => y", head="block b() { tanh }"))
    )


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("Conv2d", "netc calls it `conv`"),
        ("Linear", "netc calls it `fc`"),
        ("BatchNorm2d", "netc calls it `bn`"),
        ("conf(8)", "did you mean `conv`?"),
        ("RELU", "did you mean `relu`?"),
        ("zzz", "netc's layers: "),
    ],
)
def test_an_unknown_stage_names_the_nearest(stage: str, says: str) -> None:
    refused(net(f"from image -> §{stage} -> conv(8, k=1) => y"), "N110", says=says)


def test_what_follows_an_unknown_stage_is_not_reported_for_its_shape() -> None:
    refused(net("from image -> §nosuch -> fc(8) -> is [1, 2] => y"), "N110")


def test_a_trailing_comma_is_allowed() -> None:
    assert fields(admitted(net("from image -> conv(8, k=1,) => y")), "conv", "k") == (1,)
