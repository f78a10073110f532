"""Exit codes, and the exceptions that carry them. The runtime's command gives the same codes."""

FINE, INPUT, USAGE, ENVIRONMENT, BUG = 0, 1, 2, 3, 70
INTERRUPTED, UNREAD, TERMINATED = 130, 141, 143


class CodeError(Exception):
    """A command ends with this exit code; everything is said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class UsageFault(Exception):
    """The call is wrong in a way that the option parser does not see."""


class OutputError(Exception):
    """Standard output takes nothing: it is closed, or what it leads to is full."""


class TerminatedError(BaseException):
    """SIGTERM came; no `except Exception` on the way may hold it up."""
