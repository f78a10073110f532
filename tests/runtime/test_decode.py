"""Logits to labels, by hand and against plain numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc_runtime.decode import Decoded, check_threshold, decode_output, sigmoid, softmax
from netc_runtime.errors import RuntimeFault
from netc_runtime.manifest import Output

LABELS = ("cat", "dog", "owl")


def decode(
    logits: Any, decode: Any, labels: tuple[str, ...] | None = LABELS, top: int = 5, threshold: float | None = None
) -> Decoded:
    """Decode one example, given without its batch axis."""
    array = np.asarray(logits, np.float32)
    output = Output("out", "f32", ("N", *array.shape), labels, decode, threshold)
    (decoded,) = decode_output("m.onnx", output, array[None], top)
    return decoded


def named(decoded: Decoded) -> list[tuple[str, float]]:
    return [(label.name, round(label.score, 4)) for label in decoded.labels]


def test_softmax_gives_the_likeliest_labels_first() -> None:
    # exp(ln 1), exp(ln 6), exp(ln 3): tenths of 1, 6 and 3
    decoded = decode(np.log([1, 6, 3]), "softmax", top=2)
    assert named(decoded) == [("dog", 0.6), ("owl", 0.3)]
    assert [label.index for label in decoded.labels] == [1, 2]
    assert decoded.values.dtype == np.float32
    assert np.allclose(decoded.values, [0.1, 0.6, 0.3])


def test_equal_scores_stand_by_index_and_a_large_top_is_all() -> None:
    assert named(decode([0, 0, 0], "softmax", top=99)) == [("cat", 0.3333), ("dog", 0.3333), ("owl", 0.3333)]


def test_without_labels_the_index_is_the_name() -> None:
    assert named(decode([0, 50, 0], "softmax", labels=None, top=1)) == [("1", 1.0)]


def test_softmax_of_a_map_ranks_by_the_mean_probability() -> None:
    # Two positions: (0.9, 0.1) and (0.3, 0.7); means 0.6 and 0.4
    decoded = decode(np.log([[0.9, 0.3], [0.1, 0.7]]), "softmax", labels=("a", "b"))
    assert named(decoded) == [("a", 0.6), ("b", 0.4)]
    assert decoded.values.shape == (2, 2)


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=8))
def test_softmax_and_sigmoid_never_overflow(logits: list[float]) -> None:
    array = np.array(logits, np.float32)
    assert softmax(array).sum() == pytest.approx(1.0)
    assert ((sigmoid(array) >= 0) & (sigmoid(array) <= 1)).all()


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=8))
def test_softmax_and_sigmoid_are_their_formulas(logits: list[float]) -> None:
    array = np.array(logits, np.float32)
    wide = array.astype(np.float64)
    assert softmax(array) == pytest.approx(np.exp(wide) / np.exp(wide).sum(), rel=1e-12)
    assert sigmoid(array) == pytest.approx(1 / (1 + np.exp(-wide)), rel=1e-12)


def test_sigmoid_gives_every_label_that_reaches_the_threshold() -> None:
    # The logit of p is ln(p / (1 - p)): 0.8, 0.3, 0.5
    logits = np.log([0.8 / 0.2, 0.3 / 0.7, 1.0])
    assert named(decode(logits, "sigmoid")) == [("cat", 0.8), ("owl", 0.5)]
    assert named(decode(logits, "sigmoid", threshold=0.25)) == [("cat", 0.8), ("owl", 0.5), ("dog", 0.3)]
    assert decode(logits, "sigmoid", threshold=0.9).labels == ()


def test_top_does_not_cut_a_sigmoid() -> None:
    assert len(decode([9, 9, 9], "sigmoid", top=1).labels) == 3


def test_sigmoid_of_a_map_gives_the_share_of_positions_that_reach_the_threshold() -> None:
    decoded = decode([[9, 9, 9, -9], [-9, -9, -9, -9], [9, -9, -9, -9]], "sigmoid")
    assert named(decoded) == [("cat", 0.75), ("owl", 0.25)]


def test_argmax_gives_the_class() -> None:
    decoded = decode([1, 3, 2], "argmax")
    assert named(decoded) == [("dog", 1.0)]
    assert decoded.values.shape == ()
    assert int(decoded.values) == 1


def test_argmax_of_a_map_gives_the_mask_and_the_share_of_each_label() -> None:
    logits = np.zeros((3, 2, 2))
    logits[2, 0, 0] = logits[2, 0, 1] = logits[2, 1, 0] = logits[0, 1, 1] = 1
    decoded = decode(logits, "argmax")
    assert decoded.values.tolist() == [[2, 2], [2, 0]]
    assert decoded.values.dtype == np.uint8
    assert named(decoded) == [("owl", 0.75), ("cat", 0.25)]


def test_none_gives_the_values_themselves() -> None:
    decoded = decode([1, 2, 3], "none", labels=None)
    assert decoded.values.tolist() == [1, 2, 3]
    assert decoded.labels == ()


def test_none_names_its_values_where_the_manifest_does() -> None:
    assert named(decode([-1, 3, 2], "none")) == [("cat", -1), ("dog", 3), ("owl", 2)]
    assert decode([[1], [2], [3]], "none").labels == ()  # a map has more values than names


def given_threshold(logits: Any, word: Any, threshold: float, recorded: float | None = None) -> list[str]:
    output = Output("out", "f32", ("N", 3), LABELS, word, recorded)
    (decoded,) = decode_output("m.onnx", output, np.asarray([logits], np.float32), threshold=threshold)
    return [label.name for label in decoded.labels]


def test_a_threshold_stands_in_for_the_recorded_one_and_cuts_softmax_too() -> None:
    logits = np.log([0.8 / 0.2, 0.3 / 0.7, 1.0])  # sigmoid: 0.8, 0.3, 0.5
    assert given_threshold(logits, "sigmoid", 0.6, recorded=0.1) == ["cat"]
    assert given_threshold(logits, "sigmoid", 0.0, recorded=0.9) == ["cat", "owl", "dog"]
    assert given_threshold(np.log([1, 6, 3]), "softmax", 0.25) == ["dog", "owl"]
    assert given_threshold(np.log([1, 6, 3]), "softmax", 0.7) == []
    assert given_threshold([1, 3, 2], "argmax", 1.0) == ["dog"]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    check_threshold(None)
    check_threshold(1.0)
    with pytest.raises(RuntimeFault) as caught:
        check_threshold(threshold)
    assert caught.value.code == "R404"


def test_a_nan_is_no_winner_and_reaches_no_threshold() -> None:
    assert decode([float("nan"), 1, 2], "sigmoid", threshold=0.0).labels[0].name == "owl"
    assert len(decode([float("nan"), 1, 2], "sigmoid", threshold=0.0).labels) == 2


def test_a_batch_is_decoded_example_by_example() -> None:
    output = Output("out", "f32", ("N", 3), LABELS, "argmax")
    batch = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    assert [result.labels[0].name for result in decode_output("m.onnx", output, batch)] == ["cat", "owl"]
    assert decode_output("m.onnx", output, batch[:0]) == ()


@given(st.integers(1, 9), st.integers(1, 70), st.sampled_from(["softmax", "sigmoid"]), st.integers(0, 2**16))
def test_a_batch_gives_the_bits_of_its_rows(rows: int, classes: int, word: Any, seed: int) -> None:
    output = Output("out", "f32", ("N", classes), None, word)
    batch = np.random.RandomState(seed).normal(0, 9, (rows, classes)).astype(np.float32)
    together = decode_output("m.onnx", output, batch, top=classes)
    for row, result in enumerate(together):
        (alone,) = decode_output("m.onnx", output, batch[row : row + 1], top=classes)
        exact = softmax(batch[row]) if word == "softmax" else sigmoid(batch[row])
        assert result.values.tobytes() == alone.values.tobytes() == exact.astype(np.float32).tobytes()
        assert result.labels == alone.labels
        assert all(label.score == exact[label.index] for label in result.labels)


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1), ()])
def test_other_shapes_are_refused_with_both(shape: tuple[int, ...]) -> None:
    output = Output("out", "f32", ("N", 3), LABELS, "softmax")
    with pytest.raises(RuntimeFault) as caught:
        decode_output("m.onnx", output, np.zeros(shape, np.float32))
    assert caught.value.code == "R210"
    assert f'output "out" is {shape}, expected ' in caught.value.message


def test_fewer_labels_than_one_is_a_wrong_setting() -> None:
    with pytest.raises(RuntimeFault) as caught:
        decode([1, 2, 3], "softmax", top=0)
    assert (caught.value.code, caught.value.exit_code) == ("R404", 2)
