"""Records what other libraries print for the programs of docs/errors/peers/.

Run `python docs/record_peers.py NAME...` in an environment that holds the libraries: torch and onnxruntime are the
project's own; Keras and ultralytics have to be installed. docs/make_errors.py only reads what was recorded.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "errors" / "peers"
LIBRARIES = {"torch": "torch", "keras": "Keras", "ultralytics": "ultralytics", "onnxruntime": "ONNX Runtime"}
FRAME = re.compile(r'^  File "(.*)", line (\d+)', re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def library(program: str) -> str:
    """The library that a program is about."""
    found = [name for name in LIBRARIES if re.search(rf"^(import|from) {name}\b", program, re.MULTILINE)]
    assert len(found) == 1, found
    return found[0]


def distribution(module: str) -> str:
    """The installed version of a module, without its build."""
    names = importlib.metadata.packages_distributions()[module]
    return importlib.metadata.version(names[0]).split("+")[0]


def trimmed(lines: list[str], name: str) -> list[str]:
    """What was printed, a traceback's frames as their number and those of the program's own lines."""
    starts = [i for i, line in enumerate(lines) if line == "Traceback (most recent call last):"]
    if not starts:
        return lines
    start = starts[-1]
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
    frames = FRAME.findall("\n".join(lines[start:end]))
    own = ", ".join(line for path, line in frames if Path(path).name == f"{name}.py")
    which = "lines" if "," in own else "line"
    said = f"  ... {len(frames)} frames in {end - start - 1} lines; of {name}.py: {which} {own} ..."
    return [*lines[: start + 1], said, *lines[end:]]


def record(name: str) -> str:
    """The text of NAME.txt: a line that says what was run, and what it printed."""
    program = (PEERS / f"{name}.py").read_text(encoding="utf-8")
    module = library(program)
    environment = os.environ | {"KERAS_BACKEND": "torch", "COLUMNS": "120", "NO_COLOR": "1"}
    command = [sys.executable, "-W", "ignore", f"{name}.py"]
    run = subprocess.run(
        command, check=False, cwd=PEERS, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed = COLOUR.sub("", run.stdout).rstrip()
    lines = [line.rstrip() for line in printed.split("\n")] if printed else []
    python = ".".join(map(str, sys.version_info[:2]))
    today = datetime.datetime.now(datetime.UTC).date()
    ran = f"{LIBRARIES[module]} {distribution(module)}, Python {python}, {today}"
    head = f"{ran}: {len(lines)} lines, exit {run.returncode}"
    return "\n".join([head, *trimmed(lines, name)]) + "\n"


if __name__ == "__main__":
    for each in sys.argv[1:] or sorted(path.stem for path in PEERS.glob("*.py")):
        (PEERS / f"{each}.txt").write_text(record(each), encoding="utf-8")
