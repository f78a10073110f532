"""What bounds one check of a stranger's text: how much may be built, and how much may be computed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostic import Diagnostic, Diagnostics, Span
from netc.syntax.parse import LARGEST_FILE
from netc.syntax.tree import DEEPEST, At, File


class Limits(NamedTuple):
    """Bounds that make a stranger's text safe to check: `--max-nodes` and so on of `netc check`."""

    nodes: int = 1_000_000
    """Layers and blocks of all nets of a text, repeats written out."""
    depth: int = DEEPEST
    """Blocks, variants, brackets and expressions inside one another; `DEEPEST_LIMIT` at most."""
    steps: int = 10_000_000
    """Expressions evaluated and stages applied; a net of a thousand layers takes some ten thousand."""
    bytes: int = LARGEST_FILE
    """Of one file."""
    imports: int = 16
    """Files that use one another, one behind the other."""


DEEPEST_LIMIT = 1000
"""What `depth` may be raised to: the stack has an end of its own."""


class Stop(Exception):
    """Elaboration ends at once: a limit was passed and reported."""


@dataclass(slots=True)
class Budget:
    """What one check has used of its limits."""

    limits: Limits
    found: Diagnostics
    steps: int = 0
    nodes: int = 0
    """Nodes and block applications of the nets that are done."""
    too_deep: bool = False
    """Whether variants of variants were found too deep: all that follow are."""

    def spend(self, steps: int, where: Span | tuple[File, At]) -> None:
        """Count steps taken at a place. Raises Stop past the limit, and where nobody would see another finding."""
        self.steps += steps
        if self.steps > self.limits.steps:
            message = f"checking this text takes more than {self.limits.steps:,} steps; it got as far as here"
            self.found.add(
                Diagnostic(
                    "N163",
                    message,
                    where if isinstance(where, Span) else where[0].span(where[1]),
                    help="repeat less often, use shorter lists, or raise the limit with --max-steps",
                )
            )
            raise Stop
        if self.found.dropped and self.found.enough:
            raise Stop

    @property
    def spent(self) -> bool:
        """Whether nothing more can be checked."""
        return self.steps > self.limits.steps or self.nodes > self.limits.nodes or self.found.enough
