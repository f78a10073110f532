"""`netc-runtime predict`: what is in pictures."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netc_runtime.cli import options, output


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser("predict", help="say what is in pictures", allow_abbrev=False)
    parser.set_defaults(run=_run)
    parser.add_argument("model", metavar="MODEL", help="an .onnx file from netc")
    parser.add_argument("image", metavar="IMAGE", nargs="+", help="a picture, or a folder of pictures")
    count = options.positive
    parser.add_argument("--top", metavar="K", type=count, default=5, help="how many classes of a softmax (5)")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from netc_runtime import show

    model = options.load_model(arguments)
    answers: list[show.Json] = []
    code = 0
    for result in model.stream_images(images(arguments.image), arguments.top):
        if result.fault is not None:
            output.say(result.fault)
            code = max(code, result.fault.exit_code)
        # As JSON values at once: a mask of every picture need not be kept.
        answers.append(show.answer(result))
    if arguments.format == "json":
        report = model.report()
        output.print_json({"model": report.file, "device": report.device, "results": answers})
    else:
        output.print_text(show.answers_table(answers))
    return code


def images(paths: Sequence[str]) -> Iterator[str]:
    """Give the files, and for a folder its images by name; one without images stands for itself and is at fault."""
    from netc_runtime.image import SUFFIXES

    for path in paths:
        found: list[str] = []
        with contextlib.suppress(OSError):
            found = sorted(
                str(each)
                for each in Path(path).iterdir()
                if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
            )
        yield from found or [path]
