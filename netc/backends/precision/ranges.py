"""How far the values of a file reach on given inputs."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import helper

from netc.weights import Array

Run = Callable[[Mapping[str, Array]], Sequence[Array]]

FLOAT = onnx.TensorProto.FLOAT


def beyond(
    path: Path, feeds: Iterable[Mapping[str, Array]], limit: float, start: Callable[[Path, Sequence[str]], Run]
) -> list[str]:
    """The values of an f32 file whose size is more than `limit` on some of the feeds; `start` opens a file.

    Another file lies beside it meanwhile. Raises: OSError; as `start` and what it gives do.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    names = [each.name for each in values if each.type.tensor_type.elem_type == FLOAT]
    reaches = [f"{name}/reach" for name in names]
    for name, reach in zip(names, reaches, strict=True):
        model.graph.node.append(helper.make_node("Abs", [name], [f"{name}/abs"]))
        model.graph.node.append(helper.make_node("ReduceMax", [f"{name}/abs"], [reach], keepdims=0))
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(helper.make_tensor_value_info(each, FLOAT, []) for each in reaches)
    beside = path.with_name(f"{path.name}.reach")
    try:
        onnx.save(model, beside)
        run = start(beside, reaches)
        large = {name for feed in feeds for name, reach in zip(names, run(feed), strict=True) if not reach <= limit}
    finally:
        beside.unlink(missing_ok=True)
    return [name for name in names if name in large]
