"""The manifest that travels in the ONNX file: everything the runtime must know that the graph does not say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

import netc
from netc.diagnostic import Fault
from netc.graph import Graph, Recipe
from netc.tensor import Expr, Side
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
from netc_runtime.manifest import Expr as RuntimeExpr
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
    """The manifest of a deployed net. Equal arguments give an equal one."""
    text = spec_text(graph)
    return Manifest(
        net=graph.name,
        inputs=tuple(RuntimeInput(i.name, i.type.dtype, _shape(i.type.dims), _image(i.recipe)) for i in graph.inputs),
        outputs=tuple(
            RuntimeOutput(o.name, o.type.dtype, _shape(o.type.dims), o.labels, o.decode, o.threshold)
            for o in graph.outputs
        ),
        require=tuple(Requirement(_tuples(r.expr), r.text, r.why) for r in graph.requires),
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
) -> Golden:
    """A golden example: the first `count` of a seeded feed, and up to 64 elements of each answer, evenly spaced.

    Where the batches of a net differ, `count` is by input and output. Values have 6 significant digits. The tolerance
    is `spare` of the largest spread, or of the largest value where no spread is known, and `rounding` of that.
    """
    counts = count if isinstance(count, Mapping) else dict.fromkeys([*feed, *answers], count)
    samples: dict[str, tuple[tuple[int, float], ...]] = {}
    largest = 0.0
    for name, answer in answers.items():
        flat = answer[: counts[name]].reshape(-1)
        places = np.linspace(0, flat.size - 1, min(SAMPLES, flat.size)).round().astype(np.int64)
        samples[name] = tuple((int(at), float(f"{flat[at]:.6g}")) for at in places)
        largest = max(largest, float(np.abs(flat).max()))
    scale = max(spreads.values(), default=0.0) or largest or 1.0
    tolerance = float(f"{spare * scale + rounding * largest:.2g}")
    shapes = {name: (counts[name], *array.shape[1:]) for name, array in feed.items()}
    return Golden(seed, shapes, samples, tolerance)


def versions(*, verified: bool, quantised: bool = False) -> dict[str, str]:
    """What made the file, as far as its bytes depend on it: the golden example of a verified one comes from torch.

    An int8 file's ranges and weights come from ONNX Runtime.
    """
    found = {"netc": netc.__version__}
    makers = [*(["onnxruntime"] if quantised else []), *(["torch"] if verified else [])]
    for name in ("numpy", "onnx", *makers):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def spec_text(graph: Graph) -> str:
    """The spec, and behind it what it uses, each file under a line with its name."""
    first, *others = graph.texts.items() or [("", "")]
    return first[1] + "".join(f"\n# --- {name}\n{text}" for name, text in others)


def _shape(dims: Sequence[Side]) -> tuple[int | str, ...]:
    return tuple(side if isinstance(side, int) else str(side) for side in dims)


def _image(recipe: Recipe | None) -> ImageRecipe | None:
    if recipe is None:
        return None
    return ImageRecipe(
        recipe.resize, recipe.fit, recipe.filter, recipe.crop, recipe.color, recipe.scale, recipe.mean, recipe.std
    )


def _tuples(expr: Expr) -> RuntimeExpr:
    return tuple(_tuples(each) for each in expr) if isinstance(expr, list) else expr
