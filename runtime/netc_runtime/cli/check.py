"""`netc-runtime check`: what a model is, what it runs on, and whether it still computes what it did."""

import argparse
from typing import Any

from netc_runtime.cli import options, output


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check", help="load a model and reproduce its golden example", allow_abbrev=False
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", metavar="MODEL", help="an .onnx file")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_cache(parser)
    parser.add_argument(
        "--max-memory", metavar="MIB", type=options.positive, default=8192, help="what the model may take (8192)"
    )
    parser.add_argument(
        "--max-seconds", metavar="S", type=options.positive, default=120, help="to load and to run once (120)"
    )
    options.add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from netc_runtime.checkup import check_model, check_table
    from netc_runtime.dry_load import DryLimits

    limits = DryLimits(arguments.max_memory << 20, float(arguments.max_seconds))
    values = check_model(
        arguments.model, arguments.device, threads=arguments.threads, cache=arguments.cache, limits=limits
    )
    if arguments.format == "json":
        output.print_json(values)
    else:
        output.print_text(check_table(values))
    return 0
