"""Rule 2: forks, named merges, groups and `if`."""

import pytest

from tests.language.spec import admitted, inputs, names, net, refused, shapes, weights


def test_each_arm_of_a_fork_gets_what_enters_and_their_values_follow_in_order() -> None:
    graph = admitted(
        net("from image -> { | a: relu | b: tanh -> c: sigmoid | d: id } -> concat => y", "f32[N, 9, 32, 32]")
    )
    assert inputs(graph, "a") == inputs(graph, "b") == inputs(graph, "d") == ("image",)
    assert inputs(graph, "concat") == ("a", "c", "d")


def test_a_block_takes_the_values_of_a_fork() -> None:
    head = "block join() from left, right { from right, left -> add }"
    graph = admitted(net("from image -> { | a: relu | b: tanh } -> join => y", "f32[N, 3, 32, 32]", head=head))
    assert inputs(graph, "join.add") == ("b", "a")


@pytest.mark.parametrize("merge", ["add", "sub", "mul", "maximum", "concat"])
def test_a_named_fork_is_a_fork_and_its_merge(merge: str) -> None:
    y = "f32[N, 6, 32, 32]" if merge == "concat" else "f32[N, 3, 32, 32]"
    named = admitted(net(f"from image -> {merge} {{ | a: relu | b: tanh }} => y", y))
    apart = admitted(net(f"from image -> {{ | a: relu | b: tanh }} -> {merge} => y", y))
    assert [(n.name, n.op, n.inputs) for n in named.nodes] == [(n.name, n.op, n.inputs) for n in apart.nodes]
    assert inputs(named, merge) == ("a", "b")


def test_skip_with_two_arms_is_add() -> None:
    graph = admitted(net("from image -> skip { | a: relu | b: tanh } => y", "f32[N, 3, 32, 32]"))
    assert inputs(graph, "add") == ("a", "b")


def test_skip_with_one_arm_adds_what_entered() -> None:
    graph = admitted(net("from image -> s: skip { a: relu -> b: tanh } => y", "f32[N, 3, 32, 32]"))
    assert inputs(graph, "s") == ("s.b", "image")
    assert admitted(net("from image -> s: skip { | a: relu } => y", "f32[N, 3, 32, 32]")).node["s"].op.kind == "add"


def test_inception_is_concat() -> None:
    graph = admitted(net("from image -> inception { | a: conv(3, k=1) | b: conv(5, k=1) } => y"))
    assert shapes(graph)["concat"] == "8x32x32"


def test_a_merge_of_one_arm_is_refused() -> None:
    refused(net("from image -> §add { relu } => y"), "N303", says="skip { a }")
    refused(net("from image -> §concat { | relu } => y"), "N303", says="two arms or more")


def test_sub_takes_exactly_two() -> None:
    refused(net("from image -> §sub { | relu | tanh | id } => y"), "N303", says="exactly 2")


def test_a_layer_before_an_arm_has_to_be_a_merge() -> None:
    refused(net("from image -> §conv { | relu | tanh } => y"), "N110", says="takes one value")
    refused(net("from image -> §ad { | relu | tanh } => y"), "N110", says="did you mean `add`?")


@pytest.mark.parametrize(
    "chain", ["{ | relu | §}", "{ | §| relu }", "add { | relu | §| tanh }", "{ §}", "skip { §}", "if true { §}"]
)
def test_an_arm_is_never_empty(chain: str) -> None:
    refused(net(f"from image -> {chain} -> add => y"), "N101", says="never empty")


def test_an_arm_may_start_elsewhere() -> None:
    graph = admitted(
        net("from image -> lateral: tanh  from image -> relu -> add { | id | from lateral } => y", "f32[N, 3, 32, 32]")
    )
    assert inputs(graph, "add") == ("id", "lateral")


def test_an_arm_may_hold_several_chains() -> None:
    graph = admitted(
        net("from image -> add { | a: relu from a -> b: tanh from a, b -> s: add | id } => y", "f32[N, 3, 32, 32]")
    )
    assert inputs(graph, "add") == ("s", "id")


def test_merges_broadcast_over_sides_of_size_one() -> None:
    graph = admitted(net("from image -> c: conv(8, k=1) -> mul { | id | gap -> sigmoid } => y"))
    assert shapes(graph)["mul"] == "8x32x32"
    refused(net("from image -> conv(8, k=1) -> mul { | id | maxpool(k=2) §} => y"), "N301", says="maxpool(k=2)")


def test_a_group_is_a_block_used_once_under_its_label() -> None:
    graph = admitted(net("from image -> gap -> flatten -> head: { 0: fc(16) -> relu -> 3: fc(8) } => y", "f32[N, 8]"))
    assert weights(graph) == ["head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"]


def test_an_unlabelled_group_adds_nothing() -> None:
    graph = admitted(net("from image -> { c: conv(8, k=1) -> { relu } } => y"))
    assert names(graph) == ["c", "relu"]


def test_a_group_may_hold_declarations() -> None:
    graph = admitted(net("from image -> { let c = 8 default conv(k=1) conv(c) } => y"))
    assert shapes(graph) == {"conv": "8x32x32"}


CHAIN = "if c == 1 { conv(8, k=1) } else if c == 2 { conv(8, k=3, pad=1) } else { conv(8, k=5, pad=2) }"


@pytest.mark.parametrize(("c", "k"), [(1, 1), (2, 3), (3, 5), (-1, 5)])
def test_an_if_takes_the_first_branch_that_holds(c: int, k: int) -> None:
    graph = admitted(net(f"let c = {c} from image -> {CHAIN} => y"))
    (conv,) = graph.nodes
    assert (conv.name, conv.op.model_dump()["k"]) == ("conv", k)


def test_a_branch_that_is_not_taken_is_not_checked() -> None:
    admitted(net("from image -> if true { conv(8, k=1) } else { nosuch(k=99) } => y"))


def test_a_false_if_without_else_is_the_identity() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> if false { relu } => y"))
    assert names(graph) == ["conv"]
    assert graph.outputs[0].value == "conv"


def test_an_if_may_start_a_body() -> None:
    head = "block b(wide) { if wide { conv(8, k=3, pad=1) } else { conv(8, k=1) } -> relu }"
    graph = admitted(net("from image -> b(true) => y", head=head))
    assert names(graph) == ["b.conv", "b.relu"]


def test_a_labelled_if_names_its_value_and_what_is_in_it() -> None:
    graph = admitted(net("from image -> stem: if true { conv(8, k=1) -> relu } from stem -> tanh => y"))
    assert weights(graph) == ["stem.conv.weight", "stem.conv.bias"]
    assert inputs(graph, "tanh") == ("stem.relu",)


def test_a_labelled_false_if_names_what_entered() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> t: if false { relu } from t -> tanh => y"))
    assert inputs(graph, "tanh") == ("conv",)


def test_a_labelled_if_repeats() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> s: if true { conv(8, k=1) } * 2 => y"))
    assert names(graph) == ["conv", "s.0.conv", "s.1.conv"]


def test_a_test_is_true_or_false() -> None:
    refused(net("from image -> if §1 { relu } -> conv(8, k=1) => y"), "N130", says="compare it")


def test_a_test_cannot_depend_on_a_symbol() -> None:
    text = net("from image -> if §image.h > 4 { relu } => y", "f32[N, 3, H, W]", image="f32[N, 3, H, W]")
    refused(text, "N133", says="symbol")


def test_an_if_after_a_let_goes_on_with_the_expression_and_the_parser_says_so() -> None:
    head = "block b(c) { let d = c if c > 1 §{ relu } }"
    refused(net("from image -> b(2) -> conv(8, k=1) => y", head=head), "N101", says="from in -> if")
    admitted(
        net("from image -> b(2) -> conv(8, k=1) => y", head="block b(c) { let d = c from in -> if d > 1 { relu } }")
    )


def test_a_label_on_a_fork_of_several_values_is_refused() -> None:
    refused(net("from image -> §f: { | relu | tanh } -> concat -> conv(8, k=1) => y"), "N137", says="label its arms")


def test_a_label_on_a_named_fork_names_its_value() -> None:
    graph = admitted(net("from image -> s: add { | relu | tanh } -> conv(8, k=1) => y"))
    assert inputs(graph, "conv") == ("s",)
    assert names(graph)[:2] == ["s.relu", "s.tanh"]
