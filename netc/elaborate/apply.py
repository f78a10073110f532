"""Applies a layer or a block to values: binds arguments, asks the rule or expands the body, names what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostic import Label, Span
from netc.elaborate.budget import Stop
from netc.elaborate.edits import renamed
from netc.elaborate.expr import Context, Poisoned, evaluate
from netc.elaborate.files import BlockDef, Env
from netc.elaborate.frame import Caller, Frame
from netc.elaborate.layers import Applied, Finding, words_of
from netc.elaborate.names import nearest
from netc.elaborate.template import BlockStep, Handle, LayerStep, Template, Value, join
from netc.elaborate.values import BlockValue, Items, LayerValue, key
from netc.elaborate.values import Value as Constant
from netc.op import Layer, Need, Reject
from netc.ops import find, ours
from netc.syntax import tree as t
from netc.tensor import Size, TensorType, low


class Path(NamedTuple):
    """What a stage's label comes to. `label` is empty without one; `inside` is the path of labels in its braces."""

    label: str
    inside: str
    where: Span | None
    turn: int | None = None
    spliced: bool = False


@dataclass(slots=True)
class Bound:
    """Arguments of one call: values, the place of each, the place of each name, and operands given as arguments."""

    values: dict[str, Constant]
    places: dict[str, Span]
    names: dict[str, Span]
    operands: dict[str, Value]
    poisoned: bool = False


# --- layers


def layer(
    frame: Frame,
    kind: str,
    call: t.Call,
    env: Env,
    current: tuple[Value, ...],
    prefix: str,
    path: Path,
    *,
    held: LayerValue | None = None,
    said: str = "",
    end: Span | None = None,
    origins: tuple[tuple[Span, str], ...] = (),
) -> tuple[Value, ...]:
    """A layer applied. `said` is its name in the text where it differs; `end` a better place for a merge's findings."""
    where = frame.span(call)
    poison = (_poisoned(frame, path, where),)
    cls = find(kind)
    assert cls is not None
    bound = _bind_layer(frame, cls, call, env, prefix, held)
    if bound.poisoned:
        return _claimed(frame, path, poison)
    made = frame.shared.layers.make(cls, bound.values)
    if isinstance(made, list):
        for finding in made:
            if finding.code == "N121" and frame.vague:
                continue  # a `default` that did not parse may have given it
            _report_finding(frame, finding, call, bound, held)
        return _claimed(frame, path, poison)
    if not _arity(frame, cls, current, frame.span(call.name), said or kind):
        return _claimed(frame, path, poison)
    operands = (*current, *(bound.operands[name] for name in cls.values if name in bound.operands))
    for value in operands:
        value.read = True
    types = tuple(v.type for v in operands if v.type is not None)
    if len(types) != len(operands):
        return _claimed(frame, path, poison)
    if cls.spreads:
        parts = frame.shared.layers.spread(made, types[0])
        if not isinstance(parts, Reject):
            return _spread(frame, parts, operands, where, path, prefix)
        applied: Applied | Reject = parts
    else:
        applied = frame.shared.layers.apply(made, types)
    if isinstance(applied, Reject):
        if not frame.vague:
            _report_reject(frame, applied, call, bound, operands, end, origins)
        return _claimed(frame, path, poison)
    return (_step(frame, kind, made, operands, applied.type, where, path, prefix, weighted=applied.weighted),)


def _spread(
    frame: Frame, parts: tuple[Layer, ...], operands: tuple[Value, ...], where: Span, path: Path, prefix: str
) -> tuple[Value, ...]:
    """The values of a layer that stands for several; a label names them by their number."""
    if path.label:
        frame.claim(path.label, path.where or where)
    values: list[Value] = []
    for i, part in enumerate(parts):
        applied = frame.shared.layers.apply(part, (operands[0].type,) if operands[0].type is not None else ())
        assert not isinstance(applied, Reject), "a layer spreads into layers that take what it took"
        label = f"{path.label}.{i}" if path.label else ""
        own = Path(label, path.inside, path.where, path.turn)
        kind = part.kind
        values.append(_step(frame, kind, part, operands, applied.type, where, own, prefix, weighted=applied.weighted))
    return tuple(values)


def _step(
    frame: Frame,
    kind: str,
    op: Layer,
    operands: tuple[Value, ...],
    y: TensorType,
    where: Span,
    path: Path,
    prefix: str,
    *,
    weighted: bool,
    owner: Handle | None = None,
) -> Value:
    needs = op.needs(*[v.type for v in operands if v.type is not None])
    for need in (*(Need(side, "N203", "be left with nothing") for side in y.sides), *needs):
        if isinstance(need.size, Size) and low(need.size) < 1:
            frame.shared.facts.setdefault(need.size, (need, where))
    name = _name(frame, kind, where, path, prefix, weighted=weighted and owner is None)
    step = LayerStep(name, join(prefix, kind), op, operands, y, where, weighted, owner)
    value = Value(y, where, step)
    _append(frame, step, 1, where)
    frame.template.weighted |= weighted
    if path.label:
        frame.name_value(path.label, value)
        frame.template.handles[path.label] = Handle(step)
    return value


def _name(frame: Frame, kind: str, where: Span, path: Path, prefix: str, *, weighted: bool) -> str | None:
    """The name of a step, None where it is chosen when the template is closed."""
    if path.label:
        # Two equal paths were reported by `claim`; the second gets a name of its own so that checking goes on.
        return path.label if frame.claim(path.label, path.where or where) else None
    if not weighted:
        return None
    name = join(prefix, kind)
    name = name if path.turn is None else f"{name}.{path.turn}"
    first = frame.template.places.get(name)
    if first is not None:
        frame.report(
            "N114",
            f"two unlabelled `{kind}` with weights in one body: both would be called `{name}`",
            where,
            labels=(Label(first, "the first"),),
            help=f"label them: a: {kind}(...) -> b: {kind}(...)",
        )
        return None
    frame.template.places[name] = where
    return name


def _append(frame: Frame, step: LayerStep | BlockStep, count: int, where: Span) -> None:
    template = frame.template
    template.steps.append(step)
    template.count += count
    most = frame.shared.budget.limits.nodes
    if template.count > most:
        frame.shared.budget.nodes += template.count
        frame.report(
            "N160",
            f"the net grows past {most:,} nodes here",
            where,
            help="repeat less often, or raise the limit with --max-nodes",
        )
        raise Stop


def _poisoned(frame: Frame, path: Path, where: Span) -> Value:
    return Value(None, where, read=True)


def _claimed(frame: Frame, path: Path, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values of a stage that failed, under its label, so that what reads the label is not reported too."""
    if path.label and path.where is not None and frame.claim(path.label, path.where):
        frame.name_value(path.label, values[0])
    if path.spliced:
        frame.unsure = True
    return values


def _arity(frame: Frame, cls: type[Layer], current: tuple[Value, ...], where: Span, said: str) -> bool:
    count = len(current)
    if any(value.type is None for value in current):
        return True  # reported where it went wrong, and who knows how many there would be
    if frame.unsure:
        return (count > 1) == cls.merges
    if not cls.merges:
        if count != 1:
            frame.report(
                "N143",
                f"`{said}` takes one value; {count} are here",
                where,
                help="merge them first: -> add, or -> concat",
            )
            return False
        return True
    if cls.exactly is not None and count != cls.exactly:
        frame.report(
            "N303",
            f"`{said}` takes exactly {cls.exactly} values; {_are(count)} here",
            where,
            help=f"write from a, b -> {said}, or {said} {{ | a | b }}",
        )
        return False
    if count < 2:
        frame.report(
            "N303",
            f"`{said}` joins two values or more; {_are(count)} here",
            where,
            help=f"write from a, b -> {said}, or {said} {{ | a | b }}",
        )
        return False
    return True


def _are(count: int) -> str:
    return "one is" if count == 1 else f"{count} are"


def _bind_layer(frame: Frame, cls: type[Layer], call: t.Call, env: Env, prefix: str, held: LayerValue | None) -> Bound:
    bound = Bound({}, {}, {}, {})
    _bind_call(frame, cls, call, env, prefix, bound)
    if held is not None:
        for name, value in held.args:
            field = name or cls.positional or ""
            if field not in bound.values:
                _set(bound, field, value, held.where, held.where)
    rule = env.rules
    while rule is not None:
        if rule.call.name.text == cls.kind:
            frame.shared.budget.spend(8, (frame.unit.file, call))
            inner = Bound({}, {}, {}, {})
            _bind_call(frame, cls, rule.call, rule.env, prefix, inner)
            bound.poisoned |= inner.poisoned
            for name, value in inner.values.items():
                if name not in bound.values:
                    _set(bound, name, value, inner.places[name], inner.names[name])
            for name, operand in inner.operands.items():
                if name not in bound.operands:
                    bound.operands[name], bound.places[name] = operand, inner.places[name]
        rule = rule.outer
    return bound


def _set(bound: Bound, name: str, value: Constant, where: Span, name_where: Span) -> None:
    bound.values[name], bound.places[name], bound.names[name] = value, where, name_where


def _bind_call(frame: Frame, cls: type[Layer], call: t.Call, env: Env, prefix: str, bound: Bound) -> None:
    """The written arguments of a call, by field."""
    seen_positional = False
    base = frame.context(env, prefix)
    for arg in call.args:
        where = frame.unit.span(arg.value)
        if arg.name is None:
            if seen_positional or cls.positional is None:
                bound.poisoned = True
                takes = (
                    f"one argument without a name (`{cls.positional}`)"
                    if cls.positional
                    else "no argument without a name"
                )
                frame.report(
                    "N123", f"`{cls.kind}` takes {takes}", where, help=_name_help(frame, cls, call, bound, where)
                )
                continue
            seen_positional = True
            name, name_where = cls.positional, where
        else:
            name, name_where = arg.name.text, frame.unit.span(arg.name)
        if name in bound.values or name in bound.places:
            bound.poisoned = True
            how = " (the first argument is it)" if name == cls.positional and seen_positional else ""
            frame.report("N124", f"`{name}` is given twice{how}", name_where, help="take one of them out")
            continue
        if name in cls.values:
            bound.places[name], bound.names[name] = where, name_where
            bound.operands[name] = _operand(frame, arg.value, prefix)
            continue
        if name not in cls.model_fields:
            _set(bound, name, where.text, where, name_where)  # N120 says so, whatever the value is
            continue
        words = words_of(cls.kind, name)
        ctx = Context(base.unit, env, base.found, base.side, words, None, False, base.unsure)
        try:
            _set(bound, name, evaluate(arg.value, ctx), where, name_where)
        except Poisoned:
            bound.poisoned = True


def _operand(frame: Frame, expr: t.Expr, prefix: str) -> Value:
    if isinstance(expr, t.Path):
        value = frame.value(expr, prefix)
        if value is not None:
            value.read = True  # even where the layer comes to nothing
    else:
        frame.report("N122", "this argument is a value's label", frame.span(expr))
        value = None
    return value or Value(None, frame.span(expr), read=True)


def _name_help(frame: Frame, cls: type[Layer], call: t.Call, bound: Bound, where: Span) -> str:
    """What to write for an argument without a name that has no place."""
    given = [frame.span(a.value).text for a in call.args if a.name is None]
    wrong = given.index(where.text)
    if cls.kind == "fc" and len(given) == 2:
        return f"`fc` knows the features that enter: write fc({given[1]})"
    if cls.kind == "bn":
        return "`bn` knows the channels that enter: write bn"
    if cls.kind == "conv" and len(given) == 3:
        return f"`conv` knows the channels that enter: write conv({given[1]}, k={given[2]})"
    if cls.kind == "conv" and len(given) == 2 and re.fullmatch(r"\d+(x\d+)+", given[0]):
        return f"write conv({given[1]}, k={given[0]})"
    free = [n for n in cls.model_fields if n not in bound.values and n != cls.positional]
    # In other libraries the layer's arguments go by position, in this very order.
    order = list(cls.model_fields)
    meant = order[wrong] if wrong < len(order) and order[wrong] in free else free[0] if free else ""
    others = [n for n in free if n != meant][:5]
    return f"name it: {meant}={where.text}{', or one of ' if others else ''}{', '.join(others)}" if meant else ""


def _report_finding(frame: Frame, finding: Finding, call: t.Call, bound: Bound, held: LayerValue | None) -> None:
    name_where = frame.span(call.name)
    if finding.at is None:
        frame.report(finding.code, finding.message, name_where, help=finding.help)
        return
    places = bound.names if finding.code == "N120" else bound.places
    where = places.get(finding.at, name_where)
    frame.report(finding.code, finding.message, where, help=finding.help, edit=finding.edit(where))


def _report_reject(
    frame: Frame,
    reject: Reject,
    call: t.Call,
    bound: Bound,
    operands: tuple[Value, ...],
    end: Span | None,
    origins: tuple[tuple[Span, str], ...],
) -> None:
    where = bound.places.get(reject.at or "", end or frame.span(call.name))
    labels: list[Label] = []
    for i, value in enumerate(operands):
        if value.type is None:
            continue
        place, how = origins[i] if i < len(origins) else (value.where, "")
        many = len(operands) > 1
        labels.append(Label(place, f"{value.type.shape}{how}" if many else f"{value.type.shape} comes from here"))
    said = ""
    if reject.operand is not None and 0 < reject.operand < len(operands):
        said = _differences(operands[0].type, operands[reject.operand].type)
    frame.report(reject.code, reject.message, where, help=reject.help, labels=tuple(labels), said=said)


def _differences(first: TensorType | None, second: TensorType | None) -> str:
    """`512 != 256 channels, 28 != 56 height`, for what stands under a merge's caret."""
    if first is None or second is None or first.rank != second.rank:
        return ""
    names = ("channels", *{1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}.get(first.rank, ()))
    pairs = zip(first.dims[1:], second.dims[1:], names, strict=True)
    return ", ".join(f"{a} != {b} {name}" for a, b, name in pairs if a != b)


# --- blocks


def block(
    frame: Frame,
    definition: BlockDef,
    call: t.Call,
    env: Env,
    current: tuple[Value, ...],
    prefix: str,
    path: Path,
    *,
    held: BlockValue | None = None,
) -> tuple[Value, ...]:
    """A block applied."""
    where = frame.span(call)
    try:
        args = _bind_block(frame, definition, call, env, prefix, held)
    except Poisoned:
        return _claimed(frame, path, (_poisoned(frame, path, where),))
    takes = definition.tree.takes
    if takes and len(takes) != len(current):
        names = ", ".join(n.text for n in takes)
        frame.report(
            "N141",
            f"`{definition.name}` takes {len(takes)} values ({names}); {_are(len(current))} here",
            frame.span(call.name),
            help=f"write from {names} -> {definition.name}(...)",
        )
        return _claimed(frame, path, (_poisoned(frame, path, where),))
    for value in current:
        value.read = True
    template = expand(frame, definition, args, tuple(current), where, path.label or definition.name)
    if path.spliced and template.weighted:
        return _splice(frame, template, tuple(current), prefix, path, where)
    name = _name(frame, definition.name, where, path, prefix, weighted=template.weighted)
    step = BlockStep(name, join(prefix, definition.name), template, tuple(current), where)
    return _outputs(frame, step, path, where)


def _outputs(frame: Frame, step: BlockStep, path: Path, where: Span) -> tuple[Value, ...]:
    template = step.template
    _append(frame, step, template.count + 1, where)
    frame.template.weighted |= template.weighted and step.owner is None
    values = tuple(
        step.inputs[v.port]
        if v.step is None and v.port >= 0
        else Value(v.type, where, step if v.step is not None else None, -1, v)
        for v in template.outputs
    )
    if path.label:
        frame.template.handles[path.label] = Handle(step)
        if len(values) == 1:
            frame.name_value(path.label, values[0])
        else:
            frame.template.labels.pop(path.label, None)
    return values


def _bind_block(
    frame: Frame, definition: BlockDef, call: t.Call, env: Env, prefix: str, held: BlockValue | None
) -> dict[str, Constant]:
    """The block's parameters with their values. Raises Poisoned after every finding was reported."""
    params = definition.tree.params
    order = [p.name.text for p in params]
    ctx = frame.context(env, prefix)._replace(free=None)
    args: dict[str, Constant] = {}
    wrong = False
    positional = 0
    for held_name, value in held.args if held is not None else ():
        name = held_name or (order[positional] if positional < len(order) else "")
        positional += held_name is None
        args[name] = value
    given: set[str] = set()
    positional = 0
    for arg in call.args:
        where = frame.unit.span(arg.name or arg.value)
        if arg.name is None:
            if positional >= len(order):
                frame.report(
                    "N123",
                    f"`{definition.name}` takes {_count(len(order))}; this is one too many",
                    where,
                    help=_signature(definition),
                )
                wrong = True
                continue
            name = order[positional]
            positional += 1
        else:
            name = arg.name.text
        if name not in order:
            frame.report(
                "N120",
                f"`{definition.name}` takes no `{name}`",
                where,
                help=nearest(name, order) or _signature(definition),
                edit=renamed(where, name, order),
            )
            wrong = True
            continue
        if name in given and len(set(order)) == len(order):
            frame.report("N124", f"`{name}` is given twice", where, help="take one of them out")
            wrong = True
            continue
        given.add(name)
        try:
            args[name] = evaluate(arg.value, ctx)
        except Poisoned:
            wrong = True
    for param in params:
        if param.name.text not in args and param.name.text not in given and param.default is None:
            frame.report(
                "N121",
                f"`{definition.name}` needs `{param.name.text}`",
                frame.span(call.name),
                help=_signature(definition),
            )
            wrong = True
    if wrong:
        raise Poisoned
    defaults = Env({}, definition.env)
    for param in params:
        name = param.name.text
        if name not in args:
            assert param.default is not None
            args[name] = evaluate(param.default, Context(definition.unit, defaults, frame.shared.found))
        defaults.names[name] = args[name]
    return {name: args[name] for name in order}


def _count(number: int) -> str:
    return "no arguments" if number == 0 else "one argument" if number == 1 else f"{number} arguments"


def _signature(definition: BlockDef) -> str:
    params = ", ".join(p.name.text if p.default is None else f"{p.name.text} = ..." for p in definition.tree.params)
    return f"it is {definition.name}({params})"


def expand(
    frame: Frame, definition: BlockDef, args: dict[str, Constant], current: tuple[Value, ...], where: Span, label: str
) -> Template:
    """The template of a block for these arguments and input types, elaborated once."""
    from netc.elaborate.body import elaborate_body, finish

    weight = sum(v.weight for v in args.values() if isinstance(v, Items | LayerValue | BlockValue))
    frame.shared.budget.spend(1 + weight + len(current), where)
    cached = (definition, tuple((n, key(v)) for n, v in args.items()), tuple(v.type for v in current))
    template = frame.shared.templates.get(cached)
    if template is not None:
        return template
    template = Template(definition.name, definition=definition, args=args)
    if _recursive(frame, definition):
        frame.report(
            "N140",
            f"the block `{definition.name}` is expanded inside itself",
            where,
            help="a net has a fixed depth: repeat a block (* n) in place of recursion",
        )
        template.outputs = (Value(None, where, read=True),)
        return template
    if frame.depth + 1 > frame.shared.budget.limits.depth:
        frame.report(
            "N162",
            f"blocks are nested deeper than {frame.shared.budget.limits.depth}",
            where,
            help="repeat a block in place of nesting it, or raise the limit with --max-depth",
        )
        raise Stop
    inputs = tuple(Value(v.type, v.where, None, i) for i, v in enumerate(current))
    takes = definition.tree.takes
    inner = Frame(
        frame.shared,
        definition.unit,
        template,
        inputs,
        named=bool(takes),
        block=definition,
        caller=Caller(label, where, frame),
        depth=frame.depth + 1,
        unsure=definition.hurt,
        multiplicity=frame.multiplicity,
    )
    env = Env(dict(args), definition.env, definition.env.rules)
    _check_params(inner, definition, args)
    for name, value in zip(takes, inputs, strict=False):
        template.labels[name.text] = value
        template.places[name.text] = inner.span(name)
    template.outputs = elaborate_body(inner, definition.tree.body, env, None if takes else inputs, "")
    for value in template.outputs:
        value.read = True
    finish(inner)
    template.damaged = inner.unsure
    template.close()
    frame.shared.templates[cached] = template
    return template


def _recursive(frame: Frame, definition: BlockDef) -> bool:
    at: Frame | None = frame
    while at is not None:
        if at.block is definition:
            return True
        at = at.caller.frame if at.caller is not None else None
    return False


def _check_params(frame: Frame, definition: BlockDef, args: dict[str, Constant]) -> None:
    for param in definition.tree.params:
        name, span = param.name.text, frame.span(param.name)
        if isinstance(args.get(name), LayerValue | BlockValue) and (ours(name) or name in definition.unit.blocks):
            frame.report(
                "N113",
                f"`{name}` is a layer's or block's name: as a stage it could mean either",
                span,
                help=f"rename the parameter, such as {name}_",
            )


def _splice(
    frame: Frame, template: Template, current: tuple[Value, ...], prefix: str, path: Path, where: Span
) -> tuple[Value, ...]:
    """`_: block(...)`: copy the block's steps here, so that its labels become this scope's own."""
    values: dict[Value, Value] = {}
    steps: dict[int, LayerStep | BlockStep] = {}

    def here(value: Value) -> Value:
        if value.step is None:
            return current[value.port] if value.port >= 0 else value
        found = values.get(value)
        if found is None:
            found = values[value] = Value(value.type, value.where, steps[id(value.step)], -1, value.inner, read=True)
        return found

    for step in template.steps:
        inputs = tuple(here(v) for v in step.inputs)
        name = step.name if step.name in template.places else None
        full = join(prefix, name) if name is not None else None
        copy: LayerStep | BlockStep
        if isinstance(step, LayerStep):
            copy = LayerStep(full, join(prefix, step.auto), step.op, inputs, step.type, step.where, step.weighted)
        else:
            copy = BlockStep(full, join(prefix, step.auto), step.template, inputs, step.where)
        if step.owner is not None:
            copy.owner = _rehandle(step.owner, steps)
        steps[id(step)] = copy
        _append(frame, copy, step.template.count + 1 if isinstance(step, BlockStep) else 1, where)
    for taken in template.places:
        if taken not in template.labels or template.labels[taken].port < 0:
            frame.claim(join(prefix, taken), path.where or where)
    for label, value in template.labels.items():
        if value.step is not None:
            frame.name_value(join(prefix, label), here(value))
    for label, handle in template.handles.items():
        frame.template.handles[join(prefix, label)] = _rehandle(handle, steps)
    frame.template.weighted |= template.weighted
    frame.unsure |= template.damaged
    return tuple(here(v) for v in template.outputs)


def _rehandle(handle: Handle, steps: dict[int, LayerStep | BlockStep]) -> Handle:
    """A handle with its outermost step replaced by the copy."""
    if handle.within is None:
        return Handle(steps.get(id(handle.step), handle.step))
    return Handle(handle.step, _rehandle(handle.within, steps))


# --- shared weights


def reuse(frame: Frame, tree: t.Reuse, current: tuple[Value, ...], prefix: str, path: Path) -> tuple[Value, ...]:
    """`@tower`: what bears the label, applied again with the same weights."""
    where = frame.span(tree)
    poison = (_poisoned(frame, path, where),)
    value, handle, missing = frame.find(tree.path, prefix)
    if handle is None:
        if value is not None and value.type is not None:
            frame.report(
                "N138",
                f"`{'.'.join(tree.path.parts)}` names a value, not one layer or block that could be applied again",
                where,
                help="label the layer or block itself",
            )
        elif value is None and not frame.unsure and not frame.unit.unsure:
            frame.unknown(tree.path, missing)
        return _claimed(frame, path, poison)
    for operand in current:
        operand.read = True
    step = handle.step
    if isinstance(step, LayerStep):
        if not _arity(frame, type(step.op), current, where, step.op.kind):
            return _claimed(frame, path, poison)
        types = tuple(v.type for v in current if v.type is not None)
        if len(types) != len(current):
            return _claimed(frame, path, poison)
        applied = frame.shared.layers.apply(step.op, types)
        if isinstance(applied, Reject):
            frame.report(
                applied.code,
                applied.message,
                where,
                help=applied.help,
                labels=tuple(Label(v.where, f"{v.type.shape} comes from here") for v in current if v.type),
            )
            return _claimed(frame, path, poison)
        first = step.op.params(*(v.type for v in step.inputs if v.type is not None))
        again = step.op.params(*types)
        if not _fit(frame, where, {n: p.shape for n, p in first.items()}, {n: p.shape for n, p in again.items()}):
            return _claimed(frame, path, poison)
        return (
            _step(
                frame,
                step.op.kind,
                step.op,
                current,
                applied.type,
                where,
                path,
                prefix,
                weighted=applied.weighted,
                owner=handle,
            ),
        )
    definition, args = step.template.definition, step.template.args
    assert definition is not None
    template = expand(frame, definition, args, current, where, path.label or definition.name)
    if not template.damaged and not _fit(frame, where, _shapes(step.template), _shapes(template)):
        return _claimed(frame, path, poison)
    name = _name(frame, definition.name, where, path, prefix, weighted=False)
    return _outputs(
        frame, BlockStep(name, join(prefix, definition.name), template, current, where, handle), path, where
    )


def _shapes(template: Template) -> dict[str, tuple[int, ...]]:
    """Every tensor of a template by its path, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {}
    for step in template.steps:
        if step.owner is not None or step.name is None:
            continue
        if isinstance(step, LayerStep):
            types = tuple(v.type for v in step.inputs if v.type is not None)
            shapes |= {join(step.name, n): p.shape for n, p in step.op.params(*types).items()}
        else:
            shapes |= {join(step.name, n): s for n, s in _shapes(step.template).items()}
    return shapes


def _fit(frame: Frame, where: Span, first: dict[str, tuple[int, ...]], again: dict[str, tuple[int, ...]]) -> bool:
    for name in {**first, **again}:
        there, here = first.get(name), again.get(name)
        if there != here:
            frame.report(
                "N307",
                f"the shared weights do not fit: {name} is {_shape(there)}, and {_shape(here)} here",
                where,
                help="what shares weights takes values of equal channels (and sides, after flatten)",
            )
            return False
    return True


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
