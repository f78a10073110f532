"""How the tests of the language read: a net around chains, what it comes to, and a `§` where a finding is expected."""

from __future__ import annotations

from pathlib import Path

from netc.diagnostic import Diagnostic, Diagnostics, Source
from netc.elaborate import elaborate
from netc.graph import Graph

MARK = "§"


def net(chains: str, y: str = "f32[N, 8, 32, 32]", head: str = "", image: str = "f32[N, 3, 32, 32]") -> str:
    """A net `A` from `image` to `y` around its chains; `head` stands before it."""
    return f"{head}\nnet A {{\n  input image: {image}\n  output y: {y}\n  {chains}\n}}\n"


def check(text: str, path: Path | None = None) -> tuple[dict[str, Graph], list[Diagnostic]]:
    """The graphs of a text and its findings, in the order of their places."""
    found = Diagnostics()
    done = elaborate(Source(path.name if path else "x.cnn", text), path, found)
    return done.graphs, sorted(found.found, key=lambda d: (d.span.source.name, d.span.start))


def admitted(text: str, path: Path | None = None) -> Graph:
    """The graph of a text without an error: of its net `A`, or of its only net."""
    graphs, found = check(text, path)
    assert [(d.code, str(d.span), d.message) for d in found if d.severity == "error"] == []
    return graphs["A"] if "A" in graphs else next(iter(graphs.values()))


def refused(text: str, *codes: str, says: str = "", path: Path | None = None) -> Diagnostic:
    """The first finding of a text. Its findings have these codes and stand where the text has a `§`."""
    places = [i - n for n, i in enumerate(i for i, c in enumerate(text) if c == MARK)]
    assert len(places) == len(codes), "one § a code"
    _, found = check(text.replace(MARK, ""), path)
    told = [(d.code, f"{d.span.line}:{d.span.column}", d.message) for d in found]
    positions = Source("x.cnn", text.replace(MARK, "")).position
    wanted = [(code, "{}:{}".format(*positions(place))) for code, place in zip(codes, places, strict=True)]
    assert [t[:2] for t in told] == wanted, told
    words = f"{found[0].message} | {found[0].help}"
    assert says in words, words
    return found[0]


def names(graph: Graph) -> list[str]:
    """The nodes' names, in order."""
    return [n.name for n in graph.nodes]


def shapes(graph: Graph) -> dict[str, str]:
    """Every node's shape by its name."""
    return {n.name: n.type.shape for n in graph.nodes}


def weights(graph: Graph) -> list[str]:
    """The `state_dict` names, in order."""
    return [name for name, _ in graph.parameters()]


def inputs(graph: Graph, name: str) -> tuple[str, ...]:
    """What enters a node."""
    return graph.node[name].inputs


def fields(graph: Graph, name: str, *wanted: str) -> tuple[object, ...]:
    """Some arguments of a node's layer."""
    return tuple(getattr(graph.node[name].op, field) for field in wanted)
