"""The command `netc`. This folder is the only place that prints."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import StringIO
from types import FrameType, ModuleType
from typing import Any, NoReturn, cast

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
    OutputError,
    TerminatedError,
    UsageFault,
)

_DISTRIBUTIONS = {"PIL": "pillow", "netc_runtime": "netc-runtime", "onnxruntime": "onnxruntime-gpu"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MACHINE = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def command() -> NoReturn:
    """What the installed command runs: what `main` does, and then the process ends.

    A check and a build leave nothing behind but memory, and Python's own way out would take an eighth of the time of
    the one, and 40 ms of the other's, to free that. Nor is the collector let at it once more.
    """
    code = _coded(sys.argv[1:])
    if sys.argv[1:2] in (["check"], ["build"]):
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] -- what Python itself calls here
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not there at all
                stream.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; never an exception, and a traceback only where NETC_DEBUG asks for one.

    0 fine, 1 an input is at fault, 2 the call is, 3 the environment is, 70 a bug of ours, 130 interrupted, 141 nobody
    reads the output, 143 terminated.
    """
    collecting = gc.isenabled()
    try:
        return _coded(list(sys.argv[1:] if argv is None else argv))
    finally:
        if collecting:
            gc.enable()  # for whoever called us from Python


def _coded(args: list[str]) -> int:
    previous = _on_terminate()
    try:
        _run(args)
        from netc.cli.terminal import flush

        flush()
        return FINE
    except BaseException as error:
        return _code_of(error)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _run(args: list[str]) -> None:
    from netc.cli.runtime import COMMANDS, hand_over, is_of_a_model

    runs_model = args[:1] == ["check"] and is_of_a_model(args[1:])
    of_runtime = runs_model or not COMMANDS.isdisjoint(args[:1])
    if "NETC_DEBUG" in os.environ and not of_runtime:  # the runtime has a meaning of its own for it
        from netc.cli.debug import level

        level()  # what is no level is refused before anything is done
    if runs_model:
        hand_over("check", args[1:])
        return
    if len(args) > 1 and args[0] == "check" and not any(a.startswith("-") for a in args[1:]):
        # The everyday call takes no options: it starts a third sooner without the library that reads them.
        _put_off_plugins()
        _put_off_grammar_reader()
        gc.disable()  # what a check builds lives until its end
        from netc.cli.check import check

        check(args[1:])
        return
    if args[:1] == ["build"]:
        _put_off_plugins()
        _put_off_grammar_reader()
        if "--no-verify" in args:
            gc.disable()  # as above; a verified one runs torch, which may leave garbage
    if of_runtime:
        args = [args[0], "--", *args[1:]]  # all that follows is the runtime's to read, a `--` included
    from typer.main import get_command

    from netc.cli.app import app, with_one

    if "_NETC_COMPLETE" in os.environ:  # a shell asks what could come next
        get_command(app).main([], "netc", standalone_mode=False)
        return
    command = get_command(with_one(args[0]) if args else app)
    # Not command.main: it has exit codes of its own for Ctrl-C and for a reader that went away.
    with command.make_context("netc", args) as context:
        command.invoke(context)


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

    def entry_points(**wanted: str) -> Any:
        return real("entry_points")(**wanted)

    stand_in.__dict__.update({"__getattr__": real, "entry_points": entry_points})
    sys.modules[name] = stand_in


def _put_off_grammar_reader() -> None:
    """Keep Lark from loading what reads grammars: a check has the parser's table, made beforehand.

    The reader is a third of Lark. In this process, where nothing else uses Lark, its names are empty classes. What
    compares a grammar's terminals is as large, and there only where somebody installed it.
    """
    reader, comparer = "lark.load_grammar", "interegular"
    if "lark" in sys.modules:
        return
    stand_in = ModuleType(reader)

    def empty(name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

    stand_in.__dict__["__getattr__"] = empty
    sys.modules[reader] = stand_in
    modules = cast("dict[str, ModuleType | None]", sys.modules)  # None: not to be found
    absent = comparer not in modules
    if absent:
        modules[comparer] = None
    try:
        import_module("lark")
    except ImportError:  # not installed, which is said elsewhere
        return
    finally:
        del sys.modules[reader]  # whoever asks for it later gets the real one
        if absent:
            del modules[comparer]


def _on_terminate() -> Any:
    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise TerminatedError

    try:
        return signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: whoever embeds us handles signals
        return None


def _code_of(error: BaseException) -> int:
    """Say what an exception means to the user, and give its exit code."""
    from netc.cli.terminal import hush, say

    match error:
        case CodeError():
            return error.code
        case KeyboardInterrupt():
            return INTERRUPTED
        case TerminatedError():
            return TERMINATED
        case SystemExit():
            return error.code if isinstance(error.code, int) else USAGE if error.code else FINE
        case UsageFault():
            say("", str(error))
            return USAGE
        case BrokenPipeError():
            hush(sys.stdout)
            return UNREAD
        case OutputError():
            hush(sys.stdout)
            say("", str(error))
            return ENVIRONMENT
        case ImportError() if _is_strange(error.name):
            _say_import(error)
            return ENVIRONMENT
        case OSError() if error.errno in _MACHINE:
            help = "make room and try again" if error.errno in _FULL else ""
            where = f"{error.filename}: " if error.filename is not None else ""
            say("", f"{where}{(error.strerror or str(error)).lower()}", help)
            return ENVIRONMENT
        case MemoryError() | RuntimeError() if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            say("", "the machine's memory does not suffice")
            return ENVIRONMENT
        case _:
            for said in (_said_below, _option_error, _bug):
                code = said(error)
                if code is not None:
                    return code
            raise AssertionError("a bug has a code") from error


def _is_strange(module: str | None) -> bool:
    """Whether an import that failed is of another package than ours, which is not there or broken."""
    top = (module or "netc").partition(".")[0]
    return top != "netc" and (top != "netc_runtime" or module == top)


def _say_import(error: ImportError) -> None:
    from netc.cli.terminal import say

    package = (error.name or "").partition(".")[0]
    asked = _DISTRIBUTIONS.get(package, package)
    if isinstance(error, ModuleNotFoundError):
        say(
            "", f"the package `{package}` is not installed", f"pip install {asked}; installing netc brings all it needs"
        )
    else:
        say("", f"the package `{package}` cannot be imported: {error}", f"pip install --force-reinstall {asked}")


def _said_below(error: BaseException) -> int | None:
    """The exit code of an exception of the floors below, None where it is none."""
    from netc.cli.terminal import say, say_findings
    from netc.diagnostic import Fault, SpecError

    if isinstance(error, SpecError):
        say_findings(error.diagnostics)
        return INPUT
    if isinstance(error, Fault):
        say(error.code, error.message, error.help)
        return error.exit_code
    api, runtime = sys.modules.get("netc.api"), sys.modules.get("netc_runtime.errors")
    if api is not None and isinstance(error, api.Several):
        say("", str(error))
        return USAGE
    if runtime is not None and isinstance(error, runtime.RuntimeFault):
        fault: Any = error
        say(fault.code, fault.message, fault.help)
        return int(fault.exit_code)
    return None


def _option_error(error: BaseException) -> int | None:
    """The exit code of one of typer's own exceptions, None where it is none."""
    if "typer" not in sys.modules:
        return None
    import typer

    from netc.cli.terminal import err

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    # typer carries a click of its own and names only some of its exceptions: this is the base of every usage error.
    base: Any = typer.BadParameter.__mro__[2]
    if isinstance(error, base):
        shown: Any = error
        written = StringIO()
        shown.show(file=written)
        err(written.getvalue().rstrip("\n"))
        return int(shown.exit_code)
    return None


def _bug(error: BaseException) -> int:
    from netc.cli.terminal import err
    from netc.diagnostic import cut

    if os.environ.get("NETC_DEBUG", "0") not in ("", "0"):
        import traceback

        err("".join(traceback.format_exception(error)).rstrip())
    first = str(error).partition("\n")[0]
    err(cut(f"sorry, this is our bug: {type(error).__name__}: {first}") + " (NETC_DEBUG=1 shows where)")
    return BUG
