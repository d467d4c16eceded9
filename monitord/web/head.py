"""Request heads: complete, bounded bytes in; a checked `Head`, or a `ProtocolFailure`, out.

The one module that imports httptools. Two builds of it exist: 0.1.1 on http-parser (Debian 12 and 13), which lets
`Host :`, folded fields, bare line feeds and `HTTP/9.9` through, and 0.9 on llhttp, which has no size limit. So
the grammar of RFC 9112 is checked here before httptools sees a byte, and what the fields mean for the framing
after it; what httptools thinks of the framing decides nothing. Bodies never reach it: framing.py cuts them.
A head is always fed whole, so one parser serves all connections of a server, and an idle one holds none.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import httptools

# RFC 9110 section 9 and RFC 5789. CONNECT is recognised only to be refused: there is nothing to tunnel to.
METHODS = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY")
}

# A client that polls sends the same head each time.
KNOWN_HEADS = 64
KNOWN_HEAD_BYTES = 1024

MAX_CONTENT_LENGTH_DIGITS = 18  # fits 63 bits in every length that is accepted

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELD = _TOKEN + rb":[\t -~\x80-\xff]*+\r\n"
_REQUEST_LINE = rb"(" + _TOKEN + rb") ([!-~]++) HTTP/([0-9])\.([0-9])\r\n"
_HEAD = re.compile(_REQUEST_LINE + rb"((?:" + _FIELD + rb")*+)\r\n")
_FIELD_LINE = re.compile(_FIELD)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# RFC 9110 section 7.2 and RFC 3986 section 3.2.2: uri-host [":" port], without userinfo.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+\]"
    rb"|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)([^?]*)(\?.*)?", re.IGNORECASE)
_FRAMING = frozenset(
    b"host content-length transfer-encoding connection expect upgrade proxy-connection".split()
)
_FRAMING_LENGTHS = frozenset(map(len, _FRAMING))  # tells most other fields apart without a look at them
_LISTS = frozenset({b"connection", b"upgrade", b"proxy-connection"})


class ProtocolFailure(Exception):  # noqa: N818 - what the client did, said in the word of RFC 9112
    """The client broke HTTP: answer `status`, then close. `message` is plain text for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Head:
    """One request head that obeys RFC 9112. `length` is None for a chunked body, 0 for none.

    Requests with equal heads may share it, so nobody changes it once it is parsed.
    """

    method: str
    target: str
    path: str
    query_string: str
    authority: str
    minor_version: int
    fields: list[tuple[bytes, bytes]]
    length: int | None = 0
    keep_alive: bool = True
    expects_continue: bool = False
    is_plain: bool = False  # HTTP/1.1, no body, not HEAD, and the connection lasts: as nearly all are


class HeadParser:
    """Parses one head at a time; shared by all connections of one event loop."""

    __slots__ = ("_fields", "_good_authority", "_good_host", "_max_fields", "_parser", "known")

    def __init__(self, max_fields: int) -> None:
        self._max_fields = max_fields
        self._fields: list[tuple[bytes, bytes]] = []
        self._good_host = b""
        self._good_authority = ""
        self.known: dict[bytes, Head] = {}
        self._parser = httptools.HttpRequestParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools, once for each field, in order."""
        self._fields.append((name, value))

    def parse(self, head: bytes) -> Head:
        """`head` is a request head with its empty line and nothing behind it. Raises ProtocolFailure."""
        result = self.known.get(head)
        if result is None:
            result = self._parse(head)
            if len(head) <= KNOWN_HEAD_BYTES:
                if len(self.known) >= KNOWN_HEADS:
                    self.known.clear()
                self.known[head] = result
        return result

    def _parse(self, head: bytes) -> Head:
        match = _HEAD.fullmatch(head)
        if match is None:
            raise _failure_of(head)
        octets, target, major, minor, _ = match.groups()
        if major != b"1":
            raise ProtocolFailure(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        method = METHODS.get(octets)
        if method is None:
            raise ProtocolFailure(501, "unknown method")
        fields = self._split(head, match)
        special, repeated = _framing_fields(fields)
        host = special.pop(b"host", None)
        if special or minor != b"1":
            # The parser may wait for a body, or for the end of the connection: its work is done.
            self._parser = httptools.HttpRequestParser(self)
        if len(fields) > self._max_fields:
            raise ProtocolFailure(431, "too many header fields")
        if repeated:
            raise ProtocolFailure(400, f"repeated {repeated.decode()} field")
        is_recent = minor != b"0"
        result = Head(method, target.decode(), "", "", "", 1 if is_recent else 0, fields, 0, is_recent)
        self._check_host(result, host)
        self._set_target(result, target)
        if special:
            _frame(result, special)
        result.is_plain = is_recent and result.keep_alive and result.length == 0 and method != "HEAD"
        return result

    def _split(self, head: bytes, match: re.Match[bytes]) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        self._fields = fields
        minor = match[4]
        if minor > b"1":
            # RFC 9110 section 2.5: a higher minor version is treated as the highest known one; llhttp refuses it.
            head = head[: match.start(4)] + b"1" + head[match.end(4) :]
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = httptools.HttpRequestParser(self)
            return fields
        except httptools.HttpParserError:
            # The builds refuse different things in lengths and codings (0.1.1 a tab behind a number), which
            # `parse` judges alike for both. The grammar holds, so the fields can be told apart without them.
            self._parser = httptools.HttpRequestParser(self)
            plain = [line.partition(b":") for line in match[5].split(b"\r\n")[:-1]]
            return [(name, value.strip(b" \t")) for name, _, value in plain]
        return fields

    def _check_host(self, head: Head, host: bytes | None) -> None:
        if host is None:
            if head.minor_version:
                raise ProtocolFailure(400, "HTTP/1.1 needs a Host field")
            return
        if host != self._good_host:
            host = host.strip(b" \t")
            _check_authority(host)
            self._good_host = host
            self._good_authority = host.decode()
        head.authority = self._good_authority

    def _set_target(self, head: Head, target: bytes) -> None:
        if b"#" in target:
            raise ProtocolFailure(400, "a fragment in the request target")
        if not target.startswith(b"/"):
            if target == b"*" and head.method == "OPTIONS":
                head.path = "*"
                return
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is None:
                raise ProtocolFailure(400, "malformed request target")
            # RFC 9112 section 3.2.2: the authority of the target takes the place of the Host field.
            scheme, authority, path, query = absolute.groups(b"")
            _check_authority(authority)
            if authority.startswith(b":"):
                raise ProtocolFailure(400, "a target without a host")
            if len(scheme) > len(b"http"):
                raise ProtocolFailure(421, "https is not spoken here")  # RFC 9110 section 7.4
            head.authority = authority.decode()
            target = (path or (b"*" if head.method == "OPTIONS" and not query else b"/")) + query
        if b"%" in target:
            if _BAD_ESCAPE.search(target):
                raise ProtocolFailure(400, "malformed percent-encoding in the request target")
            _check_decodes(target.partition(b"?")[0])
        head.path, _, head.query_string = target.decode().partition("?")


def _framing_fields(fields: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes]:
    """What decides about framing, by names in small letters; and a name that is there twice and must not be."""
    special: dict[bytes, bytes] = {}
    repeated = b""
    for name, value in fields:
        if len(name) in _FRAMING_LENGTHS and (key := name.lower()) in _FRAMING:
            if key not in special:
                special[key] = value
            elif key in _LISTS:
                special[key] += b"," + value
            else:
                repeated = key
    return special, repeated


def _failure_of(head: bytes) -> ProtocolFailure:
    line, _, fields = head.partition(b"\r\n")
    if re.fullmatch(_REQUEST_LINE, line + b"\r\n") is None:
        return ProtocolFailure(400, "malformed request line")
    if fields[:1] in {b" ", b"\t"} or b"\r\n " in fields or b"\r\n\t" in fields:
        return ProtocolFailure(400, "folded header field")
    return ProtocolFailure(400, "malformed header field")


def _check_authority(host: bytes) -> None:
    match = _HOST.fullmatch(host)
    if match is None or (match[1] and int(match[1]) > 65535):  # noqa: PLR2004 - the highest port
        raise ProtocolFailure(400, "malformed host")


def _check_decodes(path: bytes) -> None:
    decoded = unquote_to_bytes(path)
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise ProtocolFailure(400, "the path is not UTF-8") from error
    if b"\0" in decoded:
        raise ProtocolFailure(400, "NUL in the path")


def _frame(head: Head, special: dict[bytes, bytes]) -> None:
    """Decide where the body ends and whether the connection lasts (RFC 9112 sections 6 and 9.3)."""
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise ProtocolFailure(400, "both Content-Length and Transfer-Encoding")
        _check_coding(coding, head.minor_version)
        head.length = None
    elif length is not None:
        length = length.strip(b" \t")
        if not length.isdigit() or len(length) > MAX_CONTENT_LENGTH_DIGITS:
            raise ProtocolFailure(400, "malformed Content-Length")
        head.length = int(length)
    connection = special.get(b"connection")
    if connection is not None:
        options = [option.strip(b" \t").lower() for option in connection.split(b",")]
        head.keep_alive = b"close" not in options and (head.keep_alive or b"keep-alive" in options)
    expect = special.get(b"expect")
    # RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored.
    if expect is not None and head.minor_version:
        if expect.strip(b" \t").lower() != b"100-continue":
            raise ProtocolFailure(417, "only 100-continue can be expected")
        head.expects_continue = head.length != 0


def _check_coding(coding: bytes, minor_version: int) -> None:
    if not minor_version:
        raise ProtocolFailure(400, "Transfer-Encoding in HTTP/1.0")
    codings = [part.strip(b" \t").lower() for part in coding.split(b",")]
    if codings[-1] != b"chunked" or b"chunked" in codings[:-1]:
        raise ProtocolFailure(400, "Transfer-Encoding does not end in one chunked")
    if len(codings) > 1:
        raise ProtocolFailure(501, "only the chunked transfer coding is understood")
