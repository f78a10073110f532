"""What a region of the graph tells of its block: the definition, and what the parameters came to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from netc.elaborate.files import BlockDef
from netc.elaborate.values import Items, Value, key
from netc.graph import Block
from netc.op import Scalar
from netc.syntax import tree as t


def block_of(definition: BlockDef) -> Block:
    """The definition, without the tree it was read from."""
    defaults = {p.name.text: _literal(p.default) for p in definition.tree.params if p.default is not None}
    return Block(
        definition.name,
        definition.unit.span(definition.tree.name),
        tuple(name.text for name in definition.tree.takes),
        MappingProxyType({name: value for name, value in defaults.items() if value is not None}),
    )


def arguments(args: Mapping[str, Value]) -> Mapping[str, Hashable]:
    """Numbers, truth values, texts and lists of these as they are; of anything else, what tells it from others."""
    return MappingProxyType({name: _plain(value) for name, value in args.items()})


def _plain(value: Value) -> Hashable:
    if isinstance(value, bool | int | float | str):
        return value
    return tuple(map(_plain, value)) if isinstance(value, Items) else ("other", key(value))


def _literal(expr: t.Expr) -> Scalar:
    # None where the default is more than a number or a truth value.
    if isinstance(expr, t.Number):
        return expr.value
    return expr.parts == ("true",) if isinstance(expr, t.Path) and expr.parts in (("true",), ("false",)) else None
