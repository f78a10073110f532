"""Results as JSON values and as aligned tables."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from netc_runtime.decode import Decoded
from netc_runtime.pictures import ImageResult
from netc_runtime.table import aligned

Json: TypeAlias = dict[str, Any]


def answer(result: ImageResult, subject: str = "image") -> Json:
    """Give an answer as JSON values: its outputs by name, or its error; `subject` is the key of what it is about."""
    if result.fault is not None:
        fault = result.fault
        return {subject: result.source, "error": {"code": fault.code, "message": fault.message, "help": fault.help}}
    return {subject: result.source, "outputs": {name: said(each) for name, each in result.outputs.items()}}


def answers_table(answers: Sequence[Json], subject: str = "image", *, header: bool = True) -> str:
    """Give the answers as a table, a line for each class; those at fault have none."""
    answered = [each for each in answers if "outputs" in each]
    several = any(len(each["outputs"]) > 1 for each in answered)
    keys = {key for each in answered for output in each["outputs"].values() if (key := _score_key(output))}
    titles = [subject, *(["output"] if several else []), "class", min(keys) if len(keys) == 1 else "score"]
    rows: list[list[str]] = []
    for each in answered:
        for name, output in each["outputs"].items():
            lead = [each[subject], *([name] if several else [])]
            for label, score in _lines(output):
                rows.append([*lead, label, score])
                lead = [""] * len(lead)  # once is enough: the eye finds the next picture
    return aligned([titles, *rows] if header else rows, right=[len(titles) - 1]) if rows else ""


def said(decoded: Decoded) -> Json:
    """Give what one output says of one example as JSON values."""
    if decoded.decode == "none":
        named = [{"index": label.index, "label": label.name, "value": _finite(label.score)} for label in decoded.labels]
        values = _finite(decoded.values.tolist())
        labels = {"labels": named} if named else {}
        return {"decode": "none", "shape": list(decoded.values.shape), "values": values, **labels}
    is_map = decoded.values.ndim > (0 if decoded.decode == "argmax" else 1)
    key = "probability" if decoded.decode == "softmax" or (decoded.decode == "sigmoid" and not is_map) else "share"
    single = decoded.decode == "argmax" and not is_map  # one class, whose share of one position says nothing
    labels = [
        {"index": label.index, "label": label.name, **({} if single else {key: _finite(label.score)})}
        for label in decoded.labels
    ]
    return {"decode": decoded.decode, "labels": labels}


def _finite(value: Any) -> Any:
    """Give nested numbers with null for those that JSON cannot hold."""
    if isinstance(value, list):
        return [_finite(each) for each in cast("list[Any]", value)]
    return value if np.isfinite(value) else None


def _score_key(output: Json) -> str | None:
    labels: list[Json] = output.get("labels", [])
    return next((key for key in ("probability", "share", "value") if labels and key in labels[0]), None)


def _lines(output: Json) -> list[tuple[str, str]]:
    if output["decode"] == "none" and "labels" not in output:
        return [(f"values of shape {tuple(output['shape'])}", "")]
    key = _score_key(output)
    if not output["labels"]:
        return [("(none)", "")]
    return [(label["label"], "" if key is None else _score(key, label[key])) for label in output["labels"]]


def _score(key: str, value: float | None) -> str:
    if value is None:
        return "nan"
    return f"{value:.6g}" if key == "value" else f"{value:.4f}"
