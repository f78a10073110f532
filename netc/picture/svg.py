"""A static SVG of a net."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from netc.graph import Graph
from netc.picture import palette, words
from netc.picture.layout import Layout, Point, layout
from netc.picture.outline import Item, Outline, outline
from netc.picture.scene import GAP, LABEL, ROOM, ROW, SIZE, Scene, at_depth, dot, scene, size

_MARGIN = 12
_FONT = 'Helvetica, Arial, "Liberation Sans", sans-serif'


def svg(graph: Graph, depth: int | None = 1) -> str:
    """A net as SVG, its blocks closed below a depth; None opens all.

    Colours stand in the elements, for programs that read no style sheet; the style sheet turns them in the dark.
    Raises Fault N450 and N451 for what is too large to draw, N452 where pygraphviz is not installed.
    """
    made = outline(graph)
    view = scene(made, at_depth(made, depth))
    return "\n".join(_Picture(made, view, layout(dot(made, view))).lines()) + "\n"


class _Picture:
    def __init__(self, outline: Outline, scene: Scene, layout: Layout) -> None:
        self.outline, self.scene, self.layout = outline, scene, layout

    def lines(self) -> Iterator[str]:
        wide, high = (round(x) + 2 * _MARGIN for x in (self.layout.width, self.layout.height))
        name = words.printable(self.outline.net)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" '
            f'font-family={quoteattr(_FONT)} role="img" aria-label={quoteattr(f"the network {name}")}>'
        )
        yield f"<title>{escape(name)}</title>"
        yield f"<style>{_dark()}</style>"
        yield f'<rect class="paper" width="{wide}" height="{high}" fill="{palette.PAPER.light}"/>'
        yield f'<g transform="translate({_MARGIN} {_MARGIN})">'
        depths = self.outline.depths()
        for i in self.scene.frames:
            yield from self.frame(i, depths[i])
        for n in range(len(self.scene.arrows)):
            yield from self.arrow(n)
        for i in self.scene.frames:
            left, top, *_ = self.layout.frames[i]
            odd, ground = (" odd", palette.PAPER) if depths[i] % 2 else ("", palette.FRAME)
            how = f'class="title{odd}" paint-order="stroke" stroke="{ground.light}" stroke-width="4"'  # over the arrows
            yield self.words(self.outline.items[i], left + 10, top + 20, how)
        for box in self.scene.boxes:
            yield from self.box(box)
        yield "</g></svg>"

    def frame(self, i: int, depth: int) -> Iterator[str]:
        item, (left, top, right, low) = self.outline.items[i], self.layout.frames[i]
        ground = palette.FRAME if depth % 2 == 0 else palette.PAPER
        yield self.opening(i, "frame")
        yield (
            f'<rect class="{"odd" if depth % 2 else "even"}" x="{left:g}" y="{top:g}" width="{right - left:g}" '
            f'height="{low - top:g}" rx="7" fill="{ground.light}" stroke="{palette.FRAME.light_line}"'
            f"{_dashes(item)}/>"
        )
        yield "</g>"

    def arrow(self, n: int) -> Iterator[str]:
        arrow, curve, tip = self.scene.arrows[n], self.layout.curves[n], self.layout.tips[n]
        shape = escape(words.printable(arrow.edge.shape))
        source = escape(words.printable(self.outline.items[arrow.edge.start].name))
        x, y = self.layout.labels[n]
        room = words.width(arrow.edge.shape, LABEL) / 2
        ends = f"data-from={self.key(arrow.edge.start)} data-to={self.key(arrow.edge.stop)}"
        yield f'<g class="arrow" {ends}><title>{source}: {shape}</title>'
        yield f'<path d="{path(curve)}" fill="none" stroke="{palette.EDGE.light}" stroke-width="1.2"/>'
        yield f'<path class="tip" d="{_head(curve[-1], tip)}" fill="{palette.EDGE.light}"/>'
        yield (
            f'<text x="{x - room:g}" y="{y + 3.5:g}" font-size="{LABEL}" '
            f'fill="{palette.EDGE.light_line}">{shape}</text></g>'
        )

    def box(self, box: int) -> Iterator[str]:
        rows = self.scene.boxes[box]
        (x, y), (wide, high) = self.layout.boxes[box], size(self.outline, rows)
        left, top = x - wide / 2, y - high / 2
        if self.outline.items[box].kind == "block":
            yield self.opening(box, "block")
            yield from self.block(self.outline.items[box], left, top, wide, high)
            return
        for n, i in enumerate(rows):
            item = self.outline.items[i]
            paint = palette.FAMILIES[item.family]
            ends = (n == 0, n == len(rows) - 1)
            above = f" data-on={self.key(item.on)}" if n else ""
            yield self.opening(i, f"{item.kind} {item.family}", above)
            yield (
                f'<path d="{row_path(left, top + n * ROW, wide, *ends, ROW / 2 if item.kind != "layer" else 5)}" '
                f'fill="{paint.light}" stroke="{paint.light_line}"{_dashes(item)}/>'
            )
            yield self.row(item, left, top + n * ROW + 16, wide) + "</g>"

    def block(self, item: Item, left: float, top: float, wide: float, high: float) -> Iterator[str]:
        paint = palette.FAMILIES["block"]
        for shift in (6, 3, 0) if item.turns else (0,):  # a repeat lies as a pile of sheets
            yield (
                f'<rect x="{left + shift:g}" y="{top + shift:g}" width="{wide:g}" height="{high:g}" rx="6" '
                f'fill="{paint.light}" stroke="{paint.light_line}" stroke-width="1.3"{_dashes(item)}/>'
            )
        yield self.words(item, left + wide / 2, top + 20, 'text-anchor="middle"')
        yield (
            f'<text class="second" x="{left + wide / 2:g}" y="{top + 37:g}" font-size="{LABEL + 1}" '
            f'text-anchor="middle" fill="{palette.INK.light_line}">{words.counted(item.params, "parameter")}</text></g>'
        )

    def words(self, item: Item, x: float, y: float, how: str) -> str:
        plain = f'<tspan dx="{GAP / 2:g}" class="second" fill="{palette.INK.light_line}">{_text(item.plain)}</tspan>'
        return (
            f'<text x="{x:g}" y="{y:g}" font-size="{SIZE}" fill="{palette.INK.light}" {how}>'
            f'<tspan font-weight="bold">{_text(item.bold)}</tspan>{plain if item.plain else ""}</text>'
        )

    def row(self, item: Item, left: float, y: float, wide: float) -> str:
        ink, second = (palette.ON_IO[0],) * 2 if item.family == "io" else (palette.INK.light, palette.INK.light_line)
        plain = f'<tspan dx="{GAP / 2:g}">{_text(item.plain)}</tspan>' if item.plain else ""
        label = (
            f'<text class="second" x="{left + wide - ROOM:g}" y="{y:g}" font-size="{SIZE}" text-anchor="end" '
            f'fill="{second}">{_text(item.label)}</text>'
        )
        return (
            f'<text x="{left + ROOM:g}" y="{y:g}" font-size="{SIZE}" fill="{ink}">'
            f'<tspan font-weight="bold">{_text(item.bold)}</tspan>{plain}</text>{label if item.label else ""}'
        )

    def opening(self, i: int, kind: str, more: str = "") -> str:
        item = self.outline.items[i]
        training = " training" * item.training
        return f'<g class="{kind}{training}" data-name={self.key(i)}{more}>{self.title(item)}'

    def key(self, i: int) -> str:
        """An item's name as an attribute; an output's begins with an arrow, for a layer may be called like it."""
        item = self.outline.items[i]
        return quoteattr(words.printable(f"=> {item.name}" if item.kind == "output" else item.name))

    def title(self, item: Item) -> str:
        """What a pointer that rests on it is told."""
        said = [f"{item.name}: {item.call}" if item.name else item.call]
        if item.shape:
            said.append(item.shape)
        if item.kind in {"layer", "block"}:
            said.append(words.counted(item.params, "parameter"))
            said.append(words.counted(item.macs, "MAC") if item.macs is not None else "MACs depend on the input's size")
        if item.training:
            said.append("for training only")
        said.append(str(item.where[0]))
        return f"<title>{escape(words.printable(words.cut(', '.join(said), 400)))}</title>"


def path(curve: list[Point]) -> str:
    """Graphviz's curve as SVG: a start, then threes of a cubic."""
    first, *rest = (f"{x:g} {y:g}" for x, y in curve)
    return f"M{first}C{' '.join(rest)}"


def row_path(x: float, y: float, wide: float, first: bool, last: bool, round: float) -> str:
    """A row's outline; the corners of a box are round, where two rows meet they are not."""
    a, b = (round if first else 0), (round if last else 0)
    return (
        f"M{x + a:g} {y:g}h{wide - 2 * a:g}q{a:g} 0 {a:g} {a:g}v{ROW - a - b:g}q0 {b:g} {-b:g} {b:g}"
        f"h{2 * b - wide:g}q{-b:g} 0 {-b:g} {-b:g}v{a + b - ROW:g}q0 {-a:g} {a:g} {-a:g}z"
    )


def _head(base: Point, tip: Point) -> str:
    (x, y), (u, v) = base, tip
    length = ((u - x) ** 2 + (v - y) ** 2) ** 0.5 or 1
    dx, dy = (v - y) / length * 2.8, (u - x) / length * 2.8
    return f"M{x + dx:.2f} {y - dy:.2f}L{u:g} {v:g}L{x - dx:.2f} {y + dy:.2f}z"


def _text(text: str) -> str:
    return escape(words.printable(text))


def _dashes(item: Item) -> str:
    return ' stroke-dasharray="4 3"' if item.training else ""


def _dark() -> str:
    rules = [
        f".paper,.odd{{fill:{palette.PAPER.dark}}}",
        f".even{{fill:{palette.FRAME.dark}}}",
        f".frame>rect{{stroke:{palette.FRAME.dark_line}}}",
        f".title{{stroke:{palette.FRAME.dark}}}",
        f".title.odd{{stroke:{palette.PAPER.dark}}}",
        f"text{{fill:{palette.INK.dark}}}",
        f".second{{fill:{palette.INK.dark_line}}}",
        f".arrow>path{{stroke:{palette.EDGE.dark}}}",
        f".arrow>.tip{{fill:{palette.EDGE.dark};stroke:none}}",
        f".arrow>text{{fill:{palette.EDGE.dark_line}}}",
    ]
    for name, paint in palette.FAMILIES.items():
        rules.append(f".{name}>path,.{name}>rect{{fill:{paint.dark};stroke:{paint.dark_line}}}")
    rules.append(f".io>text{{fill:{palette.ON_IO[1]}}}")
    return "@media screen and (prefers-color-scheme:dark){" + "".join(rules) + "}"
