"""Rule 11: symbolic sizes: exact arithmetic, promises, and layers that need a number."""

import pytest

from netc.elaborate.expr import MOST_INTEGER, MOST_LEVELS, MOST_NODES
from netc_runtime.expr import MAX_DEPTH, MAX_INTEGER, MAX_NODES
from tests.language.spec import admitted, check, net, refused, shapes

IMAGE = "f32[N, 3, H, W]"


def sym(chains: str, y: str = "f32[N, 8, PH, PW]", head: str = "", image: str = IMAGE) -> str:
    return net(chains, y, head, image)


UNET = """
block double(c) { conv1: conv(c, k=3, pad=1) -> relu -> conv2: conv(c, k=3, pad=1) -> relu }
net UNet {
  input image: f32[N, 1, H, W]
  output mask: f32[N, 2, H, W]
  REQUIRE
  from image -> enc1: double(4)
  from enc1 -> maxpool(k=2) -> enc2: double(8) -> up1: upconv(4, k=2, stride=2)
  from up1, enc1 -> JOIN -> dec1: double(4) -> head: conv(2, k=1) => mask
}
"""
EVEN = 'require H % 2 == 0 and W % 2 == 0, "one 2x pooling"'


def test_sides_and_the_batch_may_be_symbols_bound_by_inputs() -> None:
    graph = admitted(sym("from image -> conv(8, k=3, pad=1) => y", "f32[N, 8, H, W]"))
    assert str(graph.outputs[0].type) == "[N, 8, H, W]"
    assert graph.symbols() == ("N", "H", "W")


def test_channels_are_always_numbers() -> None:
    refused(
        sym("from image -> conv(8, k=1) => y").replace("3, H, W", "§C, H, W"),
        "N180",
        says="channels are always a number",
    )


@pytest.mark.parametrize(
    ("chain", "sides"),
    [
        ("conv(8, k=3)", "H-2, W-2"),
        ("conv(8, k=3, stride=2, pad=1)", "(H+1)//2, (W+1)//2"),
        ("maxpool(k=2) -> conv(8, k=1)", "H//2, W//2"),
        ("maxpool(k=2) -> maxpool(k=2) -> conv(8, k=1)", "H//4, W//4"),
        ("upconv(8, k=2, stride=2)", "2*H, 2*W"),
        ("upconv(8, k=2, stride=2) -> maxpool(k=2)", "H, W"),
    ],
)
def test_shape_arithmetic_is_exact(chain: str, sides: str) -> None:
    graph = admitted(sym(f"from image -> {chain} => y"))
    assert str(graph.outputs[0].type) == f"[N, 8, {sides}]"


def test_a_floor_is_kept_until_a_promise_makes_it_exact() -> None:
    # 2 (H // 2) is H only where H is even.
    chains = "from image -> maxpool(k=2) -> upconv(8, k=2, stride=2) => y"
    refused(sym(chains, "§f32[N, 8, H, W]"), "N305", says="H = 1")
    promised = f'require H % 2 == 0 and W % 2 == 0, "even" {chains}'
    assert str(admitted(sym(promised, "f32[N, 8, H, W]")).outputs[0].type) == "[N, 8, H, W]"


@pytest.mark.parametrize("join", ["concat", "add"])
def test_unequal_symbolic_sizes_are_refused_with_numbers(join: str) -> None:
    text = UNET.replace("REQUIRE", "").replace("JOIN", join)
    mark = text.replace(f"-> {join}", f"-> §{join}")
    said = refused(mark, "N302" if join == "concat" else "N301", says="require H % 2 == 0 and W % 2 == 0")
    assert "H=1" in said.help


def test_a_promise_makes_them_equal() -> None:
    graph = admitted(UNET.replace("REQUIRE", EVEN).replace("JOIN", "concat"))
    assert shapes(graph)["concat"] == "8xHxW"


def test_a_promise_is_a_fact_that_travels() -> None:
    graph = admitted(UNET.replace("REQUIRE", EVEN).replace("JOIN", "concat"))
    (promise,) = (r for r in graph.requires if r.why == "one 2x pooling")
    assert promise.text == "H % 2 == 0 and W % 2 == 0"
    assert promise.expr == ["and", ["==", ["%", "H", 2], 0], ["==", ["%", "W", 2], 0]]


@pytest.mark.parametrize(
    ("test", "expr"),
    [
        ("not q or H % 4 == 0", ["==", ["%", "H", 4], 0]),
        ("q and H % 4 == 0", ["==", ["%", "H", 4], 0]),
        ("H % 4 == 0 and q", ["==", ["%", "H", 4], 0]),
        ("n / 2 == 9 or H % 4 == 0", ["==", ["%", "H", 4], 0]),
        ('m == "y" or H % 4 == 0', ["==", ["%", "H", 4], 0]),
        ("H % (n * 2) == 0 or W > n", ["or", ["==", ["%", "H", 8], 0], [">", "W", 4]]),
        ("not (H < 3 or not q)", ["not", ["<", "H", 3]]),
    ],
)
def test_of_a_promise_what_symbols_decide_travels(test: str, expr: object) -> None:
    chains = f'let q = true let n = 4 let m = "x" require {test}, "why" from image -> conv(8, k=1) => y'
    assert [r.expr for r in admitted(sym(chains)).requires] == [expr]


def test_a_blocks_promise_travels_without_its_parameters() -> None:
    head = 'block half(exact = true) { require not exact or in.h % 2 == 0, "even" maxpool(k=2) -> conv(8, k=1) }'
    graph = admitted(sym("from image -> half => y", head=head))
    assert [r.expr for r in graph.requires if r.why == "even"] == [["==", ["%", "H", 2], 0]]


@pytest.mark.parametrize(
    "test", ["H % 2 == 0 and x.c == 3", "H % 2 == 0 and (1 if H % 2 == 0 else 2) == 1", "x.c == 3 and H % 2 == 0"]
)
def test_a_promise_that_is_believed_travels_whatever_stands_beside_it(test: str) -> None:
    chains = f'from image -> x: id -> maxpool(k=2) -> conv(8, k=1) => y require {test}, "even"'
    graph = admitted(sym(chains))
    assert str(graph.outputs[0].type) == "[N, 8, H/2, W//2]"
    assert [r.expr for r in graph.requires if r.why == "even"] == [["==", ["%", "H", 2], 0]]


@pytest.mark.parametrize(
    ("test", "code"),
    [
        (f"H{' + 1' * 63} != 100", ""),
        (f"H{' + 1' * 64} != 100", "N105"),
        ("H * 9_007_199_254_740_991 < W", ""),
        ("H * 9_007_199_254_740_992 < W", "N107"),
        # n comparisons joined are 3 n + n - 1 parts: 8 times 119 and 7 are 959, 9 times 119 and 8 are 1,079.
        (" and ".join([f"({' or '.join(['H == W'] * 30)})"] * 8), ""),
        (" and ".join([f"({' or '.join(['H == W'] * 30)})"] * 9), "N214"),
    ],
)
def test_a_promise_is_no_larger_than_the_runtime_reads(test: str, code: str) -> None:
    text = sym(f'require {"§" if code else ""}{test}, "why" from image -> conv(8, k=1) => y')
    if code:
        refused(text, code)
    else:
        assert [r.text for r in admitted(text).requires] == [test]
    assert (MOST_LEVELS, MOST_NODES, MOST_INTEGER) == (MAX_DEPTH, MAX_NODES, MAX_INTEGER)


@pytest.mark.parametrize(
    "chains",
    [
        'let §H = 4 require H % 2 == 0, "even" from image -> conv(8, k=1) => y',
        "from image -> { let §H = 4 relu } -> conv(8, k=1) => y",
        "from image -> conv(8, k=1) for §H in [1, 2] => y",
        "from image -> conv(8, k=1) for i, §H in enumerate([1, 2]) => y",
    ],
)
def test_a_symbols_name_is_taken(chains: str) -> None:
    refused(sym(chains), "N112")


@pytest.mark.parametrize(
    "promise",
    [
        'let f = 2 require H % f == 0, "even"',
        'let f, g = [2, 3] require H % f == 0, "even"',
        'let f = len([1, 2]) let g = f * 1 require 0 == H % g, "even"',
        'require H % len([1, 2]) == 0, "even"',
    ],
)
def test_a_promise_reads_the_lets_above_it(promise: str) -> None:
    graph = admitted(sym(f"{promise} from image -> maxpool(k=2) -> conv(8, k=1) => y"))
    assert str(graph.outputs[0].type) == "[N, 8, H/2, W//2]"
    assert [r.expr for r in graph.requires if r.why == "even"] in (
        [["==", ["%", "H", 2], 0]],
        [["==", 0, ["%", "H", 2]]],
    )


def test_the_least_sizes_travel_too() -> None:
    # 8 // 8 = 1: three poolings need 8, and the net needs them whatever its author says.
    graph = admitted(sym("from image -> { maxpool(k=2) } * 3 -> conv(8, k=1) => y"))
    assert {r.text for r in graph.requires} == {"H >= 8", "W >= 8"}


def test_a_least_size_respects_the_promised_divisor() -> None:
    graph = admitted(sym('require H % 5 == 0, "five" from image -> { maxpool(k=2) } * 3 -> conv(8, k=1) => y'))
    assert {r.text for r in graph.requires} == {"H % 5 == 0", "H >= 10", "W >= 8"}


@pytest.mark.parametrize(
    ("chain", "image", "least", "would"),
    [
        ("maxpool(k=2, stride=1, pad=1, dilation=3)", "f32[N, 8, T]", "T >= 3", "see padding only"),
        ("avgpool(k=4, stride=1, pad=2)", "f32[N, 8, 9, T, 9]", "T >= 4", "be larger than its image"),
        ("gn(8)", "f32[N, 8, T]", "T >= 2", "make 0 of each number"),
        ("gn(8)", "f32[N, 8, S, T]", "S+T-2 >= 1", "make 0 of each number"),
    ],
)
def test_what_a_layer_needs_beside_a_side_travels_too(chain: str, image: str, least: str, would: str) -> None:
    y = image.translate(str.maketrans("9ST", "9AB")).replace("9", "_")
    graph = admitted(net(f"from image -> {chain} => y", y, image=image))
    (need,) = (r for r in graph.requires if r.text == least)
    assert would in need.why


def test_a_need_that_no_size_meets_is_refused_at_the_layer() -> None:
    # T is 8, and a window of elements 9 apart can lie on both sides of it.
    text = 'require T % 8 == 0 and T <= 9, "eight" from image -> §maxpool(k=2, stride=1, pad=1, dilation=9) => y'
    refused(net(text, "f32[N, 8, A]", image="f32[N, 8, T]"), "N206", says="no `T` up to 9 is enough")


def test_a_promise_that_cannot_be_kept_is_refused() -> None:
    refused(sym('§require H > 9 and H < 5, "no" from image -> conv(8, k=1) => y'), "N135", says="no size `H`")


def test_promises_that_only_a_size_beyond_every_library_keeps_are_refused() -> None:
    # 65,537 and 65,539 are primes: their product is beyond 2^31.
    promises = 'require H % 65_537 == 0, "a" require H % 65_539 == 0, "b"'
    text = sym(f"{promises} from image -> conv(8, k=1) => y").replace("require", "§require", 1)
    assert "at most 2147483647" in refused(text, "N135").message
    many = "".join(f'require H % {2**52 + 2 * n + 1} == 0, "no" ' for n in range(300))
    _, found = check(sym(f'{many} require H <= 100, "few" from image -> conv(8, k=1) => y'))
    assert [d.code for d in found] == ["N135"]


def test_a_requirement_that_is_decided_now_is_checked_now() -> None:
    refused(net('require §1 > 2, "one is small" from image -> conv(8, k=1) => y'), "N135", says="one is small")
    assert admitted(net('require 2 > 1, "fine" from image -> conv(8, k=1) => y')).requires == ()


def test_a_symbol_first_seen_in_an_output_names_a_derived_size() -> None:
    graph = admitted(sym("from image -> maxpool(k=2) -> conv(8, k=1) => y", "f32[N, 8, PH, PW]"))
    assert str(graph.outputs[0].type) == "[N, 8, H//2, W//2]"


def test_a_derived_symbol_used_twice_is_one_size() -> None:
    text = sym("from image -> maxpool(k=2) -> conv(8, k=1) => y", "f32[N, 8, P, §P]")
    refused(text, "N305", says="one symbol is one size")
    admitted(sym("from image -> maxpool(k=2) -> conv(8, k=1) => y", "f32[N, 8, P, P]", image="f32[N, 3, S, S]"))


def test_one_symbol_of_two_inputs_is_one_size() -> None:
    text = sym("from image, other -> concat -> conv(8, k=1) => y", "f32[N, 8, H, W]")
    admitted(text.replace("output y", "input other: f32[N, 5, H, W] output y"))
    refused(
        text.replace("output y", "input other: f32[N, 5, H, V] output y").replace("-> concat", "-> §concat"), "N302"
    )


@pytest.mark.parametrize(
    ("chain", "code", "help_"),
    [
        ("§flatten -> fc(8)", "N209", "gap -> flatten"),
        ("§fc(8)", "N209", "gap -> flatten -> fc(8)"),
    ],
)
def test_a_layer_that_needs_a_number_refuses_a_symbol_and_says_what_to_do(chain: str, code: str, help_: str) -> None:
    refused(sym(f"from image -> {chain} => y", "f32[N, 8]"), code, says=help_)


def test_gap_makes_a_number_of_features_at_any_size() -> None:
    graph = admitted(sym("from image -> gap -> flatten -> fc(8) => y", "f32[N, 8]"))
    assert shapes(graph)["fc"] == "8"


def test_a_symbol_is_read_in_is_and_require_but_not_in_a_block() -> None:
    admitted(sym("from image -> is [N, 3, H, W] -> conv(8, k=1) => y"))
    refused(sym("from image -> b => y", head="block b() { is [_, 3, §H, W] -> conv(8, k=1) }"), "N111")


def test_signals_and_volumes_take_their_rank_from_the_value() -> None:
    graph = admitted(
        net("from image -> conv(8, k=3, pad=1) -> bn -> maxpool(k=2) => y", "f32[N, 8, L]", image="f32[N, 2, T]")
    )
    assert str(graph.outputs[0].type) == "[N, 8, T//2]"
    assert next(p.shape for _, p in graph.parameters()) == (8, 2, 3)
    text = net(
        "from image -> conv(8, k=[1, 3, 3], pad=[0, 1, 1]) => y", "f32[N, 8, D, H, W]", image="f32[N, 2, D, H, W]"
    )
    assert next(p.shape for _, p in admitted(text).parameters()) == (8, 2, 1, 3, 3)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("§f32[N]", "2 to 5"),
        ("§f32[N, 3, 1, 2, 3, 4]", "2 to 5"),
        ("§f16[N, 3]", "no type"),
        ("f32[N, 3, §0, 4]", "from 1"),
        ("f32[N, 3, §2.5, 4]", "whole number"),
    ],
)
def test_a_type_has_two_to_five_dimensions_of_one_or_more(image: str, says: str) -> None:
    code = "N205" if "0, 4" in image else "N130" if "2.5" in image else "N180"
    refused(sym("from image -> conv(8, k=1) => y", image=image), code, says=says)
