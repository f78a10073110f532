"""Multipart forms, right and changed, and what holds for every body that is said to be one."""

from __future__ import annotations

import re
from random import Random
from typing import NamedTuple

from netc_runtime.errors import ServeFault
from netc_runtime.serving.form import Form, boundary_of, read_form
from tests.fuzz.v2_claims import well_formed

KNOWN = ("top",)
FAULTS = {"R513", "R514"}
MOST_PARTS, MOST_HEADERS, LONGEST_LINE, LONGEST_FIELD = 64, 8, 4000, 64
WORDS = (
    b"\r\n", b"\n", b"\r", b"--", b"-", b" ", b"\t", b":", b";", b'"', b"=", b"\0", b"\xff", b"\r\n\r\n", b"form-data",
    b"Content-Disposition: ", b"content-disposition: ", b"Content-Type: image/png\r\n", b'; name="top"', b"; name=top",
    b'; filename="a.png"', b'; filename="C:\\\\a.png"', b"; filename*=utf-8''a", b'; name*="x"', b"multipart/form-data",
    b"; boundary=", b"--b", b"\r\n--b", b"--b--", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n--b \r\n", b"X: y\r\n",
)  # fmt: skip


class Part(NamedTuple):
    """A part of a form: its name, its file's name if it is a file, and its bytes."""

    name: str
    file: str | None
    content: bytes


def right(chance: Random) -> tuple[bytes, bytes]:
    """A form of files and fields: its content-type and its body."""
    boundary = chance.choice((b"b", b"-", b"----x7", b"b" * 70))
    body = b""
    for number in range(chance.choice((1, 1, 2, 3, 63, 64, 65) if chance.randrange(8) == 0 else (1, 1, 2, 3))):
        body += b"--" + boundary + b"\r\n"
        if number == 1 and chance.randrange(2):
            body += b'Content-Disposition: form-data; name="top"\r\n\r\n' + b"5" * chance.choice((0, 1, 64, 65))
        else:
            extra = b"Content-Type: image/png\r\n" * chance.choice((0, 1, 7, 8))
            body += extra + b'Content-Disposition: form-data; name="image"; filename="a 1.png"\r\n\r\n'
            body += b"".join(
                chance.choice((*WORDS, b"abc", b"\r\n--" + boundary[:-1])) for _ in range(chance.choice((0, 1, 3)))
            )
        body += b"\r\n"
    quote = b'"' * chance.randrange(2)
    return b"multipart/form-data; boundary=" + quote + boundary + quote, body + b"--" + boundary + b"--\r\n"


def changed(data: bytes, chance: Random) -> bytes:
    """Bytes after one to three changes: something left out, put in, or said twice."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(data))
        stop = min(start + chance.choice((0, 0, 1, 2, 8, 40)), len(data))
        data = data[:start] + chance.choice((b"", data[start:stop] * 2, *[chance.choice(WORDS)] * 2)) + data[stop:]
    return data


def claims(content_type: bytes, body: bytes) -> bool:
    """Assert what is promised of a body of this type; give whether it is a form."""
    lent = bytearray(body)
    try:
        boundary = boundary_of(content_type)
        if boundary is None:
            return False
        found = read_form(lent, boundary, KNOWN)
    except ServeFault as fault:
        well_formed(fault, FAULTS)
        found = None
    else:
        _bounded(found, body)
    assert lent == body, "the body is changed"
    if boundary_is_plain(content_type):
        parts = plain(body, content_type.rpartition(b"=")[2].strip(b'"'))
        if parts is not None:
            assert (found is not None) == _fits(parts)
            if found is not None:
                files = [(part.file, part.content) for part in parts if part.file is not None]
                assert [(each.name, each.content) for each in found.files] == files
                assert found.fields == {each.name: each.content.decode() for each in parts if each.file is None}
    return found is not None


def boundary_is_plain(content_type: bytes) -> bool:
    """Whether all readers find the same boundary."""
    return re.fullmatch(rb'multipart/form-data; boundary=([\w-]{1,70}|"[\w-]{1,70}")', content_type) is not None


def plain(body: bytes, boundary: bytes) -> list[Part] | None:
    """The parts of a form that is by the book, RFC 7578 and 2046, in every line; nothing of another."""
    before, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if before or len(pieces) < 2 or pieces.pop() not in (b"--", b"--\r\n"):
        return None
    parts: list[Part] = []
    for piece in pieces:
        head, blank, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not piece.startswith(b"\r\n") or not blank:
            return None
        lines = head.split(b"\r\n")
        if not all(len(line) < LONGEST_LINE and re.fullmatch(rb"[A-Za-z-]+: [ -~]+", line) for line in lines):
            return None
        told = [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"content-disposition:")]
        match = (
            re.fullmatch(rb'form-data; name="(\w*)"(?:; filename="([\w. ]*)")?', told[0]) if len(told) == 1 else None
        )
        if match is None or (match[2] is None and not content.isascii()):
            return None
        parts.append(Part(match[1].decode(), None if match[2] is None else match[2].decode(), content))
        if len(lines) > MOST_HEADERS:
            parts += [parts[-1]] * MOST_PARTS  # one refusal stands for the other
    return parts


def _fits(parts: list[Part]) -> bool:
    fields = [part for part in parts if part.file is None]
    known = all(part.name in KNOWN and len(part.content) <= LONGEST_FIELD for part in fields)
    return known and len({part.name for part in fields}) == len(fields) < len(parts) <= MOST_PARTS


def _bounded(form: Form, body: bytes) -> None:
    assert form.files
    assert len(form.files) + len(form.fields) <= MOST_PARTS
    assert set(form.fields) <= set(KNOWN)
    assert all(len(value) <= LONGEST_FIELD for value in form.fields.values())
    assert all(each.content in body for each in form.files)
    assert sum(len(each.content) for each in form.files) < len(body)
