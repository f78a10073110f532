"""The command line as a process of its own, with this checkout's packages."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import ROOT

NETC = (sys.executable, "-m", "netc")


def environment(**changes: str) -> dict[str, str]:
    """The process's variables: this checkout first, nothing that asks for or against colour, one thread."""
    left_out = ("NO_COLOR", "NETC_DEBUG", "TERM", "COLUMNS", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
    path = os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "runtime"))
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", **changes}


def run(*command: str, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """The finished process, whatever its exit code."""
    return subprocess.run(
        command, cwd=cwd, env=environment(**changes), capture_output=True, text=True, encoding="utf-8", check=False
    )


def netc(*arguments: str, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """`netc ...`, finished."""
    return run(*NETC, *arguments, cwd=cwd, **changes)


def without(packages: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...]:
    """A command that is `netc` where these packages cannot be imported."""
    code = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {list(packages)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from netc.cli import main
sys.exit(main({list(arguments)!r}))
"""
    return (sys.executable, "-c", code)
