"""Whether a file can be written, asked before the work is done."""

from __future__ import annotations

import os
from pathlib import Path

from netc import api
from netc.cli.codes import UsageFault


def writable(target: Path, *sources: str | Path | None) -> None:
    """Raises: UsageFault where the target is one of the sources; Fault as `netc.atomic.replacing` does."""
    # Hours of training should not end at a folder that is not there, nor a typing error in a lost spec.
    from netc.atomic import refuse_unwritable

    for source in sources:
        name = api.split(str(source))[0]
        if source is not None and os.path.realpath(name) == os.path.realpath(target):
            raise UsageFault(f"{target} is read here: name another file with -o")
    refuse_unwritable(target)
