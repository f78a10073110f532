"""An ONNX file as text."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from math import prod

import onnx
from onnx import helper, printer

LARGEST = 16  # elements of a tensor that is written out


def text(path: str | os.PathLike[str]) -> str:
    """What a file says, without its metadata and large tensors: these stand among the inputs.

    Raises: OSError.
    """
    model = onnx.load(path, load_external_data=False)
    large = [each for each in model.graph.initializer if prod(each.dims) > LARGEST]
    for each in large:
        model.graph.initializer.remove(each)
        model.graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    del model.metadata_props[:]
    return printer.to_text(model).rstrip()
