"""A client that is only a socket: what it sends is sent as it is, and what comes back is read answer by answer."""

import json
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class Raw:
    """A connection, kept until either side ends it."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> "Raw":
        for part in parts:
            self.socket.sendall(part)
        return self

    def ended(self) -> bool:
        """Whether the other side has ended it, and nothing is left to be read."""
        self.socket.setblocking(False)
        try:
            return not self._read and self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(30)

    def answer(self) -> Reply:
        """Read one answer, whose body's length is told. Raises: EOFError or ConnectionError where there is none."""
        first, *lines = self.read_to(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return Reply(int(first.split(" ")[1]), headers, body)

    def read_to(self, end: bytes) -> bytes:
        """Read as far as `end`. Raises: EOFError or ConnectionError where it does not come."""
        while end not in self._read:
            self._more()
        found, _, self._read = self._read.partition(end)
        return found + end

    def rest(self) -> bytes:
        """Read all that comes until the other side ends the connection."""
        while part := self.socket.recv(1 << 16):
            self._read += part
        found, self._read = self._read, b""
        return found

    def _more(self) -> None:
        part = self.socket.recv(1 << 16)
        if not part:
            raise EOFError(f"the connection ended after {self._read!r}")
        self._read += part


def request(path: str, body: bytes = b"", method: str = "", headers: Sequence[str] = ()) -> bytes:
    """Write a request: a POST where it has a body."""
    lines = [f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1", "host: a", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def rows(values: Sequence[Sequence[float]], name: str = "x", **parameters: Any) -> bytes:
    """Write the JSON of an inference of rows of numbers."""
    entry = {
        "name": name,
        "shape": [len(values), len(values[0])],
        "datatype": "FP32",
        "data": [value for row in values for value in row],
    }
    return json.dumps({"inputs": [entry], "parameters": parameters}).encode()
