"""PyTorch's checkpoints: what trainers put around the weights, and what they put before the names."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netc.backends.torch import module
from tests.graphs import Net, randomised
from tests.weights.samples import Loaded, arrays, refused, small, state

# pyright: reportUnknownMemberType=false


def saved(path: Path, what: Any, **options: Any) -> Path:
    torch.save(what, path, **options)
    return path


def doubled(prefix: str = "") -> dict[str, torch.Tensor]:
    return {name: 2 * tensor if tensor.is_floating_point() else tensor for name, tensor in state(prefix).items()}


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin", "tar", "safetensors", "onnx", "weights"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_state_dict_is_read_whatever_the_file_is_called(tmp_path: Path, ending: str, zipped: bool) -> None:
    path = saved(tmp_path / f"w.{ending}", state(), _use_new_zipfile_serialization=zipped)
    loaded = Loaded(path)
    assert loaded.is_the_samples()
    assert loaded.said == []


def test_what_is_loaded_is_the_callers_own(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", state())
    first = Loaded(path).weights
    for array in first.values():
        array += 1
    assert Loaded(path).is_the_samples()


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net", "network", "weights", "mine"])
def test_a_trainers_nesting_is_opened(tmp_path: Path, key: str) -> None:
    optimizer = torch.optim.AdamW(module(small(), arrays()).parameters())
    path = saved(tmp_path / "c.pt", {"epoch": 3, "optimizer": optimizer.state_dict(), key: state(), "best": 0.5})
    loaded = Loaded(path)
    assert loaded.is_the_samples()
    assert loaded.said == []


def test_dictionaries_in_one_another_under_no_name_are_counted(tmp_path: Path) -> None:
    tree: dict[str, Any] = state()
    for _ in range(5):
        tree = {"": tree}
    refused(saved(tmp_path / "c.pt", tree), "N403")


def test_a_view_that_is_negated_when_it_is_read_is_read(tmp_path: Path) -> None:
    numbers = state()
    turned = torch.complex(torch.zeros_like(numbers["fc.weight"]), -numbers["fc.weight"]).conj().imag
    assert turned.is_neg()
    assert Loaded(saved(tmp_path / "w.pt", {**numbers, "fc.weight": turned})).is_the_samples()


def test_what_an_optimizer_remembers_is_never_taken_for_weights(tmp_path: Path) -> None:
    net = module(small(), arrays())
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9, lr=0.1)
    torch.stack([p.sum() for p in net.parameters()]).sum().backward()
    optimizer.step()
    path = saved(
        tmp_path / "c.pt", {"optimizer": optimizer.state_dict(), "optimizer_state": {"exp_avg": torch.ones(3)}}
    )
    refused(path, "N403")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_what_wrappers_put_before_names_is_taken_off(tmp_path: Path, prefix: str) -> None:
    loaded = Loaded(saved(tmp_path / "w.pt", state(prefix)))
    assert loaded.is_the_samples()


def test_the_names_are_those_torchs_own_wrappers_write(tmp_path: Path) -> None:
    net = module(small(), arrays())
    parallel: Any = nn.DataParallel(net)
    compiled: Any = torch.compile(net, backend="eager")
    for wrapped in (parallel.state_dict(), compiled.state_dict(), AveragedModel(parallel).state_dict()):
        assert not set(wrapped) & set(arrays())
        assert Loaded(saved(tmp_path / "w.pt", wrapped)).is_the_samples()


def test_torch_compile_on_a_part_of_a_net_is_taken_off_as_well(tmp_path: Path) -> None:
    names = {name: name.replace("conv1.", "conv1._orig_mod.") for name in arrays()}
    assert Loaded(saved(tmp_path / "w.pt", {names[n]: t for n, t in state().items()})).is_the_samples()


def test_a_nets_own_module_stays(tmp_path: Path) -> None:
    net = Net("Own", x=("N", 4))
    graph = net.graph(y=net("fc", net("fc", "x", label="module.fc", c=3), label="fc", c=2))
    weights = randomised(graph)
    path = saved(tmp_path / "w.pt", {n: torch.from_numpy(a) for n, a in weights.items()})
    assert list(Loaded(path, graph).weights) == list(weights)


def test_two_tensors_that_would_have_one_name_are_refused(tmp_path: Path) -> None:
    both = {**state(), "module.fc.bias": torch.zeros(5)}
    fault = refused(saved(tmp_path / "w.pt", both), "N443")
    assert "fc.bias and module.fc.bias would both be fc.bias" in fault.message


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.encoder.", "model.module."])
def test_a_prefix_in_common_is_taken_off_and_said(tmp_path: Path, prefix: str) -> None:
    loaded = Loaded(saved(tmp_path / "w.ckpt", {"state_dict": state(prefix), "pytorch-lightning_version": "2.5"}))
    assert loaded.is_the_samples()
    (said,) = loaded.said
    assert said.endswith(f"names are taken without `{prefix}`")


def test_what_a_trainer_keeps_beside_its_model_is_left_out_and_said(tmp_path: Path) -> None:
    lightning = {**state("model."), "criterion.weight": torch.ones(5), "metric.total": torch.tensor(3)}
    loaded = Loaded(saved(tmp_path / "w.ckpt", {"state_dict": lightning}))
    assert loaded.is_the_samples()
    assert loaded.said[1].endswith("left out is what stands elsewhere: criterion.weight, metric.total")


def test_what_stands_elsewhere_is_a_mismatch_where_the_model_is_not_whole(tmp_path: Path) -> None:
    other = {name: tensor for name, tensor in state("model.").items() if name != "model.fc.weight"}
    fault = refused(saved(tmp_path / "w.pt", {**other, "last.weight": torch.zeros(5, 4)}), "N401")
    assert "fc.weight: missing, 5x4 (the nearest is last.weight)" in fault.message
    assert "last.weight: the net has no such tensor" in fault.message


@pytest.mark.parametrize("average", ["ema", "model_ema", "ema_state_dict", "state_dict_ema", "ema_model", "params_ema"])
def test_an_average_is_not_taken_for_the_model_and_that_is_said(tmp_path: Path, average: str) -> None:
    path = saved(tmp_path / "c.pth", {average: doubled(), "model": state(), "epoch": 1})
    loaded = Loaded(path)
    assert loaded.is_the_samples()
    (said,) = loaded.said
    assert said.endswith(f"taken is model, and not {average} (--weights-key picks another)")
    assert Loaded(path, key=average).is_the_samples(times=2)
    assert Loaded(path, key="model").is_the_samples()


def test_one_dictionary_under_two_keys_is_found_under_both(tmp_path: Path) -> None:
    weights = state()
    path = saved(tmp_path / "c.pth", {"model": weights, "model_ema": weights})
    for key in ("model", "model_ema"):
        assert Loaded(path, key=key).is_the_samples()


def test_an_average_alone_is_taken_and_said(tmp_path: Path) -> None:
    loaded = Loaded(saved(tmp_path / "c.pth", {"ema": {"module": doubled("module."), "updates": 7}}))
    assert loaded.is_the_samples(times=2)
    assert loaded.said[0].endswith("taken is ema.module, a moving average; there is nothing else")


def test_a_key_may_name_a_deeper_dictionary_or_the_one_around_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.pth", {"state": {"model": state(), "ema": {"shadow": doubled()}}})
    for key in ("state.ema", "state.ema.shadow"):
        assert Loaded(path, key=key).is_the_samples(times=2)


def test_several_models_are_a_choice_of_the_users(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.pth", {"generator": state(), "discriminator": doubled()})
    fault = refused(path, "N442")
    assert "generator (11 tensors), discriminator (11 tensors)" in fault.message
    assert "--weights-key" in fault.help
    assert Loaded(path, key="discriminator").is_the_samples(times=2)


def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.pth", {"model": state(), "model_ema": doubled()})
    fault = refused(path, "N442", key="emma")
    assert "emma" in fault.message
    assert "model (11 tensors), model_ema (11 tensors)" in fault.help
    refused(saved(tmp_path / "w.pt", state()), "N442", key="model")


def test_two_prefixes_that_fit_are_a_choice_of_the_users(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.pth", {**state("student."), **doubled("teacher.")})
    fault = refused(path, "N442")
    assert "`student.` and `teacher.`" in fault.message
    assert Loaded(path, key="teacher").is_the_samples(times=2)


def test_settings_that_trainers_save_are_no_code(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=0.1, model="small", betas=(0.9, 0.999))
    path = saved(tmp_path / "c.pth", {"model": state(), "args": args, "best": np.float64(71.2), "n": np.int64(3)})
    assert Loaded(path).is_the_samples()


def test_parameters_and_buffers_of_every_float_become_float32(tmp_path: Path) -> None:
    kinds = dict.fromkeys(arrays(), torch.float32)
    kinds |= {"fc.weight": torch.bfloat16, "fc.bias": torch.float16, "head.bias": torch.float64}
    given = {name: nn.Parameter(t.to(kinds[name])) if t.is_floating_point() else t for name, t in state().items()}
    given["bn1.num_batches_tracked"] = given["bn1.num_batches_tracked"].to(torch.int32)
    loaded = Loaded(saved(tmp_path / "w.pt", OrderedDict(given))).weights
    for name, tensor in given.items():
        exact = tensor.detach().to(torch.int64 if name.endswith("tracked") else torch.float32)
        assert np.array_equal(loaded[name], exact.numpy())
        assert loaded[name].dtype == exact.numpy().dtype


def test_a_tensor_that_is_a_view_of_another_is_read_as_it_is(tmp_path: Path) -> None:
    given = state()
    given["fc.weight"] = torch.arange(40.0).reshape(4, 10).t()[::2]
    given["fc.bias"] = torch.ones(1).expand(5)
    loaded = Loaded(saved(tmp_path / "w.pt", given)).weights
    assert loaded["fc.weight"].tolist() == given["fc.weight"].tolist()
    assert loaded["fc.bias"].tolist() == [1] * 5


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(5, dtype=torch.int32), "int32, expected float32"),
        (torch.zeros(5, dtype=torch.bool), "bool, expected float32"),
        (torch.zeros(5, dtype=torch.complex64), "complex64, expected float32"),
        (torch.zeros(5, dtype=torch.float8_e4m3fn), "float8_e4m3fn, expected float32"),
        (torch.zeros(5).to_sparse(), "sparse_coo float32, expected float32"),
        (torch.zeros(5, device="meta"), "strided float32, expected float32"),
    ],
    ids=["int32", "bool", "complex", "float8", "sparse", "meta"],
)
def test_a_tensor_of_another_type_is_refused(tmp_path: Path, tensor: torch.Tensor, said: str) -> None:
    assert f"fc.bias: {said}" in refused(saved(tmp_path / "w.pt", {**state(), "fc.bias": tensor}), "N401").message


class Exploit:
    """Makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    made = tmp_path / "pwned"
    path = saved(tmp_path / "w.pt", {**state(), "x": Exploit(made)}, _use_new_zipfile_serialization=zipped)
    fault = refused(path, "N441")
    assert "asks for posix.mkdir" in fault.message
    assert "state_dict" in fault.help
    assert not made.exists()


def test_a_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"x": Exploit(tmp_path / "pwned")}))
    refused(tmp_path / "w.pth", "N441")
    assert not (tmp_path / "pwned").exists()


def test_a_whole_module_is_refused_by_its_class(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", nn.Sequential(nn.Linear(2, 2)))
    assert "asks for torch.nn.modules.container.Sequential" in refused(path, "N441").message


@pytest.mark.parametrize("what", [torch.zeros(3), [torch.zeros(3)], {"epoch": 3}, {}, {"a": {"b": 1}}, 7])
def test_what_holds_no_tensors_by_name_is_refused(tmp_path: Path, what: Any) -> None:
    refused(saved(tmp_path / "w.pt", what), "N403")


def test_dictionaries_in_one_another_without_end_are_looked_at_once(tmp_path: Path) -> None:
    # A few hundred dictionaries that repeat one another: 100 to the fourth paths, and one that leads to itself.
    inner: dict[str, Any] = {f"k{i}": {"n": i} for i in range(100)}
    for _ in range(3):
        inner = {f"k{i}": inner for i in range(100)}
    inner["self"] = inner
    refused(saved(tmp_path / "w.pt", inner), "N403")
