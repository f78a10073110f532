"""Opening a version's file for service: it computes what it did at export, and has not changed meanwhile."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

from netc_runtime.errors import ServeFault
from netc_runtime.model_io import check_weights
from netc_runtime.serving import threads
from netc_runtime.serving.options import Options
from netc_runtime.serving.repository import Found, Repository
from netc_runtime.session import Model, load

PATIENCE_S = 5.0  # for a model that is being opened when the command ends before the server serves


def opener(options: Options) -> Callable[[Path], Model]:
    """Give what opens a file as the options say."""
    return partial(
        load,
        device=options.device,
        max_batch=options.batch,
        threads=options.threads,
        cache=options.cache,
        spin=False,  # the event loop needs the processors that spinning threads would keep
    )


class HeadStart:
    """The first model's latest version, opened in a thread while the server's packages are imported and a port is had.

    Leaving its block waits for the thread: what ends while ONNX Runtime works is aborted.

    Raises: ServeFault R542 where there is no such repository.
    """

    def __init__(self, repository: Repository, load: Callable[[Path], Model]) -> None:
        self.repository, self.load = repository, load
        self._found = _first(repository.scan())
        self._outcome: Model | BaseException | None = None
        self._thread: threading.Thread | None = None
        if self._found is not None:
            self._thread = threads.start(partial(self._open, self._found), "netc-head-start")

    def __enter__(self) -> "HeadStart":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def take(self, found: Found) -> Model | None:
        """Give the model, once, if it is what was found. Raises: as `open_version` does."""
        thread, self._thread = self._thread, None
        if thread is None:
            return None
        thread.join()
        outcome, self._outcome = self._outcome, None
        try:
            if found != self._found:
                return None
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        finally:
            del outcome  # an error keeps this frame, which would keep the error, and a whole model with it

    def _open(self, found: Found) -> None:
        try:
            model = open_version(self.repository, found, self.load)
            if model.report().device == "cpu":  # a GPU keeps what it prepares for the thread that it ran in
                model.warm_up(once=True)
            self._outcome = model
        except BaseException as error:  # it is raised where the model is taken
            self._outcome = error


def _first(models: dict[str, dict[int, Found]]) -> Found | None:
    for name in sorted(models):
        found = models[name][max(models[name])]
        return None if found.problem else found
    return None


def open_version(repository: Repository, found: Found, load: Callable[[Path], Model]) -> Model:
    """Load a file, and check its weights' hash and its golden example.

    Raises: what `load` raises; ModelFault R111 and R114; ServeFault R546 when its files are not those that
    were found any more, R542 when one now leads out of the repository.
    """
    try:
        model = load(found.path)
        check_weights(found.path)
        model.check()
        if repository.stamp(found.path) == found.stamp:
            return model
    except OSError as error:
        raise ServeFault("R546", f"{found.path}: {error.strerror or error}", _WAY_OUT) from error
    raise ServeFault("R546", f"{found.path} changed while it was read", _WAY_OUT)


_WAY_OUT = "write it whole, then move it into place"
