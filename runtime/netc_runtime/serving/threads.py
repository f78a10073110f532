"""Threads that keep no process from its end, and whether one of them is still at work then."""

import threading
from collections.abc import Callable
from weakref import WeakSet

_started: WeakSet[threading.Thread] = WeakSet()


def start(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that is counted."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    _started.add(thread)
    thread.start()
    return thread


def any_left() -> bool:
    """Whether one of them still runs."""
    return any(thread.is_alive() for thread in list(_started))
