"""What a server can be told, in one table: the command's flags, the environment and the file are read by it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any

from netc_runtime.errors import EnvironmentFault


@dataclass(frozen=True)
class Kind:
    """What an option takes: its type in a file, how it is read from text, and the word for it in the help.

    `read` raises ValueError, which says what is wrong.
    """

    type: type
    read: Callable[[str], Any]
    metavar: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """An option: its name as a flag and in a file, the field of `Options` that has it, its kind and its default."""

    name: str
    field: str
    kind: Kind
    default: Any
    about: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper().replace("-", "_")

    @property
    def flag(self) -> str:
        """The flag; the model is named without one, a secret has none."""
        return "MODEL" if self.field == "model" else f"--{self.name}"


def rows() -> tuple[Row, ...]:
    """Give the table."""
    return _table()


def check(options: "Options", given: dict[str, str]) -> None:
    """See that options go together; `given` says where each that is no default came from.

    Raises: EnvironmentFault R404.
    """

    def said(name: str) -> str:
        return given.get(name, f"--{name.replace('_', '-')}")

    if (options.tls_cert is None) != (options.tls_key is None):
        has, lacks = ("tls_cert", "tls-key") if options.tls_key is None else ("tls_key", "tls-cert")
        raise EnvironmentFault("R404", f"{said(has)} is given without {lacks}", "give both, or neither")
    if options.token is not None and options.token_file is not None:
        message = f"there are two tokens: {said('token')} and {said('token_file')}"
        raise EnvironmentFault("R404", message, "give one of them")
    if options.reading_mib < 2 * options.body_mib:
        raise EnvironmentFault(
            "R404",
            f"reading-mib is {options.reading_mib}, and one body may take twice body-mib, which is {options.body_mib}",
            "raise the one, or lower the other",
        )


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise ValueError(f"{text!r} is no port, 0 to 65535")
    return int(text)


def _word(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"{text!r} is empty, or holds what cannot be printed")
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is no path")
    return text


def _device(text: str) -> str:
    from netc_runtime.providers import parse_device

    try:
        parse_device(text)
    except EnvironmentFault as fault:
        raise ValueError(f"{fault.message}; {fault.help}") from fault
    return text


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


def _one_of(words: tuple[str, ...], text: str) -> str:
    if text not in words:
        raise ValueError(f"{text!r} is none of {', '.join(words)}")
    return text


def read_token(text: str) -> str:
    """Read a token. Raises: ValueError, which does not tell it."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("the token is empty, or holds something else than ASCII's visible characters")
    return text


def _origin(text: str) -> str:
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is no origin: scheme://host or scheme://host:port, or *")
    return text.lower()


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(each.strip()) for each in text.split(","))


PREFIX = "NETC_SERVE_"
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_FILE, _NUMBER = Kind(str, _path, "FILE"), Kind(int, _whole, "N")
_SWITCH, _SECRET = Kind(bool, _switch, ""), Kind(str, read_token, "")


def _choice(*words: str) -> Kind:
    return Kind(str, partial(_one_of, words), "WORD", words)


def _option(default: Any, kind: Kind, about: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"kind": kind, "about": about, "secret": secret}, repr=not secret)


@dataclass(frozen=True)
class Options:
    """How a server runs; each is an option of `netc-runtime serve`."""

    model: str = _option("", _FILE, "an .onnx file, or a folder of NAME/VERSION/model.onnx")
    host: str = _option(
        "127.0.0.1", Kind(str, _word, "ADDRESS"), "the address to listen at; 127.0.0.1 is this machine alone"
    )
    port: int = _option(8000, Kind(int, _port, "PORT"), "0 takes a free one")
    batch: int = _option(64, _NUMBER, "rows that run together")
    device: str = _option("auto", Kind(str, _device, "DEVICE"), "auto, cpu, cuda, cuda:N, tensorrt or openvino")
    threads: int | None = _option(None, _NUMBER, "processor threads (all this process may use)")
    cache: bool = _option(True, _SWITCH, "use the session cache")
    queue_rows: int = _option(1024, _NUMBER, "rows of a model that wait or run; more are told to come again (503)")
    queue_mib: int = _option(1024, _NUMBER, "and their MiB")
    reading_mib: int = _option(1024, _NUMBER, "that bodies take while they are read; JSON counts 11 times (503, 413)")
    timeout: int = _option(30, _NUMBER, "seconds that a request waits for its turn (504)")
    hung_after: int = _option(60, _NUMBER, "seconds after which a run that has not ended makes the server not live")
    body_mib: int = _option(64, _NUMBER, "the largest body, inflated too (413)")
    connections: int = _option(1024, _NUMBER, "open at once; more are told to come again (503)")
    head_seconds: int = _option(10, _NUMBER, "for the head of a request (408)")
    body_seconds: int = _option(60, _NUMBER, "for its body (408), and for a client to take some of a large answer")
    idle_seconds: int = _option(75, _NUMBER, "before a connection without requests is closed")
    drain_seconds: int = _option(5, _NUMBER, "of listening after the signal")
    poll_seconds: int = _option(5, _NUMBER, "between looks at the folder")
    versions: int = _option(1, _NUMBER, "of a model that are kept")
    token: str | None = _option(None, _SECRET, "the token that requests must bear", secret=True)
    token_file: str | None = _option(None, _FILE, "whose only line is the token that requests must bear (401)")
    tls_cert: str | None = _option(None, _FILE, "the certificate and its chain, PEM: https instead of http")
    tls_key: str | None = _option(None, _FILE, "the certificate's key, PEM")
    cors_origin: tuple[str, ...] = _option(
        (), Kind(list, _origins, "ORIGIN"), "whose pages may ask, scheme://host[:port], or *; may be repeated (none)"
    )
    log_format: str = _option("text", _choice("text", "json"), "text, or json: an object a line")
    log_level: str = _option("info", _choice("debug", "info", "warning", "error"), "debug, info, warning or error")
    access_log: bool = _option(False, _SWITCH, "log a line a request")
    trace: bool = _option(False, _SWITCH, "send OpenTelemetry a span an inference, as the OTEL_ variables say")


@cache
def _table() -> tuple[Row, ...]:
    return tuple(
        Row(
            each.name.replace("_", "-"),
            each.name,
            each.metadata["kind"],
            each.default,
            each.metadata["about"],
            each.metadata["secret"],
        )
        for each in fields(Options)
    )
