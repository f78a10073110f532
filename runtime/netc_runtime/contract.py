"""What a request must be: names, element types, ranks, sides, symbols and the spec's requirements."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import ManifestError, RequestFault
from netc_runtime.expr import Expr, conjuncts, evaluate, symbols
from netc_runtime.manifest import Input, Requirement

Array: TypeAlias = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "u8": np.dtype(np.uint8),
    "u16": np.dtype(np.uint16),
    "u32": np.dtype(np.uint32),
    "u64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
}

REACH = 1024  # how far from the sizes given an admissible one is looked for
BUDGET = 20_000  # and after how many evaluations the search gives up


def conform(
    where: str, inputs: Sequence[Input], given: Mapping[str, npt.ArrayLike]
) -> tuple[dict[str, Array], dict[str, int]]:
    """Check and convert the arrays of a request; give them by name, contiguous, and the size of each symbol.

    Floating-point arrays become the input's type when no value overflows. Integers for a floating-point input are
    refused: they are raw pixels more often than not, and the answer would be silently wrong.

    Raises: RequestFault, R201 to R205 and R207.
    """
    expected = {tensor.name for tensor in inputs}
    if set(given) != expected:
        raise RequestFault(
            "R207", f"{where}: inputs are {_names(given)}, expected {_names(expected)}", "give one array for each input"
        )
    feed: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for tensor in inputs:
        at = f'{where}: input "{tensor.name}"'
        array = _converted(at, tensor, given[tensor.name])
        bind(at, tensor.shape, array.shape, sizes)
        feed[tensor.name] = array
    return feed, sizes


def bind(at: str, shape: Sequence[int | str], got: Sequence[int], sizes: dict[str, int]) -> None:
    """Check a shape against an input's and note the size of each symbol in `sizes`.

    Raises: RequestFault, R203 on the rank, R204 on a side, R205 on a symbol that already has another size.
    """
    if len(got) != len(shape):
        dims = "dimension" if len(got) == 1 else "dimensions"
        raise RequestFault(
            "R203", _found(at, shape, got), f"reshape it: it has {len(got)} {dims}, the input has {len(shape)}"
        )
    for axis, (side, size) in enumerate(zip(shape, got, strict=True)):
        if isinstance(side, int):
            if size != side:
                raise RequestFault("R204", _found(at, shape, got), f"make axis {axis} {side} long; it is {size}")
        elif size == 0 and axis > 0:
            raise RequestFault("R204", _found(at, shape, got), f"make axis {axis} ({side}) at least 1 long")
        elif sizes.setdefault(side, size) != size:
            raise RequestFault(
                "R205",
                f"{_found(at, shape, got)}, where {side} = {sizes[side]}",
                f"make axis {axis} {sizes[side]} long",
            )


def _found(at: str, shape: Sequence[int | str], got: Sequence[int]) -> str:
    return f"{at} is {tuple(got)}, expected {shape_text(shape)}"


def require(at: str, requirements: Sequence[Requirement], sizes: Mapping[str, int]) -> None:
    """Check the sizes against the spec's requirements.

    Raises: RequestFault R206, with the requirement's reason and the nearest admissible sizes; ManifestError R113.
    """
    for requirement in requirements:
        if evaluate(requirement.expr, sizes) is not True:
            named = sorted(symbols(requirement.expr))
            got = ", ".join(f"{symbol} = {sizes[symbol]}" for symbol in named)
            raise RequestFault(
                "R206",
                f"{at}: {got} breaks `{requirement.text}`: {requirement.why or 'the spec requires it'}",
                _advice(requirements, sizes),
            )


def shape_text(shape: Sequence[int | str]) -> str:
    """Give a shape as text: (N, 3, 224, 224)."""
    return "(" + ", ".join(str(side) for side in shape) + ("," if len(shape) == 1 else "") + ")"


def _converted(at: str, tensor: Input, given: npt.ArrayLike) -> Array:
    try:
        array: Array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise RequestFault("R201", f"{at} is not an array: {error}", "give a numpy array") from error
    if array.dtype.kind not in "fiub":
        raise RequestFault("R201", f"{at} holds {array.dtype}, expected {tensor.dtype} numbers", "give a numpy array")
    wanted = DTYPES[tensor.dtype]
    if array.dtype != wanted:
        if array.dtype.kind != "f" or wanted.kind != "f":
            raise RequestFault(
                "R202",
                f"{at} is {array.dtype}, expected {wanted}",
                _AS_PIXELS
                if tensor.image is not None and tensor.dtype == "u8"
                else f"convert it yourself: x.astype(numpy.{wanted}); a picture's pixels go through predict_images, "
                "which applies the recorded recipe",
            )
        try:
            with np.errstate(over="raise"):
                array = array.astype(wanted)
        except FloatingPointError as error:
            raise RequestFault(
                "R202", f"{at} is {array.dtype} with a value beyond {wanted}'s {np.finfo(wanted).max}", "scale it down"
            ) from error
    return np.asarray(array, order="C")  # ascontiguousarray would give a scalar an axis


_AS_PIXELS = "the model normalises by itself: give raw pixels, uint8 from 0 to 255, or pictures to predict_images"


def _advice(requirements: Sequence[Requirement], sizes: Mapping[str, int]) -> str:
    facts = [fact for requirement in requirements for fact in conjuncts(requirement.expr)]
    budget = iter(range(BUDGET))
    choices: dict[str, list[int]] = {}
    for symbol in sorted(sizes):
        own = [fact for fact in facts if symbols(fact) == frozenset((symbol,))]
        if not _hold(own, sizes, budget):
            choices[symbol] = _nearest(own, symbol, sizes, budget)
    if not choices:
        # Only facts that tie several symbols together are broken: move one symbol and keep the others.
        for symbol in sorted(frozenset[str]().union(*(symbols(fact) for fact in facts))):
            found = _nearest(facts, symbol, sizes, budget)
            if found:
                return f"the nearest admissible sizes are {symbol} = {_either(found)}"
    elif all(choices.values()):
        moves = [dict(zip(choices, values, strict=True)) for values in islice(product(*choices.values()), 64)]
        if all(_hold(facts, {**sizes, **move}, budget) for move in moves):
            each = ", ".join(f"{symbol} = {_either(found)}" for symbol, found in choices.items())
            return f"the nearest admissible sizes are {each}"
    return "give sizes that meet it"


def _nearest(facts: Sequence[Expr], symbol: str, sizes: Mapping[str, int], budget: Iterator[int]) -> list[int]:
    found: list[int] = []
    for step in (-1, 1):
        for distance in range(1, REACH + 1):
            size = sizes[symbol] + step * distance
            if size >= 1 and _hold(facts, {**sizes, symbol: size}, budget):
                found.append(size)
                break
    return found


def _hold(facts: Sequence[Expr], sizes: Mapping[str, int], budget: Iterator[int]) -> bool:
    try:
        return all(next(budget, None) is not None and evaluate(fact, sizes) is True for fact in facts)
    except ManifestError:
        return False  # on the way to an admissible size a divisor may pass through zero


def _either(values: Sequence[int]) -> str:
    return " or ".join(str(value) for value in values)


def _names(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names)) or "none"
