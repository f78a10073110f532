"""What the server logs: a line of text or a JSON object each, with the id of the request that it is about.

Names, labels and headers are strangers': no character of theirs can end a line or steer a terminal.
"""

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Any

from netc_runtime.errors import printable

FIELDS = "fields"  # of a record: what the JSON has beside the message
request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")


def begin(form: str, level: str) -> None:
    """Log to standard error from now on, as `text` or `json`, from this level up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    handler.addFilter(with_request_id)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It warns of every form that is none, as often as anyone sends one; the answer says what is wrong.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def with_request_id(record: logging.LogRecord) -> bool:
    """Give a record the id of the request in whose handling it was made."""
    record.request_id = request_id.get().decode()
    return True


class Text(logging.Formatter):
    """Time, level, the request's id where there is one, and the message; an exception's lines are set in."""

    def format(self, record: logging.LogRecord) -> str:
        about = getattr(record, "request_id", "")
        line = f"{self.formatTime(record)} {record.levelname} {f'[{about}] ' if about else ''}"
        line += printable(record.getMessage())
        return "\n    ".join([line, *(printable(each) for each in _trace(self, record).splitlines())])


class Json(logging.Formatter):
    """An object a line: time (UTC), level, logger, message, request_id, exception, and what else the record brings."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        values: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if about := getattr(record, "request_id", ""):
            values["request_id"] = about
        if trace := _trace(self, record):
            values["exception"] = trace
        values.update(getattr(record, FIELDS, {}))
        return json.dumps(values).replace("\x7f", "\\u007f")  # in ASCII: some readers end a line at U+2028 too


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
    return trace + (formatter.formatStack(record.stack_info) if record.stack_info else "")
