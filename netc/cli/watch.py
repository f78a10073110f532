"""`netc check --watch`: checks again when a file that was read changes.

A look at a handful of files five times a second costs nothing to speak of, and works on every file system, also where
no events come from (network drives, containers); a library of events would be a compiled dependency for one option.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from netc import api
from netc.cli import terminal
from netc.cli.check import found, show, targets
from netc.cli.codes import UsageFault
from netc.diagnostic import Source
from netc.elaborate.budget import Limits
from netc.elaborate.files import read

POLL_S = 0.2
SETTLED_S = 0.05
"""A change is done when the files look the same this much later: editors write in parts."""
GONE_S = 1.0
"""A file that is away for less is being replaced: editors write beside and rename."""

_Stamp: TypeAlias = tuple[int, int, int] | None
_Stamps: TypeAlias = dict[Path, _Stamp]


def watch(
    specs: Sequence[str], form: str = "text", search: Sequence[Path] = (), limits: Limits | None = None
) -> NoReturn:
    """Check specs and print what was found, now and whenever one of the files that were read changes; until Ctrl-C.

    Raises UsageFault and Several where the first call is wrong; later it is said, and the next change waited for.
    """
    if "-" in specs:
        raise UsageFault("standard input does not change: --watch takes files and folders")
    checked: list[api.Checked] = []
    said = ""
    while True:
        began = time.perf_counter()
        stamps = _stamps(specs, checked)
        first = not checked
        wrong = ""
        try:
            checked = found(specs, search, limits)
        except (UsageFault, api.Several) as error:
            if first:
                raise
            wrong = str(error)
        took = time.perf_counter() - began
        terminal.clear()
        if wrong:
            terminal.say("", wrong)
        else:
            show(checked, form)
        terminal.flush()
        stamps = {**_stamps(specs, checked), **stamps}
        count = "1 file" if len(stamps) == 1 else f"{len(stamps)} files"
        clock = time.strftime("%H:%M:%S")
        terminal.err(f"{clock} {said}checked in {took:.2f} s; watching {count}, Ctrl-C ends")
        changed = _unread(checked) or _changed(specs, checked, stamps)
        said = f"{', '.join(_shown(path) for path in changed[:3])}{', ...' if len(changed) > 3 else ''} changed: "


def _stamps(specs: Sequence[str], checked: Sequence[api.Checked]) -> _Stamps:
    """Every file that was read or looked for, and those that the arguments name now, as they are."""
    paths = {path for each in checked for path in each.files}
    for name in specs:
        try:
            paths.update(Path(os.path.realpath(api.split(target)[0])) for target in targets(name))
        except (UsageFault, OSError, ValueError):  # the folder is empty for now
            continue
    return {path: _stamp(path) for path in sorted(paths)}


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unread(checked: Sequence[api.Checked]) -> list[Path]:
    """Files whose text changed between the reading and now, before they were watched."""
    read_now: list[Path] = []
    for path, source in {p: s for each in checked for p, s in each.files.items()}.items():
        if source is not None:
            now = read(path, source.name)
            if isinstance(now, Source) and now.text != source.text:
                read_now.append(path)
    return read_now


def _changed(specs: Sequence[str], checked: Sequence[api.Checked], before: _Stamps) -> list[Path]:
    """Wait for a change, and for its end; the files that changed."""
    gone: dict[Path, float] = {}
    while True:
        time.sleep(POLL_S)
        now = _stamps(specs, checked)
        clock = time.monotonic()
        changed: list[Path] = []
        for path in {**before, **now}:
            if now.get(path) == before.get(path):
                gone.pop(path, None)
            elif now.get(path) is not None or clock - gone.setdefault(path, clock) >= GONE_S:
                changed.append(path)
        if changed:
            return _settled(specs, checked, changed)


def _settled(specs: Sequence[str], checked: Sequence[api.Checked], changed: list[Path]) -> list[Path]:
    end = time.monotonic() + GONE_S
    before = _stamps(specs, checked)
    while time.monotonic() < end:
        time.sleep(SETTLED_S)
        now = _stamps(specs, checked)
        if now == before:
            break
        before = now
    return changed


def _shown(path: Path) -> str:
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
