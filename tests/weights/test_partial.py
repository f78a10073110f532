"""Partial loads: what is named may be missing or of another shape, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safe

from netc import weights as stored
from netc.backends.torch import initial
from tests.weights.samples import Loaded, arrays, refused, small

library: Any = safe


def saved(path: Path, **changed: Any) -> Path:
    """The sample's weights, some changed: `fc_weight=...`; None takes one out."""
    tensors: dict[str, Any] = dict(arrays())
    for name, array in changed.items():
        name = name.replace("__", ".")
        tensors.pop(name, None)
        if array is not None:
            tensors[name] = array
    path.write_bytes(library.save(tensors))
    return path


NEW_HEAD = {"fc__weight": np.zeros((7, 4), np.float32), "fc__bias": np.zeros(7, np.float32)}


def test_a_layer_of_another_shape_is_left_out_whole_and_said(tmp_path: Path) -> None:
    loaded = Loaded(saved(tmp_path / "w.safetensors", **NEW_HEAD), partial=["fc.*"])
    assert list(loaded.weights) == [name for name in arrays() if not name.startswith("fc.")]
    assert loaded.said == ["starts anew: fc.weight 5x4 (7x4 in the file), fc.bias 5 (7 in the file)"]


def test_the_bias_of_a_layer_that_is_left_out_goes_too_though_it_fits(tmp_path: Path) -> None:
    loaded = Loaded(saved(tmp_path / "w.safetensors", fc__weight=np.zeros((5, 9), np.float32)), partial=["fc.*"])
    assert "fc.bias" not in loaded.weights


def test_what_is_missing_or_unexpected_may_be_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", fc__bias=None, fc__weight=None, old__weight=np.zeros((3, 4), np.float32))
    loaded = Loaded(path, partial=["fc.*", "old*"])
    assert loaded.said == [
        "starts anew: fc.weight 5x4 (nothing in the file), fc.bias 5 (nothing in the file)",
        "of the file is left out: old.weight 3x4",
    ]


def test_what_is_named_and_fits_is_loaded(tmp_path: Path) -> None:
    loaded = Loaded(saved(tmp_path / "w.safetensors"), partial=["fc.*"])
    assert loaded.is_the_samples()
    assert loaded.said == ["every tensor fits, so none is left out as partial"]


def test_everything_else_must_fit(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", **NEW_HEAD, conv1__bias=np.zeros(3, np.float32))
    message = refused(path, "N401", partial=["fc.*"]).message
    assert "1 tensor does not fit" in message
    assert "conv1.bias: 3, expected 4" in message
    whole = refused(path, "N401", partial=["fc.weight"]).message
    assert "fc.bias: 7, expected 5" in whole


def test_a_type_that_does_not_fit_is_no_other_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", fc__bias=np.zeros(5, np.int32))
    assert "fc.bias: int32" in refused(path, "N401", partial=["fc.*"]).message


@pytest.mark.parametrize("pattern", ["head2.*", "FC.*", "", "fc"])
def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    fault = refused(saved(tmp_path / "w.safetensors"), "N447", partial=[pattern])
    assert f"`{pattern}`" in fault.message


def test_a_message_says_how_a_new_head_is_left_out(tmp_path: Path) -> None:
    fault = refused(saved(tmp_path / "w.safetensors", **NEW_HEAD), "N401")
    assert fault.help == '--partial "fc.*" lets it start anew'


def test_what_was_left_out_is_completed_in_the_nets_order(tmp_path: Path) -> None:
    weights = Loaded(saved(tmp_path / "w.safetensors", **NEW_HEAD), partial=["fc.*"]).weights
    start = initial(small(), 3)
    whole = stored.completed(weights, small(), lambda: start)
    assert list(whole) == list(arrays())
    stored.check(whole, small())
    for name, array in whole.items():
        assert np.array_equal(array, start[name] if name.startswith("fc.") else arrays()[name])


def test_what_is_whole_is_completed_with_nothing() -> None:
    def never() -> stored.Weights:
        raise AssertionError

    weights = arrays()
    assert stored.completed(weights, small(), never) is weights
