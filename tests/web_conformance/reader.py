"""A strict reader of responses: everything that RFC 9112 does not allow a server to send is a complaint.

Real clients tolerate many deviations; this one must not, because its purpose is to find them.
It knows only bytes and leaves sockets and time to `harness.py`.
"""

import re
from dataclasses import dataclass, field

MAX_HEAD_BYTES = 65536

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e]*)?")
_LENGTH = re.compile("[0-9]{1,15}")


class MalformedAnswerError(ValueError):
    """The server sent data that RFC 9112 does not allow."""


@dataclass(slots=True)
class Answer:
    """One response, including interim responses; `body` grows until `is_complete`."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    framing: str = "none"
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    is_complete: bool = False

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The only value of the field; None if it is absent or repeated."""
        found = self.values(name)
        return found[0] if len(found) == 1 else None

    def options(self, name: str) -> set[str]:
        """The members of a comma-separated field, in lower case."""
        return {part.strip().lower() for value in self.values(name) for part in value.split(",")} - {""}


class AnswerReader:
    """Parses responses. `methods` are those of the requests in order, then GET."""

    def __init__(self, methods: tuple[str, ...]) -> None:
        self.answers: list[Answer] = []
        self.interim: list[Answer] = []
        self.complaint: str | None = None
        self._methods = methods
        self._buffer = bytearray()
        self._open: Answer | None = None
        self._left_bytes = 0
        self._chunk_state = "size"

    def feed(self, data: bytes) -> None:
        if self.complaint is not None:
            return
        self._buffer += data
        try:
            while self._step():
                pass
        except MalformedAnswerError as error:
            self.complaint = str(error)

    def feed_eof(self) -> None:
        if self.complaint is not None:
            return
        if self._open is not None:
            if self._open.framing == "close":
                self._finish()
            else:
                self.complaint = f"the connection ended inside the answer {self._open.status}"
        elif self._buffer:
            self.complaint = f"the connection ended after {bytes(self._buffer[:60])!r}"

    def _step(self) -> bool:
        """Reads one element; False when more bytes are needed."""
        if self._open is None:
            return self._read_head()
        if self._open.framing == "length":
            return self._read_counted(self._open)
        if self._open.framing == "chunked":
            return self._read_chunked(self._open)
        self._open.body += self._buffer
        self._buffer.clear()
        return False

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedAnswerError("a line without end")
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise MalformedAnswerError(f"a line ends without CR LF: {line[:60]!r}")
        return line[:-2]

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if b"\n\n" in self._buffer:
                raise MalformedAnswerError("the head ends with bare line feeds")
            if self._buffer and not b"HTTP/1.".startswith(bytes(self._buffer[:7])):
                raise MalformedAnswerError(f"no status line but {bytes(self._buffer[:60])!r}")
            return False
        status_line, *field_lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        matched = _STATUS_LINE.fullmatch(status_line)
        if matched is None:
            raise MalformedAnswerError(f"not a status line: {status_line[:60]!r}")
        fields = [_field(line) for line in field_lines]
        answer = Answer(matched[1].decode(), int(matched[2]), matched[3].decode("latin-1"), fields)
        self._frame(answer)
        return True

    def _frame(self, answer: Answer) -> None:
        lengths, codings = _framing(answer)
        if answer.status < 200:
            answer.is_complete = True
            self.interim.append(answer)
            return
        method = self._methods[len(self.answers)] if len(self.answers) < len(self._methods) else "GET"
        self._open = answer
        if method == "HEAD" or answer.status in {204, 304}:
            self._finish()
        elif codings:
            answer.framing, self._chunk_state = "chunked", "size"
        elif lengths:
            answer.framing, self._left_bytes = "length", int(lengths[0])
            if self._left_bytes == 0:
                self._finish()
        else:
            answer.framing = "close"

    def _finish(self) -> None:
        if self._open is None:
            raise MalformedAnswerError("an answer ends that never began")
        self._open.is_complete = True
        self.answers.append(self._open)
        self._open = None

    def _read_counted(self, answer: Answer) -> bool:
        piece = bytes(self._buffer[: self._left_bytes])
        del self._buffer[: len(piece)]
        answer.body += piece
        self._left_bytes -= len(piece)
        if self._left_bytes == 0:
            self._finish()
            return True
        return False

    def _read_chunked(self, answer: Answer) -> bool:
        if self._chunk_state == "data":
            if len(self._buffer) < self._left_bytes + 2:
                return False
            answer.body += self._buffer[: self._left_bytes]
            if self._buffer[self._left_bytes : self._left_bytes + 2] != b"\r\n":
                raise MalformedAnswerError("no CR LF after the data of a chunk")
            del self._buffer[: self._left_bytes + 2]
            self._chunk_state = "size"
            return True
        line = self._line()
        if line is None:
            return False
        if self._chunk_state == "trailers":
            if line:
                answer.trailers.append(_field(line))
            else:
                self._finish()
            return True
        matched = _CHUNK_LINE.fullmatch(line)
        if matched is None:
            raise MalformedAnswerError(f"not a chunk size: {line[:60]!r}")
        self._left_bytes = int(matched[1], 16)
        self._chunk_state = "data" if self._left_bytes else "trailers"
        return True

    @property
    def unfinished(self) -> Answer | None:
        """The incomplete response."""
        return self._open


def _framing(answer: Answer) -> tuple[list[str], list[str]]:
    """Return the lengths and the transfer codings, at most one of them."""
    lengths, codings = answer.values("Content-Length"), answer.values("Transfer-Encoding")
    if lengths and codings:
        raise MalformedAnswerError("both Content-Length and Transfer-Encoding")
    if (answer.status < 200 or answer.status == 204) and (lengths or codings):
        raise MalformedAnswerError(f"{answer.status} carries a length or a transfer coding")
    if len(lengths) > 1 or any(_LENGTH.fullmatch(length) is None for length in lengths):
        raise MalformedAnswerError(f"Content-Length is {lengths}")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise MalformedAnswerError(f"Transfer-Encoding is {codings}")
    return lengths, codings


def _field(line: bytes) -> tuple[str, str]:
    matched = _FIELD_LINE.fullmatch(line)
    if matched is None:
        raise MalformedAnswerError(f"not a field line: {line[:60]!r}")
    return matched[1].decode("ascii"), matched[2].strip(b" \t").decode("latin-1")
