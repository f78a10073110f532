"""Weights held to what a graph needs: every tensor there, of its shape and type, and every number one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from netc.diagnostic import Fault, cut
from netc.graph import Graph
from netc.op import Param
from netc.weights.examine import finite as sound
from netc.weights.examine import refuse_unsound
from netc.weights.stored import Stored, in_memory, shown
from netc.weights.tensors import Array, Lazy, Made, Weights, maker, pieces

COUNTER = "num_batches_tracked"  # torch counts training steps there; nothing computes with it, others have none
SHOWN = 20  # mismatches in one message
LOOKED_AT = 1000  # names among which the nearest is sought
_KINDS = {"f32": np.dtype(np.float32), "i64": np.dtype(np.int64)}
_NAMES = {word: kind.name for word, kind in _KINDS.items()}  # numpy's own, which it makes anew each time
_WIDENED = {
    "f32": {"float16", "bfloat16", "float64"},
    "i64": {"int8", "int16", "int32", "uint8", "uint16", "uint32"},
}


def check(weights: Weights, graph: Graph) -> None:
    """Hold weights to a graph.

    Raises: Fault N401, listing every tensor that is missing, unexpected, or of another shape or type; else N404, naming
    those that hold a NaN or an infinity.
    """
    fitted(weights, graph)


class _Fitted(Lazy):
    """Weights that were held to these tensors, and are all of them, in this order."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]], held_to: tuple[tuple[str, Param], ...]) -> None:
        super().__init__(makers)
        self.held_to = held_to


def fitted(weights: Weights, graph: Graph, *, finite: bool = True) -> Weights:
    """The graph's tensors in its order, a missing `num_batches_tracked` as 0.

    Without `finite`, any number is one; weights that were held to the same tensors before are handed on.

    Raises: Fault as `check` does.
    """
    if isinstance(weights, _Fitted) and not finite and weights.held_to == tuple(graph.parameters()):
        return weights
    return fit(in_memory(weights), graph, finite=finite, convert=False)


def fit(
    found: Mapping[str, Stored],
    graph: Graph,
    *,
    prefix: str = "",
    help: str = "",
    deployed: bool = False,
    finite: bool = True,
    convert: bool = True,
    partial: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Weights:
    """The graph's tensors, in its order, each read when it is asked for; a missing `num_batches_tracked` is 0.

    With `convert`, f16, bf16 and f64 become f32, smaller integers i64. Names that match one of the `partial` patterns
    may be missing, of another shape, or unexpected: what does not fit is not in the result, with all of its layer that
    the patterns match, and `say` hears of it. `prefix` opens what is said, `help` ends it where names differ.

    Raises: Fault as `check` does, and N447 for a pattern that matches no name.
    """
    expected = dict(graph.parameters())
    unexpected = [name for name in found if name not in expected]
    if deployed:
        needed = {node.weights for node in graph.nodes if node.name in graph.deployed}
        expected = {name: p for name, p in expected.items() if name in needed or name.rpartition(".")[0] in needed}
    loose = _matching(partial, [*expected, *unexpected], prefix)
    left = _left_out(expected, found, loose)
    if partial:
        _say_left_out(left, [name for name in unexpected if name in loose], expected, found, say)
    unexpected = [name for name in unexpected if name not in loose]
    expected = {name: p for name, p in expected.items() if name not in left}
    missing = [name for name in expected if name not in found and name.rpartition(".")[2] != COUNTER]
    gone = {name: expected[name].shape for name in missing}
    extra = {name: found[name].shape for name in unexpected}
    wrong = [f"{name}: missing, {shown(gone[name])}{_nearest(name, gone[name], extra)}" for name in missing[:SHOWN]]
    wrong += [
        f"{cut(name, 200)}: the net has no such tensor{_nearest(name, extra[name], gone)}"
        for name in unexpected[:SHOWN]
    ]
    unlike = {n: problem for n, p in expected.items() if n in found and (problem := _mismatch(found[n], p, convert))}
    wrong += [f"{name}: {problem}" for name, problem in unlike.items()]
    total = len(wrong) + max(0, len(missing) - SHOWN) + max(0, len(unexpected) - SHOWN)
    if wrong:
        more = f"\n  and {total - SHOWN} more" if total > SHOWN else ""
        tensors = "1 tensor does" if total == 1 else f"{total} tensors do"
        listed = "".join(f"\n  {line}" for line in wrong[:SHOWN])
        raise Fault(
            "N401",
            f"{prefix}{tensors} not fit {graph.name}:{listed}{more}",
            help=help if missing and unexpected else _one_layer([*missing, *unlike]) if prefix else "",
        )
    weights = _Fitted(
        {
            name: _as(found[name], param.dtype)
            if name in found
            else functools.partial(np.zeros, param.shape, _KINDS[param.dtype])  # a counter
            for name, param in expected.items()
        },
        tuple(expected.items()),
    )
    if finite:
        refuse_unsound(tuple([name for name in weights if not _finite(weights, name)]), prefix)
    return weights


def _one_layer(names: Sequence[str]) -> str:
    """How to leave out the one layer that does not fit, such as a head for other classes."""
    layers = {name.rpartition(".")[0] for name in names}
    return f'--partial "{layers.pop()}.*" lets it start anew' if len(layers) == 1 and "" not in layers else ""


def _finite(weights: Weights, name: str) -> bool:
    return all(sound(piece) for piece in pieces(maker(weights, name)))


def _as(tensor: Stored, dtype: str) -> Callable[[], Array]:
    if tensor.dtype == _NAMES[dtype] or (tensor.dtype == "bfloat16" and dtype == "f32"):  # which is read as f32
        return tensor.read
    return _Converted(tensor, _KINDS[dtype])


class _Converted(Made):
    """A tensor in another type than it is stored in."""

    def __init__(self, tensor: Stored, kind: np.dtype[Any]) -> None:
        super().__init__(tensor.shape, kind)
        self._read = tensor.read

    def pieces(self, of: int = 1) -> Iterable[Array]:
        for piece in pieces(self._read, of):
            with np.errstate(over="ignore"):  # what is beyond f32 becomes an infinity, which is then refused by name
                made = piece.astype(self.dtype)
            yield made


def _mismatch(tensor: Stored, param: Param, convert: bool) -> str:
    if tensor.shape != param.shape:
        return f"{shown(tensor.shape)}, expected {shown(param.shape)}"
    kind = _NAMES[param.dtype]
    if tensor.dtype == kind or (convert and tensor.dtype in _WIDENED[param.dtype]):
        return ""
    return f"{'a type unknown here' if tensor.dtype.startswith('void') else tensor.dtype}, expected {kind}"


def _nearest(name: str, shape: tuple[int, ...], others: Mapping[str, tuple[int, ...]]) -> str:
    # Among those of the same shape where there are some: a name alone says little about a renamed net.
    alike = [other for other, its in others.items() if its == shape][:LOOKED_AT]
    close = get_close_matches(name, alike, n=1, cutoff=0.5)
    if not close and len(alike) == 1 and len(shape) > 1:
        close = alike
    if not close:
        close = get_close_matches(name, list(others)[:LOOKED_AT], n=1, cutoff=0.7)
    if not close:
        return ""
    its = "" if others[close[0]] == shape else f", {shown(others[close[0]])}"
    return f" (the nearest is {cut(close[0], 200)}{its})"


def _matching(patterns: Sequence[str], names: Iterable[str], prefix: str) -> set[str]:
    names = list(names)
    loose: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise Fault(
                "N447",
                f"{prefix}no tensor of the net or of the file is called like `{pattern}`",
                help='a pattern is a whole name, * for any characters: "fc.*"',
            )
        loose |= matched
    return loose


def _left_out(expected: Mapping[str, Param], found: Mapping[str, Stored], loose: set[str]) -> set[str]:
    # With a layer's weight its bias goes, though that may fit: half a head from another one would be worse than none.
    layers = {
        name.rpartition(".")[0]
        for name, param in expected.items()
        if name in loose and name.rpartition(".")[2] != COUNTER
        if name not in found or found[name].shape != param.shape
    }
    return {name for name in expected if name in loose and name.rpartition(".")[0] in layers}


def _say_left_out(
    left: set[str],
    dropped: Sequence[str],
    expected: Mapping[str, Param],
    found: Mapping[str, Stored],
    say: Callable[[str], None],
) -> None:
    if not left and not dropped:
        say("every tensor fits, so none is left out as partial")
        return
    told = [
        f"{name} {shown(param.shape)} ({shown(found[name].shape) if name in found else 'nothing'} in the file)"
        for name, param in expected.items()
        if name in left
    ]
    told_too = [f"{cut(name, 200)} {shown(found[name].shape)}" for name in dropped]
    for words, names in (("starts anew", told), ("of the file is left out", told_too)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            say(f"{words}: {', '.join(names[:SHOWN])}{more}")
