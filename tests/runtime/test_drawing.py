"""What can be drawn of an answer, and in which colours."""

from typing import Any

import numpy as np
import pytest

from netc_runtime.decode import Decoded, Label
from netc_runtime.drawing import class_colours, drawable, drawings
from netc_runtime.manifest import Output

GRAY = np.full((6, 4, 3), 100, np.uint8)


@pytest.mark.parametrize(
    ("shape", "word", "labels", "decoded", "expected"),
    [
        (("N", 2, "H", "W"), "argmax", None, False, True),
        (("N", 2, "H", "W"), "softmax", ("a", "b"), False, True),
        (("N", 300, "H", "W"), "argmax", None, False, False),  # a palette holds 256
        (("N", 300, "H", "W"), "sigmoid", None, False, True),
        (("N", 2, "D", "H", "W"), "argmax", None, False, False),  # a volume
        (("N", 2), "softmax", None, False, False),
        # Where the graph holds the argmax, there is no axis of classes.
        (("N", "H", "W"), "argmax", ("a", "b"), True, True),
        (("N", "H", "W"), "argmax", tuple(map(str, range(300))), True, False),
        (("N", 2, "H", "W"), "argmax", ("a", "b"), True, False),
        (("N", 2), "none", ("x", "y"), False, True),
        (("N", 2), "none", ("y", "x"), False, False),
        (("N", 2), "none", None, False, False),
    ],
)
def test_masks_and_points_can_be_drawn(shape: Any, word: Any, labels: Any, decoded: bool, expected: bool) -> None:
    assert drawable(Output("y", "f32", shape, labels, word), decoded=decoded) == expected


def test_the_colours_are_pascal_voc_s() -> None:
    # The devkit's table: background, aeroplane, bicycle, bird, boat, bottle, ..., and the border, which is 255.
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert class_colours()[:6].tolist() == [list(colour) for colour in expected]
    assert class_colours()[[20, 255]].tolist() == [[0, 64, 128], [224, 224, 192]]
    assert len(np.unique(class_colours(), axis=0)) == 256


def test_a_mask_smaller_than_the_picture_covers_it_block_by_block() -> None:
    mask = Decoded("argmax", (), np.array([[0, 1], [2, 0], [1, 1]], np.uint8))
    (name, palette), (over, overlay) = drawings({"m": mask}, {"m": None}, GRAY)
    assert (name, over) == ("m", "m.overlay")
    assert np.asarray(palette).tolist() == [[0, 1], [2, 0], [1, 1]]
    colours = class_colours()[np.repeat(np.repeat(mask.values, 2, axis=0), 2, axis=1)].astype(float)
    assert np.abs(np.asarray(overlay) - (colours + 100) / 2).max() <= 1


def test_classes_without_names_are_numbered_and_nan_is_nothing() -> None:
    maps = Decoded("sigmoid", (), np.array([[[1.0, 0.5]], [[np.nan, 0.0]]], np.float32))
    named = dict(drawings({"m": maps}, {"m": None}, GRAY))
    assert {name: np.asarray(each).tolist() for name, each in named.items()} == {
        "m.0": [[255, 128]],
        "m.1": [[0, 0]],
    }


def test_a_point_that_is_no_number_or_outside_is_not_drawn() -> None:
    for x, y in ((float("nan"), 0.5), (0.5, float("inf")), (1e300, 0.5), (-0.1, 0.5)):
        point = Decoded("none", (Label(0, "x", x), Label(1, "y", y)), np.array([x, y]))
        ((name, picture),) = drawings({"spot": point}, {"spot": ("x", "y")}, GRAY)
        assert name == "spot.point"
        assert np.array_equal(np.asarray(picture), GRAY)


def test_what_is_no_map_is_left_out() -> None:
    scores = Decoded("softmax", (), np.array([0.1, 0.9], np.float32))
    single = Decoded("argmax", (), np.array(1, np.uint8))
    assert list(drawings({"a": scores, "b": single}, {"a": None, "b": None}, GRAY)) == []
