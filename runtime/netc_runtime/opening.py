"""Opening a session for the CPU: from the session cache where it is there, and into it where it is not."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from netc_runtime import engine, providers
from netc_runtime.cache import Store, environment_place
from netc_runtime.cache.key import machine_key
from netc_runtime.errors import ModelFault
from netc_runtime.external import check_external

LEAST_BYTES = 1 << 20  # of a model that is kept: a smaller one is open in a few milliseconds


class Opened(NamedTuple):
    """A session, whether it came from the cache, and what there is to say of the cache."""

    session: engine.Session
    cached: bool
    notes: tuple[str, ...] = ()


def open_cpu(files: Sequence[Path], size_bytes: int, threads: int, *, cache: bool = True) -> Opened:
    """Open a model on the CPU; the first of its files is the model, the others hold its weights.

    With `cache` the session cache is used where the environment allows it.

    Raises: as `engine.open_session`, `check_external` and `environment_place` do.
    """
    place = environment_place() if cache else None
    if place is None or size_bytes < LEAST_BYTES or size_bytes > place[1]:
        check_external(files[0])
        return Opened(engine.open_session(files[0], _CPU, threads), cached=False)
    store = Store(*place, machine_key(engine.version(), engine.CONFIG))
    name, found = store.find(files)
    if name is not None and found is not None:
        try:
            return Opened(engine.open_session(found, _CPU, threads, optimised=True), cached=True)
        except ModelFault:
            store.discard(name)  # another process took it out just now, or it is damaged: it is made anew
    session: engine.Session | None = None
    if name is None or len(files) > 1:
        check_external(files[0])  # of a lone file that has a name, hashing it showed that it names no other
    if name is not None:

        def write(path: Path, weights: str) -> engine.Session:
            return engine.open_session(files[0], _CPU, threads, keep=(path, weights))

        session = store.add(name, files, write, size_bytes)
    if session is None:
        session = engine.open_session(files[0], _CPU, threads)
    return Opened(session, cached=False, notes=tuple(store.notes))


_CPU = [(providers.CPU, dict[str, str]())]
