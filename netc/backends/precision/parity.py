"""How far a half-precision file lies from float64 torch.

The measure is that of parity, and the bound fits the precision: f16 has 11 binary digits and bf16 8, where float32 has
24. A net whose answers lie closer together than its numbers are fine cannot keep the bound; then it is held to four
times what float64 torch loses when its kernels alone are rounded, but never to more than 64 roundings of the largest
answer. That the file's nodes are the right ones is not judged here: it is, in f32, by the bound of f32.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from netc.backends.precision.rounded import rounded
from netc.backends.precision.widths import Half, Width
from netc.backends.verify import Case, Parity
from netc.backends.verify import verify as measure
from netc.backends.verify.figures import FACTOR, distance
from netc.graph import Graph
from netc.weights import Array, Lazy, Weights

# With Kaiming weights the nets of the zoo lie at 2e-3 (LeNet-5) to 5e-2 (SqueezeNet) in f16 and eight times that in
# bf16; a padding that is counted where it should not be moves GoogLeNet by 0.4.
BOUNDS: dict[Half, float] = {"f16": 2e-2, "bf16": 1.6e-1}
ROUNDINGS = 64
MEASURE = (
    "max |ours - R| / V, R float64 torch, V the spread of R over 8 seeded inputs, every value rounded to {width}; "
    "or 4 x what torch loses with kernels rounded"
)


def measured(path: Path, net: Graph, weights: Weights, cases: Sequence[Case], width: Width) -> Parity:
    """The file's parity where every value is rounded to `width` as it is made, and sums are kept in f32.

    An f16 file is run as it is as well. Another file lies beside it meanwhile. Raises: as verify does.
    """
    assert width.word != "f32"
    bound = BOUNDS[width.word]
    owns: dict[int, Mapping[str, float]] = {}

    def of_case(case: Case) -> Mapping[str, float]:
        if id(case) not in owns:
            owns[id(case)] = own(net, weights, case.feed, case.answers, width)
        return owns[id(case)]

    beside = path.with_name(f"{path.name}.rounded")
    try:
        onnx.save(rounded(onnx.load(path), width), beside)
        found = measure(beside, net, weights, cases, bound=bound, own=of_case)
    finally:
        beside.unlink(missing_ok=True)
    if width.word == "bf16":  # which ONNX Runtime's CPU does not take
        return found
    return replace(
        found, agreements=found.agreements + measure(path, net, weights, cases, bound=bound, own=of_case).agreements
    )


def own(
    net: Graph, weights: Weights, feed: Mapping[str, Array], expected: Mapping[str, Array], width: Width
) -> Mapping[str, float]:
    """By output, what float64 torch, whose answers are `expected`, loses when its kernels are rounded; bounded as said
    above.
    """
    from netc.backends.verify.network import answers, network

    def kernel(name: str) -> Array:
        array = weights[name]
        return width.exact(width.cast(array)) if array.dtype.kind == "f" and array.ndim > 1 else array

    kernels = Lazy({name: (lambda name=name: kernel(name)) for name in weights})
    found = answers(net, network(net, kernels, np.float64), feed, np.float64)
    most = ROUNDINGS / FACTOR * width.epsilon / 2
    return {
        name: min(distance(each, expected[name]), most * float(np.abs(expected[name]).max(initial=0.0)))
        for name, each in found.items()
    }
