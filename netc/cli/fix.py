"""`netc fix`: the edits that findings carry are made, shown, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netc import api, render
from netc.cli.check import STDIN, record, standard_input, stands_for, targets
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.rewrite import difference, marked, put
from netc.cli.terminal import err, out, paint, verbatim
from netc.diagnostic import Diagnostic, Source, cut
from netc.elaborate.budget import Limits
from netc.fix import Fixed, Outcome, fix, fix_with
from netc.syntax.parse import decode


def run(
    specs: Sequence[str], *, form: str, search: Sequence[Path], diff: bool, check: bool, stdin_name: str | None
) -> None:
    """Fix specs. Raises CodeError where errors are left, or with `check` where something would change."""
    if "-" in specs:
        if len(specs) > 1:
            raise UsageFault("standard input is fixed alone: fix -")
        if form == "json":
            raise UsageFault("with - the fixed text is the result: --format json has no place")
        _standard_input(diff, check, search, stdin_name)
        return
    if stdin_name is not None:
        raise UsageFault("--stdin-name names the text of standard input: fix -")
    if diff and form == "json":
        raise UsageFault("--diff and --format json exclude each other")
    named = [name for name in specs if api.split(name)[1] is not None]
    if named:
        raise UsageFault(f"a whole file is fixed: write {api.split(named[0])[0]}")
    files = list(dict.fromkeys(each for name in specs for each in targets(name)))
    own: dict[Path, Path] = {}
    for name in files:
        try:
            own[Path(name).resolve()] = Path(name)
        except (OSError, RuntimeError, ValueError):
            continue  # no file can be called that: the check says so
    outcome = fix(files, search=search, own=list(own))
    if diff:
        for source, text in outcome.changed.values():
            verbatim(difference(source, text))
    elif not check:
        for path, (source, text) in outcome.changed.items():
            put(own[path], source, text, "netc fix")
    if form == "json":
        out(render.as_json(_record(outcome, written=not (diff or check))))
    else:
        _say(outcome, would=diff or check, aside=diff)
    _end(outcome, check)


def _standard_input(diff: bool, check: bool, search: Sequence[Path], name: str | None) -> None:
    path = stands_for(name)
    data = standard_input(Limits())
    source = decode(name or STDIN, data)
    if isinstance(source, Diagnostic):
        if not diff and not check:
            verbatim(data)  # as it came: an editor puts it back
        _findings([source], aside=True)
        raise CodeError(INPUT)
    place = path.resolve() if path is not None else Path(source.name)

    def checked(texts: Any) -> list[api.Checked]:
        text = Source(source.name, texts[place]) if place in texts else source
        done = api.check_text(text, path, search=search)
        return [replace(done, files={**done.files, place: text})]

    outcome = fix_with(checked, [place])
    text = outcome.changed[place][1] if place in outcome.changed else source.text
    if diff:
        verbatim(difference(source, text))
    elif not check:
        verbatim(marked(data, text))
    _say(outcome, would=diff or check, aside=True)
    _end(outcome, check)


def _end(outcome: Outcome, check: bool) -> None:
    if not all(c.ok for c in outcome.checked) or (check and outcome.changed):
        raise CodeError(INPUT)


def _say(outcome: Outcome, *, would: bool, aside: bool) -> None:
    """What was fixed, why the rest was not, and what remains; on standard error where the result is something else."""
    put = err if aside else out
    verb = "would fix" if would else "fixed"
    for each in sorted(outcome.fixed, key=_place):
        put(f"{verb} {each.finding.code} {each.place}: {_short(each.before)} -> {_short(each.after)}")
    if outcome.fixed:
        put("")
    findings = [d for c in outcome.checked for d in c.diagnostics]
    _findings(findings, aside=aside)
    for each in outcome.refused:
        assert each.finding.edit is not None
        instead = _short(each.finding.edit.text)
        put(
            f"left {each.finding.code} {each.finding.span}: {instead} would bring up "
            f"{each.because.code}, {each.because.message}"
        )
    left = render.summary(findings, sum(c.dropped for c in outcome.checked))
    put(f"{len(outcome.fixed)} {verb}{f', {left} left' if left else ', nothing left'}".replace("would fix", "to fix"))


def _place(fixed: Fixed) -> tuple[str, int]:
    return fixed.place.source.name, fixed.place.start


def _findings(findings: Sequence[Diagnostic], *, aside: bool) -> None:
    for each in findings:
        lines = render.text(each)
        if aside:
            err(render.plain(lines))
            err("")
        else:
            paint(lines)
            out("")


def _short(text: str) -> str:
    return f"`{cut(' '.join(text.split()), 60)}`" if text.strip() else repr(text) if text else "nothing"


def _record(outcome: Outcome, *, written: bool) -> dict[str, Any]:
    return {
        "ok": all(c.ok for c in outcome.checked),
        "written": written,
        "changed": [source.name for source, _ in outcome.changed.values()],
        "fixed": [
            {
                "code": each.finding.code,
                "message": each.finding.message,
                "file": each.place.source.name,
                "line": each.place.line,
                "column": each.place.column,
                "before": each.before,
                "after": each.after,
            }
            for each in sorted(outcome.fixed, key=_place)
        ],
        "refused": [
            {**render.record(each.finding), "because": render.record(each.because)} for each in outcome.refused
        ],
        "files": [record(c) for c in outcome.checked],
    }
