"""Elaborates the body of a block or net: chains, forks, repeats, calls. The template grows by a step a layer."""

from __future__ import annotations

from netc.diagnostic import Diagnostics, Edit, Label, Span, cut
from netc.elaborate import apply
from netc.elaborate.budget import Stop
from netc.elaborate.edits import renamed
from netc.elaborate.expr import (
    Context,
    Poisoned,
    Wrong,
    as_expr,
    bind,
    bind_let,
    certain,
    evaluate,
    integer,
    target_names,
    truth,
    turns,
)
from netc.elaborate.files import WORDS, Env, Rule, check_default
from netc.elaborate.frame import Frame
from netc.elaborate.names import nearest
from netc.elaborate.template import LONGEST_PATH, BlockStep, Value
from netc.elaborate.values import BlockValue, Condition, LayerValue
from netc.ops import find, kinds
from netc.syntax import tree as t
from netc.syntax.foreign import translated
from netc.tensor import Size, Symbol

MERGES = {"skip": "add", "inception": "concat"}
"""Forks named for what they are for, and the merge each is."""


def elaborate_body(
    frame: Frame, body: t.Body, env: Env, entering: tuple[Value, ...] | None, prefix: str
) -> tuple[Value, ...]:
    """The values of a body's last chain. `prefix` is the path of the labelled braces around it."""
    last: tuple[Value, ...] = ()
    chains = [s for s in body.statements if isinstance(s, t.Chain)]
    for statement in body.statements:
        if isinstance(statement, t.Chain):
            last = chain(frame, statement, env, entering, prefix, final=statement is chains[-1])
        else:
            env = declaration(frame, statement, env, prefix)
    return last


def declaration(frame: Frame, statement: t.Let | t.Default | t.Require, env: Env, prefix: str) -> Env:
    """The names and defaults that hold after a `let`, `default` or `require`."""
    if isinstance(statement, t.Let):
        env = env.inside()
        for name in target_names(statement.targets):
            if _taken(frame, name.text, env):
                frame.report(
                    "N112",
                    f"`{name.text}` has a meaning in this body already",
                    frame.span(name),
                    help="choose another name",
                )
        bind_let(statement, env, frame.unit, frame.shared.found, frame.context(env, prefix))
        return env
    if isinstance(statement, t.Default):
        check_default(statement, frame.unit, frame.shared.found)
        return Env({}, env, Rule(statement.call, frame.unit, env, env.rules))
    require(frame, statement, env, prefix)
    return env


def _taken(frame: Frame, name: str, env: Env) -> bool:
    return env.get(name) is not None or name in frame.template.labels or name in frame.free


def require(frame: Frame, statement: t.Require, env: Env, prefix: str) -> None:
    """Check a promise now, or keep it for the runtime where symbols leave it open."""
    ctx = frame.context(env, prefix)
    try:
        held = truth(statement.test, ctx)
        if isinstance(held, Condition) or (held and frame.free and _open(statement.test, frame, ctx)):
            text = " ".join(frame.span(statement.test).text.split())
            promise = (as_expr(statement.test, ctx), text, statement.why)
            if promise[0] is not None and promise not in frame.shared.requires:
                frame.shared.requires.append(promise)
        elif not held:
            frame.report(
                "N135",
                f"required, and not so: {statement.why}",
                frame.span(statement.test),
                help="change the arguments that lead here",
            )
    except Wrong as wrong:
        frame.report(wrong.code, str(wrong), frame.span(statement.test), help=wrong.help)
    except Poisoned:
        return


def _open(test: t.Expr, frame: Frame, ctx: Context) -> bool:
    """Whether a net's test says something about its symbols, once what it promises itself is left aside."""
    bare = {name: Size.of(Symbol(name)) for name in frame.free}
    try:
        return isinstance(truth(test, ctx._replace(found=Diagnostics(), free=bare.get)), Condition)
    except Poisoned:
        return True  # a choice inside is decided by what is promised


def chain(
    frame: Frame, tree: t.Chain, env: Env, entering: tuple[Value, ...] | None, prefix: str, *, final: bool
) -> tuple[Value, ...]:
    """The values at a chain's end."""
    if tree.sources is None:
        if entering is None:
            what = "a net's chain" if frame.block is None else "this chain"
            frame.report(
                "N136",
                f"{what} says where it starts",
                frame.span(tree.items[0]),
                help="write from NAME -> ... with an input or a label",
            )
            current: tuple[Value, ...] = (_poison(frame, tree),)
        else:
            current = entering
    else:
        current = sources(frame, tree.sources, prefix)
    before = None
    for item in tree.items:
        if not _takes(item.core):
            frame.unread.append((current, frame.span(before or item)))
        current = stage(frame, item, env, current, prefix)
        before = item
    if frame.unsure and frame.unit.file.touched(tree):
        current = (_poison(frame, tree),)  # what stands in for a chain that did not parse
    if tree.output is not None:
        feed(frame, tree.output, current)
    elif not final or (frame.block is None and not prefix and entering is None):
        if tree.items:
            frame.unread.append((current, frame.span(tree.items[-1])))
        elif not frame.unsure:
            frame.report("N116", "this chain does nothing with its value", frame.span(tree), help="take it out")
    return current


def _takes(core: object) -> bool:
    """Whether a stage may read what enters it: braces whose chains all start elsewhere do not."""
    match core:
        case t.Braces():
            bodies: tuple[t.Body | None, ...] = (core.body,)
        case t.Fork():
            bodies = core.arms
            if core.merge is not None and core.merge.text == "skip" and len(core.arms) == 1:
                return True
        case t.If():
            bodies = (*(body for _, body in core.branches), core.other)
        case _:
            return True
    return any(
        body is None or any(isinstance(each, t.Chain) and each.sources is None for each in body.statements)
        for body in bodies
    )


def sources(frame: Frame, paths: tuple[t.Path, ...], prefix: str) -> tuple[Value, ...]:
    """The values that `from a, b` starts with."""
    values: list[Value] = []
    for path in paths:
        if path.parts == ("in",) and frame.block is not None and not frame.named:
            frame_inputs = frame.inputs
            for value in frame_inputs:
                value.read = True
            values.extend(frame_inputs)
            continue
        value = frame.value(path, prefix)
        if value is not None:
            value.read = True
            if value.inner is not None and isinstance(value.step, BlockStep):
                value.step.read = True
        values.append(value or _poison(frame, path))
    return tuple(values)


def feed(frame: Frame, name: t.Name, current: tuple[Value, ...]) -> None:
    """`=> output`."""
    span = frame.span(name)
    for value in current:
        value.read = True
    if frame.block is not None:
        frame.report(
            "N119",
            f"`=> {name.text}` stands in a net only: a block returns its last chain's value",
            span,
            help="take it out",
        )
        return
    if name.text not in frame.output_names:
        if not frame.unsure:
            frame.report(
                "N119",
                f"the net has no output `{name.text}`",
                span,
                help=nearest(name.text, frame.output_names)
                or f"declare it: output {name.text}: f32[N, ...]; or name a value: -> {name.text}: id",
                edit=renamed(span, name.text, frame.output_names),
            )
        return
    if len(current) != 1 and name.text not in frame.outputs:
        frame.outputs[name.text] = _poison(frame, name)
    if len(current) != 1:
        frame.report(
            "N141",
            f"{len(current)} values reach the output `{name.text}`, which takes one",
            span,
            help="merge them: -> add, or -> concat",
        )
        return
    if name.text in frame.outputs:
        frame.report(
            "N117",
            f"the output `{name.text}` is fed twice",
            span,
            labels=(Label(frame.outputs[name.text].where, "fed by this already"),),
            help="feed each output once",
        )
        return
    frame.outputs[name.text] = current[0]


def _poison(frame: Frame, at: t.At) -> Value:
    return Value(None, frame.span(at), read=True)


# --- stages


def stage(frame: Frame, item: t.Item, env: Env, current: tuple[Value, ...], prefix: str) -> tuple[Value, ...]:
    """One stage of a chain, its repeats included."""
    frame.shared.budget.spend(1 + 64 * (len(current) - 1) + (env.depth >> 8), (frame.unit.file, item))
    if item.times is None:
        return _once(frame, item, env, current, prefix, None)
    try:
        ctx = frame.context(env, prefix)
        most = frame.shared.budget.limits.nodes
        if isinstance(item.times, t.Loop):
            for name in target_names(item.times.targets):
                if name.text in frame.free:
                    where = frame.span(name)
                    frame.report("N112", f"`{name.text}` is a size of the input", where, help="choose another name")
            values = turns(item.times.over, ctx, most)
        else:
            values = range(_count(frame, item.times, ctx, most))
    except Poisoned:
        return _unrepeated(frame, item, prefix)
    outer = frame.multiplicity
    frame.multiplicity = outer * max(1, len(values))
    if frame.multiplicity > most:
        where = frame.span(item.times)
        frame.report(
            "N161",
            f"repeats inside repeats make {frame.multiplicity:,} turns; a net has at most {most:,} nodes",
            where,
            help="repeat less often",
        )
        raise Stop
    for turn, value in enumerate(values):
        frame.shared.budget.spend(1, (frame.unit.file, item.times))
        inner = env
        if isinstance(item.times, t.Loop):
            inner = env.inside()
            try:
                bind(item.times.targets, value, inner, frame.unit, frame.shared.found)
            except Poisoned:
                current = (_poison(frame, item),)
                break
        current = _once(frame, item, inner, current, prefix, turn)
    frame.multiplicity = outer
    if item.label is not None and not item.label.quoted and item.label.text != "_":
        path = _join(prefix, item.label.text)
        if len(current) == 1 and frame.claim(path, frame.span(item.label)):
            frame.name_value(path, current[0])
    return current


def _unrepeated(frame: Frame, item: t.Item, prefix: str) -> tuple[Value, ...]:
    """A stage whose count is wrong: its label names a poisoned value, so that what reads it is not reported too."""
    poison = _poison(frame, item)
    label = item.label
    if label is None or label.quoted or label.text == "_":
        frame.unsure = frame.unsure or label is not None
    else:
        path = _join(prefix, label.text)
        if path not in frame.template.labels and frame.claim(path, frame.span(label)):
            frame.name_value(path, poison)
    return (poison,)


def _count(frame: Frame, times: t.Repeat, ctx: Context, most: int) -> int:
    count = integer(times.count, ctx, "a number of repeats")
    if count < 0:
        frame.report("N130", f"{count} repeats: a count is at least 0", frame.span(times))
        raise Poisoned
    if count > most:
        frame.report(
            "N161", f"{count:,} repeats; a net has at most {most:,} nodes", frame.span(times), help="repeat less often"
        )
        raise Poisoned
    return count


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _once(
    frame: Frame, item: t.Item, env: Env, current: tuple[Value, ...], prefix: str, turn: int | None
) -> tuple[Value, ...]:
    try:
        path = label_path(frame, item, env, prefix, turn)
    except Poisoned:
        return (_poison(frame, item),)
    core = item.core
    match core:
        case t.Call():
            return _call(frame, core, env, current, prefix, path, turn)
        case t.Braces():
            values = elaborate_body(frame, core.body, env.inside(), current, path.inside)
        case t.Fork():
            return _fork(frame, core, env, current, path)
        case t.If():
            values = _if(frame, core, env, current, prefix, path)
        case t.Reuse():
            return apply.reuse(frame, core, current, prefix, path)
        case t.Is():
            check_is(frame, core, env, current, prefix)
            values = current
    _name_all(frame, path, values)
    return values


def _name_all(frame: Frame, path: apply.Path, values: tuple[Value, ...]) -> None:
    """A label on braces or an `if` names their value and takes no step of its own."""
    if path.label and path.where is not None and len(values) == 1 and frame.claim(path.label, path.where):
        frame.name_value(path.label, values[0])


def label_path(frame: Frame, item: t.Item, env: Env, prefix: str, turn: int | None) -> apply.Path:
    """The path that a stage's label gives it. Raises Poisoned."""
    label = item.label
    if label is None:
        return apply.Path("", prefix, None, turn)
    where = frame.span(label)
    if label.quoted:
        text = _splice(frame, label, env, prefix) if len(label.text) <= LONGEST_PATH else label.text
        parts = text.split(".")
        if len(text) > LONGEST_PATH:
            frame.report(
                "N112", f'"{cut(text, 60)}" is {len(text):,} characters; a path has at most {LONGEST_PATH}', where
            )
            raise Poisoned
        if any(not _component(p) for p in parts):
            frame.report("N112", f'"{text}" is no path: components are letters, digits, _ and -, joined by dots', where)
            raise Poisoned
        return apply.Path(_join(prefix, text), _join(prefix, text), where, None)
    if label.text == "_":
        return apply.Path("", prefix, where, turn, spliced=True)
    if label.text in WORDS:
        frame.report(
            "N113",
            f"`{label.text}` is a word of the language and labels nothing",
            where,
            help=f'quote it: "{label.text}": ...',
        )
        raise Poisoned
    if env.get(label.text) is not None and not prefix:
        frame.report("N112", f"`{label.text}` is a parameter or `let` of this body", where, help="choose another label")
    path = _join(prefix, label.text)
    path = path if turn is None else f"{path}.{turn}"
    return apply.Path(path, path, where, None)


def _component(text: str) -> bool:
    # A hyphen is in published names (`fc-final`, `block1-0`); a path that is read in an expression has none.
    return 0 < len(text) <= 200 and text.replace("_", "a").replace("-", "a").isalnum() and text.isascii()


def _splice(frame: Frame, label: t.Label, env: Env, prefix: str) -> str:
    """A quoted label with its `{expressions}` put in."""
    if "{" not in label.text:
        return label.text
    from netc.elaborate.splice import splice

    return splice(frame, label, env, prefix)


def _call(
    frame: Frame, call: t.Call, env: Env, current: tuple[Value, ...], prefix: str, path: apply.Path, turn: int | None
) -> tuple[Value, ...]:
    name = call.name.text
    held = env.get(name)
    if isinstance(held, LayerValue):
        return apply.layer(frame, held.kind, call, env, current, prefix, path, held=held)
    if isinstance(held, BlockValue):
        return apply.block(frame, held.block, call, env, current, prefix, path, held=held)
    if name in frame.unit.doubtful:
        return (_poison(frame, call),)
    if name in frame.unit.blocks:
        return apply.block(frame, frame.unit.blocks[name], call, env, current, prefix, path)
    if find(name) is not None:
        return apply.layer(frame, name, call, env, current, prefix, path)
    if not frame.unsure and not frame.unit.unsure:
        _unknown_stage(frame, call, held is not None)
    return (_poison(frame, call),)


def _unknown_stage(frame: Frame, call: t.Call, bound: bool) -> None:
    name = call.name.text
    if name in MERGES:
        frame.report("N110", f"`{name}` takes braces", frame.span(call.name), help=f"write {name} {{ | a | b }}")
        return
    if bound:
        frame.report(
            "N110",
            f"`{name}` holds a value, not a layer or block",
            frame.span(call.name),
            help="a stage is a layer or a block",
        )
        return
    if name in frame.unit.nets:
        frame.report(
            "N110",
            f"`{name}` is a net; a stage is a layer or a block",
            frame.span(call.name),
            help="move what both share into a block",
        )
        return
    known = [*kinds(), *frame.unit.blocks, *MERGES]
    help_ = nearest(name, known) or "netc's layers: " + ", ".join(kinds())
    given = [(a.name.text if a.name is not None else None, frame.span(a.value).text) for a in call.args]
    write = translated(name, given) if given and help_.startswith(("netc calls it", "did you mean")) else ""
    if write:
        kind = write.partition("(")[0]
        knows = ", and knows the channels that enter" if kind in ("conv", "upconv", "fc", "bn") else ""
        help_ = f"netc calls it `{kind}`{knows}: write {write}"
    where = frame.span(call.name)
    edit = renamed(where, name, known)
    if edit is not None and given and write and "#" not in frame.span(call).text:
        edit = Edit(frame.span(call), write)  # its arguments change with its name
    frame.report("N110", f"no layer or block is called `{name}`", where, help=help_, edit=edit)


def _fork(frame: Frame, fork: t.Fork, env: Env, current: tuple[Value, ...], path: apply.Path) -> tuple[Value, ...]:
    merge = MERGES.get(fork.merge.text, fork.merge.text) if fork.merge is not None else None
    if fork.merge is not None:
        cls = find(merge or "")
        if cls is None or not cls.merges:
            what = "is no layer" if cls is None else "takes one value"
            merges = [k for k in kinds() if (c := find(k)) and c.merges] + [*MERGES]
            frame.report(
                "N110",
                f"`{fork.merge.text} {{ ... }}` joins arms; `{fork.merge.text}` {what}",
                frame.span(fork.merge),
                help=nearest(fork.merge.text, merges) or "merges: add, sub, mul, maximum, concat, skip, inception",
                edit=renamed(frame.span(fork.merge), fork.merge.text, merges),
            )
            return (_poison(frame, fork),)
    values: list[Value] = []
    origins: list[tuple[Span, str]] = []
    for arm in fork.arms:
        found = elaborate_body(frame, arm, env.inside(), current, path.inside)
        values.extend(found)
        # An arm that passes on what entered is the place to show, not where that was made.
        last = frame.span(_last(arm))
        how = " (condition false: identity)" if _is_if(arm) else ""
        origins.extend((last, how) if v in current else (v.where, "") for v in found)
    if fork.merge is None:
        if path.label:
            frame.report(
                "N137",
                "a label on a fork names nothing: it has several values",
                path.where or frame.span(fork),
                help="label its arms, or merge them: add { | a | b }",
            )
        return tuple(values)
    if fork.merge.text == "skip" and len(fork.arms) == 1:
        values.extend(current)
        origins.extend((v.where, "") for v in current)
    elif len(fork.arms) < 2:
        frame.report(
            "N303",
            f"`{fork.merge.text}` joins two arms or more; this is one",
            frame.span(fork.merge),
            help=f"write {fork.merge.text} {{ | a | b }}, or skip {{ a }} to add what entered",
        )
        return (_poison(frame, fork),)
    assert merge is not None
    call = t.Call(fork.merge.start, fork.merge.end, t.Name(fork.merge.start, fork.merge.end, merge), (), False)
    return apply.layer(
        frame,
        merge,
        call,
        env,
        tuple(values),
        path.inside,
        path,
        said=fork.merge.text,
        end=frame.unit.span(t.At(fork.end - 1, fork.end)),
        origins=tuple(origins),
    )


def _is_if(arm: t.Body) -> bool:
    chain_ = next(s for s in reversed(arm.statements) if isinstance(s, t.Chain))
    return bool(chain_.items) and isinstance(chain_.items[-1].core, t.If)


def _last(arm: t.Body) -> t.At:
    """The last stage of an arm; of an `if`, the word."""
    chain_ = next(s for s in reversed(arm.statements) if isinstance(s, t.Chain))
    item = chain_.items[-1] if chain_.items else None
    if item is not None and isinstance(item.core, t.If):
        return t.At(item.core.start, item.core.start + 2)
    return item or chain_


def _if(
    frame: Frame, tree: t.If, env: Env, current: tuple[Value, ...], prefix: str, path: apply.Path
) -> tuple[Value, ...]:
    ctx = frame.context(env, prefix)
    body = tree.other
    try:
        for test, branch in tree.branches:
            if certain(test, ctx):
                body = branch
                break
    except Poisoned:
        frame.unsure = True
        return (_poison(frame, tree),)
    if body is None:
        return current
    return elaborate_body(frame, body, env.inside(), current, path.inside)


def check_is(frame: Frame, tree: t.Is, env: Env, current: tuple[Value, ...], prefix: str) -> None:
    """`is [_, 64, 56, 56]`."""
    if len(current) != 1:
        frame.report("N141", f"`is` checks one value; {len(current)} are here", frame.span(tree))
        return
    value = current[0]
    sides: list[int | Size | None] = []
    try:
        for dim in tree.dims:
            if isinstance(dim, t.Path) and dim.parts == ("_",):
                sides.append(None)
                continue
            side = evaluate(dim, frame.context(env, prefix))
            if not isinstance(side, int | Size) or isinstance(side, bool):
                frame.report("N130", "a side is a whole number, a symbol or _", frame.span(dim))
                return
            sides.append(side)
    except Poisoned:
        return
    if value.type is None:
        return
    dims = value.type.dims
    wanted = f"[{', '.join('_' if s is None else str(s) for s in sides)}]"
    if len(sides) != len(dims) or any(s is not None and s != d for s, d in zip(sides, dims, strict=True)):
        frame.report(
            "N304",
            f"the text says {wanted}, the value is {value.type}",
            frame.span(tree),
            labels=_from_here(value),
            help=f"write is {value.type} if that is what you mean",
        )


def _from_here(value: Value) -> tuple[Label, ...]:
    return (Label(value.where, f"{value.type.shape} comes from here"),) if value.type is not None else ()


def finish(frame: Frame) -> None:
    """Report the values of chains that nothing read."""
    if frame.unsure or frame.misread:
        return
    for values, where in frame.unread:
        if all(v.type is not None and not v.read and not _looked_into(v) for v in values):
            frame.report(
                "N116",
                "nothing reads this chain's value",
                where,
                help="go on from it (label it, then from LABEL), feed an output (=> NAME), or take the chain out",
            )


def _looked_into(value: Value) -> bool:
    return isinstance(value.step, BlockStep) and value.step.read
