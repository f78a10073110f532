"""Logits to labels: softmax, sigmoid and argmax over axis 1, example by example; or what a graph made of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import EnvironmentFault, RequestFault
from netc_runtime.manifest import Decode, Output

Array: TypeAlias = npt.NDArray[Any]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """A class and its score: a probability, or of a map the share of its positions."""

    index: int
    name: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What one output says of one example.

    - softmax: `values` are the probabilities, `labels` the likeliest, of a map by their mean probability;
    - sigmoid: `values` are the probabilities, `labels` those that reach the threshold, of a map by the share of
      positions where they do;
    - argmax: `values` are the class indices, `labels` the class, of a map every class there is by its share;
    - none: `values` are the output's own; where the manifest names each of them, `labels` are the names in its order,
      with the value as score.

    Probabilities are computed in float64; `values` keeps them in float32. Labels stand from the highest score down, of
    equal ones the lower index first.

    Shape: `values` is (classes, ...), for argmax (...), where ... are the map's sides
    """

    decode: Decode
    labels: tuple[Label, ...]
    values: Array


def decode_output(
    where: str,
    output: Output,
    values: Array,
    top: int = 5,
    *,
    threshold: float | None = None,
    decoded: bool = False,
) -> tuple[Decoded, ...]:
    """Decode a batch of logits as the manifest says; `top` bounds softmax's labels.

    `threshold` stands in for the one that the manifest records, and softmax's labels below it are left out as well.

    With `decoded`, the graph has done so: `values` are probabilities, or argmax's class indices, and only the labels
    are looked up.

    Shape: (N, classes, ...) -> N results; argmax's class indices (N, ...) -> N results
    Raises: RequestFault R210 on another shape or a class without a label, EnvironmentFault R404 on a `top` below 1.
    """
    check_top(top)
    values = np.asarray(values)
    means = output.decode != "none"
    classes = means and not (decoded and output.decode == "argmax")
    fits = values.ndim == len(output.shape) and (not classes or values.shape[1] == output.shape[1])
    if values.ndim == 0 or (means and not fits):
        raise RequestFault(
            "R210",
            f'{where}: output "{output.name}" is {values.shape}, expected {output.shape}',
            "decode what predict returned",
        )
    if decoded and output.decode == "argmax":
        _check_indices(where, output, values)
    if values.ndim == 2 and not decoded and output.decode in ("softmax", "sigmoid"):
        # At once, which takes less than half the time; a batch of maps in float64 would take gigabytes.
        values, decoded = softmax(values, axis=1) if output.decode == "softmax" else sigmoid(values), True
    return tuple(_example(output, each, top, threshold, decoded) for each in values)


def check_top(top: int) -> None:
    """Refuse to give fewer labels than one.

    Raises: EnvironmentFault R404.
    """
    if top < 1:
        raise EnvironmentFault("R404", f"top is {top}, expected at least 1", "ask for one label or more")


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold that no probability can be held to.

    Raises: EnvironmentFault R404.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise EnvironmentFault("R404", f"threshold is {threshold}, expected 0 to 1", "it is a probability")


def softmax(logits: Array, axis: int = 0) -> npt.NDArray[np.float64]:
    """Give the softmax over an axis, in float64, without overflow.

    Shape: (classes, ...) -> (classes, ...)
    """
    wide = logits.astype(np.float64)
    # The largest class stays at exp(0), so a whole row of -inf is the one case left undefined, as NaN.
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)


def sigmoid(logits: Array) -> npt.NDArray[np.float64]:
    """Give the logistic function in float64, without overflow."""
    wide = logits.astype(np.float64)
    small = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1.0, small) / (1.0 + small)


def _check_indices(where: str, output: Output, indices: Array) -> None:
    low, high = int(indices.min(initial=0)), int(indices.max(initial=0))
    if indices.dtype.kind not in "iu" or low < 0 or (output.labels is not None and high >= len(output.labels)):
        most = "" if output.labels is None else f" to {len(output.labels) - 1}"
        raise RequestFault(
            "R210",
            f'{where}: output "{output.name}" holds {indices.dtype} from {low} to {high}, expected classes 0{most}',
            "decode what predict returned",
        )


def _example(output: Output, values: Array, top: int, threshold: float | None, decoded: bool) -> Decoded:
    if output.decode == "none":
        named = output.labels is not None and values.shape == (len(output.labels),)
        return Decoded("none", tuple(_labels(output, values, range(len(values)))) if named else (), values)
    if output.decode == "argmax":
        return _argmax(output, values, decoded)
    if output.decode == "softmax":
        probabilities = values.astype(np.float64) if decoded else softmax(values)
        scores = _over_positions(probabilities)
        likeliest = [each for each in _descending(scores)[:top] if threshold is None or scores[each] >= threshold]
        return Decoded("softmax", tuple(_labels(output, scores, likeliest)), probabilities.astype(np.float32))
    probabilities = values.astype(np.float64) if decoded else sigmoid(values)
    if threshold is None:
        threshold = DEFAULT_THRESHOLD if output.threshold is None else output.threshold
    shares = _over_positions(probabilities >= threshold)
    scores = probabilities if probabilities.ndim == 1 else shares
    chosen = [index for index in _descending(scores) if shares[index] > 0]
    return Decoded("sigmoid", tuple(_labels(output, scores, chosen)), probabilities.astype(np.float32))


def _argmax(output: Output, values: Array, decoded: bool) -> Decoded:
    classes = len(values) if not decoded else len(output.labels or ()) or int(values.max(initial=0)) + 1
    # A mask of megapixels as int64 would be eight times its worth.
    indices = np.asarray(values if decoded else values.argmax(axis=0)).astype(np.min_scalar_type(classes - 1))
    shares = np.bincount(indices.reshape(-1), minlength=classes) / indices.size
    chosen = [index for index in _descending(shares) if shares[index] > 0]
    return Decoded("argmax", tuple(_labels(output, shares, chosen)), indices)


def _over_positions(values: npt.ArrayLike) -> Array:
    values = np.asarray(values)
    return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)


def _descending(scores: Array) -> list[int]:
    return [int(index) for index in np.argsort(-scores, kind="stable")]


def _labels(output: Output, scores: Array, chosen: Iterable[int]) -> Iterator[Label]:
    for index in chosen:
        yield Label(index, str(index) if output.labels is None else output.labels[index], float(scores[index]))
