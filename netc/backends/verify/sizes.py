"""The sizes that a net is verified at: two that the spec admits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice, product
from math import inf, prod
from types import MappingProxyType

from netc.diagnostic import Fault
from netc.graph import Graph, Input
from netc.tensor import Side, Symbol, at, in_tuples
from netc.weights import Array
from netc_runtime.manifest import ManifestError, evaluate

SIDE = 64  # symbolic sides are verified from here on, or from where the spec admits them
EXAMPLES = 8  # and a side that is the batch as well from here on


def sizes(graph: Graph, given: Mapping[str, int] = MappingProxyType({})) -> list[dict[str, int]]:
    """Two different sizes that the spec admits, height unlike width where it may be; symbols as `given` where they are.

    A batch has a number too where a requirement names it, or a side does.

    Raises: Fault N431 where none is found.
    """
    symbols: dict[str, Symbol] = {}
    for tensor in graph.inputs:
        for side in tensor.type.sides:
            symbols |= names(side)
    batches = {name: symbol for tensor in graph.inputs for name, symbol in names(tensor.type.batch).items()}
    required = {name for requirement in graph.requires for name in requirement.symbols}
    symbols |= {name: symbol for name, symbol in batches.items() if name in required}
    if not symbols:
        return [{}]
    choices = [
        [given[name]] if name in given else _choices(symbol, EXAMPLES if name in batches else SIDE)
        for name, symbol in symbols.items()
    ]
    shifted = ([c[(n + step) % len(c)] for n, c in enumerate(choices)] for step in range(8))
    rest = islice(product(*choices), 20_000)
    found: list[dict[str, int]] = []
    for numbers in (*shifted, *rest):
        sizes = dict(zip(symbols, numbers, strict=True))
        if sizes not in found and admitted(graph, sizes):
            found.append(sizes)
        if len(found) == 2:
            break
    if not found:
        said = "".join(f", with {name} = {given[name]}" for name in symbols if name in given)
        raise Fault("N431", f"{graph.name}: found no size for {', '.join(symbols)} that every `require` admits{said}")
    return found


def admitted(graph: Graph, sizes: Mapping[str, int]) -> bool:
    """Whether these numbers keep every requirement and leave every value its sides."""
    try:
        if any(evaluate(in_tuples(r.expr), sizes) is not True for r in graph.requires):
            return False
        return all(at(side, sizes) > 0 for node in graph.nodes for side in node.type.dims[1:])
    except (ManifestError, AssertionError):  # a requirement on what has no number, or a side not whole
        return False


def sides(graph: Graph, feed: Mapping[str, Array]) -> dict[str, int]:
    """The numbers that a feed gives the symbols of the inputs' sides: a side is a number or a plain symbol."""
    pairs = ((s, n) for i in graph.inputs for s, n in zip(i.type.sides, feed[i.name].shape[2:], strict=True))
    return {name: size for side, size in pairs for name in names(side)}


def largest(graph: Graph, feed: Mapping[str, Array]) -> int:
    """Elements of one example of the largest value that a feed makes."""
    numbers = sides(graph, feed)
    return max((prod(at(side, numbers) for side in node.type.dims[1:]) for node in graph.nodes), default=1)


def together(graph: Graph, feed: Mapping[str, Array]) -> int:
    """Elements of one example of all values that a feed makes."""
    numbers = sides(graph, feed)
    return sum(prod(at(side, numbers) for side in node.type.dims[1:]) for node in graph.nodes) or 1


def names(side: Side) -> Mapping[str, Symbol]:
    """The symbols of a side by name."""
    return {} if isinstance(side, int) else side.symbols()


def shape(tensor: Input, count: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """An input's shape at given sizes, with `count` examples."""
    return (count, *(at(side, sizes) for side in tensor.type.dims[1:]))


def _choices(symbol: Symbol, least: int) -> list[int]:
    step = symbol.divisor
    first = -(-max(symbol.low, 1) // step) * step
    start = max(first, -(-least // step) * step)
    most = inf if symbol.high is None else symbol.high
    large = [n for n in range(start, start + 32 * step, step) if n <= most]
    small = [n for n in range(first, first + 32 * step, step) if n <= most and n not in large]
    return large + small or [first]
