"""The command `netc-runtime`: the result on standard output, everything else on standard error."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

import netc_runtime
from netc_runtime.cli import bench, cache, check, doctor, output, predict, serve
from netc_runtime.errors import EnvironmentFault, RuntimeFault

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
        output.say(fault)
        return fault.exit_code
    except ImportError as error:
        return _lacks(error)
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
        return _bug(error)
    finally:
        restore()


def _lacks(error: ImportError) -> int:
    """Say which package cannot be imported; one of our own modules is a bug."""
    package = (error.name or "netc_runtime").partition(".")[0]
    if package == "netc_runtime":
        return _bug(error)
    help = "run netc-runtime doctor, which says what puts it right"
    fault = EnvironmentFault("R406", f"the package {package} cannot be imported: {error}", help)
    output.say(fault)
    return fault.exit_code


def _bug(error: Exception) -> int:
    if os.environ.get("NETC_DEBUG"):
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}"
    output.complain(f"netc-runtime: sorry, this is our bug: {what} (NETC_DEBUG=1 shows where)")
    return BUG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netc-runtime", description="Run models that netc compiled.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"netc-runtime {netc_runtime.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (predict, bench, check, doctor, cache, serve):
        command.add(commands)
    return parser


def _on_terminate() -> Callable[[], object]:
    """Turn SIGTERM into an exception, and give what undoes that; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, stop)
    return lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
