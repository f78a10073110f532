"""NETC_DEBUG: what a command shows of its work, on standard error."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from netc.cli.codes import UsageFault
from netc.cli.terminal import err
from netc.graph import Graph

TIMES, TABLE, PASSES, TEXT = 1, 2, 3, 4


def level() -> int:
    """How much is shown; 0 where NETC_DEBUG is not set. Raises UsageFault for what is no level."""
    word = os.environ.get("NETC_DEBUG", "")
    if word in ("", "0"):
        return 0
    if word in ("1", "2", "3", "4"):
        return int(word)
    raise UsageFault(
        f"NETC_DEBUG is {word}, and goes from 0 to 4: 1 shows how long the stages take, 2 the shape table as well, "
        "3 the graph after each pass, 4 the torch source and the ONNX text"
    )


@contextmanager
def timing(name: str) -> Generator[None]:
    """Say how long a stage took, whatever ended it."""
    start = perf_counter()
    try:
        yield
    finally:
        stage(name, perf_counter() - start)


def stage(name: str, seconds: float) -> None:
    """Say how long a stage took."""
    if level() >= TIMES:
        err(f"{name:<20} {1000 * seconds:9.1f} ms")


def table(graph: Graph) -> None:
    """Show a net's shape table."""
    if level() >= TABLE:
        rows = [(i.name, "input", str(i.type), "") for i in graph.inputs]
        rows += [(n.name, n.op.kind, str(n.type), _learned(graph, n.name)) for n in graph.nodes]
        rows += [(o.name, "output", str(o.type), f"of {o.value}") for o in graph.outputs]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        err("\n".join([f"--- {graph.name}", *lines]))


def listing(title: str, graph: Graph) -> None:
    """Show a graph, a layer a line."""
    lines = [f"{i.name}: {i.type.dtype}{i.type}" for i in graph.inputs]
    for node in graph.nodes:
        shared = f", weights of {node.weights}" if node.shared else ""
        lines.append(
            f"{node.name} = {node.op.kind}({node.op}) of {', '.join(node.inputs)}: {node.type.dtype}{node.type}{shared}"
        )
    lines += [f"{o.name} = {o.value}" for o in graph.outputs]
    err("\n".join([f"--- {title}", *lines]))


def torch_text(graph: Graph) -> None:
    """Show a net's torch source."""
    if level() >= TEXT:
        from netc.backends.torch import source

        err(f"--- torch source of {graph.name}\n{source(graph).rstrip()}")


def onnx_text(path: Path) -> None:
    """Show an ONNX file as text."""
    if level() >= TEXT:
        from netc.backends.onnx.text import text

        err(f"--- {path}\n{text(path)}")


def _learned(graph: Graph, name: str) -> str:
    node = graph.node[name]
    learned = sum(p.size for p in node.op.params(*graph.operands(node)).values() if p.learned)
    return f"{learned:,}" if learned else ""
