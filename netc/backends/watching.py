"""Who is told of a build while it goes on: how long its stages take, and what each pass does."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from netc.passes import Step


class Watch:
    """Is told of a build, and says nothing; subclasses do. If `careful`, the graph is checked after every pass."""

    careful = False

    def stage(self, name: str, seconds: float) -> None:
        """A stage has ended."""

    def step(self, step: Step) -> None:
        """A pass has ended."""

    @contextmanager
    def timing(self, name: str) -> Generator[None]:
        """Time what happens within as a stage, whatever ends it."""
        start = perf_counter()
        try:
            yield
        finally:
            self.stage(name, perf_counter() - start)


NOBODY = Watch()
