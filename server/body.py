"""Bodies of requests: read, and unpacked where they came compressed; never more of them than a limit."""

from __future__ import annotations

import zlib
from typing import Any
from wsgiref.types import WSGIEnvironment

from monitor.columns.column import clean_text
from monitor.errors import InputError
from server.payload import check_json_type

#: What `Content-Encoding` may say, and zlib's number for it.
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}

#: Bytes of a compressed body that are unpacked at a time.
_PART = 1 << 16

#: Members that a gzip body may have. Each costs a fresh start, however few bytes come out of it.
MEMBERS = 1000


def read_json(environ: WSGIEnvironment, max_body: int) -> bytes:
    """The body of a request that must be JSON. Raises InputError."""
    check_json_type(environ.get("CONTENT_TYPE", ""))
    return read_body(environ, max_body)


def read_body(environ: WSGIEnvironment, max_body: int) -> bytes:
    """The body of a request, whatever it is. Raises InputError if it is too large, before or after unpacking."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_body:
        raise InputError("too_large", f"the body has {length} bytes; the limit is {max_body}", status=413)
    body: bytes
    if "HTTP_CONTENT_ENCODING" in environ:
        stream, parts = open_body(environ, max_body), []
        while part := stream.read(_PART):
            parts.append(part)
        body = b"".join(parts)
    else:
        body = environ["wsgi.input"].read(length)
    return body


def open_body(environ: WSGIEnvironment, limit: int) -> Any:
    """The body as a stream with `read(size)`. Raises InputError if it is packed in a way that is not supported."""
    given = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if given in ("", "identity"):
        return environ["wsgi.input"]
    if given not in _ENCODINGS:
        message = f"{clean_text(given)!r} is not supported; send the body as it is, or with gzip or deflate"
        raise InputError("wrong_encoding", message, "header Content-Encoding", 415)
    return Unpacked(environ["wsgi.input"], given, limit)


class Unpacked:
    """A compressed stream, unpacked as it is read. `limit`: the most bytes that may come out of it."""

    def __init__(self, stream: Any, encoding: str, limit: int) -> None:
        self._stream, self._encoding, self._limit = stream, encoding, limit
        self._packed, self._length, self._members = b"", 0, 1
        self._inflate = zlib.decompressobj(_ENCODINGS[encoding])

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer at the end. Raises InputError: damaged, cut off, or beyond the limit."""
        parts = []
        while size > 0 and (part := self._next(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _next(self, size: int) -> bytes:
        out = b""
        while not out:
            self._packed = self._packed or self._stream.read(_PART)
            if not self._packed:
                if self._inflate.eof:
                    return b""
                raise InputError("bad_encoding", f"the {self._encoding} body is cut off")
            if self._inflate.eof:  # gzip allows several members in a row
                self._members += 1
                if self._members > MEMBERS:
                    raise InputError("bad_encoding", f"the body has more than {MEMBERS} gzip members")
                self._inflate = zlib.decompressobj(_ENCODINGS[self._encoding])
            try:
                out = self._inflate.decompress(self._packed, size)
            except zlib.error as error:
                raise InputError("bad_encoding", f"the body is not {self._encoding}: {error}") from None
            self._packed = self._inflate.unconsumed_tail or self._inflate.unused_data
        self._length += len(out)
        if self._length > self._limit:
            message = f"unpacked, the body has more than {self._limit} bytes, which is the limit"
            raise InputError("too_large", message, None, 413)
        return out
