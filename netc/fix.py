"""Applies the edits that findings carry, each of which is checked before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeAlias

from netc import api
from netc.api import Checked
from netc.diagnostic import Diagnostic, Edit, Source, Span
from netc.elaborate.budget import Limits

MOST_CHECKS = 1000
"""Checks in one call; a fix takes one where nothing stands in its way."""
MOST_FINDINGS = 10_000
"""More than `netc check` shows: an error that was left out would look like a new one."""
LONGEST_CHAIN = 100
"""Fixes of which each is needed for the one before, as in a list of texts in the wrong quotes."""

Texts: TypeAlias = Mapping[Path, str]
Check: TypeAlias = Callable[[Texts], Sequence[Checked]]
_Key: TypeAlias = tuple[str, str, int]


class Fixed(NamedTuple):
    """An edit that was made. `place` is in the text as the author wrote it."""

    finding: Diagnostic
    place: Span
    before: str
    after: str


class Refused(NamedTuple):
    """An edit that was not made, and the error that it would bring up."""

    finding: Diagnostic
    because: Diagnostic


@dataclass(frozen=True)
class Outcome:
    """What came of it: the texts that changed, before and after, and the findings of the checks that came last."""

    changed: Mapping[Path, tuple[Source, str]]
    fixed: tuple[Fixed, ...]
    refused: tuple[Refused, ...]
    checked: tuple[Checked, ...]


class _Change(NamedTuple):
    """One replacement, by offsets in the text before it."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _State:
    """The texts as they are now, what a check of them says, and the rounds of changes that led here."""

    texts: dict[Path, str]
    checked: tuple[Checked, ...]
    rounds: tuple[dict[Path, tuple[_Change, ...]], ...] = ()
    fixed: tuple[Fixed, ...] = ()
    paths: dict[int, Path] = field(default_factory=dict[int, Path])
    """Where a source lies, by its identity."""

    def findings(self) -> list[Diagnostic]:
        return [d for c in self.checked for d in c.diagnostics]

    def path(self, span: Span) -> Path | None:
        return self.paths.get(id(span.source))


def fix(
    targets: Sequence[str | Path], *, search: Sequence[Path] = (), limits: Limits | None = None, own: Sequence[Path]
) -> Outcome:
    """Fix what can be fixed in the files `own`, so that the specs `targets` check better. Nothing is written.

    Raises Several as `check` does.
    """

    def check(texts: Texts) -> list[Checked]:
        return [api.check(t, search=search, limits=limits, texts=texts, most=MOST_FINDINGS) for t in targets]

    return fix_with(check, own)


def fix_with(check: Check, own: Sequence[Path]) -> Outcome:
    """As `fix`, where `check` says what is wrong with texts that stand for what files hold.

    An edit is kept where its finding is gone after it and no new error appeared; errors that edits of their own remove
    are followed up first.
    """
    return _Fixing(check, frozenset(own)).run()


class _Fixing:
    def __init__(self, check: Check, own: frozenset[Path]) -> None:
        self.check, self.own = check, own
        self.checks = 0
        self.originals: dict[Path, Source] = {}
        self.refused: dict[tuple[Path, str, int, str], Refused] = {}

    def run(self) -> Outcome:
        state = self._checked({})
        for path in self.own:
            source = next((c.files[path] for c in state.checked if path in c.files), None)
            if source is not None:
                self.originals[path] = source
        fixed = -1
        while fixed < len(state.fixed):  # what was refused may be right once something else is
            fixed = len(state.fixed)
            self.refused.clear()
            state = self._pass(state)
        changed = {p: (self.originals[p], text) for p, text in state.texts.items() if text != self.originals[p].text}
        return Outcome(changed, state.fixed, tuple(self.refused.values()), state.checked)

    def _pass(self, state: _State) -> _State:
        """Make the edits there are until none is left: all at once, and where that fails the last half of them."""
        count: int | None = None
        while self.checks < MOST_CHECKS and (batch := self._batch(state)):
            count = min(count or len(batch), len(batch))
            got = self._tried(state, batch[-count:], LONGEST_CHAIN)
            if isinstance(got, _State):
                state, count = got, None
            elif count > 1:
                count //= 2
            else:
                self.refused[self._name(state, batch[-1])] = Refused(batch[-1], got)
                count = None
        return state

    def _checked(self, texts: dict[Path, str]) -> _State:
        self.checks += 1
        checked = tuple(self.check(texts))
        paths = {id(s): p for c in checked for p, s in c.files.items() if s is not None}
        return _State(texts, checked, paths=paths)

    def _batch(self, state: _State, findings: Sequence[Diagnostic] | None = None) -> list[Diagnostic]:
        """Findings with an edit that can be made now, one a place, in the order of files and places."""
        found: list[tuple[Path, Diagnostic]] = []
        for finding in state.findings() if findings is None else findings:
            path = state.path(finding.edit.span) if finding.edit is not None else None
            if path in self.own and path in self.originals and self._name(state, finding) not in self.refused:
                found.append((path, finding))
        batch: list[Diagnostic] = []
        for _, group in groupby(sorted(found, key=lambda f: (str(f[0]), *_range(f[1]))), key=lambda f: f[0]):
            end = -1
            for _, finding in group:
                start, stop = _range(finding)
                if start > end or (start == end and stop > start):
                    batch.append(finding)
                    end = stop
        return batch

    def _name(self, state: _State, finding: Diagnostic) -> tuple[Path, str, int, str]:
        """What a finding is known by while edits are made before it."""
        edit = _edit(finding)
        path = state.path(edit.span)
        assert path is not None
        return path, finding.code, len(edit.span.source.text) - edit.span.start, edit.text

    def _tried(self, state: _State, batch: Sequence[Diagnostic], links: int) -> _State | Diagnostic:
        """The state after these edits, or an error that they would bring up or leave."""
        changes: dict[Path, list[_Change]] = {}
        fixed: list[Fixed] = []
        for finding in batch:
            edit = _edit(finding)
            path = state.path(edit.span)
            assert path is not None
            changes.setdefault(path, []).append(_Change(edit.span.start, edit.span.end, edit.text))
            start = self._originally(state, path, edit.span.start)
            place = Span(self.originals[path], start, start)
            fixed.append(Fixed(finding, place, edit.span.text, edit.text))
        texts = dict(state.texts)
        for path, made in changes.items():
            texts[path] = _changed(texts.get(path, self.originals[path].text), made)
        made = {path: tuple(each) for path, each in changes.items()}
        after = self._checked(texts)
        after = _State(texts, after.checked, (*state.rounds, made), (*state.fixed, *fixed), after.paths)
        gone = {self._key(state, finding, made, before=True) for finding in batch}
        known = {self._key(state, d, made, before=True) for d in state.findings() if d.severity == "error"} - gone
        new = [
            d
            for d in after.findings()
            if (key := self._key(after, d, made, before=False)) in gone or (d.severity == "error" and key not in known)
        ]
        if not new:
            return after
        follow = self._batch(after, new)
        if len(follow) < len({self._key(after, d, {}, before=True) for d in new}) or not links:
            return next((d for d in new if d not in follow), new[0])
        return self._tried(after, follow, links - 1) if self.checks < MOST_CHECKS else new[0]

    def _key(self, state: _State, finding: Diagnostic, made: Mapping[Path, Sequence[_Change]], *, before: bool) -> _Key:
        """What a finding is known by across a round of changes: its code, and its place before the round."""
        path = state.path(finding.span)
        start = finding.span.start
        if path is not None and path in made:
            start = _at_start(start, made[path]) if before else _back(start, made[path])
        return finding.code, str(path or finding.span.source.name), start

    def _originally(self, state: _State, path: Path, offset: int) -> int:
        for made in reversed(state.rounds):
            offset = _back(offset, made.get(path, ()))
        return offset


def _edit(finding: Diagnostic) -> Edit:
    assert finding.edit is not None
    return finding.edit


def _range(finding: Diagnostic) -> tuple[int, int]:
    span = _edit(finding).span
    return span.start, span.end


def _changed(text: str, made: Sequence[_Change]) -> str:
    for each in reversed(made):
        text = text[: each.start] + each.text + text[each.end :]
    return text


def _at_start(offset: int, made: Sequence[_Change]) -> int:
    """An offset before a round of changes, at the start of the change that it lies in."""
    return next((c.start for c in made if c.start <= offset < c.end), offset)


def _back(offset: int, made: Sequence[_Change]) -> int:
    """Where an offset after a round of changes was before it."""
    shift = 0
    for each in made:
        start = each.start + shift
        if offset < start:
            break
        if offset < start + len(each.text):
            return each.start
        shift += len(each.text) - (each.end - each.start)
    return offset - shift
