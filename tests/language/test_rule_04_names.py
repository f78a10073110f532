"""Rule 4: names come from labels and kinds, never from position."""

import pytest

from tests.language.spec import admitted, inputs, names, net, refused, weights

F8 = "f32[N, 8]"


def test_a_label_is_a_component_of_the_weights_path_and_the_values_name() -> None:
    graph = admitted(net("from image -> a: b => y", head="block b() { c: conv(8, k=1) -> n: bn }"))
    assert weights(graph)[:3] == ["a.c.weight", "a.c.bias", "a.n.weight"]
    assert graph.outputs[0].value == "a.n"


def test_an_unlabelled_layer_with_weights_is_named_after_its_kind() -> None:
    assert weights(admitted(net("from image -> conv(8, k=1) => y"))) == ["conv.weight", "conv.bias"]
    assert weights(admitted(net("from image -> b => y", head="block b() { conv(8, k=1) }")))[0] == "b.conv.weight"


def test_two_unlabelled_layers_with_weights_of_one_kind_are_refused() -> None:
    said = refused(net("from image -> conv(4, k=1) -> §conv(8, k=1) => y"), "N114", says="label them")
    assert said.labels[0].text == "the first"


def test_two_unlabelled_blocks_with_weights_are_refused() -> None:
    refused(net("from image -> b -> §b => y", head="block b() { conv(8, k=1) }"), "N114")


def test_arms_are_the_same_scope() -> None:
    refused(net("from image -> add { | conv(8, k=1) | §conv(8, k=1) } => y"), "N114")


def test_a_label_takes_a_kinds_name_from_the_unlabelled() -> None:
    refused(net("from image -> conv: relu -> §conv(8, k=1) => y"), "N114")


def test_layers_without_weights_need_no_label() -> None:
    assert names(admitted(net("from image -> conv(8, k=1) -> relu -> tanh -> relu => y"))) == [
        "conv",
        "relu",
        "tanh",
        "relu_2",
    ]


def test_blocks_without_weights_need_no_label() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> b -> b => y", head="block b() { relu }"))
    assert names(graph) == ["conv", "b.relu", "b_2.relu"]


def test_a_repeat_adds_its_turn_from_0() -> None:
    text = net(
        "from image -> layer2: b * 3 from layer2.1 -> s: relu from layer2, s -> add => y",
        head="block b() { conv(8, k=1) }",
    )
    graph = admitted(text)
    assert weights(graph)[::2] == ["layer2.0.conv.weight", "layer2.1.conv.weight", "layer2.2.conv.weight"]
    assert inputs(graph, "s") == ("layer2.1.conv",)
    assert inputs(graph, "add") == ("layer2.2.conv", "s")


def test_an_unlabelled_repeat_is_named_after_its_kind_and_turn() -> None:
    graph = admitted(net("from image -> conv(8, k=1) * 2 => y"))
    assert weights(graph)[::2] == ["conv.0.weight", "conv.1.weight"]


def test_a_splice_adds_nothing() -> None:
    head = "block b() { c: conv(8, k=1) -> inner: d }  block d() { n: bn }"
    graph = admitted(net("from image -> _: b from inner -> tanh => y", head=head))
    assert weights(graph)[:3] == ["c.weight", "c.bias", "inner.n.weight"]
    assert inputs(graph, "tanh") == ("inner.n",)


def test_a_spliced_blocks_labels_belong_to_the_scope() -> None:
    head = "block b() { c: conv(8, k=1) }"
    refused(net("from image -> c: conv(8, k=1) -> §_: b => y", head=head), "N112", says="two things are called `c`")


def test_a_spliced_repeat_keeps_its_turns() -> None:
    graph = admitted(
        net("from image -> g: { _: b(i) for i in [4, 8] } => y", head='block b(c) { "c{c}": conv(c, k=1) }')
    )
    assert weights(graph)[::2] == ["g.c4.weight", "g.c8.weight"]


def test_a_number_is_a_label() -> None:
    graph = admitted(net("from image -> features: { 0: conv(8, k=1) -> 1: relu -> 3: conv(8, k=1) } => y"))
    assert weights(graph)[::2] == ["features.0.weight", "features.3.weight"]
    assert inputs(graph, "features.3") == ("features.1",)


def test_a_quoted_label_is_the_whole_path_with_expressions_in_braces() -> None:
    graph = admitted(net('from image -> "dense.layer{i + 1}.{2 * i}": conv(8, k=1) for i in 2 => y'))
    assert weights(graph)[::2] == ["dense.layer1.0.weight", "dense.layer2.2.weight"]


def test_a_repeat_under_a_quoted_label_adds_nothing() -> None:
    refused(net('from image -> §"same": conv(8, k=1) * 2 => y'), "N112", says="two things are called `same`")


def test_a_quoted_label_may_hold_a_word_of_the_language() -> None:
    graph = admitted(net('from image -> "block": { "in.from": conv(8, k=1) } => y'))
    assert weights(graph)[0] == "block.in.from.weight"


@pytest.mark.parametrize("label", ["a b", "", "a..b", ".a", "ä", "a/b", "a+b"])
def test_a_path_has_components_of_letters_digits_underscores_and_hyphens(label: str) -> None:
    refused(net(f'from image -> §"{label}": conv(8, k=1) => y'), "N112", says="components")


def test_a_quoted_label_may_hold_a_hyphen() -> None:
    # torchvision's RegNet has `trunk_output.block1.block1-0.f.a.0.weight`.
    graph = admitted(net('from image -> "block1-{1 - 1}": { "fc-final": conv(8, k=1) } => y'))
    assert weights(graph)[0] == "block1-0.fc-final.weight"


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("a{", "N101"),
        ("a}", "N112"),
        ("{1 +}", "N101"),
        ("{}", "N101"),
        ("{nosuch}", "N111"),
        ("{[1]}", "N130"),
        ("{true}", "N130"),
    ],
)
def test_an_expression_in_a_label_is_a_number_or_a_text(label: str, code: str) -> None:
    refused(net(f'from image -> §"{label}": conv(8, k=1) => y'), code)


def test_a_stage_without_weights_may_be_labelled_to_name_its_value() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> trunk: id -> relu => y"))
    assert inputs(graph, "relu") == ("trunk",)


def test_a_check_may_be_labelled_to_name_its_value() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> trunk: is [N, 8, 32, 32] from trunk -> relu => y"))
    assert inputs(graph, "relu") == ("conv",)


@pytest.mark.parametrize(
    "chains",
    [
        "from image -> a: relu -> §a: conv(8, k=1) => y",
        'from image -> a: { b: relu } -> §"a.b": conv(8, k=1) => y',
        'from image -> a: relu * 2 -> §"a.1": conv(8, k=1) => y',
        "from image -> add { | a: relu | §a: tanh } -> conv(8, k=1) => y",
        "from image -> if true { a: relu } -> §a: conv(8, k=1) => y",
        "from image -> §image: conv(8, k=1) => y",
    ],
)
def test_two_equal_paths_are_an_error(chains: str) -> None:
    said = refused(net(chains), "N112", says="two things are called")
    assert said.labels[0].text == "the first"


def test_a_path_into_a_block_is_equal_to_its_own() -> None:
    head = "block b() { c: conv(8, k=1) }"
    refused(
        net('from image -> a: b -> "a.c": §conv(8, k=1) => y', head=head), "N115", says="two layers are called `a.c`"
    )


def test_reordering_chains_changes_the_order_of_weights_never_their_names() -> None:
    one = "from image -> a: conv(8, k=1)  from image -> b: conv(8, k=3, pad=1)  "
    two = "from image -> b: conv(8, k=3, pad=1)  from image -> a: conv(8, k=1)  "
    first, second = (admitted(net(f"{chains} from a, b -> add => y")) for chains in (one, two))
    assert weights(first) != weights(second)
    assert dict(first.parameters()) == dict(second.parameters())
    assert inputs(first, "add") == inputs(second, "add")


def test_adding_a_stage_without_weights_changes_no_name() -> None:
    plain, more = "conv(8, k=1) -> b => y", "conv(8, k=1) -> relu -> dropout(0.5) -> b -> tanh => y"
    head = "block b() { bn }"
    assert weights(admitted(net(f"from image -> {plain}", head=head))) == weights(
        admitted(net(f"from image -> {more}", head=head))
    )


@pytest.mark.parametrize(
    "chain",
    ["a: relu -> §a: tanh * 2", "a: relu * 2 -> §a: tanh", "a: relu -> §a: tanh * 0", "a: relu * 2 -> §a: tanh * 2"],
)
def test_a_repeat_takes_its_label_as_others_do(chain: str) -> None:
    refused(net(f"from image -> {chain} -> conv(8, k=1) => y"), "N112", says="two things are called `a")
