"""A spec's file with another text: what would change, and the change, line ends and byte order mark as they were."""

from __future__ import annotations

import difflib
from pathlib import Path

from netc import render
from netc.atomic import replacing
from netc.diagnostic import Fault, Source
from netc.syntax.parse import decode

BOM = b"\xef\xbb\xbf"


def put(path: Path, source: Source, text: str, command: str) -> None:
    """Put a text in the file's place, with the byte order mark it had.

    Raises Fault N413 where the file no longer holds what was read; `command` is what to run again.
    """
    data = path.read_bytes()
    held = decode(source.name, data)
    if not isinstance(held, Source) or held.text != source.text:
        raise Fault(
            "N413", f"{path} was changed while it was checked; it is left as it is", help=f"run {command} again"
        )
    with replacing(path) as file:
        file.write(marked(data, text))


def marked(data: bytes, text: str) -> bytes:
    """A text as bytes, with the byte order mark of those that it stands for."""
    return (BOM if data.startswith(BOM) else b"") + text.encode()


def difference(source: Source, text: str) -> bytes:
    """A unified diff that `patch` takes."""
    name = render.clean(source.name)
    lines = difflib.unified_diff(_lines(source.text), _lines(text), name, name)
    missing = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + missing for line in lines).encode()


def _lines(text: str) -> list[str]:
    """Lines with their ends; Python's own splitlines takes other characters for ends as well."""
    return [line for line in text.replace("\n", "\n\0").split("\0") if line]
