"""What the torch back end knows of torch without importing it, held against the torch that is installed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netc.backends.torch import reserved, signatures, stateless
from netc.op import Inline
from netc.ops import find, kinds
from netc.tensor import TensorType

NAMES = {"nn": nn, "F": F, "torch": torch}


def public(module: nn.Module) -> set[str]:
    return {name for name in dir(module) if not name.startswith("__")}


def test_no_attribute_of_a_module_is_missing_from_the_list() -> None:
    assert public(nn.Module()) <= reserved.MODULE
    assert public(nn.ModuleDict()) <= reserved.DICT
    assert public(nn.Sequential()) <= reserved.SEQUENCE


@pytest.mark.parametrize("target", signatures.SIGNATURES)
def test_arguments_and_defaults_are_torchs(target: str) -> None:
    known = signatures.SIGNATURES[target]
    name = target.removeprefix("nn.")
    found = getattr(nn, name) if hasattr(nn, name) else getattr(nn, f"{name}2d")
    parameters = inspect.signature(found).parameters
    assert list(parameters)[: len(known.positional)] == list(known.positional)
    assert {name: parameters[name].default for name in known.keywords} == dict(known.keywords)


def test_a_defined_layer_is_known_by_its_source() -> None:
    define = "class Local(nn.Module):\n    def __init__(\n        self,\n        c: int,\n        k: tuple[int, ...],\n"
    define += "        bias: bool = True,\n    ) -> None:\n        pass"
    assert signatures.signature("Local", define).positional == ("c", "k")
    assert signatures.signature("X", "class X(nn.LayerNorm):\n    pass") == signatures.SIGNATURES["nn.LayerNorm"]


def stateless_examples() -> list[tuple[str, str, tuple[int, ...]]]:
    """Every example of a layer that torch has as a module: its kind, its expression, what enters without the batch."""
    found: list[tuple[str, str, tuple[int, ...]]] = []
    for kind in kinds():
        layer = find(kind)
        assert layer is not None
        if layer.spreads:
            continue
        for fields, shapes in layer.examples:
            operands = [TensorType(2, dims[0], dims[1:]) for dims in shapes]
            call = layer(**fields).torch(*operands)
            if isinstance(call, Inline) and stateless.as_module(call.text) is not None:
                found.append((kind, call.text, shapes[0]))
    return found


@pytest.mark.parametrize(("kind", "said", "shape"), stateless_examples())
@pytest.mark.parametrize("training", [False, True])
def test_a_module_does_what_the_function_does(kind: str, said: str, shape: tuple[int, ...], training: bool) -> None:
    x = torch.randn(2, *shape)
    words = stateless.as_module(said)
    assert words is not None
    target, args = words
    made: nn.Module = eval(f"{target}({', '.join(args)})", dict(NAMES))
    made.train(training)
    torch.manual_seed(5)
    expected: Any = eval(said.replace("{0}", "x").replace("{training}", str(training)), {**NAMES, "x": x})
    torch.manual_seed(5)
    assert torch.equal(made(x), expected)
    assert not made.state_dict()


def test_every_function_of_the_table_is_some_layers() -> None:
    said = {text.partition("(")[0] for _, text, _ in stateless_examples()}
    assert said == set(stateless.MODULES)


@pytest.mark.parametrize(
    "said",
    [
        "F.relu({0}) + {1}",
        "F.max_pool2d(F.relu({0}), 2)",
        "F.dropout({0}, 0.5)",  # in evaluation mode too
        "F.relu({0}, {training})",
        "F.interpolate({0}, scale_factor=2)",
        "{0}[:, :, ::2]",
    ],
)
def test_what_no_module_does_is_none(said: str) -> None:
    assert stateless.as_module(said) is None


def test_writing_source_loads_no_torch(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from netc.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "sys.stderr.write(repr(sorted({'torch', 'numpy', 'onnx'} & set(sys.modules))))"
    )
    words = ["build", f"{root}/specs/lenet5.cnn", "--emit", "torch", "-o", str(tmp_path / "net.py")]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]"
