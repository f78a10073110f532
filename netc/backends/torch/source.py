"""A graph as the source of an `nn.Module`: a class for each block, whose arguments say what differs where it stands."""

from __future__ import annotations

import re

from netc.backends import python_text as text
from netc.backends.torch import docs
from netc.backends.torch.class_text import of_block, of_net
from netc.backends.torch.classes import classes_of
from netc.backends.torch.outline import Outline
from netc.graph import Graph
from netc.op import Weight

_NAMES = ("F", "Tensor", "OrderedDict")
"""What the file imports, modules aside."""


def source(graph: Graph) -> str:
    """The net as Python source that needs torch and nothing else.

    `forward` takes the inputs in order. One output: the tensor; several: a dict by output name. A net with outputs for
    training gives a dict of all outputs in training mode, and in evaluation mode does not compute those.

    Raises: Fault N440 where torch cannot have the net's names: an empty component, a layer named like the tensor of
    another layer, or a layer below a name that is a tensor's.
    """
    return written(graph)[0]


def written(graph: Graph) -> tuple[str, str]:
    """The source, and the name of the net's class in it."""
    outline = Outline(graph)
    defined = _defined(outline)
    taken = {*_NAMES, *(re.split(r"\W", each, maxsplit=2)[1] for each in defined)}
    *blocks, net = classes_of(outline, text.unique(_class_name(graph.name), taken, join=""), taken)
    code = "\n\n\n".join([*defined, *(of_block(made, graph) for made in blocks), of_net(net, outline)])
    return "\n".join([*docs.of_file(graph), "", *_imports(code), "", "", code, ""]), net.name


def _class_name(name: str) -> str:
    plain = re.fullmatch(r"[A-Z]\w*", name, re.ASCII) and text.is_name(name)
    return name if plain else text.class_name(name, "Net")


def _defined(outline: Outline) -> list[str]:
    # Functions and classes that layers bring along.
    given = [call.define for call in outline.calls if not isinstance(call, Weight)]
    for node, operands in zip(outline.graph.nodes, outline.operands, strict=True):
        given += [start.define for start in node.op.starts(*operands).values()]
    return [each for each in dict.fromkeys(given) if each]


def _imports(code: str) -> list[str]:
    bare = re.sub(r'"(?:[^"\\\n]|\\.)*"|#.*', '""', code)

    def used(name: str) -> bool:
        return re.search(rf"(?<![\w.]){name}\b", bare) is not None

    rows = ["from collections import OrderedDict", ""] if used("OrderedDict") else []
    rows += ["import torch"] if used(r"torch\.") else []
    rows += ["import torch.nn.functional as F"] if used(r"F\.") else []
    return [*rows, f"from torch import {'Tensor, ' if used('Tensor') else ''}nn"]
