"""`netc-runtime cache`: what the session cache holds, and emptying it."""

import argparse
from typing import Any

from netc_runtime.cli import options, output


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "cache",
        help="say what the session cache holds, or empty it",
        description="List the models whose optimised form is kept, so that they open sooner.",
        epilog="NETC_CACHE_DIR names the folder, or is off; NETC_CACHE_MAX_BYTES bounds it.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("--clear", action="store_true", help="take every entry out")
    options.add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from netc_runtime.cache import Store, environment_place
    from netc_runtime.errors import EnvironmentFault

    place = environment_place()
    folder, most = place if place is not None else (None, 0)
    removed, entries = 0, []
    if folder is not None and folder.is_dir():
        store = Store(folder, most, machine="")
        try:
            removed = store.clear() if arguments.clear else 0
            entries = sorted(store.entries(), key=lambda entry: -entry.used)
        except OSError as error:
            help = "look at its permissions, or name another folder with NETC_CACHE_DIR"
            raise EnvironmentFault("R407", f"{folder} cannot be read: {error.strerror}", help) from error
    if arguments.format == "json":
        listed = [{"name": e.folder.name, "size_bytes": e.size_bytes, "used": e.used} for e in entries]
        values = {"folder": None if folder is None else str(folder), "max_bytes": most, "removed": removed}
        output.print_json({**values, "entries": listed})
    else:
        output.print_text(_text(str(folder) if folder is not None else None, most, entries, removed, arguments.clear))
    return 0


def _text(folder: str | None, most: int, entries: list[Any], removed: int, cleared: bool) -> str:
    from datetime import datetime

    from netc_runtime.checkup import size
    from netc_runtime.table import aligned

    if folder is None:
        return "there is no session cache: NETC_CACHE_DIR is off, or the user has no folder for one"
    if cleared:
        return f"{folder}: {removed} {'entry' if removed == 1 else 'entries'} taken out"
    total = sum(entry.size_bytes for entry in entries)
    head = f"{folder}: {size(total)} of at most {size(most)}"
    rows = [
        [entry.folder.name[:12], size(entry.size_bytes), f"used {datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}"]
        for entry in entries
    ]
    return "\n".join([head, *([aligned(rows)] if rows else [])])
