"""The inputs that both sides get: seeded as in every build, and real ones where they are given."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm

import numpy as np

from netc.backends.compare.pairing import Pairing, Sizes
from netc.backends.compare.sides import Port, Side
from netc.backends.verify.cases import SAMPLES, SEED, Feed
from netc.backends.verify.edges import image_of_pixels
from netc.backends.verify.sizes import SIDE, sizes
from netc.diagnostic import Fault
from netc.graph import Input
from netc.weights import Array
from netc_runtime.golden import golden_input

TYPES = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "u8": np.uint8}


def feeds(a: Side, b: Side, pairing: Pairing, equal: Sizes, data: Mapping[str, Array] | None = None) -> list[Feed]:
    """Inputs by the first side's names: two sizes of every symbol that has no number, as the known net admits.

    Raises: Fault N431 where no size is found, N435 for inputs that cannot be made or batches that do not go together,
    N432 for data that is not the input.
    """
    found: list[Feed] = []
    for numbers in _numbers(a, b, equal):
        names = {name: numbers[root] for (at, name), root in equal.of.items() if at == 0 and root in numbers}
        step = _step(a, b, equal, numbers)
        count = -(-SAMPLES // step) * step
        images = {name: image for name, other in pairing.inputs.items() if (image := b.images.get(other))}
        images.update(a.images)
        arrays = {p.name: _seeded(a, p, images.get(p.name), n, count, names) for n, p in enumerate(a.inputs)}
        found.append(Feed("seeded", {name: names[name] for name in names if _spoken(a, name)}, arrays))
    if data is not None:
        found.append(_given(a, b, equal, data))
    return found


def converted(feed: Mapping[str, Array], side: Side, pairing: Pairing) -> dict[str, Array]:
    """A feed under the second side's names, in its types."""
    types = {port.name: TYPES[port.dtype] for port in side.inputs}
    return {other: feed[name].astype(types[other], copy=False) for name, other in pairing.inputs.items()}


def _numbers(a: Side, b: Side, equal: Sizes) -> list[dict[tuple[int, str], int]]:
    for at, side in enumerate((a, b)):
        if side.graph is not None:
            known = equal.numbers(at)
            tried = sizes(side.graph, {name: known[name] for name in side.graph.symbols() if name in known})
            spoken = [{equal.of[at, n]: size for n, size in each.items() if (at, n) in equal.of} for each in tried]
            return [_filled(a, b, equal, each) for each in spoken]
    first = _filled(a, b, equal, {})
    other = {root: size if root in equal.known else size + SIDE // 4 for root, size in first.items()}
    return [first] if first == other else [first, other]


def _filled(a: Side, b: Side, equal: Sizes, found: Mapping[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    # With a number for every symbol that no net speaks of, unless it is a batch alone.
    pairs = ((at, side) for at, each in enumerate((a, b)) for port in each.inputs for side in port.shape[1:])
    sides = [equal.of[at, side] for at, side in pairs if isinstance(side, str)]
    return {**dict.fromkeys(sides, SIDE), **equal.known, **found}


def _spoken(side: Side, name: str) -> bool:
    return any(name in port.shape[1:] for port in side.inputs)


def _step(a: Side, b: Side, equal: Sizes, numbers: Mapping[tuple[int, str], int]) -> int:
    batches = [
        side.batch({n: numbers[root] for (of, n), root in equal.of.items() if of == at and root in numbers})
        for at, side in enumerate((a, b))
    ]
    return lcm(*(batch for batch in batches if batch is not None))


def _seeded(side: Side, port: Port, image: Input | None, index: int, count: int, numbers: Mapping[str, int]) -> Array:
    if port.dtype not in TYPES or not port.shape:
        raise Fault("N435", f"{side.name}: no inputs are made for {port}", help="pictures and other real numbers are")
    shape = (count, *(each if isinstance(each, int) else numbers[each] for each in port.shape[1:]))
    if image is not None:
        return image_of_pixels(image, SEED + index, shape)
    made = golden_input(SEED + index, shape)
    if port.dtype == "u8":
        return (64 * made + 128).clip(0, 255).astype(np.uint8)
    return made.astype(TYPES[port.dtype], copy=False)


def _given(a: Side, b: Side, equal: Sizes, data: Mapping[str, Array]) -> Feed:
    numbers: dict[tuple[int, str], int] = dict(equal.known)
    for port in a.inputs:
        array = data[port.name]
        fits = array.ndim == len(port.shape) and all(
            s == n if isinstance(s, int) else numbers.setdefault(equal.of[0, s], n) == n
            for s, n in zip(port.shape[1:], array.shape[1:], strict=True)
        )
        if not fits:
            raise Fault("N432", f"the data to verify on is {list(array.shape)} for {port}")
    count = len(next(iter(data.values())))
    step = _step(a, b, equal, numbers)
    if count < step:
        raise Fault("N432", f"the data to verify on has {count} examples, fewer than one batch of {step}")
    names = {name: numbers[root] for (at, name), root in equal.of.items() if at == 0 and root in numbers}
    kept = {name: array[: count // step * step] for name, array in data.items()}
    return Feed("data", {name: names[name] for name in names if _spoken(a, name)}, kept)
