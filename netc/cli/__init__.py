"""The command `netc`. This folder is the only place that prints."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

from netc.cli.codes import (
    BUG,
    ENVIRONMENT,
    FINE,
    INPUT,
    INTERRUPTED,
    TERMINATED,
    UNREAD,
    USAGE,
    CodeError,
    TerminatedError,
    UsageFault,
)

_PACKAGES = frozenset({"torch", "onnx", "onnxruntime", "safetensors", "numpy", "netc_runtime", "PIL", "rich"})
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENOMEM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; never an exception, and a traceback only where NETC_DEBUG asks for one.

    0 fine, 1 an input is at fault, 2 the call is, 3 the environment is, 70 a bug of ours, 130 interrupted, 141 nobody
    reads the output, 143 terminated.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    previous = _on_terminate()
    try:
        _run(args)
        sys.stdout.flush()
        return FINE
    except BaseException as error:
        return _code_of(error)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _run(args: list[str]) -> None:
    if len(args) > 1 and args[0] == "check" and not any(a.startswith("-") for a in args[1:]):
        # The everyday call takes no options: it starts a third sooner without the library that reads them.
        _put_off_plugins()
        gc.disable()  # what a check builds lives until its end
        from netc.cli.check import check

        check(args[1:])
        return
    from netc.cli.app import app

    app(args=args, prog_name="netc", standalone_mode=False)


def _put_off_plugins() -> None:
    """Keep Pydantic from reading every installed package for plug-ins of its own, which netc has no use for.

    To be able to, it imports `importlib.metadata`, which brings email, zipfile and socket: a sixth of the time of a
    small check. What stands in for it here gives way to the real module at the first touch.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    name = "importlib.metadata"
    if name in sys.modules:
        return
    stand_in = ModuleType(name)

    def real(attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system asks whether it is a package
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    stand_in.__dict__["__getattr__"] = real
    stand_in.__dict__["entry_points"] = lambda **wanted: real("entry_points")(**wanted)
    sys.modules[name] = stand_in


def _on_terminate() -> Any:
    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise TerminatedError

    try:
        return signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: whoever embeds us handles signals
        return None


def _code_of(error: BaseException) -> int:
    """Say what an exception means to the user, and give its exit code."""
    from netc.api import Several
    from netc.cli.terminal import err, say, say_findings
    from netc.diagnostic import Fault, SpecError

    match error:
        case CodeError():
            return error.code
        case SpecError():
            say_findings(error.diagnostics)
            return INPUT
        case Several() | UsageFault():
            say("", str(error), "")
            return USAGE
        case Fault():
            say(error.code, error.message, error.help)
            return error.exit_code
        case KeyboardInterrupt():
            return INTERRUPTED
        case TerminatedError():
            return TERMINATED
        case SystemExit():
            return error.code if isinstance(error.code, int) else USAGE
        case BrokenPipeError():
            # Python flushes standard output once more at exit; let that go nowhere.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        case ModuleNotFoundError() if (error.name or "").partition(".")[0] in _PACKAGES:
            package = (error.name or "").partition(".")[0]
            say("", f"the package `{package}` is not installed", "pip install netc brings all that netc needs")
            return ENVIRONMENT
        case OSError() if error.errno in _MACHINE:
            say("", f"{error.filename or 'the disk'}: {(error.strerror or str(error)).lower()}", "")
            return ENVIRONMENT
        case MemoryError():
            say("", "the machine's memory does not suffice", "")
            return ENVIRONMENT
        case _:
            return _option_error(error) or _bug(error, err)


def _option_error(error: BaseException) -> int:
    """The exit code of one of typer's own exceptions, 0 where it is none."""
    if "typer" not in sys.modules:
        return 0
    import typer

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    # typer carries a click of its own and names only some of its exceptions: this is the base of every usage error.
    base: Any = typer.BadParameter.__mro__[2]
    if isinstance(error, base):
        shown: Any = error
        shown.show(file=sys.stderr)
        return int(shown.exit_code)
    return 0


def _bug(error: BaseException, err: Any) -> int:
    if os.environ.get("NETC_DEBUG"):
        import traceback

        traceback.print_exception(error)
    err(f"sorry, this is our bug: {type(error).__name__}: {error} (NETC_DEBUG=1 shows where)")
    return BUG
