"""Rule 1: chains, what starts them, what they feed, and what a body's value is."""

import pytest

from tests.language.spec import admitted, inputs, names, net, refused, shapes


def test_a_chain_is_sources_stages_and_an_output() -> None:
    graph = admitted(net("from image -> c: conv(8, k=7, pad=3) -> relu => y"))
    assert names(graph) == ["c", "relu"]
    assert inputs(graph, "c") == ("image",)
    assert inputs(graph, "relu") == ("c",)
    assert [(o.name, o.value, str(o.type)) for o in graph.outputs] == [("y", "relu", "[N, 8, 32, 32]")]


def test_lines_mean_nothing() -> None:
    one = admitted(net("from image -> conv(8, k=1) -> relu => y"))
    many = admitted(net("from\nimage\n->\nconv(8,\nk=1)\n->\nrelu\n=>\ny"))
    assert names(one) == names(many)


def test_the_first_chain_of_a_block_takes_what_enters() -> None:
    graph = admitted(net("from image -> b => y", head="block b() { conv(8, k=1) -> relu }"))
    assert names(graph) == ["b.conv", "b.relu"]
    assert inputs(graph, "b.conv") == ("image",)


def test_the_first_chain_may_say_from_as_well() -> None:
    graph = admitted(net("from image -> b => y", head="block b() { from in -> conv(8, k=1) }"))
    assert inputs(graph, "b.conv") == ("image",)


def test_a_body_has_the_value_of_its_last_chain() -> None:
    body = "block b() { a: conv(8, k=1)  from in -> c: conv(8, k=1)  from a, c -> add }"
    graph = admitted(net("from image -> b => y", head=body))
    assert graph.outputs[0].value == "b.add"


def test_several_values_start_a_chain() -> None:
    graph = admitted(net("from image -> a: relu  from image -> b: tanh  from a, b -> concat => y", "f32[N, 6, 32, 32]"))
    assert inputs(graph, "concat") == ("a", "b")
    assert shapes(graph)["concat"] == "6x32x32"


def test_from_alone_as_the_last_chain_returns_several_values() -> None:
    body = "block two() { a: relu  from in -> b: tanh  from a, b }"
    graph = admitted(net("from image -> two -> add => y", "f32[N, 3, 32, 32]", head=body))
    assert inputs(graph, "add") == ("two.a", "two.b")


def test_a_chain_without_stages_feeds_an_output() -> None:
    graph = admitted(net("from image -> c: conv(8, k=1)  from c => y"))
    assert graph.outputs[0].value == "c"


def test_a_chain_of_a_net_says_from() -> None:
    refused(net("§conv(8, k=1) => y"), "N101", says="from")


def test_a_second_chain_of_a_block_says_from() -> None:
    # Without `from` a line is never a second chain: a forgotten arrow is a syntax error.
    refused(net("from image -> b => y", head="block b() {\n conv(8, k=1)\n §relu\n}"), "N101", says="write -> relu")


def test_a_forgotten_arrow_is_a_syntax_error() -> None:
    refused(net("from image -> conv(8, k=1) §relu => y"), "N101", says="`->`")


def test_an_output_stands_in_a_net_only() -> None:
    refused(net("from image -> b => y", head="block b() { conv(8, k=1) => §y }"), "N119", says="stands in a net only")


def test_an_output_stands_in_arms_and_groups_of_a_net_as_well() -> None:
    ports = "from image -> c: conv(8, k=1) -> { relu => z } => y"
    text = net(ports).replace("output y", "output z: f32[N, 8, 32, 32]\n  output y")
    assert {o.name: o.value for o in admitted(text).outputs} == {"y": "relu", "z": "relu"}
    arms = net("from image -> c: conv(8, k=1) -> add { | relu => z | id } => y")
    text = arms.replace("output y", "output z: f32[N, 8, 32, 32]\n  output y")
    assert {o.name: o.value for o in admitted(text).outputs} == {"y": "add", "z": "relu"}


@pytest.mark.parametrize(
    "text",
    [
        net("from image -> conv(8, k=1) => y  from image -> §relu"),
        net("from image -> conv(8, k=1) => y  from image -> l: tanh -> §relu"),
        net("from image -> b => y", head="block b() { §conv(4, k=1) from in -> c: conv(8, k=1) }"),
        net("from image -> { §relu from image -> conv(8, k=1) } => y"),
        net("from image -> add { | §tanh from image -> relu | id } -> conv(8, k=1) => y"),
        net("from image -> a: relu -> §tanh -> { from a -> conv(8, k=1) } => y"),
        net("from image -> a: relu -> §tanh -> add { | from a -> conv(8, k=1) | from a -> b: conv(8, k=1) } => y"),
        net(
            "from image -> a: relu -> §tanh -> if true { from a -> relu } else { from a -> tanh } -> conv(8, k=1) => y"
        ),
        net("from image -> b => y", head="block b() { a: relu -> §tanh -> { from a -> conv(8, k=1) } }"),
        net("from image -> §t: two from image -> conv(8, k=1) => y", head="block two() { a: relu -> b: tanh }"),
    ],
)
def test_a_value_that_nothing_reads_is_an_error(text: str) -> None:
    refused(text, "N116", says="nothing reads")


def test_a_chain_that_does_nothing_is_an_error() -> None:
    refused(net("from image -> conv(8, k=1) => y  §from image"), "N116", says="does nothing")


def test_a_label_that_nothing_reads_is_an_error_at_its_chain() -> None:
    refused(net("from image -> conv(8, k=1) => y  from image -> §unused: relu"), "N116")


def test_a_middle_value_need_not_be_read_by_its_label() -> None:
    admitted(net("from image -> named: conv(8, k=1) -> relu => y"))


@pytest.mark.parametrize(
    "text",
    [
        net(
            "from image -> t: two from t.a, t.b -> concat -> conv(8, k=1) => y",
            head="block two() { a: relu -> b: tanh }",
        ),
        net("from image -> t: two from t.a -> conv(8, k=1) => y", head="block two() { a: relu -> b: tanh from a, b }"),
        net("from image -> a: relu -> tanh -> skip { from a -> abs } -> conv(8, k=1) => y"),
        net("from image -> a: relu -> tanh -> if false { from a -> relu } -> conv(8, k=1) => y"),
        net("from image -> a: relu -> b: tanh -> { from a, b -> add } -> conv(8, k=1) => y"),
    ],
)
def test_a_value_that_is_read_inside_or_by_the_way_is_read(text: str) -> None:
    admitted(text)


def test_an_input_that_nothing_reads_is_an_error() -> None:
    text = net("from image -> conv(8, k=1) => y").replace("output y", "input §other: f32[N, 3]\n  output y")
    refused(text, "N116", says="write from other")


def test_reading_a_side_is_no_reading_of_the_value() -> None:
    text = net("let s = other.c from image -> conv(s, k=1) => y").replace(
        "output y", "input §other: f32[N, 8]\n  output y"
    )
    refused(text, "N116")


def test_an_unknown_source_is_one_error_with_the_nearest_name() -> None:
    # That nothing reads `image` now is no second mistake.
    refused(net("from §imag -> conv(8, k=1) => y"), "N111", says="did you mean `image`?")


def test_an_unknown_output_is_an_error() -> None:
    refused(net("from image -> c: conv(8, k=1) => y  from c => §z"), "N119", says="declare it")


def test_a_chain_cannot_be_empty() -> None:
    refused(net("from image -> b => y", head="block b() { §}"), "N101", says="never empty")
