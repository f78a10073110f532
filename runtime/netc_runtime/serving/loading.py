"""Opening a version's file for service: it computes what it did at export, and has not changed meanwhile."""

from collections.abc import Callable
from pathlib import Path

from netc_runtime.errors import ServeFault
from netc_runtime.model_io import check_weights
from netc_runtime.serving.repository import Found, Repository
from netc_runtime.session import Model


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
