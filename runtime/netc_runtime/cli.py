"""The command `netc-runtime`: the result on standard output, everything else on standard error."""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import netc_runtime
from netc_runtime.errors import EnvironmentFault, RuntimeFault

if TYPE_CHECKING:
    from netc_runtime.session import Model

BUG, INTERRUPTED, UNREAD, TERMINATED = 70, 130, 141, 143


class _TerminatedError(BaseException):
    """SIGTERM came; no `except Exception` on the way may hold it up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; a fault, a signal or a bug of ours is a code as well, never an exception.

    0 fine, 1 an input is at fault, 2 the call is, 3 the environment is, 70 a bug of ours, 130 interrupted, 141 nobody
    reads the output, 143 terminated.
    """
    restore = _on_terminate()
    try:
        arguments = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.run
        return command(arguments)
    except SystemExit as stop:  # how argparse ends, for --help too
        return stop.code if isinstance(stop.code, int) else 2
    except RuntimeFault as fault:
        _say(fault)
        return fault.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except _TerminatedError:
        return TERMINATED
    except BrokenPipeError:
        # Python flushes standard output once more at exit; let that go nowhere. In memory there is no such file.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except Exception as error:
        if os.environ.get("NETC_DEBUG"):
            traceback.print_exc()
        _complain(f"netc-runtime: sorry, this is our bug: {type(error).__name__}: {error} (NETC_DEBUG=1 shows where)")
        return BUG
    finally:
        restore()


def _predict(arguments: argparse.Namespace) -> int:
    from netc_runtime import show

    model = _load(arguments)
    answers: list[show.Json] = []
    code = 0
    for result in model.stream_images(_images(arguments.image), arguments.top):
        if result.fault is not None:
            _say(result.fault)
            code = max(code, result.fault.exit_code)
        # As JSON values at once: a mask of every picture need not be kept.
        answers.append(show.answer(result))
    if arguments.format == "json":
        report = model.report()
        _print_json({"model": report.file, "device": report.device, "results": answers})
    else:
        _print(show.answers_table(answers))
    return code


def _check(arguments: argparse.Namespace) -> int:
    from netc_runtime import show

    model = _load(arguments)
    values = show.check_values(model.report(), model.check())
    if arguments.format == "json":
        _print_json(values)
    else:
        _print(show.check_table(values))
    return 0


def _load(arguments: argparse.Namespace) -> "Model":
    from PIL import Image

    from netc_runtime.session import load

    # Pillow warns of large pictures; here they are answered, or refused by our own limit.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return load(arguments.model, arguments.device, threads=arguments.threads)


def _images(paths: Sequence[str]) -> Iterator[str]:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netc-runtime", description="Run models that netc compiled.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"netc-runtime {netc_runtime.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="say what is in pictures", allow_abbrev=False)
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", help="an .onnx file from netc")
    predict.add_argument("image", metavar="IMAGE", nargs="+", help="a picture, or a folder of pictures")
    predict.add_argument("--top", metavar="K", type=_positive, default=5, help="how many classes of a softmax (5)")
    check = commands.add_parser("check", help="load a model and reproduce its golden example", allow_abbrev=False)
    check.set_defaults(run=_check)
    check.add_argument("model", metavar="MODEL", help="an .onnx file")
    for command in (predict, check):
        command.add_argument(
            "--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:N or tensorrt (auto)"
        )
        command.add_argument(
            "--threads", metavar="N", type=_positive, help="processor threads (all this process may use)"
        )
        form = command.add_mutually_exclusive_group()
        form.add_argument("--format", choices=("text", "json"), help="of the result (text)")
        form.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _device(text: str) -> str:
    from netc_runtime.providers import parse_device

    try:
        parse_device(text)
    except EnvironmentFault as fault:
        raise argparse.ArgumentTypeError(f"{fault.message}; {fault.help}") from fault
    return text


def _on_terminate() -> Callable[[], object]:
    """Turn SIGTERM into an exception, and give what undoes that; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, stop)
    return lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _print_json(values: dict[str, object]) -> None:
    _print(json.dumps({"schema": 1, **values}))


def _print(text: str) -> None:
    if sys.stdout is None:  # the process was started with it closed
        raise EnvironmentFault("R405", "standard output is closed", "open it, or redirect it to a file")
    try:
        print(_encodable(text, sys.stdout), end="\n" if text else "", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        help = "make room, or write elsewhere"
        raise EnvironmentFault("R405", f"standard output cannot be written: {error.strerror}", help) from error


def _say(fault: RuntimeFault) -> None:
    _complain(fault.render())


def _complain(text: str) -> None:
    if sys.stderr is not None:
        # Nobody may be listening there either; the exit code tells the rest.
        with contextlib.suppress(OSError):
            print(_encodable(text, sys.stderr), file=sys.stderr)


def _encodable(text: str, file: TextIO) -> str:
    """Give text that a terminal of any encoding can take, whatever labels and file names hold."""
    encoding = file.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
