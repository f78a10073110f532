"""What a net costs and sees, against torch: what moves, what its backward pass keeps; and memory by brute force."""

# torch is typed in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import prod
from random import Random
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from netc import api
from netc.backends import torch as torch_backend
from netc.graph import Graph, Requirement
from netc.op import Layer, Reach, Reject
from netc.ops import find, kinds
from netc.report import Report, Unfit, report
from netc.report.field import extent, stride
from netc.report.origin import origin
from netc.tensor import TensorType
from tests.drawn import DRAWN
from tests.graphs import Net, bottleneck, resnet
from tests.one_layer import Case, image, net, randomised
from tests.test_ops_random import drive

BATCH = 2


def _examples() -> Iterator[Any]:
    for kind in kinds():
        cls = find(kind)
        assert cls is not None
        for i, (fields, shapes) in enumerate(cls.examples):
            op = cls.model_validate(fields)
            if not op.spreads:
                yield pytest.param((op, tuple(image(*shape) for shape in shapes)), id=f"{kind}-{i}")


each_example = pytest.mark.parametrize("case", list(_examples()))
each_kind = pytest.mark.parametrize("kind", sorted(DRAWN))


def refuses(op: Layer, *xs: TensorType) -> bool:
    try:
        op.infer(*xs)
    except Reject:
        return True
    return False


# --- receptive fields

BY_STATISTICS = {"gn", "ln"}
"""Layers whose statistics run over an image, which do not count."""


def moved(module: nn.Module, inputs: Sequence[torch.Tensor], which: int, side: int) -> torch.Tensor:
    """Whether raising all elements of input `which` at a place of its side moves the output at one: (places, of it)."""
    dim, n = side + 2, inputs[which].shape[side + 2]
    tried = [x.repeat(n + 1, *[1] * (x.dim() - 1)) for x in inputs]
    for place in range(n):
        row = tried[which][place].select(dim - 1, place)
        row += 1000 * torch.rand(row.shape, generator=torch.Generator().manual_seed(place), dtype=row.dtype) + 1000
    with torch.no_grad():
        y = cast(torch.Tensor, module(*tried))
    change = (y[:-1] - y[-1:]).abs()
    others = [d for d in range(1, y.dim()) if d != dim]
    return (change.amax(others) if others else change) > 1e-9


def placed(side: Reach, i: int) -> range:
    shift = i // len(side.reads) * side.step
    reads = side.reads[i % len(side.reads)]
    return range(reads.start + shift, reads.stop + shift, reads.step)


def sees_padding_alone(side: Reach | None, places: Any, n: Any) -> bool:
    assert side is not None, "all sizes are numbers"
    return bool(any(side.reads)) and not any(0 <= p < n for i in range(places) for p in placed(side, i))


def reads_what_it_says(op: Layer, xs: Sequence[TensorType]) -> None:
    y = op.infer(*xs)
    if y.rank != xs[0].rank or (op.kind in BY_STATISTICS and (op.kind, y.rank) != ("ln", 0)):
        return
    if op.kind in ("l2norm", "softmax", "log_softmax") and y.c == 1:
        return  # a number divided by its own length, or by the sum of itself, is 1
    module = randomised(net(op, *xs)).double()
    made = torch.Generator().manual_seed(3)
    inputs = [torch.rand((1, *cast(Any, x.dims[1:])), generator=made, dtype=torch.float64) for x in xs]
    for which, reaches in enumerate(op.reach(y, *xs)):
        assert len(reaches) == xs[which].rank
        if any(sees_padding_alone(*each) for each in zip(reaches, y.sides, xs[which].sides, strict=True)):
            continue
        for side, reach in enumerate(reaches):
            n = cast(int, xs[which].sides[side])
            assert reach is not None
            found = moved(module, inputs, which, side)
            for i in range(found.shape[1]):
                if op.kind == "reshape" and not reach.reads:
                    continue  # what is said is that it may be anywhere
                expected = list(placed(reach, i)) if reach.reads else list(range(n))
                if all(0 <= place < n for place in expected):
                    assert [p for p in range(n) if found[p, i]] == expected, (op, xs, which, side, i)


@each_example
def test_an_output_reads_what_moves_it(case: Case) -> None:
    op, xs = case
    if not (op.kind == "ln" and getattr(op, "over", "") == "all"):
        reads_what_it_says(op, xs)


@each_kind
def test_random_layers_read_what_moves_them(kind: str) -> None:
    def road(op: Layer, xs: Sequence[TensorType]) -> None:
        if not refuses(op, *xs):
            reads_what_it_says(op, xs)

    drive(kind, 12, road, DRAWN[kind])


def _signals(seed: int) -> Graph:
    """A random net over signals whose numbers are not negative, so that raising an input never lowers anything."""
    random = Random(seed)
    made = Net("Signals", x=("N", 2, 181))
    values = ["x"]
    for _ in range(random.randint(2, 7)):
        x = random.choice(values[-2:])
        kind = random.choice(["conv", "conv", "maxpool", "avgpool", "upconv", "upsample", "subsample", "pad", "join"])
        k, s, d = random.randint(1, 4), random.randint(1, 3), random.randint(1, 2)
        match kind:
            case "conv":
                y = made(kind, x, c=2, k=k, stride=s, dilation=d, pad=random.randint(0, 2))
            case "maxpool":
                y = made(kind, x, k=k, stride=s, dilation=d, round=random.choice(["ceil", "floor"]))
            case "avgpool":
                y = made(kind, x, k=k, stride=s)
            case "upconv":
                y = made(kind, x, c=2, k=k, stride=s, dilation=d)
            case "upsample":
                mode = random.choice(["nearest", "bilinear"])
                y = made(kind, x, factor=s, mode=mode, corners=mode == "bilinear" and x == "x")
            case "subsample":
                y = made(kind, x, stride=s)
            case "pad":
                y = made(kind, x, pad=(random.randint(0, 3), random.randint(0, 3)))
            case _:
                a = made("conv", x, c=2, k=2 * k - 1, pad="half")
                y = made(random.choice(["add", "concat", "maximum"]), a, x)
                y = made("conv", y, c=2, k=1)
        if cast(int, made.type(y).sides[0]) < 4:
            break
        values.append(y)
    return made.graph(y=values[-1])


@pytest.mark.parametrize("seed", range(60))
def test_fields_of_random_nets_are_what_moves_their_outputs(seed: int) -> None:
    graph = _signals(seed)
    module = torch_backend.module(graph).eval().double()
    made = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.uniform_(0.1, 1, generator=made)
    inputs = [torch.rand((1, 2, 181), generator=made, dtype=torch.float64)]
    found = moved(module, inputs, 0, 0)
    (side,) = report(graph).rows[-1].field["x"] if graph.nodes else (Reach(),)
    assert side is not None
    widest, inside = 0, 0
    for i in range(found.shape[1]):
        expected = placed(side, i)
        seen = [place for place in range(181) if found[place, i]]
        if expected and expected[0] >= 0 and expected[-1] < 181 and seen:
            assert (seen[0], seen[-1]) == (expected[0], expected[-1])
            widest, inside = max(widest, seen[-1] - seen[0] + 1), inside + 1
    if inside >= len(side.reads):  # every phase was seen
        assert extent(side) == widest


# Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019, the table of models.
@pytest.mark.parametrize(
    ("spec", "pixels"),
    [
        ("vgg.cnn:VGG16", 212),
        ("resnet.cnn:ResNet50v1", 483),
        ("inception_v3.cnn", 1311),
    ],
)
def test_published_receptive_fields(root: Any, spec: str, pixels: int) -> None:
    rows = report(api.load(root / "specs" / spec)).rows
    extents = [[extent(side) for side in field] for row in rows for field in row.field.values()]
    assert [each for each in extents if None not in each][-1] == [pixels, pixels]


def test_a_gate_sees_the_whole_image_and_features_have_lost_their_place() -> None:
    made = Net("Gated", image=("N", 4, 9, 9))
    x = made("conv", "image", c=4, k=3, pad=1)
    gate = made("sigmoid", made("conv", made("gap", x), c=4, k=1))
    y = made("mul", x, gate)
    made("fc", made("flatten", y), c=2)
    fields = {row.node.name: row.field["image"] for row in report(made.graph(y="fc")).rows}
    assert [extent(side) for side in fields["conv"]] == [3, 3]
    assert [extent(side) for side in fields["mul"]] == [None, None]
    assert [extent(side) for side in fields["fc"]] == [None, None]


def test_an_image_of_one_pixel_keeps_its_place_as_features() -> None:
    made = Net("LeNet", image=("N", 1, 5, 5))
    made("fc", made("flatten", made("conv", "image", c=4, k=5)), c=2)
    (height, width) = report(made.graph(y="fc")).rows[-1].field["image"]
    assert (extent(height), extent(width), stride(height)) == (5, 5, 0)


def test_strides_are_fractions_where_an_image_grows_beyond_the_input() -> None:
    made = Net("Larger", image=("N", 1, "H", "W"))
    made("upsample", made("upsample", "image", factor=2), factor=(1, 3), mode="bilinear")
    (height, width) = report(made.graph(y="upsample_2")).rows[-1].field["image"]
    assert (str(stride(height)), str(stride(width))) == ("1/2", "1/6")
    assert (extent(height), extent(width)) == (1, 2)


def test_what_gives_its_size_alone_is_not_seen() -> None:
    made = Net("Two", a=("N", 1, 8, 8), b=("N", 1, 4, 4))
    made("crop", "a", "b")
    assert list(report(made.graph(y="crop")).rows[-1].field) == ["a"]


# --- memory


def kept_by_torch(module: nn.Module, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, dict[int, int]]:
    """The output, and the storages that the backward pass keeps beside parameters and buffers: address and bytes."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    held: list[torch.UntypedStorage] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.untyped_storage())  # so that no address is used twice
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        y = module(*inputs)
    return y, {storage.data_ptr(): storage.nbytes() for storage in held if storage.data_ptr() not in own}


def keeps_what_it_says(op: Layer, xs: Sequence[TensorType]) -> None:
    types = tuple(x.at({"N": BATCH}) for x in xs)
    y = op.infer(*types)
    module = torch_backend.module(net(op, *xs)).train()
    inputs = [torch.rand(*cast(Any, x.dims)).requires_grad_() for x in types]
    result, storages = kept_by_torch(module, inputs)
    expected = op.kept(y, *types)
    ours = {x.untyped_storage().data_ptr() for x in inputs}
    place = result.untyped_storage().data_ptr()
    assert op.views(*types) == (place in ours)
    if y.batch == BATCH and 0 not in (prod(cast(Any, x.dims)) for x in types):
        assert (ours <= set(storages)) == expected.inputs
        assert bool(ours & set(storages)) == expected.inputs
        assert (place in storages and place not in ours) == expected.output
        assert sum(size for at, size in storages.items() if at not in {*ours, place}) == expected.more


@each_example
def test_a_layer_keeps_what_torch_does(case: Case) -> None:
    keeps_what_it_says(*case)


def _small(seed: int) -> Graph:
    """A random net with most kinds of layers, forks and views."""
    random = Random(seed)
    made = Net("Small", image=("N", 4, 13, 12))
    values = [made("conv", "image", label="first", c=4, k=1)]
    simple: list[tuple[str, Mapping[str, Any]]] = [
        ("conv", {"c": 4, "k": 3, "pad": 1}),
        ("conv", {"c": 4, "k": 3, "pad": (0, 2, 1, 1), "bias": False}),
        ("depthwise", {"k": 3, "pad": "half"}),
        *[
            (kind, {})
            for kind in ("bn", "relu", "relu", "tanh", "gelu", "silu", "elu", "prelu", "scale", "id", "l2norm")
        ],
        *[("gn", {"groups": 2}), ("ln", {}), ("lrn", {"n": 3}), ("dropout", {"p": 0.3}), ("drop_path", {"p": 0.2})],
        *[("maxpool", {"k": 3, "stride": 1, "pad": 1}), ("avgpool", {"k": 3, "stride": 1, "pad": 1})],
        ("channel_shuffle", {"groups": 2}),
    ]
    for _ in range(random.randint(3, 14)):
        x = random.choice(values[-3:])
        same = [name for name in values if made.type(name) == made.type(x)]
        choice = random.random()
        if choice < 0.2 and len(same) > 1:
            several = random.sample(same, min(len(same), random.randint(2, 3)))
            values.append(made(random.choice(["add", "mul", "maximum"]), *several))
        elif choice < 0.25:
            half = made("slice", x, stop=2)
            values.append(made("concat", half, half))
        elif choice < 0.3:
            values.append(made("mul", x, made("sigmoid", made("conv", made("gap", x), c=4, k=1))))
        else:
            kind, fields = random.choice(simple)
            values.append(made(kind, x, **fields))
    read = {name for node in made.nodes for name in node.inputs}
    ends = [name for name in values if name not in read]
    joined = ends[0] if len(ends) == 1 else made("concat", *ends)
    made("fc", made("flatten", made("maxpool", joined, k=2)), label="scores", c=3)
    return made.graph(scores="scores")


@pytest.mark.parametrize("seed", range(120))
def test_a_net_keeps_what_torch_does(seed: int) -> None:
    graph = _small(seed)
    module = torch_backend.module(graph).train()
    _, storages = kept_by_torch(module, [torch.rand(BATCH, 4, 13, 12)])
    found = report(graph, batch=BATCH, train=True)
    assert found.saved_bytes == sum(storages.values())


@pytest.mark.parametrize(
    "spec",
    [
        "resnet.cnn:ResNet50",
        "googlenet.cnn",
        "mobilenet_v2.cnn",
        "densenet.cnn:DenseNet121",
        "unet.cnn:UNet",
        "lenet5.cnn",
    ],
)
def test_a_published_net_keeps_what_torch_does(root: Any, spec: str) -> None:
    graph = api.load(root / "specs" / spec)
    sizes = dict.fromkeys((n for n in graph.symbols() if n != "N"), 64)
    image = graph.inputs[0].type.at({**sizes, "N": BATCH})
    _, storages = kept_by_torch(torch_backend.module(graph).train(), [torch.rand(*cast(Any, image.dims))])
    assert report(graph, sizes, batch=BATCH, train=True).saved_bytes == sum(storages.values())


def brute_force(graph: Graph, batch: int) -> int:
    """The most bytes alive at once, by looking after each node at everything that anyone will still ask for."""
    types = {name: x.at({"N": batch}) for name, x in graph.types.items()}
    size = {name: 4 * prod(cast(Any, x.dims)) for name, x in types.items()}
    shown = {i.name: i.name for i in graph.inputs}
    for node in graph.nodes:
        is_view = node.op.kind in {"id", "flatten", "reshape", "slice", "crop", "subsample", "dropout", "drop_path"}
        shown[node.name] = shown[node.inputs[0]] if is_view else node.name
    most = 0
    for at in range(len(graph.nodes)):
        made = [i.name for i in graph.inputs] + [n.name for n in graph.nodes[: at + 1]]
        asked = {name for n in graph.nodes[at:] for name in n.inputs} | {o.value for o in graph.outputs}
        asked.add(graph.nodes[at].name)
        if at == 0:
            asked |= {i.name for i in graph.inputs}
        alive = {shown[name] for name in made if name in asked}
        most = max(most, sum(size[name] for name in alive))
    return most


@pytest.mark.parametrize("seed", range(60))
def test_the_peak_of_inference_is_that_of_brute_force(seed: int) -> None:
    graph = _small(seed)
    assert report(graph, batch=3).peak_inference_bytes == brute_force(graph, 3)


def test_peaks_by_hand() -> None:
    # 4 x 8 x 8 floats are 1,024 bytes, the image of one channel 256.
    made = Net("Chain", image=("N", 1, 8, 8))
    x = made("relu", made("conv", "image", c=4, k=3, pad=1))
    made("conv", x, label="last", c=1, k=3, pad=1)
    found = report(made.graph(y="last"))
    assert found.peak_inference_bytes == 1024 + 1024  # conv's result beside relu's
    # conv keeps the image, relu its result, which `last` reads as well.
    assert found.saved_bytes == 256 + 1024
    # Forward, beside the image: conv and relu. Back, beside image, relu and the output (256): the gradients of relu and
    # conv, once that of the output is gone.
    assert found.peak_training_bytes == 256 + 256 + 1024 + 1024 + 1024


def brute_force_training(graph: Graph, batch: int) -> int:
    """A step of training as a story: who still asks for what, forward and back, and all of it added up at each line."""
    types = {name: x.at({"N": batch}) for name, x in graph.types.items()}
    size = {name: 4 * prod(cast(Any, x.dims)) for name, x in types.items()}
    views = {"id", "flatten", "reshape", "slice", "crop", "subsample"}
    shown = {i.name: i.name for i in graph.inputs}
    learns: set[str] = set()
    kept: dict[str, tuple[set[str], int]] = {}
    for node in graph.nodes:
        shown[node.name] = shown[node.inputs[0]] if node.op.kind in views else node.name
        if node.op.params(*(types[x] for x in node.inputs)) or learns & set(node.inputs):
            learns.add(node.name)
            inputs, output, more = node.op.kept(types[node.name], *(types[x] for x in node.inputs))
            held = {*(node.inputs if inputs else ()), *([node.name] if output else ())}
            kept[node.name] = {shown[name] for name in held}, more
    outputs = {o.value for o in graph.outputs}
    most = 0
    for at, node in enumerate(graph.nodes):
        made = {i.name for i in graph.inputs} | {n.name for n in graph.nodes[: at + 1]}
        asked = {x for n in graph.nodes[at:] for x in n.inputs} | outputs | {node.name}
        if at == 0:
            asked |= {i.name for i in graph.inputs}
        done = [kept[n.name] for n in graph.nodes[: at + 1] if n.name in kept]
        later = {name for held, _ in kept.values() for name in held}
        alive = {shown[x] for x in made & asked} | (later & {shown[x] for x in made})
        most = max(most, sum(size[x] for x in alive) + sum(more for _, more in done))
    # A view's gradient is that of what it shows, where it shows all of it.
    gradient = {n: shown[n] if size[shown[n]] == size[n] else n for n in learns}
    last_reader = {
        n: max((i for i, r in enumerate(graph.nodes) if n in r.inputs), default=len(graph.nodes)) for n in learns
    }
    for at in reversed(range(len(graph.nodes))):
        if graph.nodes[at].name not in learns:
            continue
        # A gradient is there from the way back through a value's last reader to that through the layer that made it.
        there = {gradient[n] for n in learns if last_reader[n] >= at}
        there |= {gradient[n] for n in outputs & learns}
        gone = {n.name for n in graph.nodes[at + 1 :]}
        there -= gone
        left = [kept[n.name] for n in graph.nodes[: at + 1] if n.name in kept]
        alive = {shown[x] for x in outputs} | {x for held, _ in left for x in held}
        most = max(most, sum(size[x] for x in alive) + sum(more for _, more in left) + sum(size[x] for x in there))
    return most


@pytest.mark.parametrize("seed", range(60))
def test_the_peak_of_training_is_that_of_brute_force(seed: int) -> None:
    graph = _small(seed)
    assert report(graph, batch=3, train=True).peak_training_bytes == brute_force_training(graph, 3)


def test_a_skip_holds_what_enters() -> None:
    made = Net("Skip", image=("N", 4, 8, 8))
    x = made("conv", "image", c=4, k=1)
    y = made("conv", made("conv", x, c=8, k=1), c=4, k=1)
    made("add", y, x)
    # 4 channels are 1,024 bytes, 8 are 2,048: the last convolution has x, its input and its result.
    assert report(made.graph(y="add")).peak_inference_bytes == 1024 + 2048 + 1024


def test_memory_grows_with_the_batch() -> None:
    graph = resnet(side=32).graph(scores="fc")
    one, eight = report(graph), report(graph, batch=8)
    assert eight.peak_inference_bytes == 8 * cast(int, one.peak_inference_bytes)


def test_heads_count_for_training_alone() -> None:
    made = Net("Heads", image=("N", 3, 8, 8))
    x = made("conv", "image", c=4, k=3)
    made("fc", made("flatten", x), label="scores", c=2)
    made("conv", x, label="head", c=5, k=3)
    graph = made.graph(("aux",), scores="scores", aux="head")
    deployed, whole = report(graph), report(graph, train=True)
    assert [row.node.name for row in deployed.rows] == ["conv", "flatten", "scores"]
    assert whole.params - deployed.params == 5 * (4 * 9 + 1)


# --- figures


def totals(found: Report) -> tuple[int, int]:
    return sum(row.params for row in found.rows), sum(row.macs or 0 for row in found.rows)


@pytest.mark.parametrize("spec", ["resnet.cnn:ResNet18", "googlenet.cnn", "voc.cnn"])
def test_rows_add_up_to_the_graphs_figures(root: Any, spec: str) -> None:
    graph = api.load(root / "specs" / spec)
    sizes = dict.fromkeys((n for n in graph.symbols() if n != "N"), 224)
    found = report(graph, sizes)
    assert totals(found) == (graph.params(), graph.macs(sizes)) == (found.params, found.macs)


def test_symbols_stay_until_they_are_given(root: Any) -> None:
    graph = api.load(root / "specs" / "unet.cnn:UNet")
    found = report(graph)
    assert (found.macs, found.peak_inference_bytes, found.unknown) == (None, None, ("H", "W"))
    assert str(found.rows[4].type) == "[1, 64, H/2, W/2]"
    at = report(graph, {"H": 512, "W": 256})
    assert (at.macs, at.unknown) == (graph.macs({"H": 512, "W": 256}), ())
    assert report(graph, {"H": 512}).unknown == ("W",)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"H": 500, "W": 512}, "H is a multiple of 16, not 500: 496 is one"),
        ({"X": 1}, "UNet has no size `X`: its symbols are H, W"),
        ({"H": 0}, "H is at least 1, not 0"),
    ],
)
def test_sizes_that_a_net_does_not_take_are_refused(root: Any, sizes: dict[str, int], said: str) -> None:
    with pytest.raises(Unfit, match=re.escape(said)):
        report(api.load(root / "specs" / "unet.cnn:UNet"), sizes)


@pytest.mark.parametrize(
    ("expr", "sizes", "holds"),
    [
        ([">=", "H", "W"], {"H": 8, "W": 8}, True),
        ([">=", "H", "W"], {"H": 8, "W": 9}, False),
        (["==", ["%", ["+", "H", ["*", "W", 2]], 3], 0], {"H": 4, "W": 4}, True),
        (["==", ["%", ["+", "H", ["*", "W", 2]], 3], 0], {"H": 5, "W": 4}, False),
        (["or", ["<", "H", 6], ["not", ["==", "W", ["//", ["-", "H", 1], 2]]]], {"H": 9, "W": 4}, False),
        (["and", ["!=", "H", 6], ["<=", "W", 4]], {"H": 9, "W": 4}, True),
        ([">", "N", 3], {"H": 4, "W": 4}, False),
    ],
)
def test_promises_are_checked_at_the_sizes(expr: Any, sizes: dict[str, int], holds: bool) -> None:
    made = Net("Promises", image=("N", 1, "H", "W"))
    made("relu", "image")
    graph = made.graph(y="relu", requires=(Requirement(expr, "what it says", "because"),))
    if holds:
        report(graph, sizes, batch=2)
    else:
        with pytest.raises(Unfit, match=r"breaks `require what it says`: because"):
            report(graph, sizes, batch=2)


def test_an_input_that_only_heads_read_takes_no_memory_in_inference() -> None:
    made = Net("Two", image=("N", 1, 8, 8), hint=("N", 64, 8, 8))
    x = made("conv", "image", c=4, k=1)
    made("add", made("conv", "hint", c=4, k=1), x)
    graph = made.graph(("aux",), scores=x, aux="add")
    assert report(graph).peak_inference_bytes == 256 + 1024
    assert cast(int, report(graph, train=True).peak_inference_bytes) >= 64 * 256


def test_a_size_at_which_an_image_vanishes_is_refused() -> None:
    made = Net("Vanishes", image=("N", 1, "H", "W"))
    made("maxpool", made("maxpool", "image", k=2), label="second", k=2)
    with pytest.raises(Unfit, match=r"at H = 3, W = 8 a side of second is 0: nothing is left of the image"):
        report(made.graph(y="second"), {"H": 3, "W": 8})


def test_shared_weights_count_where_they_are_first_applied() -> None:
    made = Net("Twins", a=("N", 3, 8, 8), b=("N", 3, 8, 8))
    x = made("conv", "a", label="tower", c=4, k=3)
    y = made("conv", "b", label="other", weights="tower", c=4, k=3)
    made("add", x, y)
    graph = made.graph(y="add")
    assert [row.params for row in report(graph).rows] == [4 * (3 * 9 + 1), 0, 0]


# --- arithmetic


def evaluated(numbers: str) -> float:
    """`64 (3 * 9 + 1)` as a number: a product where an opening bracket follows a factor."""
    assert re.fullmatch(r"[\d\s()*/+-]+", numbers), numbers
    return eval(re.sub(r"([\d)]) \(", r"\1 * (", numbers))


def works_out(op: Layer, xs: Sequence[TensorType]) -> None:
    y = op.infer(*xs)
    working = op.working(y, *xs)
    learned = sum(p.size for p in op.params(*xs).values() if p.learned)
    assert evaluated(working["parameters"].numbers if "parameters" in working else "0") == learned
    assert evaluated(working["macs"].numbers if "macs" in working else "0") == op.macs(y, *xs)
    names = ("c", *{0: "", 1: "t", 2: "hw", 3: "dhw"}[y.rank])
    assert set(working) <= {"parameters", "macs", *names}
    for name, size in zip(names, y.dims[1:], strict=True):
        if name in working:
            assert size == evaluated(working[name].numbers), (op, name)
        else:  # handed on
            assert size in [x.side(name) for x in xs], (op, name)


@each_example
def test_arithmetic_gives_the_layers_figures(case: Case) -> None:
    works_out(*case)


@each_kind
def test_arithmetic_of_random_layers_gives_their_figures(kind: str) -> None:
    def road(op: Layer, xs: Sequence[TensorType]) -> None:
        if not refuses(op, *xs):
            works_out(op, xs)

    drive(kind, 15, road, DRAWN[kind])


def test_the_lectures_arithmetic() -> None:
    made = Net("Lecture", image=("N", 3, 224, 224))
    x = made("conv", "image", c=64, k=3, pad=1)
    conv = made.nodes[0]
    working = conv.op.working(conv.type, made.type("image"))
    assert working["parameters"] == ("d2 (d1 s + 1)", "64 (3 * 9 + 1)")
    assert working["h"] == ("(H + 2 pad - k) // stride + 1", "(224 + 2 * 1 - 3) // 1 + 1")
    assert x == "conv"


def test_sizes_are_followed_back_to_the_input() -> None:
    made = Net("Way", image=("N", 3, 32, 40))
    x = made("relu", made("conv", "image", c=8, k=5))
    y = made("maxpool", x, k=2)
    z = bottleneck(made, y, "layer", 4, 2, project=True)
    graph = made.graph(y=z)
    # 32 -> 28 by the 5x5, -> 14 by the pooling, -> 7 by the stride on the body's 3x3.
    assert [(s.name, s.size) for s in origin(graph, z, "h")] == [
        ("layer.conv3", 7),
        ("layer.conv2", 7),
        ("layer.conv1", 14),
        ("maxpool", 14),
        ("conv", 28),
        ("image", 32),
    ]
    assert [(s.name, s.size) for s in origin(graph, z, "c")] == [("layer.conv3", 16)]


def test_every_figure_of_a_merge_of_two_sizes_is_followed_to_the_larger() -> None:
    made = Net("Gate", image=("N", 4, 9, 9))
    x = made("conv", "image", label="body", c=4, k=3)
    made("mul", made("gap", x), x)
    assert [s.name for s in origin(made.graph(y="mul"), "mul", "h")] == ["body", "image"]


def test_a_layer_that_does_not_say_what_it_reads_is_not_guessed_at() -> None:
    class Halved(Layer):
        kind = "halved"

        def infer(self, *xs: TensorType) -> TensorType:
            return xs[0].with_(sides=tuple(cast(int, n) // 2 for n in xs[0].sides))

    x = image(2, 8, 8)
    assert Halved().reach(Halved().infer(x), x) == ((None, None),)
    assert Halved().reach(x, x) == ((Reach(), Reach()),)


@pytest.mark.parametrize(("up", "down", "pixels"), [(2, 1, 2), (2, 2, 3), (3, 1, 2), (3, 2, 2)])
def test_values_of_one_stride_and_other_phases_are_seen_together(up: int, down: int, pixels: int) -> None:
    # Enlarged pixel i lies at (i + 1/2) / up - 1/2, between the one or two that it is made of.
    made = Net("Phases", x=("N", 1, 60))
    enlarged = made("upsample", "x", factor=up, mode="bilinear")
    y = made("add", made("subsample", enlarged, stride=down), made("maxpool", enlarged, k=down, stride=down))
    (side,) = report(made.graph(y=y)).rows[-1].field["x"]
    assert stride(side) == Fraction(down, up)
    assert extent(side) == pixels
