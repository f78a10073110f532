"""A recipe's arithmetic and decoding within the graph, as far as a graph goes; the file is tests/test_embedded.py's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from netc import passes
from netc.backends.torch import as_tensor, module
from netc.diagnostic import Fault
from netc.graph import Decode, Graph, Recipe
from netc.passes.embed import decoded, embed
from netc.passes.verify_graph import verify_graph
from netc.sections import Export
from netc.tensor import TensorType
from netc.weights import Weights
from tests.graphs import Net, randomised

RGB = Recipe(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
GRAY = Recipe(color="gray", scale=1 / 255, mean=(0.1307,), std=(0.3081,))
Array = npt.NDArray[Any]


def picture_net(recipe: Recipe, embed: tuple[Any, ...], decode: Decode = "none", **conv: Any) -> Graph:
    net = Net("Pictures", image=("N", 1 if recipe.color == "gray" else 3, 8, 7))
    fields: dict[str, Any] = {"c": 4, "k": 3, **conv}
    x = net("relu", net("conv", "image", label="first", **fields))
    graph = net.graph(y=net("conv", x, label="last", c=3, k=1), export=Export(embed=embed))
    return replace(
        graph,
        inputs=(graph.inputs[0]._replace(recipe=recipe),),
        outputs=(graph.outputs[0]._replace(decode=decode),),
    )


def computed(graph: Graph, weights: Weights, x: Array) -> Array:
    with torch.no_grad():
        return module(graph, weights).double().eval()(as_tensor(x)).numpy()


def pixels(graph: Graph) -> Array:
    return np.random.RandomState(0).randint(0, 256, (2, graph.inputs[0].type.c, 8, 7)).astype(np.float64)


def by_hand(x: Array, recipe: Recipe) -> Array:
    mean, std = (np.reshape(numbers, (-1, 1, 1)) for numbers in (recipe.mean, recipe.std))
    return (x * recipe.scale - mean) / std


@pytest.mark.parametrize("recipe", [RGB, GRAY, Recipe(mean=(123.0, 117.0, 104.0), color="bgr"), Recipe(scale=2 / 255)])
@pytest.mark.parametrize("conv", [{"pad": 1}, {"pad": 0}, {"pad": (1, 0, 0, 0), "stride": 2, "bias": False}])
def test_pixels_are_normalised_within_the_graph(recipe: Recipe, conv: dict[str, Any]) -> None:
    graph = picture_net(recipe, ("preprocess", "labels"), **conv)
    weights, x = randomised(graph), pixels(graph)
    expected = computed(graph, weights, by_hand(x, recipe))
    embedded, same = embed(graph, weights)
    verify_graph(embedded)
    assert same is weights
    assert embedded.inputs[0].type == TensorType(graph.inputs[0].type.batch, graph.inputs[0].type.c, (8, 7), "u8")
    np.testing.assert_allclose(computed(embedded, weights, x), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    small, folded = passes.run(graph, weights, careful=True)
    np.testing.assert_allclose(computed(small, folded, x), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def kinds(graph: Graph) -> list[str]:
    small, _ = passes.run(graph, randomised(graph), careful=True)
    return [node.op.kind for node in small.nodes]


def test_a_convolution_without_padding_takes_the_recipe_whole() -> None:
    assert kinds(picture_net(RGB, ("preprocess",))) == ["pixels", "conv", "relu", "conv"]


def test_a_padded_convolution_takes_the_scale_and_never_the_mean() -> None:
    graph = picture_net(RGB, ("preprocess",), pad=1)
    small, weights = passes.run(graph, randomised(graph), careful=True)
    assert [node.op.kind for node in small.nodes] == ["pixels", "normalise", "conv", "relu", "conv"]
    left: Any = small.nodes[1].op
    assert (left.scale, left.std) == (1, (1,))
    assert left.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))
    scaled = randomised(graph)["first.weight"] / np.reshape(RGB.std, (1, 3, 1, 1)) / 255
    np.testing.assert_allclose(weights["first.weight"], scaled, rtol=1e-6)
    # Another run finds nothing more to do.
    again, same = passes.run(small, weights, [passes.fold_forward])
    assert (again, same) == (small, weights)


def test_a_mean_of_zero_goes_into_a_padded_convolution_with_the_scale() -> None:
    assert kinds(picture_net(Recipe(scale=1 / 255), ("preprocess",), pad=1)) == ["pixels", "conv", "relu", "conv"]


def test_pixels_as_they_are_need_no_arithmetic() -> None:
    embedded, _ = embed(picture_net(Recipe(), ("preprocess",), pad=1), {})
    assert [node.op.kind for node in embedded.nodes] == ["pixels", "conv", "relu", "conv"]


def test_what_others_read_of_the_input_is_normalised_once() -> None:
    net = Net("Twice", image=("N", 3, 8, 7))
    graph = net.graph(y=net("conv", "image", c=3, k=1), x=net("sigmoid", "image"), image_tensor="image")
    graph = replace(graph, inputs=(graph.inputs[0]._replace(recipe=RGB),), export=Export(embed=("preprocess",)))
    embedded, _ = embed(graph, {})
    verify_graph(embedded)
    assert [node.name for node in embedded.nodes] == ["image_pixels", "image_tensor", "conv", "sigmoid"]
    assert [node.inputs for node in embedded.nodes[2:]] == [("image_tensor",), ("image_tensor",)]
    assert embedded.outputs[2].value == "image_tensor"
    assert kinds(graph) == ["pixels", "normalise", "conv", "sigmoid"]


def test_names_that_are_taken_are_numbered_and_regions_keep_their_layers() -> None:
    net = Net("Names", image=("N", 3, 8, 7))
    with net.block("image_pixels", "block"):
        x = net("conv", "image", label="", c=3, k=1)
    graph = net.graph(y=net("relu", x, label="y_softmax"))
    graph = replace(
        graph,
        inputs=(graph.inputs[0]._replace(recipe=RGB),),
        outputs=(graph.outputs[0]._replace(decode="softmax"),),
        export=Export(embed=("preprocess", "decode")),
    )
    embedded, _ = embed(graph, {})
    verify_graph(embedded)
    names = ["image_pixels", "image_tensor", "image_pixels.conv", "y_softmax", "y_softmax_2"]
    assert [node.name for node in embedded.nodes] == names
    assert [(r.start, r.stop) for r in embedded.regions] == [(0, 5), (2, 3)]


@pytest.mark.parametrize("decode", ["softmax", "sigmoid", "argmax", "none"])
def test_outputs_are_decoded_within_the_graph(decode: Decode) -> None:
    graph = picture_net(RGB, ("decode",), decode if decode != "none" else "softmax")
    if decode == "none":
        graph = replace(graph, outputs=(*graph.outputs, graph.outputs[0]._replace(name="raw", decode="none")))
    weights, x = randomised(graph), pixels(graph) / 100
    plain = replace(graph, export=Export(), outputs=graph.outputs[:1])
    logits = computed(plain, weights, x)
    expected = {
        "softmax": np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "argmax": logits.argmax(axis=1)[:, None],
        "none": logits,
    }[decode]
    embedded, _ = embed(graph, weights)
    verify_graph(embedded)
    found: Any = module(embedded, weights).double().eval()(as_tensor(x))
    answer = (found["raw"] if decode == "none" else found).detach().numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-12)
    assert embedded.outputs[0].type.dtype == ("i64" if decode == "argmax" else "f32")
    # What the reference computes: an index says nothing about how near it was.
    assert decoded(graph).outputs[0].type.dtype == "f32"
    assert decoded(plain) is plain


def test_what_is_asked_for_in_vain_is_refused() -> None:
    net = Net("Tensor", x=("N", 5))
    graph = net.graph(y=net("fc", "x", c=2), export=Export(embed=("preprocess",)))
    with pytest.raises(Fault) as caught:
        embed(graph, {})
    assert caught.value.code == "N453"
    assert "no input takes pictures: x [N, 5]" in caught.value.message
    with pytest.raises(Fault) as caught:
        embed(replace(graph, export=Export(embed=("decode",))), {})
    assert caught.value.code == "N454"
    assert embed(replace(graph, export=Export(embed=("labels",))), {})[0].nodes == graph.nodes
