"""The HTML page of a net: one file that needs no network, with Graphviz inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from netc.diagnostic import Source, Span
from netc.graph import Graph
from netc.picture import palette, scene, words
from netc.picture.outline import Item, Outline, outline

GRAPHVIZ = "@hpcc-js/wasm-graphviz 1.29.2"
"""What `graphviz.js` is, unchanged; it carries Graphviz 16.1.0 as WebAssembly. NOTICE has the licences."""


def page(graph: Graph, depth: int | None = 1) -> str:
    """A net as an HTML page that opens and closes blocks; at first they are closed below a depth, None opens all.

    The page's policy forbids every request, and every script but its own, which it names by its hash.
    Raises Fault N450 and N451 for what is too large to draw.
    """
    made = outline(graph)
    start = scene.at_depth(made, depth)
    style, script = _style(), _graphviz() + _text("page.js")
    # wasm-unsafe-eval compiles WebAssembly; it lets no JavaScript be made of text.
    policy = (
        f"default-src 'none'; script-src {_hash(script)} 'wasm-unsafe-eval'; style-src {_hash(style)}; "
        "img-src 'none'; connect-src 'none'; form-action 'none'; base-uri 'none'"
    )
    parts = {
        "policy": policy,
        "generator": html.escape(f"netc; {GRAPHVIZ}"),
        "title": html.escape(words.printable(graph.name)),
        "style": style,
        "data": _json(_data(graph, made, sorted(start))),
        "script": script,
    }
    # In one pass: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _text("page.html"))


def _text(name: str) -> str:
    return (files("netc.picture") / name).read_text(encoding="utf-8")


@cache
def _graphviz() -> str:
    """Graphviz as the beginning of a module: what it exports becomes the name `Graphviz`."""
    text = _text("graphviz.js")
    end = text.rindex("export{")
    name = re.search(r"[{,](\w+) as Graphviz[,}]", text[end:])
    assert name is not None, "graphviz.js exports no Graphviz"
    return f"{text[:end]}const Graphviz={name[1]};\n"


@cache
def _style() -> str:
    """The style sheet, with the colours as variables: the dark ones on a screen that asks for them."""
    light, dark = _variables(False), _variables(True)
    drawn = "".join(
        f"svg .{name} > path, svg .{name} > rect {{ fill: var(--{name}); stroke: var(--{name}-line); }}\n"
        for name in palette.FAMILIES
    )
    turned = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    return f":root {{ color-scheme: light dark; {light} }}\n{turned}\n{drawn}{_text('page.css')}"


def _variables(dark: bool) -> str:
    def side(paint: palette.Paint) -> tuple[str, str]:
        return (paint.dark, paint.dark_line) if dark else (paint.light, paint.light_line)

    named: dict[str, str] = {"on-io": palette.ON_IO[dark]}
    for name, paint in palette.FAMILIES.items():
        named[name], named[f"{name}-line"] = side(paint)
    named["paper"], named["rule"] = side(palette.PAPER)
    named["ink"], named["second"] = side(palette.INK)
    named["edge"], _ = side(palette.EDGE)
    named["frame"], named["frame-line"] = side(palette.FRAME)
    named["raised"], named["rule-strong"] = named["frame"], named["frame-line"]
    named["accent"] = "#7fb2ff" if dark else "#1257c4"
    named["lit"], named["lit-faint"] = ("#2b4268", "#1c2a40") if dark else ("#dbe9ff", "#eff5ff")
    named["lit-strong"] = "#3d5f96" if dark else "#b4d0fb"
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: object) -> str:
    """JSON that may stand in a script element: no text of it ends the element, or begins another."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _data(graph: Graph, made: Outline, start: list[int]) -> dict[str, Any]:
    places = _Places(graph.texts)
    items = [_item(made, i, places) for i in range(len(made.items))]
    return {
        "net": {
            "name": words.printable(graph.name),
            "params": graph.params(),
            "heads": any(o.train_only for o in graph.outputs),
            "where": places.of(graph.regions[0].where),
        },
        "total": {"layers": len(graph.nodes), "params": made.params, "macs": made.macs},
        "symbols": list(made.symbols),
        "rules": {
            "ROW": scene.ROW,
            "ROOM": scene.ROOM,
            "GAP": scene.GAP,
            "LABEL": scene.LABEL,
            "MOST_BOXES": scene.MOST_BOXES,
            "MOST_REACH": scene.MOST_REACH,
            "HASTY_BOXES": scene.HASTY_BOXES,
            "HASTE": scene.HASTE,
        },
        "start": start,
        "files": places.files,
        "items": items,
        "edges": [
            {"start": e.start, "stop": e.stop, "shape": e.shape, "width": words.width(e.shape, scene.LABEL)}
            for e in made.edges
        ],
    }


def _item(made: Outline, i: int, places: _Places) -> dict[str, Any]:
    item: Item = made.items[i]
    found: dict[str, Any] = {
        "kind": item.kind,
        "name": words.printable(item.name),
        "parent": item.parent,
        "bold": words.printable(item.bold),
        "plain": words.printable(item.plain),
        "label": words.printable(item.label),
        "family": item.family,
        "call": words.printable(words.cut(item.call, 400)),
        "shape": item.shape,
        "layers": item.layers,
        "on": item.on,
        "params": item.params,
        "macs": item.macs,
        "width": scene.row_width(made, i),
        "where": [places.of(span) for span in item.where],
    }
    if item.kind == "block":
        found |= {"title": scene.frame_width(made, i), "turns": item.turns}
    if item.weights:
        found["weights"] = item.weights
    if item.training:
        found["training"] = True
    if item.shared:
        found["shared"] = words.printable(item.shared)
    return found


class _Places:
    """The files that are shown, the spec first, and places in them as file, line, and columns of a script's text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.files: list[dict[str, Any]] = []
        self.known: dict[str, int] = {}
        self.texts = texts
        for name in list(texts)[:1]:
            self.file(Source(name, texts[name]))

    def file(self, source: Source) -> int:
        if source.name not in self.known:
            self.known[source.name] = len(self.files)
            lines = [words.printable(line.rstrip("\r")) for line in source.text.split("\n")]
            self.files.append({"name": words.printable(source.name), "lines": lines})
        return self.known[source.name]

    def of(self, span: Span) -> list[int]:
        line, column = span.source.position(span.start)
        text = span.source.line(line)
        # JavaScript counts UTF-16's units: two for a character beyond the first 65,536.
        start = _units(text[: column - 1])
        stop = _units(text[: column - 1 + span.end - span.start])
        return [self.file(span.source), line, start, stop]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
