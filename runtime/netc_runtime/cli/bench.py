"""`netc-runtime bench`: a model's latencies and throughput, in a closed or an open loop."""

import argparse
import math
import re
from typing import TYPE_CHECKING, Any

from netc_runtime.cli import options, output
from netc_runtime.errors import EnvironmentFault

if TYPE_CHECKING:
    from netc_runtime.benchmark.run import Plan

FAILED, INTERRUPTED = 1, 130
DEFAULT_SECONDS = 10.0
MOST_SECONDS = 7 * 24 * 3600.0
MOST_RATE = 1e6  # requests a second; one process makes far fewer
MOST_THREADS = 1024

_EPILOG = """\
A closed loop begins the next request when it has the answer to the last: it finds what a model can do. An open loop
(--rate) makes requests when they are due, as users do. Its latencies run from the arrival, so that a model that falls
behind shows it. A percentile that needs more requests than there were is not stated.

Exits with 1 where a request failed, and with 130 after Ctrl-C, with the figures so far.
"""


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bench",
        help="measure a model under load",
        description="Measure a model's latencies and throughput.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run)
    number, at_once = options.positive, _threads
    parser.add_argument("model", metavar="MODEL", help="an .onnx file")
    parser.add_argument("--batch", metavar="B", type=number, help="rows of a request (1, or what the model fixes)")
    parser.add_argument("--concurrency", metavar="N", type=at_once, default=1, help="requests that run at once (1)")
    parser.add_argument("--seconds", metavar="S", type=_seconds, help="how long to measure (10, or until --requests)")
    parser.add_argument("--requests", metavar="N", type=number, help="how many requests to measure")
    parser.add_argument("--rate", metavar="R", type=_rate, help="requests a second, in an open loop (a closed loop)")
    parser.add_argument("--arrivals", choices=("poisson", "constant"), help="how an open loop spaces them (poisson)")
    parser.add_argument("--warmup", metavar="S", type=_warmup, default=1.0, help="seconds before it is measured (1)")
    parser.add_argument(
        "--shape", metavar="SIZES", type=_sizes, action="append", help="sizes of symbols: H=512,W=512; repeatable"
    )
    parser.add_argument(
        "--images", metavar="PATH", action="append", help="a picture or a folder, from file to labels; repeatable"
    )
    parser.add_argument("--seed", metavar="N", type=_seed, default=0, help="of random inputs and arrivals (0)")
    parser.add_argument("--bare", action="store_true", help="compare with a bare ONNX Runtime loop, in turns")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_cache(parser)
    options.add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    from netc_runtime.benchmark.outcome import outcome_notes, outcome_table
    from netc_runtime.benchmark.run import bench

    progress = output.Progress()
    progress.say("loading")
    try:
        model = options.load_model(arguments, max_batch=max(64, plan.batch or 1))
        values = bench(model, plan, progress.say)
    finally:
        progress.clear()
    if arguments.format == "json":
        output.print_json(values)
    else:
        output.print_text(outcome_table(values))
    for note in outcome_notes(values):
        output.complain(f"note: {note}")
    return INTERRUPTED if values["interrupted"] else FAILED if values["errors"] else 0


def _plan(arguments: argparse.Namespace) -> "Plan":
    """Read the options that belong together.

    Raises: EnvironmentFault R404 where two of them exclude each other.
    """
    for given, name, other, why in (
        (arguments.arrivals is not None and arguments.rate is None, "--arrivals", "--rate", ""),
        (arguments.bare and arguments.rate is not None, "--bare", "--rate", "the bare loop is a closed one"),
        (arguments.bare and arguments.images is not None, "--bare", "--images", "the bare loop takes arrays"),
        (arguments.shape is not None and arguments.images is not None, "--shape", "--images", "pictures have sizes"),
    ):
        if given and why:
            raise EnvironmentFault("R404", f"{name} and {other} exclude each other: {why}", f"leave {name} out")
        if given:
            raise EnvironmentFault("R404", f"{name} is of an open loop", f"give {other} as well")
    from netc_runtime.benchmark.load import Load
    from netc_runtime.benchmark.run import Plan
    from netc_runtime.cli.sources import images

    seconds: float | None = arguments.seconds
    shapes: list[dict[str, int]] = arguments.shape or []
    if seconds is None and arguments.requests is None:
        seconds = DEFAULT_SECONDS
    return Plan(
        Load(
            concurrency=arguments.concurrency,
            seconds=seconds,
            requests=arguments.requests,
            rate=arguments.rate,
            arrivals=arguments.arrivals or "poisson",
            seed=arguments.seed,
        ),
        batch=arguments.batch,
        sizes={name: size for sizes in shapes for name, size in sizes.items()},
        pictures=list(images(arguments.images or [])),
        seed=arguments.seed,
        warmup_s=arguments.warmup,
        bare=arguments.bare,
        seconds=seconds or DEFAULT_SECONDS,
    )


def _threads(text: str) -> int:
    count = options.positive(text)
    if count > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{count} is more than {MOST_THREADS} threads")
    return count


def _seconds(text: str) -> float:
    return _number(text, "seconds", MOST_SECONDS)


def _rate(text: str) -> float:
    return _number(text, "requests a second", MOST_RATE)


def _warmup(text: str) -> float:
    return 0.0 if _float(text) == 0 else _seconds(text)


def _number(text: str, unit: str, most: float) -> float:
    number = _float(text)
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit} above 0, of at most {most:,.0f}")
    return number


def _float(text: str) -> float:
    # Python's own reader also takes 1_000, nan and digits of other scripts.
    return float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+\.", text) else math.nan


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _sizes(text: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"{part!r} is no size such as H=512")
        if name in sizes:
            raise argparse.ArgumentTypeError(f"{name} has two sizes in {text!r}")
        sizes[name] = options.positive(number)
    return sizes
