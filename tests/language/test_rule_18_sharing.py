"""Rule 18: `@` applies an existing layer or block again, with its weights."""

from tests.language.spec import admitted, fields, inputs, names, net, refused, weights

TWO = "input other: f32[N, 3, 32, 32]\n  output y"
TOWER = "block tower(c = 4) { c1: conv(c, k=3, pad=1) -> relu -> c2: conv(c, k=1) }"


def siamese(chains: str, head: str = TOWER, y: str = "f32[N, 4, 32, 32]") -> str:
    return net(chains, y, head).replace("output y", TWO)


def test_a_layer_is_applied_again_with_its_weights() -> None:
    graph = admitted(siamese("from image -> a: conv(4, k=1) from other -> b: @a from a, b -> add => y"))
    assert weights(graph) == ["a.weight", "a.bias"]
    assert graph.params() == 16
    node = graph.node["b"]
    assert (node.weights, node.shared, node.inputs) == ("a", True, ("other",))


def test_a_block_is_applied_again_arguments_and_all() -> None:
    graph = admitted(siamese("from image -> a: tower(4) from other -> b: @a from a, b -> add => y"))
    assert weights(graph) == ["a.c1.weight", "a.c1.bias", "a.c2.weight", "a.c2.bias"]
    assert [graph.node[n].weights for n in ("b.c1", "b.c2")] == ["a.c1", "a.c2"]
    assert fields(graph, "b.c1", "c", "k") == (4, 3)
    assert inputs(graph, "add") == ("a.c2", "b.c2")


def test_the_label_of_the_second_names_only_the_value() -> None:
    graph = admitted(siamese("from image -> a: tower from other -> @a -> x: tanh from a, x -> add => y"))
    assert weights(graph)[0] == "a.c1.weight"
    assert len([n for n in names(graph) if n.endswith("c1")]) == 2


def test_values_inside_the_first_keep_their_names() -> None:
    graph = admitted(siamese("from image -> a: tower from other -> b: @a from a.c1, b, a -> add => y"))
    assert inputs(graph, "add") == ("a.c1", "b.c2", "a.c2")


def test_values_inside_the_second_have_none() -> None:
    refused(siamese("from image -> a: tower from other -> b: @a from a, §b.c1, b -> add => y"), "N111")


def test_a_part_of_a_block_is_applied_again() -> None:
    chains = "from image -> a: tower from a -> b: @a.c2 from other -> c: conv(4, k=1) from b, c -> add => y"
    assert admitted(siamese(chains)).node["b"].weights == "a.c2"


def test_what_is_applied_again_may_be_applied_a_third_time() -> None:
    graph = admitted(
        siamese(
            "from image -> a: conv(3, k=1) from other -> b: @a -> c: @b from a, c -> add => y", y="f32[N, 3, 32, 32]"
        )
    )
    assert [graph.node[n].weights for n in "abc"] == ["a", "a", "a"]
    assert weights(graph) == ["a.weight", "a.bias"]


def test_sharing_in_a_block_and_of_a_turn() -> None:
    head = f"{TOWER}\nblock twice() from l, r {{ from l -> t: tower from r -> u: @t from t, u -> add }}"
    graph = admitted(siamese("from image, other -> p: twice => y", head))
    assert graph.node["p.u.c2"].weights == "p.t.c2"
    graph = admitted(
        siamese("from image -> a: conv(3, k=1) * 2 from other -> b: @a.0 from a, b -> add => y", y="f32[N, 3, 32, 32]")
    )
    assert graph.node["b"].weights == "a.0"


def test_a_repeated_application_shares_with_the_first() -> None:
    graph = admitted(net("from image -> a: conv(3, k=1) -> @a * 2 -> x: conv(8, k=1) => y"))
    assert weights(graph)[::2] == ["a.weight", "x.weight"]
    assert graph.macs() == (3 * 3 * 3 + 8 * 3) * 32 * 32


def test_the_weights_must_fit() -> None:
    text = net("from image -> a: conv(8, k=1) -> §@a => y")
    refused(text, "N307", says="weight is [8, 3, 1, 1], and [8, 8, 1, 1] here")
    refused(net("from image -> a: tower(8) -> §@a => y", head=TOWER), "N307", says="c1.weight")


def test_what_is_applied_again_has_the_same_weights_and_no_others() -> None:
    head = "block f() { if in.h > 16 { LARGE } else { SMALL } }"
    for large, small, says in (
        ("x: relu", "x: conv(in.c, k=1)", "x.weight is missing, and [3, 3, 1, 1] here"),
        ("x: conv(in.c, k=1)", "x: relu", "x.weight is [3, 3, 1, 1], and missing here"),
    ):
        text = net("from image -> a: f -> maxpool(k=2) -> §@a -> conv(8, k=1) => y", "f32[N, 8, 16, 16]")
        refused(f"{head.replace('LARGE', large).replace('SMALL', small)}\n{text}", "N307", says=says)


def test_a_layer_without_weights_may_be_applied_again() -> None:
    graph = admitted(net("from image -> p: maxpool(k=2) -> @p -> conv(8, k=1) => y", "f32[N, 8, 8, 8]"))
    assert graph.outputs[0].type.dims[2:] == (8, 8)


def test_what_is_no_layer_or_block_cannot_be_applied_again() -> None:
    refused(net("from image -> §@image -> conv(8, k=1) => y"), "N138", says="names a value")
    refused(net("from image -> g: { a: conv(3, k=1) -> b: relu } -> §@g -> x: conv(8, k=1) => y"), "N138")
    refused(net("from image -> aa: conv(3, k=1) -> @§ab -> x: conv(8, k=1) => y"), "N111")


def test_what_shares_weights_takes_one_value_too() -> None:
    refused(net("from image -> a: conv(3, k=1) from a, image -> §@a -> x: conv(8, k=1) => y"), "N143")


def test_a_spliced_blocks_parts_are_shared_by_their_own_names() -> None:
    graph = admitted(siamese("from image -> _: tower from other -> x: @c1 from c2, x -> add => y"))
    assert graph.node["x"].weights == "c1"
