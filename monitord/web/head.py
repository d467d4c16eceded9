"""Request heads: complete, bounded bytes in; a checked `Head`, or a `ProtocolError`, out.

The only module that imports httptools. Two builds of it exist: 0.1.1 on http-parser (Debian 12 and 13), which accepts
`Host :`, folded fields, bare line feeds and `HTTP/9.9`, and 0.9 on llhttp, which has no size limit. Therefore this
module validates the grammar of RFC 9112 before httptools sees a byte, and decides the framing: httptools splits the
header fields of an accepted head when they are first used. Bodies never reach it; framing.py delimits them.
"""

import re
from urllib.parse import unquote_to_bytes

import httptools

from .limits import Limits

# RFC 9110 section 9 and RFC 5789. There is no CONNECT: the server is not a proxy.
METHODS = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY")
}

MAX_CONTENT_LENGTH_DIGITS = 18  # every accepted length fits in 63 bits
MAX_PORT = 65535

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t -~\x80-\xff]*+"
_FIELD = _TOKEN + rb":" + _VALUE + rb"\r\n"
_REQUEST_LINE = rb"(" + _TOKEN + rb") ([!-~]++) HTTP/([0-9])\.([0-9])\r\n"
_HEAD = re.compile(_REQUEST_LINE + rb"(?:" + _FIELD + rb")*\r\n")

# Fields that determine the framing of the request, the connection and the authority.
_FRAMING_NAMES = rb"host|content-length|transfer-encoding|connection|expect|upgrade|proxy-connection"
_FRAMING_FIELD = re.compile(rb"\r\n(" + _FRAMING_NAMES + rb"):[\t ]*+([^\r]*+)", re.IGNORECASE)
_LISTS = frozenset({b"connection", b"upgrade", b"proxy-connection"})

# The usual head: GET, HTTP/1.1, a target without percent-encoding, Host as the first field and not as an IPv6
# address, few fields, no body. A single match replaces the rules of `parse_head`, which would return an equal head.
# The group of fields is not possessive, because Python 3.11.2 does not restore the position when the body of a
# possessive group fails.
_USUAL_FIELDS = 30
_USUAL_HEAD = re.compile(
    rb"GET (/[!-\"$&->@-~]*+)(?:\?([!-\"$&-~]*+))? HTTP/1\.1\r\n"
    rb"Host: ([0-9A-Za-z\-._~]++(?::[1-5]?[0-9]{1,4}+)?)\r\n"
    rb"(?:(?![HhCcTtEeUuPp](?i:ost:|ontent-length:|ransfer-encoding:|onnection:(?! keep-alive\r)|xpect:|pgrade:"
    rb"|roxy-connection:))" + _FIELD + rb"){0,%d}\r\n" % (_USUAL_FIELDS - 1)
)

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# RFC 9110 section 7.2 and RFC 3986 section 3.2.2: uri-host [":" port], without userinfo.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+\]"
    rb"|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)([^?]*)(\?.*)?", re.IGNORECASE)


class ProtocolError(Exception):
    """A violation of HTTP by the client: answer with `status`, then close. `message` is plain text for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Head:
    """One request head that conforms to RFC 9112. `length` is None for a chunked body, 0 without a body."""

    # The values of a usual head; only other heads set their own.
    minor_version = 1
    length: int | None = 0
    keep_alive = True
    expects_continue = False
    frames_response = False  # whether the framing of the response depends on more than the response
    _fields: list[tuple[bytes, bytes]] | None = None

    def __init__(self, data: bytes, method: str, path: str, query_string: str, authority: str) -> None:
        self._data = data
        self.method = method
        self.path = path
        self.query_string = query_string
        self.authority = authority

    @property
    def target(self) -> str:
        """The request target as received."""
        return self._data.split(b" ", 2)[1].decode()

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values in order."""
        if self._fields is None:
            self._fields = _split_fields(self._data)
        return self._fields


class _Fields(list[tuple[bytes, bytes]]):
    """The callbacks of httptools for a head."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name, value))


def _split_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(head)
    except httptools.HttpParserUpgrade:  # raised at the end of the head
        return fields
    except httptools.HttpParserError:
        # The builds reject different heads that are valid: 0.1.1 a tab after a length, 0.9 the version HTTP/1.2.
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:-2]]
        return [(name, value.strip(b" \t")) for name, _, value in lines]
    return fields


def usual_head(data: bytes, limits: Limits) -> Head | None:
    """Return the head if `data` is exactly one usual head within the limits; otherwise it must be parsed."""
    size_bytes = len(data)
    if (
        size_bytes > limits.request_line_bytes
        or size_bytes > limits.head_bytes
        or limits.fields < _USUAL_FIELDS
    ):
        return None
    match = _USUAL_HEAD.fullmatch(data)
    if match is None:
        return None
    path, query_string, authority = match.groups(b"")
    return Head(data, "GET", path.decode(), query_string.decode(), authority.decode())


def parse_head(data: bytes, max_fields: int) -> Head:
    """Check and parse a request head, from its request line to its empty line. Raises ProtocolError."""
    if data.count(b"\n") - 2 > max_fields:  # first, as it bounds the work of the match
        raise ProtocolError(431, "too many header fields")
    match = _HEAD.fullmatch(data)
    if match is None:
        raise _grammar_error(data)
    octets, target, major, minor = match.groups()
    if major != b"1":
        raise ProtocolError(505, "only HTTP/1.0 and HTTP/1.1 are supported")
    method = METHODS.get(octets)
    if method is None:
        raise ProtocolError(501, "unknown method")
    framing: dict[bytes, bytes] = {}
    for name, value in _FRAMING_FIELD.findall(data):
        key = name.lower()
        if key not in framing:
            framing[key] = value.rstrip(b"\t ")
        elif key in _LISTS:
            framing[key] += b"," + value
        else:
            raise ProtocolError(400, f"repeated {key.decode()} field")
    # RFC 9110 section 2.5: a higher minor version is treated as the highest known one.
    minor_version = 0 if minor == b"0" else 1
    authority = framing.get(b"host")
    if authority is None and minor_version:
        raise ProtocolError(400, "HTTP/1.1 needs a Host field")
    if authority:
        _check_authority(authority)
    path, query_string, authority = _split_target(target, method, authority or b"")
    head = Head(data, method, path.decode(), query_string.decode(), authority.decode())
    head.minor_version = minor_version
    head.keep_alive = bool(minor_version)
    _set_framing(head, framing)
    head.frames_response = not (minor_version and head.keep_alive and head.length == 0 and method != "HEAD")
    return head


def _grammar_error(head: bytes) -> ProtocolError:
    line, _, fields = head.partition(b"\r\n")
    if re.fullmatch(_REQUEST_LINE, line + b"\r\n") is None:
        return ProtocolError(400, "malformed request line")
    if fields[:1] in {b" ", b"\t"} or b"\r\n " in fields or b"\r\n\t" in fields:
        return ProtocolError(400, "folded header field")
    return ProtocolError(400, "malformed header field")


def _check_authority(authority: bytes) -> None:
    match = _HOST.fullmatch(authority)
    if match is None or (match[1] and int(match[1]) > MAX_PORT):
        raise ProtocolError(400, "malformed host")


def _split_target(target: bytes, method: str, authority: bytes) -> tuple[bytes, bytes, bytes]:
    """Path, query and authority of a request target (RFC 9112 section 3.2). `authority` is that of the Host field."""
    if b"#" in target:
        raise ProtocolError(400, "a fragment in the request target")
    if not target.startswith(b"/"):
        if target == b"*" and method == "OPTIONS":
            return target, b"", authority
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise ProtocolError(400, "malformed request target")
        # RFC 9112 section 3.2.2: the authority of the target takes precedence over the Host field.
        scheme, authority, path, query = absolute.groups(b"")
        _check_authority(authority)
        if authority.startswith(b":"):
            raise ProtocolError(400, "a target without a host")
        if len(scheme) > len(b"http"):
            raise ProtocolError(421, "https is not supported")  # RFC 9110 section 7.4
        target = (path or (b"*" if method == "OPTIONS" and not query else b"/")) + query
    path, _, query_string = target.partition(b"?")
    if b"%" in target:
        _check_encoding(target, path)
    return path, query_string, authority


def _check_encoding(target: bytes, path: bytes) -> None:
    if _BAD_ESCAPE.search(target):
        raise ProtocolError(400, "malformed percent-encoding in the request target")
    decoded = unquote_to_bytes(path)
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(400, "the path is not UTF-8") from error
    if b"\0" in decoded:
        raise ProtocolError(400, "NUL in the path")


def _set_framing(head: Head, fields: dict[bytes, bytes]) -> None:
    """Decide where the body ends and whether the connection persists (RFC 9112 sections 6 and 9.3)."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
        _check_coding(coding, head.minor_version)
        head.length = None
    elif length is not None:
        if not length.isdigit() or len(length) > MAX_CONTENT_LENGTH_DIGITS:
            raise ProtocolError(400, "malformed Content-Length")
        head.length = int(length)
    connection = fields.get(b"connection")
    if connection is not None:
        options = [option.strip(b" \t").lower() for option in connection.split(b",")]
        head.keep_alive = b"close" not in options and (head.keep_alive or b"keep-alive" in options)
    expect = fields.get(b"expect")
    # RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored.
    if expect is not None and head.minor_version:
        if expect.lower() != b"100-continue":
            raise ProtocolError(417, "only 100-continue can be expected")
        head.expects_continue = head.length != 0


def _check_coding(coding: bytes, minor_version: int) -> None:
    if not minor_version:
        raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
    codings = [part.strip(b" \t").lower() for part in coding.split(b",")]
    if codings[-1] != b"chunked" or b"chunked" in codings[:-1]:
        raise ProtocolError(400, "Transfer-Encoding must end in a single chunked")
    if len(codings) > 1:
        raise ProtocolError(501, "only the chunked transfer coding is supported")
