"""A net as files: its weights, netc's ONNX files, and torch's exports of the same module with the same weights.

`python tests/bench/exports.py SPEC[:NET] SAMPLES.npz FOLDER FILE...` writes those of FILES that are asked for, netc's
always; the batch, and sides that the spec leaves open, stay open in all of them. What fails leaves no file, and says
why. Weights, and the int8 file, are fitted to the samples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netc import api
from netc.graph import Graph

if TYPE_CHECKING:
    import torch

# pyright: reportUnknownMemberType=false

OPSET = 20
SIDE = 64
"""Of an open side, in the example that the exporters trace."""
WEIGHTS, OURS, INT8 = "weights.safetensors", "netc.onnx", "int8.onnx"
DYNAMO, SCRIPT = "dynamo.onnx", "script.onnx"
FILES = (WEIGHTS, OURS, INT8, DYNAMO, SCRIPT)


def export(graph: Graph, module: torch.nn.Module, file: Path, *, dynamo: bool) -> None:
    """Torch's own export."""
    import torch

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


def main(spec: str, samples: Path, folder: Path, *wanted: str) -> None:
    import safetensors.numpy

    from netc.backends.verify import kaiming
    from netc.backends.verify.calibrated import calibrated
    from netc.passes.deploy import deploy

    with np.load(samples) as read:
        given = {name: read[name] for name in read.files}
    trained = api.load(spec)
    graph, _ = deploy(trained, {})
    weights = folder / WEIGHTS
    # With random statistics a deep net amplifies float32's rounding: MobileNetV2 to 6e-4 of its answers' spread.
    random = kaiming(trained)
    safetensors.numpy.save_file({**random, **calibrated(graph, random, given)}, weights)
    api.build(spec, folder / OURS, weights=weights, verify=False, opset=OPSET)
    module = api.compile(spec, weights=weights).eval()

    def int8(file: Path) -> None:
        api.build(
            spec, file, weights=weights, verify=False, opset=OPSET, precision="int8", calibrate=given, max_drop=100.0
        )

    makers: dict[str, Callable[[Path], None]] = {
        INT8: int8,
        DYNAMO: lambda file: export(graph, module, file, dynamo=True),
        SCRIPT: lambda file: export(graph, module, file, dynamo=False),
    }
    for name in [each for each in makers if each in wanted]:
        try:
            makers[name](folder / name)
        except Exception as error:  # the exporters raise whatever they met
            (folder / name).unlink(missing_ok=True)
            print(f"{name}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
