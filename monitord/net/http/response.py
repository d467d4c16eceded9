"""Parser of HTTP/1 responses, without input and output.

aiohttp's parsers differ between versions since 3.8, and reject responses that curl and browsers accept. This parser
accepts a response that violates RFC 9112 if its meaning is clear, and records a `Deviation`. It rejects a response that
two clients would interpret differently, with a message that names the reason.

A parser reads one response with its interim responses (1xx). Everything is limited: the bytes and lines of heads, the
number of interim responses, the overhead of chunks and the body. `feed` does a limited amount of work; while `has_work`
is true, the caller gives the event loop a turn and calls `proceed`.
"""

import json
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from monitord.net.base.errors import CUT_SHORT, ExchangeError, FailureKind
from monitord.text import counted

DEFAULT_MAX_HEAD_BYTES = 256 * 1024
"""Limit for the head of a response with its interim responses and trailers. As in Chrome; curl has 300 KB."""
MAX_HEADERS = 5000
"""The limit of curl. Parsing this number of lines takes a few milliseconds."""
MAX_INTERIM_RESPONSES = 64
MAX_CHUNK_LINE_BYTES = 8192
MAX_CHUNK_OVERHEAD_BYTES = 64 * 1024
"""Limit for size lines and extensions beyond 16 bytes for each chunk and twice its size, as in Go's net/http."""
CHUNKS_AT_ONCE = 1000
"""Chunks between two iterations of the event loop: about a millisecond of work."""
BEGINNING_BYTES = 4096
"""Stored beginning of a body that no condition reads, for the excerpt."""
SHOWN_BYTES = 40
"""Rejected bytes shown in a message."""
SHOWN_WORD_BYTES = 8
"""Rejected bytes shown in a message if they contain no space."""


class Deviation(Enum):
    """A violation of a rule that leaves the meaning of a response clear. The values are public."""

    EMPTY_LINE_BEFORE = "empty_line_before_status"
    STATUS_LINE = "unusual_status_line"
    STATUS_RANGE = "status_above_599"
    BARE_LF = "bare_lf"
    BARE_CR = "bare_cr"
    CONTROL_CHARACTER = "control_character"
    FOLDED_HEADER = "folded_header"
    SPACE_BEFORE_COLON = "space_before_colon"
    HEADER_NAME = "unusual_header_name"
    NO_COLON = "header_without_colon"
    LENGTH_REPEATED = "content_length_repeated"
    LENGTH_AND_ENCODING = "content_length_with_transfer_encoding"
    LENGTH_WITHOUT_BODY = "content_length_without_body"
    ENCODING_REPEATED = "chunked_repeated"
    ENCODING_IDENTITY = "transfer_encoding_identity"
    ENCODING_OLD_VERSION = "transfer_encoding_in_http_1_0"
    ENCODING_UNASKED = "compressed_transfer_encoding"
    LAST_LINE_MISSING = "last_chunk_line_missing"
    BODY_NOT_ALLOWED = "body_not_allowed"
    BYTES_AFTER_BODY = "bytes_after_body"
    RAW_DEFLATE = "raw_deflate"
    COMPRESSION_MISNAMED = "compression_misnamed"
    BYTES_AFTER_COMPRESSED = "bytes_after_compressed_data"
    LOCATION = "unusual_location"


class RawHeaders:
    """Iterable of the header fields as bytes, without the spaces around the values. Evaluated when it is used."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Callable[[], list[tuple[bytes, bytes]]]) -> None:
        self._fields = fields

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter([(name, value.rstrip(b" \t")) for name, value in self._fields()])


class ResponseHead(NamedTuple):
    """The head of a response. `headers` are text (UTF-8, otherwise Latin-1), `raw_headers` the received bytes."""

    version: tuple[int, int]
    status: int
    reason: str
    headers: CIMultiDictProxy[str]
    raw_headers: RawHeaders


class _Body(Enum):
    HEAD = "head"  # the head is not complete yet
    LENGTH = "length"
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILERS = "trailers"
    TO_THE_END = "to the end of the connection"
    TUNNEL = "tunnel"  # after CONNECT: the following bytes are not HTTP
    COMPLETE = "complete"


_PLAIN_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*+)"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+)*\r\n\r\n"
)
"""A head without deviations, the usual case."""
_FIELD = re.compile(rb"\r\n([^:\r]+):[ \t]*([^\r]*)")
_TEXT_FIELD = re.compile(_FIELD.pattern.decode())
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_FOLDED_BEFORE = re.compile(rb"\A(?:[ \t][^\n]*(?:\n|\Z))+")
_STATUS_LINE = re.compile(
    rb"(HTTP|ICY)(?:/([0-9]{1,4})(?:\.([0-9]{1,4}))?)?([ \t]+)([^ \t]+)(?:([ \t])[ \t]*(.*))?", re.IGNORECASE
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?(\r?)\n")
_LONG_CHUNK_SIZE = re.compile(rb"[ \t]*[0-9A-Fa-f]{16,}[ \t]*[;\r\n]")
_LAST_WORD = re.compile(rb"[^ \t\r\n]*\Z")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

_VERSIONS = frozenset({(b"1", b"0"), (b"1", b"1")})
_PROTOCOLS = (
    (b"SSH-", "SSH"),
    (b"+OK", "POP3"),
    (b"* OK", "IMAP"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"-ERR", "Redis"),
    (b"RFB ", "VNC"),
)
_HTTP_PREFIXES = (b"HTTP", b"ICY")
_TLS_RECORDS = frozenset({0x14, 0x15, 0x16, 0x17})
_HTTP2_FIRST_FRAMES = frozenset({4, 7})  # SETTINGS, GOAWAY
_HTTP2_FRAME_BYTES = 9
_WORD_BYTES = 4
"""Bytes that distinguish HTTP from other protocols."""
_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate"})
_NO_BODY = frozenset({204, 304})
_UPGRADED = 101
_FIRST_FINAL_STATUS = 200


def text_of(raw: bytes) -> str:
    """Decode UTF-8, or Latin-1 if the bytes are not UTF-8: without lone surrogates, and without loss."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _plain_headers(head: bytes, start: int, end: int) -> list[tuple[str, str]]:
    """Return the headers of a head without deviations."""
    if not head.isascii():
        return [
            (text_of(name), text_of(value.rstrip(b" \t"))) for name, value in _FIELD.findall(head, start, end)
        ]
    headers: list[tuple[str, str]] = _TEXT_FIELD.findall(head.decode("ascii"), start, end)
    if b" \r" in head or b"\t\r" in head:
        return [(name, value.rstrip(" \t")) for name, value in headers]
    return headers


def _shown(raw: bytes) -> str:
    """Return the beginning of received bytes as JSON, for a message.

    An incomplete word at the end is dropped: it may be the beginning of a secret, which would not be masked.
    """
    if len(raw) <= SHOWN_BYTES:
        return json.dumps(text_of(raw))
    beginning = raw[:SHOWN_BYTES]
    whole_words = _LAST_WORD.sub(b"", beginning)
    return json.dumps(text_of(whole_words or beginning[:SHOWN_WORD_BYTES]))[:-1] + '…"'


def _rejected(detail: str) -> ExchangeError:
    return ExchangeError(FailureKind.PROTOCOL_ERROR, detail)


class ResponseParser:
    """Parser of one response. `feed`, `proceed` and `feed_eof` raise `ExchangeError` if it is invalid or too large.

    - `head`: None until the head of the final response is complete.
    - `kept_bytes`: the bytes of the body to store; further bytes are only counted.
    - `compressions`: the transfer codings other than chunked, in the order in which they were applied.
    """

    __slots__ = (
        "_accepts_upgrade",
        "_chunk_bytes",
        "_end",
        "_head_bytes",
        "_interim",
        "_interim_status",
        "_kept_bytes",
        "_max_body_bytes",
        "_max_head_bytes",
        "_method",
        "_overhead",
        "_rest",
        "_scanned",
        "body",
        "body_bytes",
        "compressions",
        "deviations",
        "has_work",
        "head",
        "keeps_connection",
        "received_bytes",
    )

    def __init__(
        self,
        *,
        method: str = "GET",
        max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES,
        max_body_bytes: int,
        kept_bytes: int,
        accepts_upgrade: bool = False,
    ) -> None:
        self._method = method
        self._max_head_bytes = max_head_bytes
        self._max_body_bytes = max_body_bytes
        self._kept_bytes = kept_bytes
        self._accepts_upgrade = accepts_upgrade
        self._end = _Body.HEAD
        self._rest = b""
        self._scanned = 0
        self._head_bytes = 0
        self._interim = 0
        self._interim_status = 0
        self._chunk_bytes = 0  # remaining bytes of the chunk, or of a body with a length
        self._overhead = 0
        self.head: ResponseHead | None = None
        self.body: bytes | bytearray = b""
        self.body_bytes = 0
        self.compressions: tuple[str, ...] = ()
        self.deviations: list[Deviation] = []
        self.has_work = False
        self.keeps_connection = False
        self.received_bytes = 0

    @property
    def is_complete(self) -> bool:
        return self._end is _Body.COMPLETE

    @property
    def progress_note(self) -> str:
        """The received part of an incomplete head, for a timeout message; "" if nothing was received."""
        if self.head is not None or not self.received_bytes:
            return ""
        if self._interim and not self._rest:
            return f"only {self._interim_text} (status {self._interim_status})"
        return f"only {counted(self.received_bytes, 'byte')} of an incomplete head"

    @property
    def _interim_text(self) -> str:
        return counted(self._interim, "interim response")

    def note(self, deviation: Deviation) -> None:
        if deviation not in self.deviations:
            self.deviations.append(deviation)

    def feed(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self._rest = self._rest + data if self._rest else data
        if not self.has_work:
            self.proceed()

    def proceed(self) -> None:
        self.has_work = False
        while self._end is _Body.HEAD:
            if not self._read_head():
                return
        match self._end:
            case _Body.LENGTH:
                self._read_length()
            case _Body.TO_THE_END:
                rest, self._rest = self._rest, b""
                self._keep(rest, 0, len(rest))
            case _Body.TUNNEL:
                self.body_bytes += len(self._rest)
                self._rest = b""
            case _Body.COMPLETE:
                self._discard_rest()
            case _:
                self._read_chunks()

    def feed_eof(self) -> None:
        """Handle the orderly end of the connection, which completes a body without a length."""
        match self._end:
            case _Body.COMPLETE:
                return
            case _Body.TO_THE_END:
                self._end = _Body.COMPLETE
            case _Body.TRAILERS if not self._rest.strip(b"\r\n"):
                self.note(Deviation.LAST_LINE_MISSING)
                self._complete()
            case _Body.HEAD if self._rest.strip(b"\r\n"):
                self._check_beginning(is_complete=True)
                raise ExchangeError(
                    FailureKind.RESET,
                    "the peer closed the connection before the end of the response head, "
                    f"after {counted(self.received_bytes, 'byte')}",
                )
            case _Body.HEAD:
                after = f" after {self._interim_text}" if self._interim else " without a response"
                raise ExchangeError(FailureKind.RESET, f"the peer closed the connection{after}")
            case _:
                raise ExchangeError(FailureKind.RESET, CUT_SHORT)

    def head_so_far(self) -> ResponseHead | None:
        """Return the head, or the received lines of an incomplete head; None without a status line."""
        lines, end, _ = self._rest.rpartition(b"\n")
        if self.head is not None or not end or self._end is not _Body.HEAD:
            return self.head
        try:
            version, status, reason, fields = self._read_lines(lines, is_bare=False)
        except ExchangeError:
            return None
        if status < _FIRST_FINAL_STATUS:
            return None
        headers = CIMultiDict([(text_of(name), text_of(value)) for name, value in fields])
        return ResponseHead(version, status, reason, CIMultiDictProxy(headers), RawHeaders(lambda: fields))

    # The head

    def _read_head(self) -> bool:
        """Read a head, interim or final. Return whether it was complete."""
        if not self._rest:
            return False
        if self._scanned == 0 and (plain := _PLAIN_HEAD.match(self._rest)) is not None:
            size = plain.end()
            self._count_head(size)
            head, self._rest = self._rest[:size], self._rest[size:]
            version, status, reason = (1, int(plain[1])), int(plain[2]), text_of(plain[3])
            start, end = plain.end(3), size - 2
            headers = _plain_headers(head, start, end)
            raw = RawHeaders(lambda: _FIELD.findall(head, start, end))
        else:
            if self._rest[0] in b"\r\n":
                rest = self._rest.lstrip(b"\r\n")
                blank = len(self._rest) - len(rest)
                self._count_head(blank)
                self.received_bytes -= blank
                self._rest = rest
                self.note(Deviation.EMPTY_LINE_BEFORE)
                return bool(self._rest)
            if self._scanned < _HTTP2_FRAME_BYTES:
                self._check_beginning(is_complete=False)
            ending = _END_OF_HEAD.search(self._rest, max(0, self._scanned - 2))
            if ending is None:
                self._scanned = len(self._rest)
                if self._head_bytes + self._scanned > self._max_head_bytes:
                    raise self._too_large()
                return False
            size = ending.end()
            self._count_head(size)
            head, self._rest = self._rest[: ending.start()], self._rest[size:]
            version, status, reason, fields = self._read_lines(head, is_bare=ending.start() + 2 == size)
            headers = [(text_of(name), text_of(value)) for name, value in fields]
            raw = RawHeaders(lambda: fields)
        self._scanned = 0
        if len(headers) > MAX_HEADERS:
            raise self._too_many_headers()
        if status < _FIRST_FINAL_STATUS and not (status == _UPGRADED and self._is_final_upgrade()):
            self._interim += 1
            self._interim_status = status
            if self._interim > MAX_INTERIM_RESPONSES:
                raise _rejected(
                    f"more than {MAX_INTERIM_RESPONSES} interim responses (status {status}) "
                    "before the response"
                )
            return True
        self.head = ResponseHead(version, status, reason, CIMultiDictProxy(CIMultiDict(headers)), raw)
        self._frame(self.head)
        return True

    def _is_final_upgrade(self) -> bool:
        if not self._accepts_upgrade:
            raise _rejected("the response switches protocols (status 101), which the request did not ask for")
        return True

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._max_head_bytes:
            raise self._too_large()

    def _too_large(self) -> ExchangeError:
        interim = f" with {self._interim_text}" if self._interim else ""
        return ExchangeError(
            FailureKind.TOO_LARGE,
            f"the head of the response{interim} is larger than max_header_size ({self._max_head_bytes} bytes)",
        )

    def _too_many_headers(self) -> ExchangeError:
        return ExchangeError(FailureKind.TOO_LARGE, f"the response has more than {MAX_HEADERS} headers")

    def _check_beginning(self, *, is_complete: bool) -> None:
        """Reject protocols other than HTTP/1 as early as possible: the server may send nothing after its banner."""
        beginning = self._rest[: _HTTP2_FRAME_BYTES + 1]
        if len(beginning) < _WORD_BYTES and not is_complete:
            return
        if beginning[0] in _TLS_RECORDS and beginning[1:2] == b"\x03":
            raise _rejected("the server speaks TLS here; write https instead of http")
        if beginning[:2] == b"\0\0" and len(beginning) >= _HTTP2_FRAME_BYTES:
            if beginning[3] in _HTTP2_FIRST_FRAMES and beginning[5:9] == b"\0\0\0\0":
                raise _rejected("the server speaks HTTP/2 only, which is not supported")
        elif beginning[:2] == b"\0\0" and not is_complete:
            return
        size = min(len(beginning), _WORD_BYTES)
        word = beginning[:size].upper()
        if any(word[: len(prefix)] == prefix[:size] for prefix in _HTTP_PREFIXES) and not is_complete:
            return
        for prefix, protocol in _PROTOCOLS:
            if self._rest.startswith(prefix):
                first_line = self._rest.partition(b"\n")[0].rstrip(b"\r")
                raise _rejected(f"the server speaks {protocol} here, not HTTP: {_shown(first_line)}")
        if word[:4] == b"HTTP" or word[:3] == b"ICY":
            return
        raise _rejected(f"the response has no HTTP status line; it begins with {_shown(self._rest)}")

    def _read_lines(  # noqa: C901 - one rule after the other
        self, head: bytes, *, is_bare: bool
    ) -> tuple[tuple[int, int], int, str, list[tuple[bytes, bytes]]]:
        """Return version, status, reason and fields of a head with deviations, given without its last line end."""
        if b"\0" in head:
            raise _rejected("the head of the response contains a NUL character")
        if is_bare or head.count(b"\n") != head.count(b"\r\n") or not head.endswith(b"\r"):
            self.note(Deviation.BARE_LF)
        first, _, rest = head.removesuffix(b"\r").partition(b"\n")
        version, status, reason = self._read_status_line(first.removesuffix(b"\r"))
        if b"\n " in head or b"\n\t" in head:
            self.note(Deviation.FOLDED_HEADER)
            # RFC 9112, sections 5.2 and 2.2: join folded lines, and ignore them before the first header.
            rest = _FOLD.sub(b" ", _FOLDED_BEFORE.sub(b"", rest, count=1))
        lines = _LINE_END.split(rest) if rest else []
        if len(lines) > MAX_HEADERS:
            raise self._too_many_headers()
        if _CONTROL.search(head):
            self.note(Deviation.CONTROL_CHARACTER)
        if any(b"\r" in line for line in (first.removesuffix(b"\r"), *lines)):
            self.note(Deviation.BARE_CR)  # RFC 9112, section 2.2: replace it with a space
        fields: list[tuple[bytes, bytes]] = []
        for raw in lines:
            line = raw.replace(b"\r", b" ")
            name, colon, value = line.partition(b":")
            bare = name.rstrip(b" \t")
            if not colon or not bare:
                self.note(Deviation.NO_COLON)
                continue
            if bare != name:
                self.note(Deviation.SPACE_BEFORE_COLON)
            if not _NAME.fullmatch(bare):
                self.note(Deviation.HEADER_NAME)
            fields.append((bare, value.strip(b" \t")))
        return version, status, text_of(reason), fields

    def _read_status_line(self, line: bytes) -> tuple[tuple[int, int], int, bytes]:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise _rejected(f"the status line is not valid HTTP: {_shown(line)}")
        protocol, major, minor, gap, status, space, reason = match.groups()
        if protocol.upper() == b"ICY":  # SHOUTcast
            version = (1, 0)
        elif major is not None and int(major) > 0:  # curl and Chrome read "HTTP/2" here as 1.1 too
            version = (1, 0) if (int(major), int(minor or 1)) == (1, 0) else (1, 1)
        else:
            raise _rejected(f"the HTTP version of the response is not supported: {_shown(line)}")
        if not re.fullmatch(rb"[0-9]{3}", status) or status < b"100":
            raise _rejected(f"the status code is not a number from 100 to 999: {_shown(line)}")
        if status > b"599":
            self.note(Deviation.STATUS_RANGE)
        if protocol != b"HTTP" or gap != b" " or space != b" " or (major, minor) not in _VERSIONS:
            self.note(Deviation.STATUS_LINE)
        return version, int(status), (reason or b"").replace(b"\r", b" ")

    # The length of the body: RFC 9112, section 6.3

    def _frame(self, head: ResponseHead) -> None:
        headers, status = head.headers, head.status
        connection = headers.get("Connection")
        if connection is None:
            self.keeps_connection = head.version == (1, 1)
        elif connection != "close":
            options = {option.strip().lower() for option in ",".join(headers.getall("Connection")).split(",")}
            self.keeps_connection = "close" not in options and (
                head.version == (1, 1) or "keep-alive" in options
            )
        if self._method == "CONNECT" and status // 100 == 2:  # noqa: PLR2004 - RFC 9110, section 9.3.6
            if "Content-Length" in headers or "Transfer-Encoding" in headers:
                self.note(Deviation.LENGTH_WITHOUT_BODY)
            self._end = _Body.TUNNEL
            return
        lengths = headers.getall("Content-Length", None)
        if self._method == "HEAD" or status in _NO_BODY or status == _UPGRADED:
            self.keeps_connection = self.keeps_connection and status != _UPGRADED
            if status in {204, _UPGRADED} and lengths is not None and lengths != ["0"]:
                self.note(Deviation.LENGTH_WITHOUT_BODY)
            self._complete()
            return
        codings = headers.getall("Transfer-Encoding", None)
        if codings is not None and self._read_transfer_codings(head, codings, has_length=lengths is not None):
            return
        if lengths is None:
            self._end = _Body.TO_THE_END
            self.keeps_connection = False
            return
        self._chunk_bytes = self._read_content_length(lengths)
        if self._chunk_bytes > self._max_body_bytes:
            raise self._body_too_large()
        self._end = _Body.LENGTH

    def _read_content_length(self, lengths: list[str]) -> int:
        if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
            return int(lengths[0])
        values = [value.strip() for value in ",".join(lengths).split(",")]
        for value in values:
            if not _LENGTH.fullmatch(value):
                if value.isascii() and value.isdigit():
                    raise self._body_too_large()
                raise _rejected(f"the Content-Length is not a number: {_shown(value.encode())}")
        if len({int(value) for value in values}) > 1:
            raise _rejected(
                f"the response has different Content-Lengths: {_shown(', '.join(values).encode())}"
            )
        if len(values) > 1:
            self.note(Deviation.LENGTH_REPEATED)
        return int(values[0])

    def _read_transfer_codings(  # noqa: C901 - one rule after the other
        self, head: ResponseHead, values: list[str], *, has_length: bool
    ) -> bool:
        """Read the Transfer-Encoding headers. Return whether they determine the end of the body."""
        codings = [coding.strip().lower() for coding in ",".join(values).split(",")]
        rest = [coding for coding in codings if coding not in {"", "identity"}]
        if len(rest) < len(codings):
            self.note(Deviation.ENCODING_IDENTITY)
        if not rest:
            return False
        if head.version == (1, 0):
            self.note(Deviation.ENCODING_OLD_VERSION)
            self.keeps_connection = False
        if has_length:
            self.note(Deviation.LENGTH_AND_ENCODING)
            self.keeps_connection = False
        is_chunked = rest[-1] == "chunked"
        while rest and rest[-1] == "chunked":
            rest.pop()
        if is_chunked and codings.count("chunked") > 1:
            self.note(Deviation.ENCODING_REPEATED)
        if "chunked" in rest:
            raise _rejected(
                f"chunked is not the last Transfer-Encoding: {_shown(', '.join(codings).encode())}"
            )
        if unknown := [coding for coding in rest if coding not in _COMPRESSIONS]:
            raise _rejected(f"the Transfer-Encoding is unknown: {_shown(unknown[0].encode())}")
        if rest:
            self.note(Deviation.ENCODING_UNASKED)
            self.compressions = tuple(rest)
        if is_chunked:
            self._end = _Body.CHUNK_SIZE
        else:
            self._end = _Body.TO_THE_END
            self.keeps_connection = False
        return True

    # The body

    def take_body(self) -> bytes:
        """Return the stored bytes of the body, and store only further ones: for a body that is read as a stream."""
        taken, self.body = bytes(self.body), b""
        return taken

    def _read_length(self) -> None:
        rest, remaining = self._rest, self._chunk_bytes
        if (
            len(rest) == remaining <= self._kept_bytes and not self.body
        ):  # the whole body at once: the usual case
            self.body, self.body_bytes, self._rest = rest, remaining, b""
            self._end = _Body.COMPLETE
            return
        size = min(len(rest), remaining)
        self._rest = rest[size:]
        self._chunk_bytes -= size
        self._keep(rest, 0, size)
        if not self._chunk_bytes:
            self._complete()

    def _keep(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        self.body_bytes += size
        if self.body_bytes > self._max_body_bytes:
            raise self._body_too_large()
        room = self._kept_bytes - len(self.body)
        if room <= 0 or not size:
            return
        piece = data[start : start + min(size, room)]
        if not self.body:
            self.body = piece
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += piece

    def _body_too_large(self) -> ExchangeError:
        return ExchangeError(FailureKind.TOO_LARGE, f"the body is larger than {self._max_body_bytes} bytes")

    def _read_chunks(self) -> None:  # noqa: C901, PLR0912 - the parts of a chunked body
        data, at = self._rest, 0
        for _ in range(CHUNKS_AT_ONCE):
            if self._end is _Body.CHUNK_SIZE:
                match = _CHUNK_LINE.match(data, at)
                if match is None:
                    self._check_chunk_line(data, at)
                    break
                size = int(match[1], 16)
                self._overhead = max(0, self._overhead + (match.end() - at) - 16 - 2 * size)
                if self._overhead > MAX_CHUNK_OVERHEAD_BYTES:
                    raise ExchangeError(
                        FailureKind.TOO_LARGE,
                        "the chunks of the body consist of extensions rather than of data",
                    )
                if not match[2]:
                    self.note(Deviation.BARE_LF)
                at = match.end()
                self._chunk_bytes = size
                self._end = _Body.CHUNK if size else _Body.TRAILERS
            if self._end is _Body.CHUNK:
                size = min(len(data) - at, self._chunk_bytes)
                self._keep(data, at, at + size)
                at += size
                self._chunk_bytes -= size
                if self._chunk_bytes:
                    break
                self._end = _Body.CHUNK_END
            if self._end is _Body.CHUNK_END:
                if data.startswith(b"\r\n", at):
                    at += 2
                elif data.startswith(b"\n", at):
                    self.note(Deviation.BARE_LF)
                    at += 1
                elif data[at:] in (b"", b"\r"):
                    break
                else:
                    raise _rejected("a chunk of the body is longer than its size")
                self._end = _Body.CHUNK_SIZE
            if self._end is _Body.TRAILERS:
                self._rest = data[at:]
                self._read_trailers()
                return
        else:
            self.has_work = at < len(data)
        self._rest = data[at:]

    def _check_chunk_line(self, data: bytes, at: int) -> None:
        """Reject an invalid size line; return if it is incomplete."""
        end = data.find(b"\n", at)
        if end < 0 and len(data) - at <= MAX_CHUNK_LINE_BYTES:
            return
        if end < 0:
            raise ExchangeError(
                FailureKind.TOO_LARGE, f"the size line of a chunk is longer than {MAX_CHUNK_LINE_BYTES} bytes"
            )
        if _LONG_CHUNK_SIZE.match(data, at):
            raise _rejected("the size of a chunk has more than 15 digits")
        raise _rejected(f"the size of a chunk is not a hexadecimal number: {_shown(data[at:end].rstrip())}")

    def _read_trailers(self) -> None:
        """Skip the trailers, as RFC 9110, section 6.5.1, allows."""
        rest = self._rest
        if rest.startswith((b"\r\n", b"\n")):
            size = 2 if rest[0] == 0x0D else 1  # noqa: PLR2004 - CR
        elif (end := _END_OF_HEAD.search(rest, max(0, self._scanned - 2))) is not None:
            size = end.end()
        else:
            self._scanned = len(rest)
            if self._head_bytes + len(rest) > self._max_head_bytes:
                raise ExchangeError(
                    FailureKind.TOO_LARGE,
                    f"the trailers of the response are larger than max_header_size ({self._max_head_bytes} bytes)",
                )
            return
        self._count_head(size)
        self._rest = rest[size:]
        self._complete()

    def _complete(self) -> None:
        self._end = _Body.COMPLETE
        self._discard_rest()

    def _discard_rest(self) -> None:
        if not self._rest:
            return
        self._rest = b""
        self.keeps_connection = False
        head = self.head
        if head is not None and head.status == _UPGRADED:
            return  # bytes of the new protocol
        is_bodiless = head is not None and (self._method == "HEAD" or head.status in _NO_BODY)
        self.note(Deviation.BODY_NOT_ALLOWED if is_bodiless else Deviation.BYTES_AFTER_BODY)
