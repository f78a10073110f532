"""What the calls of the protocol's model repository extension may say in their bodies."""

from typing import Any, cast

from netc_runtime.errors import ServeFault
from netc_runtime.oip.strict import parse

MOST_BYTES = 1 << 16


def read_index(body: bytes) -> bool:
    """Give whether only ready models are asked for. Raises: ServeFault R501 to R504."""
    return _flag("the index", _object(body), "ready")


def read_load(body: bytes) -> None:
    """See that no configuration and no files are sent along. Raises: ServeFault R501 to R504."""
    for name in _parameters(_object(body)):
        raise ServeFault(
            "R504",
            f"load has a parameter {name[:100]!r}; this server's models are files",
            "put the model in its folder",
        )


def read_unload(body: bytes) -> None:
    """See that no more is asked than to unload dependents, which no model has here. Raises: ServeFault R501 to R504."""
    parameters = _parameters(_object(body))
    _flag("unload", parameters, "unload_dependents")


def _object(body: bytes) -> dict[str, Any]:
    return parse(body) if body.strip() else {}


def _parameters(found: dict[str, Any]) -> dict[str, Any]:
    for name in found:
        if name != "parameters":
            raise ServeFault("R504", f"the call has a key {name[:100]!r}; its key is parameters", "leave it out")
    given = found.get("parameters", {})
    if not isinstance(given, dict):
        raise ServeFault("R504", "the call's parameters are not an object", "send an object, or leave them out")
    return cast("dict[str, Any]", given)


def _flag(at: str, found: dict[str, Any], known: str) -> bool:
    for name, value in found.items():
        if name != known:
            raise ServeFault("R504", f"{at} has a key {name[:100]!r}; it knows {known}", "leave it out")
        if not isinstance(value, bool):
            raise ServeFault("R504", f"{at}: {known} is not true or false", "leave it out")
    return found.get(known, False)
