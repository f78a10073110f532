"""A net whose symbols are numbers, some or all of them: the sizes that an export does not leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Reject
from netc.passes.verify_graph import verify_graph
from netc.tensor import LARGEST, Expr, in_tuples, named_in
from netc_runtime.manifest import ManifestError, evaluate

FAR = 4096  # how far from the size that was given others are tried


def fixed(graph: Graph, sizes: Mapping[str, int] = MappingProxyType({})) -> Graph:
    """The net with its symbols as `sizes` give them; the others stay dynamic, where the export section allows that.

    Requirements on what is a number now are held, and gone.

    Raises: Fault N424 where `dynamic` names what is no symbol, N470 where `sizes` do, N471 for a symbol that is neither
    dynamic nor given, N472 for a number that the net does not admit.
    """
    symbols, dynamic = graph.symbols(), graph.export.dynamic
    for name in dynamic or ():
        if name not in symbols:
            raise Fault("N424", f"{graph.name}: export dynamic names {name}, which is no symbol of an input")
    for name in sizes:
        if name not in symbols:
            known = f"its symbols are {', '.join(symbols)}" if symbols else "all of its sizes are numbers"
            raise Fault("N470", f"{graph.name}: {name} is no symbol of an input", help=known)
    open_ = [name for name in symbols if dynamic is not None and name not in dynamic and name not in sizes]
    if open_:
        such = ",".join(f"{name}={_such(graph, name)}" for name in open_)
        verb = "is" if len(open_) == 1 else "are"
        raise Fault(
            "N471",
            f"{graph.name}: {', '.join(open_)} {verb} not in export dynamic, and no size is given",
            help=f"--at {such} makes numbers of them; in `dynamic`, they are left to each request",
        )
    if not sizes:
        return graph
    if refused := _refused(graph, sizes):
        raise Fault("N472", f"{graph.name}: {_said(sizes)}: {refused}", help=_nearest(graph, sizes))
    made = replace(
        graph,
        inputs=tuple(i._replace(type=i.type.at(sizes)) for i in graph.inputs),
        outputs=tuple(o._replace(type=o.type.at(sizes)) for o in graph.outputs),
        nodes=tuple(n._replace(type=n.type.at(sizes)) for n in graph.nodes),
        requires=tuple(r._replace(expr=e) for r in graph.requires if (e := _left(r.expr, sizes)) is not None),
    )
    try:
        verify_graph(made, after="sizes are numbers")
    except Reject as reject:
        raise Fault("N472", f"{graph.name}: {_said(sizes)}: {reject.message}", help=reject.help) from reject
    return made


def _refused(graph: Graph, sizes: Mapping[str, int]) -> str:
    """Why a net does not admit some sizes, or nothing."""
    for name, size in sizes.items():
        if not 0 < size <= LARGEST:
            return f"a size is 1 to {LARGEST:,}, not {name} = {size}"
    for requirement in graph.requires:
        if any(named_in(fact) <= set(sizes) and not _holds(fact, sizes) for fact in _facts(requirement.expr)):
            return f"the net requires {requirement.text}" + (f" ({requirement.why})" if requirement.why else "")
    for node in graph.nodes:
        for side in node.type.sides:
            if not isinstance(side, int) and set(side.symbols()) <= set(sizes) and side.at(sizes) < 1:
                return f"{node.name} would have a side of {side} = {side.at(sizes)}"
    return ""


def _nearest(graph: Graph, sizes: Mapping[str, int]) -> str:
    """The nearest numbers on both sides for one symbol, the others as they are."""
    for name, size in sizes.items():
        below = range(min(size - 1, LARGEST), max(0, size - FAR), -1)
        above = range(max(1, size + 1), min(size + FAR, LARGEST) + 1)
        tried = [next((n for n in each if not _refused(graph, {**sizes, name: n})), None) for each in (below, above)]
        found = [f"{name} = {n}" for n in tried if n is not None]
        if found:
            return f"the nearest that it admits: {' or '.join(found)}"
    return "no sizes near these are admitted; `netc show` says what a net requires"


def _such(graph: Graph, name: str) -> int:
    """A number that the facts on a symbol admit, near 224; 1 for a batch."""
    for each in graph.inputs:
        if not isinstance(each.type.batch, int) and name in each.type.batch.symbols():
            return 1
    sides = [side for each in graph.inputs for side in each.type.sides if not isinstance(side, int)]
    symbol = next(side.symbols()[name] for side in sides if name in side.symbols())
    number = max(symbol.low, min(224, symbol.high or 224))
    return -(-number // symbol.divisor) * symbol.divisor


def _holds(fact: Expr, sizes: Mapping[str, int]) -> bool:
    try:
        return evaluate(in_tuples(fact), sizes) is True
    except ManifestError:
        return False


def _facts(expr: Expr) -> list[Expr]:
    """The parts that must all hold."""
    if isinstance(expr, list) and expr[0] == "and":
        return [fact for operand in expr[1:] for fact in _facts(operand)]
    return [expr]


def _left(expr: Expr, sizes: Mapping[str, int]) -> Expr | None:
    """What a requirement still asks of a request, None for nothing."""
    left: Expr | None = None
    for fact in _facts(expr):
        if not named_in(fact) <= set(sizes):
            left = _at(fact, sizes) if left is None else ["and", left, _at(fact, sizes)]
    return left


def _at(expr: Expr, sizes: Mapping[str, int]) -> Expr:
    if isinstance(expr, list):
        return [expr[0], *(_at(operand, sizes) for operand in expr[1:])]
    return sizes.get(expr, expr) if isinstance(expr, str) else expr


def _said(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())
