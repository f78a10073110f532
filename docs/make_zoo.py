"""Makes docs/zoo.md: every net of specs/, what it costs and sees, and what is published of it.

Run `python docs/make_zoo.py` (or `make docs`) after a spec or docs/zoo.toml has changed; a test holds the page to it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from netc import api
from netc.graph import Graph, Node
from netc.report.field import extent, fields

ROOT = Path(__file__).parent.parent
PAGE, FIGURES, BEYOND = ROOT / "docs" / "zoo.md", ROOT / "docs" / "zoo.toml", ROOT / "docs" / "zoo" / "beyond.md"
SPECS, THREE = ROOT / "specs", ROOT / "tests" / "specs"

AGREES = frozenset({"0", "rounded", "0 with heads"})
"""The differences that need no note."""

WEIGHTED = frozenset({"conv", "depthwise", "fc", "local", "upconv"})
"""What a paper counts as a layer: kernels and dense layers, not norms, slopes and scales."""

TOP = """\
# The zoo

Every net of [specs/](../specs/): {files} files, {nets} nets. This page is made by `make docs` from the specs and from
[zoo.toml](zoo.toml), which holds what is published; tests keep both true, and the counts are held to torch elsewhere.

- **parameters**: learned numbers of the net as it is deployed; *with heads*: those of its training heads too.
- **published**: the figure as it is printed, with its table; of the paper that the spec names where no other is named.
  *torchvision* is its table of weights. *Not stated*: no table or text says it.
- **difference**: from there to here. *rounded*: the printed figure is this count, rounded as it is printed. Any other
  difference is explained below its table.
- **MACs**: multiply-accumulates of the deployed net for one example.
- **depth**: layers with weights on the longest path from an input to an output: convolutions and dense layers, not
  norms. A shortcut's projection is beside the longest path and does not count; the layers of a gate (squeeze and
  excitation) are on it, and do.
- **field**: how many pixels of each side the output sees, what a dilation skips and padding included. *Then all*: a
  dense layer or a pooling of the whole picture follows, and the number is the widest field before it; gates, which see
  the whole picture too, are left out of it.

{same} of these nets are what their file's defaults give, which another net of the file is too. Of the other {others}:

- {exact} have a published figure that is exactly this count,
- {rounded} have one that is this count rounded,
- {explained} have one that differs and is explained,
- {unstated} have none.

Where a net's name or its paper has a depth it is this one (LeNet-5: 5, VGG-16: 16, GoogLeNet: 22, DenseNet-201: 201,
ResNet-1202: 1202, U-Net: 23), but for these:

- Wide ResNets count 6n + 4: the three projections and not the dense layer. The longest path has two layers less.
- The mitosis nets' paper counts the input and the poolings: 13 and 11.
- Inception v3 is 42 layers deep in its paper's text; the longest path of its blocks has 48.
- R(2+1)D-18 has ResNet-18's places, two convolutions in each but the last.
- Nets that segment on ResNet-50 or 101 have their trunk's number in their name.
"""


@dataclass(frozen=True)
class Entry:
    """What docs/zoo.toml says of a net."""

    published: str | None = None
    source: str | None = None
    torchvision: int | None = None
    same: str | None = None
    at: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class File:
    """What docs/zoo.toml says of a file; a note is of a net, or of all of them under `all`."""

    nets: Mapping[str, Entry]
    notes: Mapping[str, str]


def figures() -> dict[str, File]:
    """docs/zoo.toml, by the specs' names."""
    read: dict[str, Any] = tomllib.loads(FIGURES.read_text(encoding="utf-8"))
    return {
        name: File({net: Entry(**said) for net, said in nets.items() if net != "notes"}, nets.get("notes", {}))
        for name, nets in read.items()
    }


def depth(graph: Graph) -> int:
    """Layers with weights on the longest path from an input to an output of the deployed net."""
    found = dict.fromkeys((i.name for i in graph.inputs), 0)
    for node in graph.nodes:
        found[node.name] = max(found[name] for name in node.inputs) + (node.op.kind in WEIGHTED)
    return max(found[o.value] for o in graph.outputs if not o.train_only)


def seen(graph: Graph, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], bool]:
    """The widest field of a value, a number a side, none if all see everything; and whether an output sees everything.

    What a gate sees is left out: its factor has sides of 1 and is spread over the picture.
    """
    types = {name: type_.at({"N": 1, **sizes}) for name, type_ in graph.types.items()}

    def ungated(node: Node) -> Node:
        if not node.op.merges or 1 in types[node.name].sides:
            return node
        kept = tuple(name for name in node.inputs if 1 not in types[name].sides)
        return node._replace(inputs=kept or node.inputs)

    nodes = [ungated(node) for node in graph.nodes if node.name in graph.deployed]
    found = fields(graph, nodes, types)
    extents: dict[str, list[tuple[int | None, ...]]] = {
        node.name: [tuple(map(extent, sides)) for sides in found[node.name].values()] for node in nodes
    }
    outputs = [each for o in graph.outputs if not o.train_only for each in extents[o.value]]
    known = [
        tuple(s for s in sides if s is not None) for each in extents.values() for sides in each if None not in sides
    ]
    return max(known, key=prod, default=()), any(None in each for each in outputs)


def at(graph: Graph, entry: Entry) -> dict[str, int]:
    """At which size a net's MACs are taken."""
    return {**graph.expect.at, **entry.at}


def difference(entry: Entry, graph: Graph) -> list[str]:
    """From each published figure to the net's: one of AGREES, or signed."""
    found: list[str] = []
    params = graph.params()
    if entry.published is not None:
        if entry.published.endswith(" M"):
            printed = entry.published.removesuffix(" M")
            digits = len(printed.partition(".")[2])
            same = f"{params / 1e6:.{digits}f}" == printed
            found.append("rounded" if same else f"{params / 1e6 - float(printed):+.{digits + 1}f} M")
        else:
            found.append(_signed(params - int(entry.published.replace(",", ""))))
    if entry.torchvision is not None:
        heads = params != entry.torchvision == graph.params(train=True)
        found.append("0 with heads" if heads else _signed(params - entry.torchvision))
    return found


def _signed(number: int) -> str:
    return f"{number:+,}" if number else "0"


def row(name: str, graph: Graph, entry: Entry, sizes: Mapping[str, int]) -> str:
    """A net's line of its file's table."""
    params, heads = graph.params(), graph.params(train=True)
    count = f"{params:,}" + (f" ({heads:,} with heads)" if heads != params else "")
    said: list[str] = []
    if entry.published is not None:
        said.append(f"{entry.published} ({entry.source})")
    if entry.torchvision is not None:
        said.append(f"{entry.torchvision:,} (torchvision)")
    published = f"as `{entry.same}`" if entry.same else "; ".join(said) or "not stated"
    macs = f"{graph.macs(sizes):,}" + (f" at {'x'.join(map(str, sizes.values()))}" if sizes else "")
    sides, everything = seen(graph, sizes)
    width = "x".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
    view = f"{width}, then all" if everything and width else width or "all"
    cells = [f"`{name}`", count, published, "; ".join(difference(entry, graph)), macs, str(depth(graph)), view]
    return f"| {' | '.join(cells)} |"


HEAD = [
    "| net | parameters | published | difference | MACs | depth | field |",
    "|---|---:|---|---|---:|---:|---:|",
]


def card(path: Path) -> str:
    """The first paragraph of a spec's card."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        text = line.removeprefix("#").strip()
        if line.startswith("#") and text:
            lines.append(text)
        elif lines:
            break
    return " ".join(lines)


def section(path: Path, graphs: Mapping[str, Graph], file: File) -> list[str]:
    """A file's heading, card, table and notes."""
    rows = [f"## [{path.name}](../specs/{path.name})", "", card(path), "", *HEAD]
    for net, graph in graphs.items():
        entry = file.nets[net]
        like = entry.same or net
        rows.append(row(net, graph, entry, at(graphs[like], file.nets[like])))
    rows.append("")
    for net, text in file.notes.items():
        words = " ".join(text.split())
        rows.append(f"- {words}" if net == "all" else f"- `{net}`: {words}")
    return [*rows, ""] if file.notes else rows


def three() -> str:
    """The three nets of tests/specs, under the text of docs/zoo/beyond.md."""
    rows = ["| net | parameters | MACs | depth | field |", "|---|---:|---:|---:|---:|"]
    for path in sorted(THREE.glob("*.cnn")):
        for net, graph in api.check(path).graphs.items():
            cells = row(net, graph, Entry(), at(graph, Entry())).split(" | ")
            rows.append(" | ".join([*cells[:2], *cells[4:]]))
    return BEYOND.read_text(encoding="utf-8").format(table="\n".join(rows))


def page() -> str:
    """The text of docs/zoo.md."""
    said = figures()
    zoo = {path: api.check(path).graphs for path in sorted(SPECS.glob("*.cnn"))}
    own = {
        (path.name, net): difference(said[path.name].nets[net], graph)
        for path, graphs in zoo.items()
        for net, graph in graphs.items()
        if said[path.name].nets[net].same is None
    }
    nets = sum(map(len, zoo.values()))
    explained = sum(not AGREES.issuperset(found) for found in own.values())
    unstated = sum(not found for found in own.values())
    exact = sum(bool(found) and AGREES.issuperset(found) and found != ["rounded"] for found in own.values())
    rounded = len(own) - explained - unstated - exact
    top = TOP.format(
        files=len(zoo),
        nets=nets,
        same=nets - len(own),
        others=len(own),
        exact=exact,
        rounded=rounded,
        explained=explained,
        unstated=unstated,
    )
    rows = [top]
    for path, graphs in zoo.items():
        rows += section(path, graphs, said[path.name])
    return "\n".join([*rows, three()])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
