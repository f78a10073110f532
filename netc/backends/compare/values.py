"""Values inside: of a net's layers, of a model file's nodes."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from netc.diagnostic import Fault
from netc.graph import Graph, Output
from netc.weights import Array, Weights


def of_net(graph: Graph, weights: Weights, names: Iterable[str], feed: Mapping[str, Array]) -> dict[str, Array]:
    """What layers answer in float64, by their names."""
    from netc.backends.verify.network import answers, network

    found = list(names)
    where = graph.outputs[0].where
    outputs = tuple(Output(f"value{i}", name, graph.types[name], where) for i, name in enumerate(found))
    asked = replace(graph, outputs=outputs)
    values = answers(asked, network(asked, weights, np.float64), feed, np.float64)
    return {name: values[f"value{i}"] for i, name in enumerate(found)}


class Model:
    """A model file's values by name, in order of its nodes, with the place in a spec that each node says it is from."""

    def __init__(self, path: Path) -> None:
        self._folder = path.resolve().parent
        self._model = onnx.load(str(path), load_external_data=False)
        self.opset = max(
            (each.version for each in self._model.opset_import if each.domain in ("", "ai.onnx")), default=0
        )
        self.places = {name: node.doc_string for node in self._model.graph.node for name in node.output if name}
        self.kinds = {name: node.op_type for node in self._model.graph.node for name in node.output if name}

    def values(self, names: Sequence[str], feed: Mapping[str, Array], step: int) -> dict[str, Array]:
        """These values for a feed, `step` examples at once.

        Raises: Fault N436 where ONNX Runtime refuses the model with these as outputs too.
        """
        asked = onnx.ModelProto()
        asked.CopyFrom(self._model)
        del asked.graph.output[:]
        asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        ort: Any = onnxruntime  # its names are made at import time, which the type checker cannot follow
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self._folder))
        count = len(next(iter(feed.values())))
        try:
            session = ort.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
            feeds = [
                {name: array[start : start + step] for name, array in feed.items()} for start in range(0, count, step)
            ]
            parts: list[list[Array]] = [session.run(list(names), part) for part in feeds]
            # A shape is a single number or a list, the same in every batch.
            return {name: np.concatenate([np.atleast_1d(part[i]) for part in parts]) for i, name in enumerate(names)}
        except Exception as error:  # its errors have no class in common that it exports
            words = " ".join(str(error).split())
            raise Fault("N436", f"ONNX Runtime does not give the values between the layers: {words}") from error
