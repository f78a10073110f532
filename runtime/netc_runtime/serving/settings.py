"""A server's options from where they are told: a flag, else the environment, else a file, else the default."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving.options import PREFIX, Kind, Options, Row, check, rows

CONFIG = f"{PREFIX}CONFIG"
LARGEST = 1 << 20


@dataclass(frozen=True)
class Settings:
    """A server's options, and where each came from that was given."""

    options: Options
    sources: Mapping[str, str] = field(default_factory=dict[str, str])

    def told(self) -> str:
        """Give all of them for the log, without secrets."""

        def one(row: Row) -> str:
            value = getattr(self.options, row.field)
            said = "***" if row.secret and value is not None else value
            source = self.sources.get(row.field)
            return f"{row.name}={said}" + (f" ({source})" if source else "")

        return ", ".join(map(one, rows()))

    def to_toml(self) -> str:
        """Give them as a file that says the same, without secrets and without what is not set."""
        values = {row.name: getattr(self.options, row.field) for row in rows() if not row.secret}
        return "\n".join(f"{name} = {_toml(value)}" for name, value in values.items() if value not in (None, ""))


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str], config: str | None = None) -> Settings:
    """Give the settings; `flags` are checked values by field, those that were given, and `config` names the file.

    Raises: EnvironmentFault R404 where a value is none of its option's or two do not go together, R409 where there is
    no such option, R410 where the file cannot be read.
    """
    file = config if config is not None else environment.get(CONFIG)
    values, sources = ({}, {}) if file is None else _from_file(file)
    for name, text in environment.items():
        if name.startswith(PREFIX) and name != CONFIG:
            row = _known(name, {row.variable: row for row in rows()}, "the environment has", "variable")
            try:
                values[row.field] = row.kind.read(text)
            except ValueError as error:
                raise EnvironmentFault("R404", f"{name}: {error}", _help(row)) from error
            sources[row.field] = name
    for row in rows():
        if row.field in flags:
            value: Any = flags[row.field]
            values[row.field] = tuple(cast("list[Any]", value)) if isinstance(value, list) else value
            sources[row.field] = row.flag
    options = Options(**values)
    check(options, sources)
    return Settings(options, sources)


def read_text(path: str, what: str) -> str:
    """Read a small text that a setting names.

    Raises: EnvironmentFault R410.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"it has more than {LARGEST} characters")
        return text
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise EnvironmentFault("R410", f"{path}: {what} cannot be read: {reason}", "name one that is there") from error


def _from_file(path: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        found = tomllib.loads(read_text(path, "the configuration"))
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentFault("R410", f"{path}: this is not TOML: {error}", _PRINT) from error
    values: dict[str, Any] = {}
    known = {row.name: row for row in rows() if not row.secret}
    for name, value in found.items():
        row = _known(name, known, f"{path} has", "key")
        try:
            values[row.field] = _typed(row.kind, value)
        except ValueError as error:
            raise EnvironmentFault("R404", f"{path}: {name}: {error}", _help(row)) from error
    return values, dict.fromkeys(values, path)


def _typed(kind: Kind, value: Any) -> Any:
    if type(value) is not kind.type:
        raise ValueError(f"{_text(value)} is not {_KINDS[kind.type]}")
    if kind.type is bool:
        return value
    if kind.type is list:
        items = cast("list[Any]", value)
        if wrong := [each for each in items if not isinstance(each, str)]:
            raise ValueError(f"{_text(wrong[0])} is not a string")
        return tuple(one for each in items for one in kind.read(each))
    return kind.read(str(value))


def _known(name: str, known: Mapping[str, Row], where: str, what: str) -> Row:
    if name not in known:
        near = _nearest(name, known)
        raise EnvironmentFault("R409", f"{where} {name[:100]!r}, and there is no such {what}", f"did you mean {near}?")
    return known[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    return get_close_matches(name.replace("_", "-") if name.islower() else name, list(known), 1, cutoff=0.0)[0]


def _help(row: Row) -> str:
    return f"{row.name}: {row.about}"


def _text(value: Any) -> str:
    return repr(value)[:100]


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, cast('tuple[Any, ...]', value)))}]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL and what JSON writes as two halves.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_KINDS: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false", list: "an array of strings"}
_PRINT = "netc-runtime serve --print-config shows the form"
