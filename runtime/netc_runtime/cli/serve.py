"""`netc-runtime serve`: the Open Inference Protocol over HTTP, until a signal ends it."""

import argparse
from typing import Any

from netc_runtime.cli import options, output
from netc_runtime.errors import EnvironmentFault


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="answer requests over HTTP",
        description="Serve a model, or a folder of NAME/VERSION/model.onnx: the Open Inference Protocol (KServe v2).",
        epilog="SIGTERM drains: not ready at once, listening for --drain-seconds more, what was accepted is answered.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("models", metavar="MODEL", help="an .onnx file, or a folder of NAME/VERSION/model.onnx")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=options.port, default=8000, help="0 takes a free one (8000)")
    parser.add_argument("--batch", metavar="N", type=options.positive, default=64, help="rows that run together (64)")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_cache(parser)
    for name, default, about in (
        ("queue-rows", 1024, "rows of a model that wait or run; more are told to come again (503)"),
        ("queue-mib", 1024, "and their MiB"),
        ("timeout", 30, "seconds that a request waits for its turn (504)"),
        ("hung-after", 60, "seconds after which a run that has not ended makes the server not live"),
        ("body-mib", 64, "the largest body, inflated too (413)"),
        ("connections", 1024, "open at once; more are told to come again (503)"),
        ("head-seconds", 10, "for the head of a request (408)"),
        ("body-seconds", 60, "for its body (408)"),
        ("idle-seconds", 75, "before a connection without requests is closed"),
        ("drain-seconds", 5, "of listening after the signal"),
        ("poll-seconds", 5, "between looks at the folder"),
        ("versions", 1, "of a model that are kept"),
    ):
        parser.add_argument(
            f"--{name}", metavar="N", type=options.positive, default=default, help=f"{about} ({default})"
        )


def _run(arguments: argparse.Namespace) -> int:
    try:
        from netc_runtime.serving.server import Options, serve
    except ImportError as error:
        help = 'python -m pip install "netc-runtime[serve]"'
        raise EnvironmentFault("R406", f"a package of the server cannot be imported: {error}", help) from error
    given = vars(arguments)
    return serve(
        Options(**{name: given[name] for name in Options.__dataclass_fields__}),
        say=lambda address: output.complain(f"listening at {address}"),
    )
