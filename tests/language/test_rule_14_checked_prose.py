"""Rule 14: `is`, `require` and `expect` are prose that is checked."""

import pytest

from tests.language.spec import admitted, names, net, refused

F8 = "f32[N, 8]"
FC = "from image -> gap -> flatten -> fc(8) => y"


def test_is_checks_a_value_and_takes_no_step() -> None:
    graph = admitted(net("from image -> is [N, 3, 32, 32] -> conv(8, k=1) -> is [_, 8, _, 16 * 2] => y"))
    assert names(graph) == ["conv"]


@pytest.mark.parametrize("dims", ["_, 8, 16, 32", "_, 4, _, _", "_, 8", "_, 8, 32, 32, 1", "2, 8, 32, 32"])
def test_is_refuses_another_shape_with_both(dims: str) -> None:
    said = refused(net(f"from image -> conv(8, k=1) -> §is [{dims}] => y"), "N304", says="the value is [N, 8, 32, 32]")
    assert dims in said.message
    assert said.help.startswith("write is [N, 8, 32, 32]")


def test_is_takes_sides_only() -> None:
    refused(net('from image -> conv(8, k=1) -> is [_, §"8", _, _] => y'), "N130", says="whole number")
    refused(net("from image -> conv(8, k=1) -> is [_, §c, _, _] => y"), "N111")


def test_is_in_a_block_reads_its_parameters_and_sides() -> None:
    head = "block b(c) { is [_, in.c, _, _] -> conv(c, k=1) -> is [_, c, in.h, _] }"
    assert names(admitted(net("from image -> b(8) => y", head=head))) == ["b.conv"]


def test_is_checks_one_value() -> None:
    refused(net("from image, image -> §is [_, 3, _, _] -> add -> conv(8, k=1) => y"), "N141", says="one value")


def test_is_may_start_an_arm_or_a_block() -> None:
    head = "block b() { is [_, 3, _, _] }"
    admitted(net("from image -> add { | is [_, 3, _, _] | b } -> conv(8, k=1) => y", head=head))


def test_a_wrong_is_does_not_hide_what_follows() -> None:
    refused(net("from image -> §is [_, 4, _, _] -> conv(8, k=§99) -> fc(8) => y"), "N304", "N203")


def test_require_in_a_block_says_why_and_the_way_there() -> None:
    head = 'block b(c) { require §c % 8 == 0, "eight groups" conv(c, k=1) }'
    said = refused(net("from image -> one: b(12) -> conv(8, k=1) => y", head=head), "N135", says="eight groups")
    assert said.notes == ("in one, from `b(12)` at x.cnn:5:22",)


def test_require_is_a_test() -> None:
    refused(net('require §3, "three" from image -> conv(8, k=1) => y'), "N130", says="compare it")


def test_require_reads_the_labels_above() -> None:
    admitted(net('from image -> c: conv(8, k=1) => y require c.c == 8 and c.h == 32, "as drawn"'))
    refused(net('from image -> c: conv(8, k=1) => y require §c.c == 9, "nine"'), "N135", says="nine")


def expecting(pairs: str, chains: str = FC, y: str = F8, image: str = "f32[N, 3, 32, 32]") -> str:
    return net(f"{chains} expect {{ {pairs} }}", y, image=image)


def test_expect_holds_a_net_to_its_published_figures() -> None:
    # fc: 3 8 weights and 8 biases; 24 multiply-accumulates, biases not counted.
    admitted(expecting("params = 32, params.train = 32, macs = 24"))


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ("params = §33", "A has 32 params, and 33 are expected (-1)"),
        ("macs = §20", "A has 24 macs, and 20 are expected (+4)"),
        ("params.train = §1_000", "32 params.train, and 1,000 are expected (-968)"),
    ],
)
def test_an_expectation_that_does_not_hold_says_both_numbers(pairs: str, says: str) -> None:
    refused(expecting(pairs), "N306", says=says)


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ("§param = 32", "N170"),
        ("params = §1.5", "N171"),
        ("params = §many", "N171"),
        ("§at.H = 3", "N170"),
        ("§at = 5", "N170"),
        ("§params_train = 32", "N170"),
    ],
)
def test_a_wrong_expectation_is_refused(pairs: str, code: str) -> None:
    refused(expecting(pairs), code)


SYMBOLIC = {"chains": "from image -> conv(8, k=3, pad=1) => y", "y": "f32[N, 8, H, W]", "image": "f32[N, 3, H, W]"}


def test_with_symbols_at_says_where_macs_is_taken() -> None:
    # 8 5 6 outputs of 3 3 3 products each.
    admitted(expecting("macs = 6_480, at.H = 5, at.W = 6", **SYMBOLIC))
    refused(expecting("§macs = 6_480, at.H = 5", **SYMBOLIC), "N306", says="at.W = 224")
    admitted(expecting("params = 224", **SYMBOLIC))


@pytest.mark.parametrize("pairs", ["at.H = §-3, at.W = 7", "at.W = §0", "params = 224, at.H = §0, at.W = 7"])
def test_a_size_that_no_image_has_is_refused_whatever_is_expected_there(pairs: str) -> None:
    refused(expecting(pairs, **SYMBOLIC), "N306", says="the least is")
    halves = {
        **SYMBOLIC,
        "chains": 'require H % 2 == 0 and W % 2 == 0, "even" '
        "from image -> maxpool(k=2) -> upsample(2) -> conv(8, k=1) => y",
    }
    refused(expecting("at.H = §3, at.W = 8", **halves), "N306", says="in steps of 2")


def test_macs_depend_on_the_sides_that_a_layer_multiplies_at() -> None:
    # After `gap`: 8 3 products, whatever H and W. Before it: 8 3 a place of the half of H and W.
    admitted(expecting("macs = 24", **(SYMBOLIC | {"chains": FC, "y": F8})))
    chains = {"chains": "from image -> relu -> maxpool(k=2) -> conv(8, k=1) -> gap -> flatten => y", "y": F8}
    refused(expecting("§macs = 24", **(SYMBOLIC | chains)), "N306", says="`macs` depends on H and W")
    admitted(expecting("macs = 144, at.H = 5, at.W = 6", **(SYMBOLIC | chains)))
    refused(expecting("§macs = 24, at.H = 1, at.W = 6", **(SYMBOLIC | chains)), "N306", says="nothing is left of")
