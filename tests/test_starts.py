"""`init`: how the weights of a new net start, in the torch source that is trained; and tensors without a name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from netc.backends.torch import as_tensor, initial, module, source
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Call, Module, Param, Weight, op
from netc.ops._init import INIT, InitialFactor, Learned
from netc.tensor import TensorType
from tests.graphs import Net
from tests.language.spec import admitted, refused
from tests.language.spec import net as text

Array = npt.NDArray[np.float32]


def weights(chain: str, y: str = "f32[N, 8, 32, 32]", image: str = "f32[N, 3, 32, 32]") -> dict[str, Array]:
    return initial(admitted(text(f"from image -> {chain} => y", y, image=image)), seed=0)


def spread(a: Array) -> float:
    return float(np.sqrt((a.astype(np.float64) ** 2).mean()))


@pytest.mark.parametrize(
    ("init", "wanted"),
    [
        # 64 * 3 * 3 = 576 values: the standard deviation is known to about 3 %
        ("normal(0.02)", 0.02),
        ("trunc_normal(0.02)", 0.02),  # torch cuts at 2, a hundred deviations away
        ("uniform(0.3)", 0.3 / math.sqrt(3)),
        ("kaiming", math.sqrt(2 / (64 * 9))),  # fan out: 64 channels of 3 x 3
        ("xavier", math.sqrt(2 / (64 * 9 + 64 * 9))),
    ],
)
def test_a_drawn_start_has_its_spread_and_the_bias_is_zero(init: str, wanted: float) -> None:
    made = weights(f"conv(64, k=1) -> b: conv(64, k=3, pad=1, init={init})", "f32[N, 64, 32, 32]")
    assert spread(made["b.weight"]) == pytest.approx(wanted, rel=0.03)  # 36,864 values
    assert not made["b.bias"].any()
    assert made["conv.bias"].any(), "torch's own start, where nothing is said"


@pytest.mark.parametrize(("init", "wanted"), [("zeros", 0.0), ("ones", 1.0), ("1e-6", 1e-6), ("-0.5", -0.5)])
def test_a_constant_start_is_that_number(init: str, wanted: float) -> None:
    made = weights(f"conv(8, k=1) -> bn(init={init})")
    assert np.unique(made["bn.weight"]).tolist() == [np.float32(wanted)]
    assert not made["bn.bias"].any()


def test_an_orthogonal_start_is_orthogonal() -> None:
    w = weights("flatten -> fc(8, init=orthogonal)", "f32[N, 8]")["fc.weight"]
    np.testing.assert_allclose(w @ w.T, np.eye(8), atol=1e-5)


@pytest.mark.parametrize(("k", "factor"), [(4, 2), (16, 8), (3, 2)])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_bilinear_start_is_linear_interpolation(k: int, factor: int, groups: int) -> None:
    # Long et al., arXiv:1411.4038: away from the border it equals torch's own bilinear enlargement.
    half = (k - factor) // 2
    chain = f"upconv(4, k={k}, stride={factor}, pad={half}, groups={groups}, init=bilinear)"
    side = (12 - 1) * factor - 2 * half + k
    graph = admitted(text(f"from image -> {chain} => y", f"f32[N, 4, {side}, {side}]", image="f32[N, 4, 12, 12]"))
    x = as_tensor(np.random.default_rng(0).standard_normal((2, 4, 12, 12)).astype(np.float32))
    with torch.no_grad():
        ours = module(graph)(x)
        whole = nn.functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    if k == 3:  # an odd kernel puts every input pixel on an output pixel, and means between them
        torch.testing.assert_close(ours[..., 1::2, 1::2], x)
    else:
        inner = slice(factor, -factor)
        torch.testing.assert_close(ours[..., inner, inner], whole[..., inner, inner], atol=1e-5, rtol=1e-5)


def test_a_start_is_given_by_a_default_and_in_a_layer_that_is_a_value() -> None:
    graph = admitted(
        text(
            "default conv(init=zeros) from image -> a: conv(8, k=1) -> b: last(conv(8, k=1, init=ones)) => y",
            head="block last(stage) { only: stage }",
        )
    )
    start = initial(graph, 0)
    assert not start["a.weight"].any()
    assert (start["b.only.weight"] == 1).all()


@pytest.mark.parametrize(
    ("chain", "code", "says"),
    [
        ("conv(8, k=1, init=§normal)", "N122", "`normal(...)`"),
        ("conv(8, k=1, init=§normal(0.1, 0.2))", "N122", "takes one number, its `std`"),
        ("conv(8, k=1, init=§normal(most=0.1))", "N122", "takes one number, its `std`"),
        ("conv(8, k=1, init=§uniform(std=0.1))", "N122", "takes one number, its `most`"),
        ("conv(8, k=1, init=§normal(0))", "N122", "a number above 0"),
        ("conv(8, k=1, init=§true)", "N122", "not true or false"),
        ("conv(8, k=1, init=§kaimin)", "N111", "did you mean `kaiming`?"),
        ("conv(8, k=1, init=§normall(1))", "N110", "did you mean `normal`?"),
        ("conv(8, k=1) -> bn(init=§kaiming)", "N111", "its words are normal, ones"),
        ("flatten -> fc(8192, init=§bilinear) -> reshape([8, 32, 32])", "N111", "kaiming"),
    ],
)
def test_a_start_that_a_layer_cannot_have_is_refused(chain: str, code: str, says: str) -> None:
    refused(text(f"from image -> {chain} => y"), code, says=says)


def test_a_start_changes_the_source_and_nothing_else() -> None:
    with_init = admitted(text("from image -> conv(8, k=1, init=kaiming) => y"))
    without = admitted(text("from image -> conv(8, k=1) => y"))
    lines = [line for line in source(with_init).splitlines() if line not in source(without).splitlines()]
    assert [line.strip() for line in lines if "sha256" not in line] == [
        'nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")',
        "nn.init.zeros_(self.conv.bias)",
    ]
    assert with_init.params() == without.params()


# --- tensors without a name, and classes that torch lacks


@op("gain")
class Gain(Learned):
    """A nameless factor a channel, for these tests."""

    init: InitialFactor = INIT
    examples: ClassVar[Any] = ()

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"": Param((xs[0].c, *[1] * xs[0].rank))}

    def torch(self, *xs: TensorType) -> Call:
        return Weight((xs[0].c, *[1] * xs[0].rank), "{0} * {weight}")


DOUBLED = '''\
class Doubled(nn.Module):
    """Twice a learned factor."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(c))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.factor * x'''


@op("doubled")
class DoubledLayer(Learned):
    """A module of its own, applied to the transposed value, for these tests."""

    examples: ClassVar[Any] = ()

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"factor": Param((xs[0].c,))}

    def torch(self, *xs: TensorType) -> Call:
        return Module("Doubled", (xs[0].c,), {}, "{0}.movedim(1, -1)", "{0}.movedim(-1, 1)", DOUBLED)


@pytest.fixture(autouse=True, scope="module")
def only_here() -> Any:
    """The layers of these tests are no part of the language for other tests of this process."""
    from netc.op import REGISTRY

    made = {kind: REGISTRY.pop(kind) for kind in ("gain", "doubled")}
    with pytest.MonkeyPatch.context() as patch:
        for kind, cls in made.items():
            patch.setitem(REGISTRY, kind, cls)
        yield


def gained(*labels: str) -> Graph:
    net = Net("Gained", image=("N", 3, 4, 4))
    x = "image"
    for label in labels:
        x = net("gain", x, label=label)
    return net.graph(y=x)


def run(graph: Graph, fill: Callable[[str], float]) -> set[float]:
    made = module(graph)
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            tensor.fill_(fill(name))
        answer: torch.Tensor = made(torch.ones((1, 3, 4, 4)))
    return set(answer.numpy().ravel().tolist())


@pytest.mark.parametrize("label", ["gamma", "block.gamma", "block.0", "0", "type", "a.train", "_x"])
def test_a_nameless_tensor_has_the_labels_name(label: str) -> None:
    graph = gained(label)
    assert [name for name, _ in graph.parameters()] == [label]
    assert {n: tuple(p.shape) for n, p in module(graph).named_parameters()} == {label: (3, 1, 1)}
    assert run(graph, lambda _: 3.0) == {3.0}


def test_nameless_tensors_lie_beside_one_another_and_beside_layers() -> None:
    net = Net("Mixed", image=("N", 3, 4, 4))
    x = net("gain", net("gain", "image", label="stage.0"), label="stage.1")
    x = net("conv", x, label="stage.2", c=3, k=1, bias=False)
    graph = net.graph(y=net("gain", x, label="last", init=0.25))
    assert set(module(graph).state_dict()) == {"stage.0", "stage.1", "stage.2.weight", "last"}
    assert initial(graph, 0)["last"].ravel().tolist() == [0.25] * 3
    # 2 * 3 = 6, a kernel of 5s over three channels: 3 * 5 * 6 = 90, and 7 times that
    filled = {"stage.0": 2.0, "stage.1": 3.0, "stage.2.weight": 5.0, "last": 7.0}
    assert run(graph, filled.__getitem__) == {630.0}


@pytest.mark.parametrize("labels", [("a", "a.b"), ("a.b", "a")])
def test_nothing_lies_below_a_tensor(labels: tuple[str, ...]) -> None:
    with pytest.raises(Fault) as caught:
        source(gained(*labels))
    assert caught.value.code == "N440"


def test_a_tensor_is_not_called_like_the_tensor_of_another_layer() -> None:
    net = Net("Clash", image=("N", 3, 4, 4))
    x = net("conv", "image", label="a", c=3, k=1)
    with pytest.raises(Fault, match="has a tensor of this name"):
        source(net.graph(y=net("gain", x, label="a.weight")))


def test_a_class_that_torch_lacks_stands_in_the_file_once() -> None:
    net = Net("Doubled", image=("N", 3, 4, 4))
    graph = net.graph(y=net("doubled", net("doubled", "image", label="a"), label="b"))
    text_ = source(graph)
    assert text_.count("class Doubled(nn.Module)") == 1
    assert "class Doubled2(nn.Module)" in text_, "the net's own class makes room"
    # (2 * 3) twice
    assert run(graph, lambda _: 3.0) == {36.0}
