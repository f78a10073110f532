"""`netc-runtime predict`: what is in pictures, or what a model makes of arrays."""

import argparse
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from netc_runtime.cli import options, sources, stream
from netc_runtime.errors import EnvironmentFault, ModelFault, RuntimeFault

if TYPE_CHECKING:
    from netc_runtime.image import Source
    from netc_runtime.pictures import ImageResult
    from netc_runtime.session import Model

Saved: TypeAlias = dict[str, Any]  # what an answer says besides: where its drawings are

_EPILOG = """\
INPUT is a picture, a folder (its pictures by name), a pattern in quotes ("photos/**/*.jpg"), - for one picture on
standard input, or arrays in a .npy or .npz file, which go to the model as they are.

A picture that cannot be read is named, the others are answered, and the exit code is 1.
"""


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "predict",
        help="say what is in pictures",
        description="Say what is in pictures, or what a model makes of arrays.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run, usage=parser.error)
    count = options.positive
    parser.add_argument("model", metavar="MODEL", help="an .onnx file from netc; for arrays, any")
    parser.add_argument("input", metavar="INPUT", nargs="*", help="pictures or arrays, see below")
    parser.add_argument("--files-from", metavar="FILE", help="a file of names, a line each; - is standard input")
    parser.add_argument("-r", "--recursive", action="store_true", help="of a folder its subfolders' pictures as well")
    parser.add_argument("--top", metavar="K", type=count, default=5, help="how many classes of a softmax (5)")
    parser.add_argument("--threshold", metavar="P", type=_probability, help="leave out classes less probable than P")
    parser.add_argument("--batch", metavar="N", type=count, default=64, help="the most pictures that run at once (64)")
    parser.add_argument("--fail-fast", action="store_true", help="end at the first picture that cannot be read")
    parser.add_argument("--save-to", metavar="DIR", type=Path, help="write masks and points as pictures in a folder")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the raw outputs of arrays as .npz")
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_cache(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=stream.FORMATS, help="of the result (text); ndjson is an object a line")
    form.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.input and arguments.files_from is None:
        arguments.usage("name an INPUT, or a list of them with --files-from")
    if arguments.input.count(sources.STANDARD_INPUT) + (arguments.files_from == sources.STANDARD_INPUT) > 1:
        arguments.usage("standard input is read once: as one picture, or as a list of names")
    of_arrays = [sources.is_arrays(each) for each in arguments.input]
    if any(of_arrays):
        if not all(of_arrays) or arguments.files_from is not None:
            raise EnvironmentFault("R404", "arrays and pictures do not go together", "predict them one after the other")
        return _of_arrays(arguments)
    if arguments.output is not None:
        raise EnvironmentFault("R404", "--output is for arrays", "give .npy or .npz files, or --json for pictures")
    return _of_pictures(arguments)


def _of_pictures(arguments: argparse.Namespace) -> int:
    model = options.load_model(arguments, max_batch=arguments.batch)
    _check_threshold(arguments, model)
    draw = None if arguments.save_to is None else _drawer(model, arguments.save_to, arguments.force)
    in_flight: deque[tuple[str, Source]] = deque()
    results = model.stream_images(_opened(_names(arguments), in_flight), arguments.top, arguments.threshold)

    def told() -> "Iterator[tuple[ImageResult, Saved]]":
        for result in results:
            name, source = in_flight.popleft()
            saved: Saved = {}
            if draw is not None and result.fault is None:
                saved = {"saved": draw(name, source, result)}
            yield replace(result, source=name), saved

    return stream.write(told(), arguments.format, model, "image", fail_fast=arguments.fail_fast)


def _names(arguments: argparse.Namespace) -> Iterator[str]:
    yield from sources.images(arguments.input, recursive=arguments.recursive)
    if arguments.files_from is not None:
        yield from sources.images(sources.listed(arguments.files_from), recursive=arguments.recursive)


def _opened(names: Iterable[str], in_flight: "deque[tuple[str, Source]]") -> "Iterator[Source]":
    """Give what a model takes for each name, and note both until they are answered."""
    for name in names:
        source = sources.standard_input() if name == sources.STANDARD_INPUT else name
        in_flight.append((name, source))
        yield source


def _drawer(model: "Model", folder: Path, force: bool) -> "Callable[[str, Source, ImageResult], list[str]]":
    """Give what writes a picture's masks and points, and says where.

    Raises: ModelFault R112 where the model has none.
    """
    from netc_runtime import drawing, image
    from netc_runtime.cli.saving import Pictures

    embedded = model.manifest is not None and "decode" in model.manifest.embed
    if not any(drawing.drawable(each, decoded=embedded) for each in model.outputs):
        raise ModelFault(
            "R112",
            f"{model.name} has no output that can be drawn: a mask over the picture, or a point labelled x and y",
            "leave --save-to out",
        )
    recipe = model.inputs[0].image
    labels = {each.name: each.labels for each in model.outputs}
    pictures = Pictures(folder, force=force)

    def draw(name: str, source: "Source", result: "ImageResult") -> list[str]:
        assert recipe is not None, model.name  # it has answered a picture
        seen = image.fit(image.decode(source), recipe)
        return pictures.save(name, drawing.drawings(result.outputs, labels, seen))

    return draw


def _of_arrays(arguments: argparse.Namespace) -> int:
    from netc_runtime.cli import arrays, saving
    from netc_runtime.pictures import ImageResult

    for given, name in ((arguments.save_to, "--save-to"), (arguments.recursive or None, "--recursive")):
        if given is not None:
            raise EnvironmentFault("R404", f"{name} is for pictures", "leave it out")
    if arguments.output is not None and len(arguments.input) > 1:
        count = len(arguments.input)
        raise EnvironmentFault("R404", f"--output is one file, for {count} of arrays", "predict them one by one")
    model = options.load_model(arguments, max_batch=arguments.batch)
    _check_threshold(arguments, model)
    if arguments.output is not None:
        path: str = arguments.input[0]
        outputs = model.predict(arrays.read(path, model))
        saving.write(arguments.output, lambda file: arrays.write(file, outputs), force=arguments.force)
        return 0

    def told() -> "Iterator[tuple[ImageResult, Saved]]":
        for path in arguments.input:
            try:
                outputs = model.predict(arrays.read(path, model))
                decoded = model.decode(outputs, arguments.top, arguments.threshold)
            except RuntimeFault as fault:
                yield ImageResult(path, fault=fault), {}
                continue
            for result in arrays.by_row(path, decoded):
                yield result, {}

    return stream.write(told(), arguments.format, model, "input", fail_fast=arguments.fail_fast)


def _check_threshold(arguments: argparse.Namespace, model: "Model") -> None:
    if arguments.threshold is not None and not any(each.decode in ("softmax", "sigmoid") for each in model.outputs):
        raise EnvironmentFault("R404", f"--threshold: {model.name} gives no probabilities", "leave it out")


def _probability(text: str) -> float:
    # Python's own reader also takes 1_0, nan and digits of other scripts.
    if not re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+\.", text) or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability from 0 to 1")
    return float(text)
