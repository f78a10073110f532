"""What a runtime does, within the graph where the `export` section asks for it: a recipe's arithmetic, decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.diagnostic import Fault
from netc.graph import Graph, Input, Node, Output
from netc.ops.sigmoid import Sigmoid
from netc.ops.softmax import Softmax
from netc.passes.inner import Classes, Normalise, Pixels
from netc.weights import Weights

_DECODERS = {"softmax": Softmax, "sigmoid": Sigmoid}


STEPS = ("preprocess", "labels", "decode")


def embedding(graph: Graph, steps: Sequence[str] | None) -> Graph:
    """The graph, asked to embed these steps; None leaves it at what its `export` section says.

    Raises: Fault N455 for what is no step.
    """
    if steps is None:
        return graph
    for each in steps:
        if each not in STEPS:
            raise Fault("N455", f"embed names `{each}`, and the steps are {', '.join(STEPS)}")
    asked = tuple(each for each in STEPS if each in steps)
    return replace(graph, export=graph.export.model_copy(update={"embed": asked}))


def embed(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Do within the graph what `embed` of its `export` section says.

    `preprocess`: each input that takes pictures becomes their pixels, `u8`, and the graph computes
    (pixel scale - mean) / std. `decode`: outputs become softmax's or sigmoid's probabilities, or argmax's classes.

    Raises: Fault N453 where no input takes pictures, N454 where no output is decoded.
    """
    if "decode" in graph.export.embed:
        graph = _decoded(graph, indices=True)
    if "preprocess" in graph.export.embed:
        graph = _of_pixels(graph)
    return graph, weights


def decoded(graph: Graph) -> Graph:
    """The graph with the decoding that it asks for, except argmax: what the reference computes for an output.

    Raises: Fault N454 where no output is decoded.
    """
    return _decoded(graph, indices=False) if "decode" in graph.export.embed else graph


def _of_pixels(graph: Graph) -> Graph:
    if not any(each.recipe for each in graph.inputs):
        kinds = ", ".join(f"{each.name} {each.type}" for each in graph.inputs)
        raise Fault(
            "N453",
            f"{graph.name}: embed = [preprocess], and no input takes pictures: {kinds}",
            help="an input with 1 or 3 channels and two sides does; leave `preprocess` out of `embed`",
        )
    taken = set(graph.types)
    inputs: list[Input] = []
    first: list[Node] = []
    instead: dict[str, str] = {}
    for each in graph.inputs:
        if each.recipe is None:
            inputs.append(each)
            continue
        entering = each.type._replace(dtype="u8")
        pixels = Node(_name(f"{each.name}_pixels", taken), Pixels(), (each.name,), each.type, "", each.where, 0)
        made = [pixels._replace(weights=pixels.name)]
        op = Normalise(scale=each.recipe.scale, mean=each.recipe.mean, std=each.recipe.std)
        if not op.hands_on:
            name = _name(f"{each.name}_tensor", taken)
            made.append(Node(name, op, (pixels.name,), each.type, name, each.where, 0))
        inputs.append(each._replace(type=entering))
        first += made
        instead[each.name] = made[-1].name
    nodes = [n._replace(inputs=tuple(instead.get(name, name) for name in n.inputs)) for n in graph.nodes]
    moved = [r._replace(start=r.start + len(first), stop=r.stop + len(first)) for r in graph.regions]
    moved[0] = moved[0]._replace(start=0)
    outputs = tuple(o._replace(value=instead.get(o.value, o.value)) for o in graph.outputs)
    return replace(graph, inputs=tuple(inputs), nodes=(*first, *nodes), regions=tuple(moved), outputs=outputs)


def _decoded(graph: Graph, *, indices: bool) -> Graph:
    if not any(each.decode != "none" for each in graph.outputs):
        raise Fault(
            "N454",
            f"{graph.name}: embed = [decode], and no output says how: {', '.join(o.name for o in graph.outputs)}",
            help="write `decode = softmax`, `sigmoid` or `argmax` at an output, or leave `decode` out of `embed`",
        )
    taken = set(graph.types)
    outputs: list[Output] = []
    last: list[Node] = []
    for each in graph.outputs:
        op = Classes() if each.decode == "argmax" and indices else _DECODERS.get(each.decode, lambda: None)()
        if op is None:
            outputs.append(each)
            continue
        name = _name(f"{each.name}_{op.kind}", taken)
        last.append(Node(name, op, (each.value,), op.infer(each.type), name, each.where, 0))
        outputs.append(each._replace(value=name, type=last[-1].type))
    root, *regions = graph.regions
    root = root._replace(stop=root.stop + len(last))
    return replace(graph, outputs=tuple(outputs), nodes=(*graph.nodes, *last), regions=(root, *regions))


def _name(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
