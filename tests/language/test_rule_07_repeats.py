"""Rule 7: repeats."""

import pytest

from tests.language.spec import admitted, fields, inputs, names, net, refused, shapes

UNIT = "block unit(c, stride = 1) { conv(c, k=3, pad=1, stride=stride) -> relu }"


def test_a_number_of_times() -> None:
    graph = admitted(net("from image -> u: unit(8) * 3 => y", head=UNIT))
    assert names(graph) == [f"u.{i}.{kind}" for i in range(3) for kind in ("conv", "relu")]
    assert inputs(graph, "u.2.conv") == ("u.1.relu",)


def test_a_count_may_be_an_expression() -> None:
    head = f"{UNIT}\nlet depths = [1, 2]"
    assert len(names(admitted(net("from image -> u: unit(8) * depths[1] => y", head=head)))) == 4
    assert len(names(admitted(net("from image -> u: unit(8) * (1 + 2) => y", head=head)))) == 6


def test_for_counts_from_0() -> None:
    graph = admitted(
        net("from image -> u: unit(8, stride = 2 if i == 0 else 1) for i in 3 => y", "f32[N, 8, 16, 16]", head=UNIT)
    )
    assert [fields(graph, f"u.{i}.conv", "stride") for i in range(3)] == [(2,), (1,), (1,)]


def test_for_goes_through_a_list() -> None:
    graph = admitted(net("from image -> u: unit(c) for c in [4, 8] => y", head=UNIT))
    assert [shapes(graph)[f"u.{i}.conv"] for i in range(2)] == ["4x32x32", "8x32x32"]


def test_for_takes_nested_targets_as_python_does() -> None:
    rows = "let rows = [[1, [4, 1]], [2, [8, 2]]]"
    chain = 'from image -> "s{i}.t{t}": unit(c, stride=s) for i, (t, (c, s)) in enumerate(rows, 1) => y'
    graph = admitted(net(chain, "f32[N, 8, 16, 16]", head=f"{UNIT}\n{rows}"))
    assert names(graph) == ["s1.t1.conv", "s1.t1.relu", "s2.t2.conv", "s2.t2.relu"]
    assert fields(graph, "s2.t2.conv", "c", "stride") == (8, 2)


def test_targets_must_match() -> None:
    refused(net("from image -> u: unit(c) for §i, c in [4, 8] => y", head=UNIT), "N134", says="2 names")
    refused(net("from image -> u: unit(c) for §i, c in [[1, 2, 3]] => y", head=UNIT), "N134", says="a list of 3")


def test_each_turn_takes_the_last_ones_value() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> r: relu * 3 => y"))
    assert [inputs(graph, f"r.{i}") for i in range(3)] == [("conv",), ("r.0",), ("r.1",)]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("conv(8, k=1) * 2", ["conv.0", "conv.1"]),
        ("c: conv(8, k=1) * 2", ["c.0", "c.1"]),
        ("g: { conv(8, k=1) } * 2", ["g.0.conv", "g.1.conv"]),
        ("{ id } * 2 -> conv(8, k=1)", ["id", "id_2", "conv"]),
        (
            "s: add { | conv(3, k=1) | id } * 2 -> conv(8, k=1)",
            ["s.0.conv", "s.0.id", "s.0", "s.1.conv", "s.1.id", "s.1", "conv"],
        ),
        ("add { | id | tanh } * 2 -> conv(8, k=1)", ["id", "tanh", "add", "id_2", "tanh_2", "add_2", "conv"]),
        ("i: if true { conv(8, k=1) } * 2", ["i.0.conv", "i.1.conv"]),
    ],
)
def test_any_call_group_fork_or_labelled_if_repeats(stage: str, expected: list[str]) -> None:
    assert names(admitted(net(f"from image -> {stage} => y"))) == expected


def test_an_unlabelled_group_with_weights_cannot_repeat_under_one_name() -> None:
    refused(net("from image -> { §conv(8, k=1) } * 2 => y"), "N114")


def test_an_unlabelled_if_does_not_repeat() -> None:
    refused(net("from image -> conv(8, k=1) -> if true { relu } §* 2 => y"), "N101")


@pytest.mark.parametrize(
    "stage",
    ["relu * 0", "relu for i in 0", "relu for i in []", "u: unit(8) * 0", "_: unit(8) * 0", "g: { nosuch } * 0"],
)
def test_zero_turns_are_the_identity(stage: str) -> None:
    graph = admitted(net(f"from image -> conv(8, k=1) -> {stage} => y", head=UNIT))
    assert names(graph) == ["conv"]
    assert graph.outputs[0].value == "conv"


def test_the_label_of_zero_turns_names_what_entered() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> u: unit(8) * 0 from u -> relu => y", head=UNIT))
    assert inputs(graph, "relu") == ("conv",)


def test_repeats_of_repeats_name_both_turns() -> None:
    graph = admitted(net("from image -> conv(8, k=1) -> g: { u: relu * 2 } * 2 => y"))
    assert names(graph)[1:] == ["g.0.u.0", "g.0.u.1", "g.1.u.0", "g.1.u.1"]


def test_a_loop_variable_holds_in_its_stage_only() -> None:
    refused(net("from image -> u: unit(c) for c in [4, 8] -> conv(§c, k=1) => y", head=UNIT), "N111")


def test_a_loop_variable_is_seen_in_braces_and_labels() -> None:
    graph = admitted(net('from image -> "g{i}": { "c{i}": conv(4 * i, k=1) } for i in [1, 2] => y'))
    assert names(graph) == ["g1.c1", "g2.c2"]


def test_a_loop_variable_is_not_seen_in_a_called_block() -> None:
    refused(net("from image -> x: b for i in 2 => y", head="block b() { conv(§i, k=1) }"), "N111")


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ("* §1.5", "N130"),
        ("* §true", "N130"),
        ("for i in §true", "N130"),
        ('for i in §"abc"', "N130"),
        ("for i in §-1", "N130"),
        ("for §in in 3", "N113"),
    ],
)
def test_what_is_no_count_and_no_list_is_refused(times: str, code: str) -> None:
    refused(net(f"from image -> conv(8, k=1) -> relu {times} => y"), code)


def test_a_loop_variable_is_no_word_of_the_language() -> None:
    refused(net("from image -> conv(8, k=1) -> relu for §net in 3 => y"), "N113")
