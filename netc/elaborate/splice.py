"""Quoted labels with expressions in braces: `"denselayer{i + 1}"`."""

from __future__ import annotations

from functools import lru_cache

from netc.diagnostic import Source
from netc.elaborate.expr import Context, Poisoned, evaluate
from netc.elaborate.files import Env, Unit
from netc.elaborate.frame import Frame
from netc.elaborate.values import kind_of
from netc.syntax import tree as t
from netc.syntax.parse import parse


@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[str | t.Expr, ...] | None:
    """The label's pieces: plain texts and expressions; None where it cannot be read."""
    parts: list[str | t.Expr] = []
    rest = text
    while rest:
        plain, brace, rest = rest.partition("{")
        if "}" in plain:
            return None
        if plain:
            parts.append(plain)
        if not brace:
            break
        inside, close, rest = rest.partition("}")
        if not close:
            return None
        file = parse(Source("label", f"let x = {inside}\n"))
        lets = [s for s in file.statements if isinstance(s, t.Let)]
        if file.diagnostics or len(lets) != 1 or len(file.statements) != 1:
            return None
        parts.append(lets[0].value)
    return tuple(parts)


def splice(frame: Frame, label: t.Label, env: Env, prefix: str) -> str:
    """The label's text for this turn. Raises Poisoned after a diagnostic."""
    where = frame.span(label)
    parts = _parts(label.text)
    if parts is None:
        frame.report(
            "N101",
            f'the label "{label.text}" cannot be read',
            where,
            help='put an expression in braces: "layer{i + 1}"',
        )
        raise Poisoned
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        # The expression's places are inside the label; a finding points at the whole label instead.
        unit = Unit(
            t.File(Source(where.source.name, where.source.text), 1, (), ()),
            frame.unit.path,
            env,
            frame.shared.budget,
            frame.unit.blocks,
            unsure=True,
        )
        ctx = frame.context(env, prefix)
        try:
            value = evaluate(part, Context(unit, env, type(ctx.found)(), ctx.side, None, ctx.free, False, True))
        except Poisoned:
            frame.report(
                "N111",
                f'the expression in "{label.text}" has no value here',
                where,
                help="it may use parameters, lets and loop variables",
            )
            raise
        if isinstance(value, bool) or not isinstance(value, int | str):
            frame.report("N130", f'the expression in "{label.text}" is a number or a text, not {kind_of(value)}', where)
            raise Poisoned
        text += str(value)
    return text
