"""Rule 8: parameters, lets, arithmetic, lists, and layers and blocks as values."""

import pytest

from tests.language.spec import admitted, fields, names, net, refused, shapes


def value(expression: str, head: str = "") -> int:
    """A whole number that the language computes: the channels of a convolution."""
    graph = admitted(net(f"from image -> first: conv({expression}, k=1) -> conv(8, k=1) => y", head=head))
    (channels,) = fields(graph, "first", "c")
    assert isinstance(channels, int)
    return channels


@pytest.mark.parametrize(
    ("expression", "number"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("int(7 / 2)", 3),
        ("int(2.9)", 2),
        ("-3 + 5", 2),
        ("- -3", 3),
        ("2 * -3 + 7", 1),
        ("1_000", 1000),
        ("1 if true else 2", 1),
        ("1 if 1 > 2 else 2 if 2 > 2 else 3", 3),
        ("1 if not true else 2", 2),
        ("1 if true and false or true else 2", 1),
        ("1 if not false and not false else 2", 1),
        ("1 if 1 == 1.0 else 2", 1),
        ("1 if true == 1 else 2", 2),
        ('1 if "a" == "a" else 2', 1),
        ("1 if [1, 2] == [1, 2] else 2", 1),
        ("1 if 2 <= 2 and 2 >= 2 and 1 != 2 and 1 < 2 else 2", 1),
        ("[3, 4, 5][1]", 4),
        ("[3, 4, 5][-1]", 5),
        ("[[1, 2], [3, 4]][1][0]", 3),
        ("sum([1, 2, 3])", 6),
        ("sum([])+1", 1),
        ("min(4, 3)", 3),
        ("max([4, 9, 3])", 9),
        ("len([1, [2, 3]])", 2),
        ("len([1, 2, 3, 4][1:])", 3),
        ("[1, 2, 3, 4][:2][1]", 2),
        ("[1, 2, 3, 4][1:3][1]", 3),
        ("[1, 2, 3, 4][-1:][0]", 4),
        ("len([1, 2][5:])+1", 1),
        ("1x7[1]", 7),
        ("len(1x7)", 2),
        ("enumerate([5, 6], 3)[1][0]", 4),
        ("enumerate([5, 6])[1][1]", 6),
    ],
)
def test_arithmetic(expression: str, number: int) -> None:
    # The numbers are Python's for the same words, worked by hand; `==` keeps 1 and true apart.
    assert value(expression) == number


@pytest.mark.parametrize(
    ("expression", "code", "says"),
    [
        ("§1 // 0", "N131", "division by zero"),
        ("§1 % (2 - 2)", "N131", "division by zero"),
        ("§[1, 2][2]", "N132", "a list of 2"),
        ("§[][0]", "N132", "empty"),
        ("§[1][-2]", "N132", ""),
        ("[1][§true]", "N130", "whole number"),
        ("§3[0]", "N130", "only a list has items"),
        ("§len(3)", "N130", "one list"),
        ("§min([])", "N130", "of nothing"),
        ("§1 + [2]", "N130", "numbers"),
        ('§"a" + "b"', "N130", "numbers"),
        ("§true + 1", "N130", "numbers"),
        ("§[1] < [2]", "N130", "compares numbers"),
        ("1 if §3 else 2", "N130", "compare it"),
        ("1 if not §3 else 2", "N130", ""),
        ("§nosuch", "N111", ""),
        ("§nosuch(3)", "N110", "no layer, block or function"),
        ("§x.y.z", "N111", "names no value"),
        ("§sum(xs=[1])", "N120", "by position"),
        ('§int("3")', "N130", "one number"),
    ],
)
def test_what_has_no_value_is_refused(expression: str, code: str, says: str) -> None:
    refused(net(f"from image -> conv({expression}, k=1) -> x: conv(8, k=1) => y"), code, says=says)


def test_and_and_or_stop_early() -> None:
    assert value("1 if false and 1 // 0 == 1 else 2") == 2
    assert value("1 if true or 1 // 0 == 1 else 2") == 1
    assert value("1 if true else 1 // 0") == 1


def test_lets_bind_one_name_or_take_a_list_apart() -> None:
    assert value("a + b", head="let a, b = [3, 4]") == 7
    assert value("a + b + c", head="let a, (b, c) = [1, [2, 3]]") == 6
    assert value("pair[1]", head="let pair = [3, 4]") == 4
    refused(net("from image -> conv(8, k=1) => y", head="let §a, b = [1, 2, 3]"), "N134", says="a list of 3")
    refused(net("from image -> conv(8, k=1) => y", head="let §a, b = 3"), "N134", says="a number")


def test_lets_hold_from_their_line_on() -> None:
    assert value("b", head="let a = 3\nlet b = a + 1") == 4
    refused(net("from image -> conv(8, k=1) => y", head="let b = §a + 1\nlet a = 3"), "N111")
    refused(net("from image -> conv(§c, k=1) => y let c = 8"), "N111")


def test_a_let_in_braces_ends_with_them() -> None:
    refused(net("from image -> { let c = 4 conv(c, k=1) } -> x: conv(§c, k=1) => y"), "N111")


def test_a_wrong_let_is_one_finding() -> None:
    refused(net("from image -> conv(a, k=1) -> x: conv(b, k=a) => y", head="let a = §1 // 0\nlet b = 2 * a"), "N131")


def test_parameters_have_defaults_that_see_the_ones_before() -> None:
    head = "block b(c, d = 2 * c, e = d + 1) { conv(e, k=1) }"
    assert shapes(admitted(net("from image -> x: b(3) -> conv(8, k=1) => y", head=head)))["x.conv"] == "7x32x32"
    assert shapes(admitted(net("from image -> x: b(3, e=5) -> conv(8, k=1) => y", head=head)))["x.conv"] == "5x32x32"


def test_a_default_sees_the_blocks_file_not_the_caller() -> None:
    refused(net("let w = 3 from image -> b => y", head="block b(c = §w) { conv(c, k=1) }"), "N111")
    assert names(admitted(net("from image -> b => y", head="let w = 8\nblock b(c = w) { conv(c, k=1) }"))) == ["b.conv"]


def test_a_net_has_parameters_too() -> None:
    text = net("from image -> conv(c, k=1) => y", "f32[N, c, 32, 32]").replace("net A", "net A(c = 5)")
    assert shapes(admitted(text))["conv"] == "5x32x32"


# --- layers and blocks as values


def test_a_layer_is_a_value() -> None:
    head = "block unit(c, act = relu) { conv(c, k=1) -> act }"
    assert names(admitted(net("from image -> u: unit(8) => y", head=head))) == ["u.conv", "u.relu"]
    assert names(admitted(net("from image -> u: unit(8, act=tanh) => y", head=head))) == ["u.conv", "u.tanh"]
    assert names(admitted(net("from image -> u: unit(8, id) => y", head=head))) == ["u.conv", "u.id"]


def test_a_layer_with_arguments_is_a_value_and_takes_more_where_it_stands() -> None:
    head = "block unit(op = conv(8, k=3)) { op(pad=1) }"
    graph = admitted(net("from image -> u: unit => y", head=head))
    assert fields(graph, "u.conv", "c", "k", "pad") == (8, 3, 1)
    graph = admitted(
        net("from image -> u: unit(conv(8, k=5, pad=2)) => y", head=head.replace("(pad=1)", "(k=3, pad=1)"))
    )
    assert fields(graph, "u.conv", "k", "pad") == (3, 1)


def test_a_block_is_a_value() -> None:
    head = "block unit(c) { conv(c, k=1) -> relu }  block twice(part) { a: part(4) -> b: part(8) }"
    assert names(admitted(net("from image -> t: twice(unit) => y", head=head))) == [
        "t.a.conv",
        "t.a.relu",
        "t.b.conv",
        "t.b.relu",
    ]
    head = "block unit(c, k) { conv(c, k=k, pad=1) }  block once(part) { a: part(k=3) }"
    assert fields(admitted(net("from image -> t: once(unit(8)) => y", head=head)), "t.a.conv", "c", "k") == (8, 3)


def test_a_let_may_hold_a_layer() -> None:
    assert names(admitted(net("from image -> conv(8, k=1) -> act => y", head="let act = tanh"))) == ["conv", "tanh"]


def test_a_value_that_is_no_layer_is_no_stage() -> None:
    refused(net("from image -> b(3) => y", head="block b(c) { §c -> conv(8, k=1) }"), "N110", says="holds a value")


def test_a_layer_is_no_number() -> None:
    refused(net("from image -> conv(§relu, k=1) -> x: conv(8, k=1) => y"), "N122", says="the layer `relu`")
    refused(net("from image -> conv(8, k=1, bias=§gap) => y"), "N122", says="the layer `gap`")


@pytest.mark.parametrize(
    ("chains", "head"),
    [
        ("from image -> b(relu) -> fin: upconv(8, k=1) => y", "block b(§conv) { conv -> x: bn }"),
        ("from image -> b(relu) -> conv(8, k=1) => y", "block c() { relu } block b(§c) { c }"),
        ("let §tanh = relu from image -> tanh -> conv(8, k=1) => y", ""),
        ("from image -> conv(8, k=1) => y", "let §tanh = relu"),
    ],
)
def test_what_holds_a_layer_does_not_bear_a_layers_or_blocks_name(chains: str, head: str) -> None:
    refused(net(chains, head=head), "N113", says="could mean either")


def test_a_number_may_bear_a_layers_name() -> None:
    assert (
        shapes(admitted(net("from image -> b(8) => y", head="block b(pad, k = 1) { conv(pad, k=k) }")))["b.conv"]
        == "8x32x32"
    )


# --- words


def test_a_word_of_an_argument_needs_no_quotes() -> None:
    graph = admitted(
        net("from image -> conv(8, k=3, pad=half) -> maxpool(k=3, stride=2, round=ceil) => y", "f32[N, 8, 16, 16]")
    )
    assert fields(graph, "maxpool", "round") == ("ceil",)
    assert fields(graph, "conv", "pad") == ("half",)


def test_a_parameter_may_hold_a_word() -> None:
    head = "block b(p) { conv(8, k=3, pad=p) }"
    assert fields(admitted(net('from image -> b("half") => y', head=head)), "b.conv", "pad") == ("half",)


def test_a_parameter_that_hides_a_word_of_its_argument_is_refused() -> None:
    head = "block b(half) { conv(8, k=3, pad=§half) }"
    refused(net("from image -> b(1) => y", head=head), "N113", says="rename the parameter")
    head = "block b(half) { conv(half, k=1) }"
    admitted(net("from image -> b(8) => y", head=head))


def test_a_word_of_another_argument_is_no_word_here() -> None:
    refused(net("from image -> conv(8, k=§half) => y"), "N111")


def test_a_symbol_is_no_word_of_an_argument() -> None:
    # LANGUAGE: in an argument a name is a parameter or let, a word, a layer or block, else an error, never a symbol.
    refused(net("from image -> conv(8, k=§H) => y", "f32[N, 8, H, W]", image="f32[N, 3, H, W]"), "N111")


# --- recursion


@pytest.mark.parametrize(
    "head",
    [
        "block b() { relu -> §b }",
        "block b() { c }  block c() { §b }",
        "block b() { { | relu | §b } -> add }",
        "block b() { d(b) }  block d(f) { §f }",
        "block b(f = relu) { f -> d }  block d() { §b(tanh) }",
    ],
)
def test_a_block_may_not_be_expanded_inside_itself(head: str) -> None:
    said = refused(net("from image -> b -> conv(8, k=1) => y", head=head), "N140", says="inside itself")
    assert "repeat a block" in said.help


def test_a_branch_that_is_not_taken_does_not_expand() -> None:
    # Even one that would end is refused where it is reached.
    admitted(net("from image -> b -> conv(8, k=1) => y", head="block b() { if false { b } else { relu } }"))


@pytest.mark.parametrize("expr", ["in.c * n", "n * in.c", "in.c * 2", "in.c - 1 + 1 + in.c", "in.c // 3 * 6"])
def test_a_side_of_a_value_is_a_number_like_any_other(expr: str) -> None:
    # `in.c *`: a star behind a path also repeats a stage.
    graph = admitted(net("from image -> b(2) => y", "f32[N, 6, 32, 32]", f"block b(n) {{ conv({expr} + 0 * n, k=1) }}"))
    assert shapes(graph) == {"b.conv": "6x32x32"}
