"""The incoming half of HTTP/1 without I/O: bytes in, heads and pieces of bodies out.

`Inbox` holds the received bytes that are not used yet. It returns one head, then the body of that request in pieces,
then the next head. Pipelining is therefore limited by bytes alone, and an error in the third request appears after
the first two are answered. The result does not depend on how the bytes were split into reads. Incomplete heads,
chunk lines and trailers are bounded here; the reader of a body determines how much of it is read ahead.
"""

import re

from .head import Head, ProtocolError, parse_head
from .limits import Limits

MAX_CHUNK_LINE_BYTES = 256
MAX_CHUNK_EXTENSION_BYTES = 8 * 1024  # in one body; extensions are not used
MAX_TRAILER_BYTES = 8 * 1024

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+")
# A line feed without its carriage return, or the reverse, or NUL: invalid anywhere in a head.
_BARE = re.compile(rb"(?<!\r)\n|\r[^\n]|\0")


class LengthFrame:
    """A body of known length, of which `left` bytes are still to come."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def take(self, data: bytes, start: int, max_bytes: int) -> tuple[bytes, int]:
        """Return at most `max_bytes` bytes of the body from data[start:], and the start of the unused rest."""
        piece = data[start : start + min(self.left, max_bytes)]
        self.left -= len(piece)
        self.done = self.left == 0
        return piece, start + len(piece)


class ChunkedFrame:
    """A chunked body, strictly by RFC 9112 section 7.1. Trailers are checked and discarded."""

    left = None  # unknown until the end
    __slots__ = ("_error", "_extension_bytes", "_left", "_state", "_trailer_bytes", "done")

    def __init__(self) -> None:
        self.done = False
        self._state = self._size
        self._left = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._error: ProtocolError | None = None

    def take(self, data: bytes, start: int, max_bytes: int) -> tuple[bytes, int]:
        """As `LengthFrame.take`. Raises ProtocolError after the bytes before the error have been returned."""
        if self._error is not None:
            raise self._error
        pieces: list[bytes] = []
        while max_bytes and not self.done:
            if self._left:
                piece = data[start : start + min(self._left, max_bytes)]
                if not piece:
                    break
                pieces.append(piece)
                start += len(piece)
                max_bytes -= len(piece)
                self._left -= len(piece)
                continue
            try:
                after = self._state(data, start)
            except ProtocolError as error:
                self._error = error
                if pieces:  # the bytes before the error are returned first, as with smaller reads
                    break
                raise
            if after == start:
                break
            start = after
        return b"".join(pieces), start

    def _size(self, data: bytes, start: int) -> int:
        end = _line_end(data, start, MAX_CHUNK_LINE_BYTES, "chunk size line")
        if end < 0:
            return start
        match = _CHUNK_LINE.fullmatch(data, start, end)
        if match is None:
            raise ProtocolError(400, "malformed chunk size")
        self._extension_bytes += end - match.end(1)
        if self._extension_bytes > MAX_CHUNK_EXTENSION_BYTES:
            raise ProtocolError(400, "too many chunk extensions")
        self._left = int(match[1], 16)
        self._state = self._after_data if self._left else self._trailer
        return end + 2

    def _after_data(self, data: bytes, start: int) -> int:
        ending = data[start : start + 2]
        if not b"\r\n".startswith(ending):
            raise ProtocolError(400, "a chunk is longer than its size")
        if len(ending) < 2:  # noqa: PLR2004 - CR LF
            return start
        self._state = self._size
        return start + 2

    def _trailer(self, data: bytes, start: int) -> int:
        end = _line_end(data, start, MAX_TRAILER_BYTES - self._trailer_bytes, "trailer")
        if end < 0:
            return start
        self._trailer_bytes += end + 2 - start
        if end == start:
            self.done = True
        elif _TRAILER_LINE.fullmatch(data, start, end) is None:
            raise ProtocolError(400, "malformed trailer field")
        return end + 2


Frame = LengthFrame | ChunkedFrame


def _line_end(data: bytes, start: int, max_bytes: int, name: str) -> int:
    """Return the end of a line, or -1 if it is incomplete. Raises ProtocolError if it exceeds `max_bytes`."""
    end = data.find(b"\r\n", start, start + max_bytes + 2)
    if end < 0 and len(data) - start >= max_bytes + 2:
        raise ProtocolError(400, f"{name} too long")
    return end


class Inbox:
    """Received bytes of one connection that are not used yet. Not usable after a ProtocolError."""

    __slots__ = ("_limits", "_scanned", "_start", "data", "frame")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.data = b""  # empty if all bytes are used
        self.frame: Frame | None = None  # of the unfinished body
        self._start = 0  # of the unused part of `data`
        self._scanned = 0  # `data` contains no complete head before this position

    @property
    def unused_bytes(self) -> int:
        return len(self.data) - self._start

    def feed(self, data: bytes) -> None:
        if self.data:
            data = self.data[self._start :] + data
            self._scanned = max(self._scanned - self._start, 0)
            self._start = 0
        self.data = data

    def drop(self) -> None:
        """Discard all unused bytes."""
        self.data = b""
        self._start = self._scanned = 0

    def next_head(self) -> Head | None:
        """Return the next head if it is complete. The body of the previous request must have been taken."""
        data, start = self.data, self._start
        if not data:
            return None
        while data.startswith(b"\r\n", start):  # RFC 9112 section 2.2: empty lines before a request line
            start += 2
        end = data.find(b"\r\n\r\n", max(self._scanned - 3, start))
        if end < 0:
            self._check_unfinished(data, start, len(data))
            self._use(start)
            self._scanned = len(self.data)
            return None
        has_many_fields = data.count(b"\n", start, end) > self._limits.fields
        if has_many_fields or end - start > min(self._limits.request_line_bytes, self._limits.head_bytes):
            self._check_unfinished(data, start, end + 3)  # as it was before its last byte
        end += 4
        head = parse_head(data[start:end], self._limits.fields)
        self._use(end)
        if head.length != 0:
            self.frame = ChunkedFrame() if head.length is None else LengthFrame(head.length)
        return head

    def take_body(self, max_bytes: int) -> bytes:
        """Return the next piece of the body; empty at its end and when nothing has arrived."""
        if self.frame is None:
            return b""
        piece, end = self.frame.take(self.data, self._start, max_bytes)
        self._use(end)
        if self.frame.done:
            self.frame = None
        return piece

    def _use(self, end: int) -> None:
        """Mark everything before `end` as used."""
        if end == len(self.data):
            self.data = b""
            end = 0
        self._start = self._scanned = end

    def _check_unfinished(self, data: bytes, start: int, end: int) -> None:
        """Reject a head that no further byte can make valid, at the first byte that shows it for any split of reads."""
        bare = _BARE.search(data, max(self._scanned - 1, start), end)
        size = end - start
        sound = (
            bare.end() - start if bare else size + 1
        )  # the bytes before this one are without a bare character
        line = self._limits.request_line_bytes + 2
        if line <= size and line < sound and data.find(b"\r\n", start, start + line) < 0:
            raise ProtocolError(414, "request line too long")
        if self._limits.head_bytes <= size and self._limits.head_bytes < sound:
            raise ProtocolError(431, "header fields too large")
        if bare:
            raise ProtocolError(400, "a bare line feed, carriage return or NUL in the request head")
