"""`netc fmt`: specs in their canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netc import api, render
from netc.cli.check import STDIN, standard_input, stands_for, targets
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.rewrite import difference, marked, put
from netc.cli.terminal import err, out, say_findings, verbatim
from netc.diagnostic import Diagnostic, Source
from netc.elaborate.budget import Limits
from netc.elaborate.files import read
from netc.syntax.format import formatted
from netc.syntax.parse import decode


def fmt(specs: Sequence[str], *, check: bool, diff: bool, stdin_name: str | None) -> None:
    """Format specs. Raises CodeError where a text is no spec, or with `check` where something would change."""
    if "-" in specs:
        if len(specs) > 1:
            raise UsageFault("standard input is formatted alone: fmt -")
        _standard_input(check, diff, stdin_name)
        return
    if stdin_name is not None:
        raise UsageFault("--stdin-name names the text of standard input: fmt -")
    named = [name for name in specs if api.split(name)[1] is not None]
    if named:
        raise UsageFault(f"a whole file is formatted: write {api.split(named[0])[0]}")
    files = list(dict.fromkeys(each for name in specs for each in targets(name)))
    wrong: list[Diagnostic] = []
    changed = 0
    for name in files:
        source = read(Path(name), Path(name).as_posix(), Limits().bytes)
        text = (source,) if isinstance(source, Diagnostic) else _formatted(source)
        if isinstance(source, Diagnostic) or not isinstance(text, str):
            wrong += text if not isinstance(text, str) else ()
            continue
        if text == source.text:
            continue
        changed += 1
        if diff:
            verbatim(difference(source, text))
        elif not check:
            put(Path(name), source, text, "netc fmt")
        if not diff:
            out(f"{'would change' if check else 'formatted'} {name}")
    if wrong:
        say_findings(wrong)
    _sum(len(files), changed, len({d.span.source.name for d in wrong}), would=check or diff)
    if wrong or (check and changed):
        raise CodeError(INPUT)


def _standard_input(check: bool, diff: bool, name: str | None) -> None:
    stands_for(name)
    data = standard_input(Limits())
    source = decode(name or STDIN, data)
    text = (source,) if isinstance(source, Diagnostic) else _formatted(source)
    if isinstance(source, Diagnostic) or not isinstance(text, str):
        if not diff and not check:
            verbatim(data)  # as it came: an editor puts it back
        say_findings(text if not isinstance(text, str) else ())
        raise CodeError(INPUT)
    if diff:
        verbatim(difference(source, text))
    elif not check:
        verbatim(marked(data, text))
    if check and text != source.text:
        err(f"would change {render.clean(source.name)}")
        raise CodeError(INPUT)


def _formatted(source: Source) -> str | tuple[Diagnostic, ...]:
    """The canonical form, its lines ending as the text's."""
    text = formatted(source)
    return text.replace("\n", "\r\n") if isinstance(text, str) and "\r\n" in source.text else text


def _sum(files: int, changed: int, wrong: int, *, would: bool) -> None:
    words = [f"{changed} {'would change' if would else 'formatted'}"] if changed else []
    if files - changed - wrong:
        words.append(f"{files - changed - wrong} as they should be")
    if wrong:
        words.append(f"{wrong} not formatted")
    err(", ".join(words))
