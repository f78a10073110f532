"""A multipart form in memory: the files in it and its fields, both few, or why it is none."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from netc_runtime.errors import ServeFault

MOST_PARTS = 64
MOST_HEADERS = 8  # of a part
LONGEST_HEADER = 4096
LONGEST_FIELD = 64
_CURL = "send files, as curl -F image=@photo.jpg does"


@dataclass(frozen=True, slots=True)
class File:
    """A part that is a file: the name that its sender gave it, which may be empty, and its bytes."""

    name: str
    content: bytes


@dataclass(slots=True)
class Form:
    """What a form holds: its files in order, and its other parts by name."""

    files: list[File] = field(default_factory=list[File])
    fields: dict[str, str] = field(default_factory=dict[str, str])


def boundary_of(content_type: bytes) -> bytes | None:
    """Give the boundary between a form's parts where a body's type says that it is one, else nothing.

    Raises: ServeFault R513 where it says no boundary.
    """
    kind, options = parse_options_header(content_type)
    if kind.lower() != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ServeFault("R513", "the form's content-type has no boundary", _CURL)
    return boundary


def read_form(body: bytes | bytearray, boundary: bytes, known: tuple[str, ...]) -> Form:
    """Read a form whose fields are some of those that are known.

    Raises: ServeFault R513 where it is not whole, has no file or another field; R514 on too many parts.
    """
    reading = _Reading(known)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reading.begin,
                "on_header_field": reading.header_name,
                "on_header_value": reading.header_value,
                "on_header_end": reading.header_end,
                "on_headers_finished": reading.head_end,
                "on_part_data": reading.data,
                "on_part_end": reading.end,
                "on_end": reading.close,
            },
            max_header_count=MOST_HEADERS,
            max_header_size=LONGEST_HEADER,
        )
        parser.write(bytes(body))
        parser.finalize()
    except FormParserError as error:
        raise ServeFault("R513", f"the form cannot be read: {error}", _CURL) from None
    if not reading.closed:
        raise ServeFault("R513", "the form is not whole: its last boundary is missing", _CURL)
    if not reading.form.files:
        raise ServeFault("R513", "the form has no file", _CURL)
    return reading.form


class _Reading:
    """What the parser has told so far."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self.form = Form()
        self.closed = False
        self._known = known
        self._parts = 0
        self._name = self._value = b""
        self._disposition = b""
        self._field = ""
        self._file: str | None = None
        self._content = bytearray()

    def begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ServeFault("R514", f"the form has more than {MOST_PARTS} parts", "send them in several requests")
        self._name = self._value = self._disposition = b""
        self._content = bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def head_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if name is None:
            raise ServeFault("R513", f"part {self._parts} of the form has no name", _CURL)
        self._field = _text(name)
        file = options.get(b"filename")
        self._file = None if file is None else _text(file)
        if self._file is None and self._field not in self._known:
            listed = ", ".join(self._known)
            message = f"the form has a field {self._field[:100]!r}, which is no file; its fields are {listed}"
            raise ServeFault("R513", message, f"leave it out, or {_CURL}")
        if self._file is None and self._field in self.form.fields:
            raise ServeFault("R513", f"the form's field {self._field!r} stands twice", "send it once")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]
        if self._file is None and len(self._content) > LONGEST_FIELD:
            raise ServeFault("R513", f"the form's field {self._field!r} is longer than {LONGEST_FIELD} bytes", _CURL)

    def end(self) -> None:
        if self._file is None:
            self.form.fields[self._field] = _text(bytes(self._content))
        else:
            self.form.files.append(File(self._file, bytes(self._content)))

    def close(self) -> None:
        self.closed = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
