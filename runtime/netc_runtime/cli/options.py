"""Options that several commands have, and the numbers that they take."""

import argparse
import warnings
from typing import TYPE_CHECKING

from netc_runtime.errors import EnvironmentFault

if TYPE_CHECKING:
    from netc_runtime.session import Model


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the option that names a device."""
    command.add_argument(
        "--device", type=device, default="auto", help="auto, cpu, cuda, cuda:N, tensorrt or openvino (auto)"
    )


def add_threads(command: argparse.ArgumentParser) -> None:
    """Add the option that says how many threads a session has."""
    command.add_argument("--threads", metavar="N", type=positive, help="processor threads (all this process may use)")


def add_cache(command: argparse.ArgumentParser) -> None:
    """Add the option that leaves the session cache alone."""
    command.add_argument("--no-cache", dest="cache", action="store_false", help="do without the session cache")


def add_format(command: argparse.ArgumentParser) -> None:
    """Add the options that say how the result is written."""
    form = command.add_mutually_exclusive_group()
    form.add_argument("--format", choices=("text", "json"), help="of the result (text)")
    form.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def positive(text: str) -> int:
    """Read a whole number from 1."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def device(text: str) -> str:
    """Check that a word names a device."""
    from netc_runtime.providers import parse_device

    try:
        parse_device(text)
    except EnvironmentFault as fault:
        raise argparse.ArgumentTypeError(f"{fault.message}; {fault.help}") from fault
    return text


def load_model(arguments: argparse.Namespace, *, max_batch: int = 64) -> "Model":
    """Load the model that the arguments name, on their device, with their threads."""
    from netc_runtime.session import load

    hush_pillow()
    return load(
        arguments.model, arguments.device, threads=arguments.threads, max_batch=max_batch, cache=arguments.cache
    )


def hush_pillow() -> None:
    """Keep Pillow from warning of large or odd pictures: here they are answered, or refused in our own words."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module=r"PIL\.")
