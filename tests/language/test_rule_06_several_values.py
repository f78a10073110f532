"""Rule 6: several values in and out of blocks."""

from tests.language.spec import admitted, inputs, net, refused

MERGE = "block merge(c) from top, side { from side -> lateral: conv(c, k=1) from top, lateral -> add }"
TWO = "block two() { { | a: conv(8, k=1) | b: conv(8, k=3, pad=1) } }"


def test_a_block_takes_values_by_name_in_order() -> None:
    graph = admitted(net("from image -> a: conv(8, k=1) from a, image -> m4: merge(8) => y", head=MERGE))
    assert inputs(graph, "m4.lateral") == ("image",)
    assert inputs(graph, "m4.add") == ("a", "m4.lateral")


def test_the_counts_must_agree() -> None:
    refused(
        net("from image -> §merge(3) -> conv(8, k=1) => y", head=MERGE), "N141", says="from top, side -> merge(...)"
    )
    refused(
        net("from image, image, image -> §merge(3) -> conv(8, k=1) => y", head=MERGE), "N141", says="takes 2 values"
    )


def test_a_block_may_end_with_several_values() -> None:
    graph = admitted(net("from image -> t: two -> add => y", head=TWO))
    assert inputs(graph, "add") == ("t.a", "t.b")


def test_the_values_of_a_block_are_read_by_their_own_labels() -> None:
    graph = admitted(net("from image -> t: two -> s: add from s, t.b -> add => y", head=TWO))
    assert inputs(graph, "add") == ("s", "t.b")


def test_a_label_of_several_values_names_none() -> None:
    refused(net("from image -> t: two -> s: add from §t -> relu => y", head=TWO), "N111", says="several")


def test_a_layer_takes_one_value() -> None:
    refused(net("from image, image -> §relu -> conv(8, k=1) => y"), "N143", says="`relu` takes one value; 2 are here")
    refused(net("from image -> { | relu | tanh } -> §conv(8, k=1) => y"), "N143", says="merge them first")


def test_a_merge_takes_two_or_more() -> None:
    refused(net("from image -> §add -> conv(8, k=1) => y"), "N303", says="two values or more; one is here")
    refused(net("from image -> §concat -> conv(8, k=1) => y"), "N303")
    refused(net("from image, image, image -> §sub -> conv(8, k=1) => y"), "N303", says="exactly 2 values; 3 are here")


def test_an_output_takes_one_value() -> None:
    refused(net("from image -> { | a: conv(8, k=1) | b: conv(8, k=1) } => §y"), "N141", says="merge them")


def test_groups_pass_several_values_on() -> None:
    graph = admitted(net("from image -> { | a: relu | b: tanh } -> { add } -> conv(8, k=1) => y"))
    assert inputs(graph, "add") == ("a", "b")
    graph = admitted(net("from image -> { | a: relu | b: tanh } -> if true { add } -> conv(8, k=1) => y"))
    assert inputs(graph, "add") == ("a", "b")


def test_repeats_hand_several_values_from_turn_to_turn() -> None:
    head = "block step() from a, b { from a, b -> s: add from s, a }"
    graph = admitted(net("from image -> c: relu from image, c -> r: step * 2 -> add -> conv(8, k=1) => y", head=head))
    assert inputs(graph, "r.1.s") == ("r.0.s", "image")
    assert inputs(graph, "add") == ("r.1.s", "r.0.s")


def test_each_arm_of_a_fork_gets_all_values() -> None:
    graph = admitted(net("from image -> a: relu from image, a -> add { | s: add | m: mul } -> conv(8, k=1) => y"))
    assert inputs(graph, "s") == inputs(graph, "m") == ("image", "a")


def test_what_entered_a_one_armed_skip_is_one_value() -> None:
    graph = admitted(net("from image -> a: relu from image, a -> s: skip { m: add } -> conv(8, k=1) => y"))
    assert inputs(graph, "s") == ("s.m", "image", "a")
