"""What the probe found: it is run, watched, and its lines are read."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]

TIMEOUT_S = 120.0  # TensorRT builds an engine even for the tiny model


@dataclass(frozen=True, slots=True)
class Probed:
    """The lines that `probe` wrote, how its process ended where that was not well, and what it last complained of."""

    lines: tuple[Line, ...] = ()
    ended: str | None = None
    complaint: str = ""
    by_kind: dict[str, Line] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_kind", {str(line["kind"]): line for line in self.lines})

    def opened(self) -> dict[str, Line]:
        """Give the lines of the providers that were tried, by name."""
        return {str(line["provider"]): line for line in self.lines if line["kind"] == "provider"}


def run_probe(command: Sequence[str] = (sys.executable, "-m", "netc_runtime.doctor.probe")) -> Probed:
    """Run the probe in a process of its own, for at most two minutes."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as late:
        return Probed(_lines(late.stdout or b""), f"did not end within {TIMEOUT_S:g} s")
    except OSError as error:
        return Probed(ended=f"could not be started: {error.strerror or error}")
    complaint = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    ended = None
    if done.returncode < 0:
        ended = f"was ended by signal {-done.returncode}"
    elif done.returncode:
        ended = f"exited with {done.returncode}"
    return Probed(_lines(done.stdout), ended, complaint[-1] if complaint else "")


def _lines(output: bytes) -> tuple[Line, ...]:
    found: list[Line] = []
    for line in output.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # cut off where the process ended
            break
    return tuple(found)
