"""What the doctor says of one thing."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

# `absent` is what is not here and not needed; `warn` works, not as well as it could; `fail` is broken.
Status: TypeAlias = Literal["ok", "absent", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing by name, how it is, what was found, and what puts it right: a command where there is one."""

    name: str
    status: Status
    found: str
    fix: str = ""
