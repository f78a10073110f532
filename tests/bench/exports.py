"""A net as files: its weights, netc's ONNX file, and torch's exports of the same module with the same weights.

`python tests/bench/exports.py SPEC[:NET] FOLDER` writes them; the batch, and sides that the spec leaves open, stay open
in all of them. An exporter that fails leaves no file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch

from netc import api
from netc.backends.verify import kaiming
from netc.graph import Graph
from netc.passes.deploy import deploy

# pyright: reportUnknownMemberType=false

OPSET = 20
SIDE = 64
"""Of an open side, in the example that the exporters trace."""
WEIGHTS, OURS = "weights.safetensors", "netc.onnx"
DYNAMO, SCRIPT = "dynamo.onnx", "script.onnx"


def export(graph: Graph, module: torch.nn.Module, file: Path, *, dynamo: bool) -> None:
    """Torch's own export."""
    inputs = [i.name for i in graph.inputs]
    opened = [{at: str(side) for at, side in enumerate(i.type.dims) if not isinstance(side, int)} for i in graph.inputs]
    sizes = [[2, *(side if isinstance(side, int) else SIDE for side in i.type.dims[1:])] for i in graph.inputs]
    words: dict[str, Any] = (
        {"dynamic_shapes": tuple(dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in opened), "verbose": False}
        if dynamo
        else {"dynamic_axes": dict(zip(inputs, opened, strict=True))}
    )
    torch.onnx.export(
        module,
        tuple(torch.randn(each) for each in sizes),
        file,
        dynamo=dynamo,
        input_names=inputs,
        output_names=[o.name for o in graph.outputs],
        opset_version=OPSET,
        external_data=False,
        **words,
    )


def main(spec: str, folder: Path) -> None:
    graph, _ = deploy(api.load(spec), {})
    weights = kaiming(graph)
    safetensors.numpy.save_file(weights, folder / WEIGHTS)
    api.build(spec, folder / OURS, weights=folder / WEIGHTS, verify=False, opset=OPSET)
    module = api.compile(spec, weights=folder / WEIGHTS).eval()
    for name in (DYNAMO, SCRIPT):
        file = folder / name
        try:
            export(graph, module, file, dynamo=name == DYNAMO)
        except Exception as error:  # the exporters raise whatever they met
            file.unlink(missing_ok=True)
            print(f"{name}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
