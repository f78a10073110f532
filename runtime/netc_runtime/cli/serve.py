"""`netc-runtime serve`: the Open Inference Protocol over HTTP, until a signal ends it."""

import argparse
import gc
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from netc_runtime.cli import output
from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving import heap
from netc_runtime.serving.options import Row, rows
from netc_runtime.serving.settings import CONFIG, resolve


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="answer requests over HTTP",
        description="Serve a model, or a folder of NAME/VERSION/model.onnx: the Open Inference Protocol (KServe v2).",
        epilog="Each option may be told by a flag, else by a variable (NETC_SERVE_QUEUE_ROWS for --queue-rows), else "
        "by the --config file (queue-rows = 512). The token itself is told by NETC_SERVE_TOKEN alone. SIGTERM drains: "
        "not ready at once, listening for --drain-seconds more, what was accepted is answered.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run, usage_error=parser.error)
    for row in rows():
        if not row.secret:
            _add_option(parser, row)
    parser.add_argument("--config", metavar="FILE.toml", help=f"the options' file (the variable {CONFIG})")
    parser.add_argument("--print-config", action="store_true", help="print the options as such a file, and end")


def _add_option(parser: argparse.ArgumentParser, row: Row) -> None:
    # Nothing is a default here: what is not given may be told by the environment or the file.
    default = "" if row.default in (None, "", ()) else f" ({_said(row.default)})"
    about = row.about + default
    if row.field == "model":
        parser.add_argument(row.field, metavar="MODEL", nargs="?", type=_typed(row), help=about)
    elif row.kind.type is bool:
        parser.add_argument(f"--{row.name}", action=argparse.BooleanOptionalAction, help=about)
    else:
        action = "extend" if row.kind.type is list else "store"
        parser.add_argument(row.flag, type=_typed(row), metavar=row.kind.metavar, action=action, help=about)


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _typed(row: Row) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return row.kind.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


@contextmanager
def _no_collection() -> Generator[None]:
    # Imports leave no garbage; to look for it takes a tenth of their time.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    given = ((row.field, getattr(arguments, row.field, None)) for row in rows())
    flags = {name: value for name, value in given if value is not None}
    settings = resolve(flags, os.environ, arguments.config)
    if arguments.print_config:
        output.print_text(settings.to_toml())
        return 0
    if not settings.options.model:
        arguments.usage_error("the following arguments are required: MODEL")
    heap.settle(os.environ)
    with _no_collection():
        from netc_runtime.serving.loading import HeadStart, opener
        from netc_runtime.serving.repository import Repository
    with HeadStart(Repository(settings.options.model), opener(settings.options)) as ahead:
        try:
            with _no_collection():
                from netc_runtime.serving.server import serve
        except ImportError as error:
            help = 'python -m pip install "netc-runtime[serve]"'
            raise EnvironmentFault("R406", f"a package of the server cannot be imported: {error}", help) from error
        return serve(settings, ahead, say=lambda address: output.complain(f"listening at {address}"))
