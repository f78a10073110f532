"""The manifest that travels in the ONNX file: everything the runtime must know that the graph does not say."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

import netc
from netc.backends.onnx.lowering import dims
from netc.diagnostic import Fault
from netc.graph import Graph, Recipe
from netc.tensor import in_tuples
from netc_runtime.manifest import (
    KEY,
    Golden,
    ImageRecipe,
    Manifest,
    ManifestError,
    Parity,
    Precision,
    Requirement,
)
from netc_runtime.manifest import Input as RuntimeInput
from netc_runtime.manifest import Output as RuntimeOutput

SAMPLES = 64  # elements of each output that the golden example records
TOLERANCE = 1e-3  # of an output's spread: ten times the parity bound, for other machines' float32
ROUNDING = 1e-6  # of the largest value


def manifest(
    graph: Graph,
    *,
    weights_blake3: str,
    golden: Golden | None,
    measure: str,
    bound: float,
    verified: bool,
    precision: Precision = "f32",
) -> Manifest:
    """The manifest of a deployed net, as its file computes it. Equal arguments give an equal one."""
    text = spec_text(graph)
    pixels = {i.name for i in graph.inputs if i.type.dtype == "u8"}
    if golden is not None and pixels:
        # Of a picture's pixels the channels are last.
        shapes = {n: (s[0], *s[2:], s[1]) if n in pixels else s for n, s in golden.shapes.items()}
        golden = replace(golden, shapes=shapes)
    return Manifest(
        net=graph.name,
        inputs=tuple(RuntimeInput(i.name, i.type.dtype, tuple(dims(i.type)), _image(i.recipe)) for i in graph.inputs),
        outputs=tuple(
            RuntimeOutput(o.name, o.type.dtype, tuple(dims(o.type)), o.labels, o.decode, o.threshold)
            for o in graph.outputs
        ),
        require=tuple(Requirement(in_tuples(r.expr), r.text, r.why) for r in graph.requires),
        golden=golden,
        parity=Parity(measure, bound, "passed" if verified else "not verified"),
        spec_text=text,
        spec_sha256=hashlib.sha256(text.encode()).hexdigest(),
        weights_blake3=weights_blake3,
        versions=versions(verified=verified, quantised=precision == "int8"),
        embed=graph.export.embed,
        precision=precision,
    )


def metadata(made: Manifest) -> dict[str, str]:
    """The manifest as the ONNX file's metadata.

    Raises: Fault N434 where the runtime could not read it: a label of more than 1,024 characters, say.
    """
    try:
        return {KEY: made.to_json()}
    except ManifestError as error:
        raise Fault("N434", f"{made.net}: the runtime could not read the manifest: {error.message}") from error


def golden(
    seed: int,
    feed: Mapping[str, npt.NDArray[np.float32]],
    answers: Mapping[str, npt.NDArray[np.float64]],
    spreads: Mapping[str, float],
    count: int | Mapping[str, int],
    *,
    spare: float = TOLERANCE,
    rounding: float = ROUNDING,
    classes: Collection[str] = (),
) -> Golden:
    """A golden example: the first `count` of a seeded feed, and up to 64 elements of each answer, evenly spaced.

    Where the batches of a net differ, `count` is by input and output. Values have 6 significant digits. The tolerance
    is `spare` of the largest spread, or of the largest value where no spread is known, and `rounding` of that.

    Of an output in `classes` the answer is logits, and the file gives the largest one's number: recorded are those that
    are larger than the others by far, of the places that would be.
    """
    counts = count if isinstance(count, Mapping) else dict.fromkeys([*feed, *answers], count)
    samples: dict[str, tuple[tuple[int, float], ...]] = {}
    largest = 0.0
    for name, answer in answers.items():
        if name in classes:
            samples[name] = _classes(answer[: counts[name]], 2 * spare * spreads.get(name, 0.0))
            continue
        flat = answer[: counts[name]].reshape(-1)
        samples[name] = tuple((at, float(f"{flat[at]:.6g}")) for at in _places(flat.size))
        largest = max(largest, float(np.abs(flat).max()))
    spreads = {name: spread for name, spread in spreads.items() if name not in classes}
    scale = max(spreads.values(), default=0.0) or largest or 1.0
    tolerance = float(f"{spare * scale + rounding * largest:.2g}")
    shapes = {name: (counts[name], *array.shape[1:]) for name, array in feed.items()}
    return Golden(seed, shapes, samples, tolerance)


def _places(size: int) -> list[int]:
    return [int(at) for at in np.linspace(0, size - 1, min(SAMPLES, size)).round()]


def _classes(logits: npt.NDArray[np.float64], apart: float) -> tuple[tuple[int, float], ...]:
    # Another machine's float32 may decide another way where two are nearly equal.
    ordered = np.sort(logits, axis=1)
    lead = (ordered[:, -1] - ordered[:, max(logits.shape[1] - 2, 0)]).reshape(-1)
    flat = logits.argmax(axis=1).reshape(-1)
    places = [at for at in _places(flat.size) if lead[at] > apart] or [int(lead.argmax())]
    return tuple((at, float(flat[at])) for at in places)


def versions(*, verified: bool, quantised: bool = False) -> dict[str, str]:
    """What made the file, as far as its bytes depend on it: the golden example of a verified one comes from torch.

    An int8 file's ranges and weights come from ONNX Runtime.
    """
    found = {"netc": netc.__version__}
    makers = [*(["onnxruntime"] if quantised else []), *(["torch"] if verified else [])]
    for name in ("numpy", "onnx", *makers):
        installed = _installed(name)
        if installed is not None:
            found[name] = installed
    return found


@lru_cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spec_text(graph: Graph) -> str:
    """The spec, and behind it what it uses, each file under a line with its name."""
    first, *others = graph.texts.items() or [("", "")]
    return first[1] + "".join(f"\n# --- {name}\n{text}" for name, text in others)


def _image(recipe: Recipe | None) -> ImageRecipe | None:
    if recipe is None:
        return None
    return ImageRecipe(
        recipe.resize, recipe.fit, recipe.filter, recipe.crop, recipe.color, recipe.scale, recipe.mean, recipe.std
    )
