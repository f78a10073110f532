"""Weights: what a file holds is held to what the net needs, by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from blake3 import blake3
from safetensors import numpy as safe
from safetensors import torch as safe_torch

from netc import weights as stored
from netc.backends.torch import as_tensor, initial
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights.tensors import PIECE
from tests.graphs import Net, randomised

library: Any = safe  # typed in part
torchs: Any = safe_torch


def small() -> Graph:
    net = Net("Small", image=("N", 3, 8, 8))
    x = net("bn", net("conv", "image", label="conv1", c=4, k=3), label="bn1")
    y = net("flatten", net("gap", x))
    return net.graph(train_only=("aux",), scores=net("fc", y, label="fc", c=5), aux=net("fc", y, label="head", c=2))


def saved(path: Path, **changed: npt.NDArray[Any] | None) -> Path:
    tensors: dict[str, npt.NDArray[Any]] = {n.replace(".", "_"): a for n, a in randomised(small()).items()}
    names = {n.replace(".", "_"): n for n in randomised(small())}
    for name, array in changed.items():
        tensors.pop(name, None)
        if array is not None:
            tensors[name] = array
    path.write_bytes(library.save({names.get(n, n.replace("_", ".")): a for n, a in tensors.items()}))
    return path


def fault(path: Path | str, **kwargs: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        stored.load(path, small(), **kwargs)
    assert caught.value.exit_code == 1
    assert str(path) in caught.value.message
    return caught.value


def test_what_is_saved_is_loaded_in_the_graphs_order(tmp_path: Path) -> None:
    weights = randomised(small())
    stored.save(dict(reversed(weights.items())), tmp_path / "w.safetensors")
    found = stored.load(tmp_path / "w.safetensors", small())
    assert list(found) == [name for name, _ in small().parameters()]
    for name, array in weights.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        taken = found[name]
        taken += 1  # the caller's own


def test_the_file_is_safetensors_as_the_library_reads_it(tmp_path: Path) -> None:
    weights = randomised(small())
    stored.save(weights, tmp_path / "w.safetensors", {"b": "2", "a": "ä"})
    found = library.load_file(tmp_path / "w.safetensors")
    assert {n: a.tolist() for n, a in found.items()} == {n: a.tolist() for n, a in weights.items()}
    data = (tmp_path / "w.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header.pop("__metadata__") == {"a": "ä", "b": "2"}
    assert all(entry["data_offsets"][0] % 4 == 0 for entry in header.values())


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    weights = randomised(small())
    stored.save(weights, tmp_path / "a", {"x": "1", "y": "2"})
    stored.save(dict(reversed(weights.items())), tmp_path / "b", {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_torchs_own_safetensors_are_read(tmp_path: Path) -> None:
    state = {name: torch.from_numpy(array) for name, array in randomised(small()).items()}  # pyright: ignore[reportUnknownMemberType]
    torchs.save_file(state, tmp_path / "w.safetensors")
    assert np.array_equal(stored.load(tmp_path / "w.safetensors", small())["fc.weight"], state["fc.weight"].numpy())


def test_bf16_f16_and_f64_become_f32_by_the_documented_rule(tmp_path: Path) -> None:
    state = {name: torch.from_numpy(array) for name, array in randomised(small()).items()}  # pyright: ignore[reportUnknownMemberType]
    state["fc.weight"] = state["fc.weight"].to(torch.bfloat16)
    state["fc.bias"] = state["fc.bias"].to(torch.float16)
    state["head.bias"] = torch.tensor([1 / 3, 1 + 2**-30], dtype=torch.float64)
    torchs.save_file(state, tmp_path / "w.safetensors")
    found = stored.load(tmp_path / "w.safetensors", small())
    for name in ("fc.weight", "fc.bias"):
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], state[name].float().numpy())  # every value exactly
    assert found["head.bias"].tolist() == [float(np.float32(1 / 3)), 1.0]  # rounded to the nearest


def test_every_mismatch_is_listed_at_once(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "w.safetensors",
        conv1_bias=None,
        conv1_biases=np.zeros(4, np.float32),
        fc_weight=np.zeros((4, 5), np.float32),
        fc_bias=np.zeros(5, np.int32),
        extra=np.zeros(1, np.float32),
    )
    found = fault(path)
    assert found.code == "N401"
    assert (
        found.message
        == f"""{path}: 5 tensors do not fit Small:
  conv1.bias: missing, 4 (the nearest is conv1.biases)
  conv1.biases: the net has no such tensor (the nearest is conv1.bias)
  extra: the net has no such tensor
  fc.weight: 4x5, expected 5x4
  fc.bias: int32, expected float32"""
    )


def test_a_list_of_mismatches_ends(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", **{f"x{i}": np.zeros(1, np.float32) for i in range(50)})
    message = fault(path).message
    assert "50 tensors do not fit" in message
    assert message.endswith("and 30 more")
    assert len(message.splitlines()) == 22


def test_an_unknown_type_is_a_mismatch(tmp_path: Path) -> None:
    state = {name: torch.from_numpy(array) for name, array in randomised(small()).items()}  # pyright: ignore[reportUnknownMemberType]
    state["fc.weight"] = state["fc.weight"].to(torch.float8_e4m3fn)
    torchs.save_file(state, tmp_path / "w.safetensors")
    assert "fc.weight: a type unknown here, expected float32" in fault(tmp_path / "w.safetensors").message


def test_the_training_counter_may_be_missing(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", bn1_num_batches_tracked=None)
    counter = stored.load(path, small())["bn1.num_batches_tracked"]
    assert (counter.shape, counter.dtype, int(counter)) == ((), np.int64, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_by_name(tmp_path: Path, value: float) -> None:
    found = fault(saved(tmp_path / "w.safetensors", fc_bias=np.array([0, 0, value, 0, 0], np.float32)))
    assert found.code == "N404"
    assert "fc.bias" in found.message


def test_a_number_beyond_f32_is_refused(tmp_path: Path) -> None:
    assert fault(saved(tmp_path / "w.safetensors", fc_bias=np.full(5, 1e300))).code == "N404"


def test_heads_may_be_missing_where_only_the_deployed_net_is_wanted(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", head_weight=None, head_bias=None)
    assert "head.weight: missing" in fault(path).message
    found = stored.load(path, small(), deployed=True)
    assert "fc.weight" in found
    assert not any(name.startswith("head") for name in found)
    assert list(stored.load(saved(tmp_path / "all"), small(), deployed=True)) == list(found)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "N403"),
        (b"garbage" * 100, "N403"),
        (b"\xff" * 8, "N403"),
        (b"PK\x03\x04" + bytes(100), "N403"),  # what torch.save writes
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "N403"),
        (b"\x02" + bytes(7) + b"[]", "N403"),
        (b"\x02" + bytes(7) + b"{}", "N401"),
    ],
)
def test_files_that_are_not_weights_are_refused_by_name(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    assert fault(path).code == code


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path / "w.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert fault(path).code == "N403"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", tmp_path / "w.cnn" / "x"):
        assert fault(path).code == "N402"


def test_digest_depends_on_names_shapes_and_values_alone() -> None:
    weights = randomised(small())
    same = {n: np.array(a, order="F") for n, a in reversed(weights.items())}
    assert stored.digest(same) == stored.digest(weights)
    assert stored.digest({**weights, "fc.bias": weights["fc.bias"] + 1}) != stored.digest(weights)
    assert stored.digest({**weights, "fc.weight": weights["fc.weight"].reshape(4, 5)}) != stored.digest(weights)
    assert stored.digest({"a": np.zeros(2, np.float32)}) != stored.digest({"b": np.zeros(2, np.float32)})
    assert stored.digest({"a": np.zeros(1, np.int64)}) != stored.digest({"a": np.zeros(2, np.float32)})


def test_check_takes_a_state_dict_and_says_what_is_wrong() -> None:
    weights = randomised(small())
    stored.check(weights, small())
    with pytest.raises(Fault, match="1 tensor does not fit Small") as caught:
        stored.check({**weights, "fc.bias": weights["fc.bias"].astype(np.float64)}, small())
    assert caught.value.code == "N401"


def test_initial_weights_fit_and_follow_the_seed() -> None:
    weights = initial(small(), 3)
    stored.check(weights, small())
    assert stored.digest(weights) == stored.digest(initial(small(), 3))
    assert stored.digest(weights) != stored.digest(initial(small(), 4))


def test_a_file_is_read_when_a_tensor_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors")
    found = stored.load(path, small())
    path.unlink()  # an open file stays
    assert np.array_equal(found["fc.weight"], randomised(small())["fc.weight"])


@pytest.mark.parametrize("cut", [0, 8, -1])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, cut: int) -> None:
    # Touching a mapped file that was cut short would end the process.
    path = saved(tmp_path / "w.safetensors")
    found = stored.load(path, small())
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    with pytest.raises(Fault, match="changed while it was read") as caught:
        stored.digest(found)
    assert caught.value.code == "N403"


def test_tensors_of_several_pieces_are_read_whole(tmp_path: Path) -> None:
    net = Net("Wide", features=("N", 1000))
    graph = net.graph(y=net("fc", "features", label="fc", c=700))
    weights = randomised(graph)
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    stored.save(halves, tmp_path / "half.safetensors")
    found = stored.load(tmp_path / "half.safetensors", graph)
    assert weights["fc.weight"].size > 2 * PIECE
    assert np.array_equal(found["fc.weight"], halves["fc.weight"].astype(np.float32))
    assert stored.digest(found) == stored.digest({n: a.astype(np.float32) for n, a in halves.items()})
    weights["fc.weight"][-1, -1] = np.inf
    with pytest.raises(Fault, match=r"stands in fc\.weight"):
        stored.check(weights, graph)


def test_the_digest_is_the_hash_of_the_file_that_is_saved(tmp_path: Path) -> None:
    weights = randomised(small())
    stored.save(weights, tmp_path / "w.safetensors")
    expected = blake3((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert stored.digest(weights) == expected
    assert stored.digest(stored.load(tmp_path / "w.safetensors", small())) == expected
    safe_torch_file = tmp_path / "torch.safetensors"  # tensors in another order, under another header
    torchs.save_file({n: as_tensor(a) for n, a in reversed(weights.items())}, safe_torch_file, {"a": "b"})
    assert stored.digest(stored.load(safe_torch_file, small())) == expected
