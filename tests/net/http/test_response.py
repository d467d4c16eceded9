"""The response parser: accepted deviations, rejected responses with their reasons, and limits."""

import gzip
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.http.response import MAX_INTERIM_RESPONSES, Deviation, ResponseParser

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def parser(
    *,
    method: str = "GET",
    max_head_bytes: int = 100_000,
    max_body_bytes: int = 1_000_000,
    accepts_upgrade: bool = False,
) -> ResponseParser:
    return ResponseParser(
        method=method,
        max_head_bytes=max_head_bytes,
        max_body_bytes=max_body_bytes,
        kept_bytes=max_body_bytes,
        accepts_upgrade=accepts_upgrade,
    )


def read(response_parser: ResponseParser, *pieces: bytes) -> ResponseParser:
    """Feed all pieces, and the end of the connection."""
    for piece in pieces:
        response_parser.feed(piece)
        while response_parser.has_work:
            response_parser.proceed()
    response_parser.feed_eof()
    return response_parser


def head(line: bytes = b"", *, status: bytes = b"HTTP/1.1 200 OK", length: bytes = b"2") -> bytes:
    return status + b"\r\n" + line + b"Content-Length: " + length + b"\r\n\r\nok"


ACCEPTED = [
    pytest.param(OK, [], id="no deviation"),
    pytest.param(b"HTTP/1.0 200 \r\n\r\nok", [], id="HTTP/1.0, empty reason phrase"),
    pytest.param(head(b"X: " + b"x" * 20_000 + b"\r\n"), [], id="header of 20 kB"),
    pytest.param(head(b"".join(b"X-%d: 1\r\n" % number for number in range(300))), [], id="300 headers"),
    pytest.param(head(b"X: a\x01\x1b\r\n"), [Deviation.CONTROL_CHARACTER], id="control character"),
    pytest.param(head(b"X: a\rb\r\n"), [Deviation.BARE_CR], id="bare CR"),
    pytest.param(OK.replace(b"\r\n", b"\n"), [Deviation.BARE_LF], id="bare LF"),
    pytest.param(head(b"X: a\n"), [Deviation.BARE_LF], id="one bare LF"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\nok", [Deviation.BARE_LF], id="head ends in LF LF"),
    pytest.param(head(b"X: a\r\n  b\r\n"), [Deviation.FOLDED_HEADER], id="obs-fold"),
    pytest.param(head(b" b: 1\r\n"), [Deviation.FOLDED_HEADER], id="space before the first header"),
    pytest.param(OK.replace(b"h:", b"h :"), [Deviation.SPACE_BEFORE_COLON], id="space before colon"),
    pytest.param(head(b"A B: 1\r\n"), [Deviation.HEADER_NAME], id="space in a header name"),
    pytest.param(head(b"junk\r\n"), [Deviation.NO_COLON], id="header without colon"),
    pytest.param(head(b": x\r\n"), [Deviation.NO_COLON], id="header without name"),
    pytest.param(head(status=b"HTTP/1.1 200"), [Deviation.STATUS_LINE], id="no reason phrase"),
    pytest.param(head(status=b"http/1.1 200 OK"), [Deviation.STATUS_LINE], id="lower case"),
    pytest.param(head(status=b"HTTP/1.1  200  OK"), [Deviation.STATUS_LINE], id="two spaces"),
    pytest.param(head(status=b"HTTP/2 200 OK"), [Deviation.STATUS_LINE], id="HTTP/2 in text"),
    pytest.param(head(status=b"ICY 200 OK"), [Deviation.STATUS_LINE], id="SHOUTcast"),
    pytest.param(head(status=b"HTTP/1.1 999 Denied"), [Deviation.STATUS_RANGE], id="status 999"),
    pytest.param(b"\r\n\r\n" + OK, [Deviation.EMPTY_LINE_BEFORE], id="empty lines before"),
    pytest.param(OK + b"more", [Deviation.BYTES_AFTER_BODY], id="bytes after the body"),
    pytest.param(head(b"Content-Length: 2\r\n"), [Deviation.LENGTH_REPEATED], id="length twice"),
    pytest.param(head(length=b"2, 2"), [Deviation.LENGTH_REPEATED], id="length twice in one header"),
    pytest.param(
        head(b"Transfer-Encoding: chunked\r\n", length=b"3").removesuffix(b"ok") + b"2\r\nok\r\n0\r\n\r\n",
        [Deviation.LENGTH_AND_ENCODING],
        id="length and chunked",
    ),
    pytest.param(
        head(b"Transfer-Encoding: identity\r\n"), [Deviation.ENCODING_IDENTITY], id="identity"
    ),
    pytest.param(
        CHUNKED.replace(b"chunked", b"chunked, chunked") + b"2\r\nok\r\n0\r\n\r\n",
        [Deviation.ENCODING_REPEATED],
        id="chunked, chunked",
    ),
    pytest.param(
        CHUNKED.replace(b"1.1", b"1.0") + b"2\r\nok\r\n0\r\n\r\n",
        [Deviation.ENCODING_OLD_VERSION],
        id="chunked in HTTP/1.0",
    ),
    pytest.param(CHUNKED + b"2;a=b\r\nok\r\n00;c\r\nTrailer: x\r\n\r\n", [], id="extensions and trailers"),
    pytest.param(CHUNKED + b"1  \r\no\r\n1\r\nk\r\n0\r\n\r\n", [], id="spaces after a chunk size"),
    pytest.param(CHUNKED + b"2\nok\n0\n\n", [Deviation.BARE_LF], id="chunks with bare LF"),
    pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n", [Deviation.LAST_LINE_MISSING], id="last line missing"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, [], id="interim response"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "deviations"), ACCEPTED)
def test_unambiguous_response_is_accepted_with_its_deviations(
    data: bytes, deviations: list[Deviation]
) -> None:
    seen = read(parser(), data)
    assert (bytes(seen.body), seen.body_bytes, seen.deviations) == (b"ok", 2, deviations)


@pytest.mark.parametrize(
    ("data", "deviations"), [case for case in ACCEPTED if "bytes after" not in str(case.id)]
)
def test_response_is_the_same_byte_by_byte(data: bytes, deviations: list[Deviation]) -> None:
    seen = read(parser(), *(data[at : at + 1] for at in range(len(data))))
    assert (bytes(seen.body), seen.deviations) == (b"ok", deviations)


def test_folded_header_is_one_value() -> None:
    seen = read(parser(), head(b"X: a\r\n\t b\r\nY: c\r\n"))
    assert seen.head is not None
    assert (seen.head.headers["X"], seen.head.headers["y"]) == ("a b", "c")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"gr\xc3\xbc\xc3\x9fe", "grüße"),
        (b"gr\xfc\xdfe", "grüße"),
        (b"\xed\xa0\x80", "\xed\xa0\x80"),
    ],
    ids=["UTF-8", "Latin-1", "surrogate in UTF-8"],
)
def test_header_bytes_become_text_without_surrogates(raw: bytes, text: str) -> None:
    seen = read(parser(), b"HTTP/1.1 200 " + raw + b"\r\nX: " + raw + b"\r\nContent-Length: 0\r\n\r\n")
    assert seen.head is not None
    assert (seen.head.reason, seen.head.headers["X"]) == (text, text)
    assert next(iter(seen.head.raw_headers)) == (b"X", raw)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS here; write https instead of http"),
        (
            b"\0\0\x12\x04\0\0\0\0\0" + bytes(18),
            "the server speaks HTTP/2 only, which is not supported",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            'the server speaks SSH here, not HTTP: "SSH-2.0-OpenSSH_9.2"',
        ),
        (b"220 mx ESMTP\r\n", 'the server speaks SMTP or FTP here, not HTTP: "220 mx ESMTP"'),
        (
            b"<html>old</html>",
            'the response has no HTTP status line; it begins with "<html>old</html>"',
        ),
        (
            b"\xff\x00\x1b[2J",
            r'the response has no HTTP status line; it begins with "\u00ff\u0000\u001b[2J"',
        ),
        (
            b"GET /health?token=0123456789abcdef0123456789abcdef HTTP/1.1\r\n",
            'the response has no HTTP status line; it begins with "GET …"',
        ),
        (b"x" * 50, 'the response has no HTTP status line; it begins with "xxxxxxxx…"'),
        (
            b"HTTP/1.1 abc\r\n\r\n",
            'the status code is not a number from 100 to 999: "HTTP/1.1 abc"',
        ),
        (
            b"HTTP/1.1 2000 OK\r\n\r\n",
            'the status code is not a number from 100 to 999: "HTTP/1.1 2000 OK"',
        ),
        (
            b"HTTP/0.9 200 OK\r\n\r\n",
            'the HTTP version of the response is not supported: "HTTP/0.9 200 OK"',
        ),
        (head(b"X: a\0b\r\n"), "the head of the response contains a NUL character"),
        (head(b"Content-Length: 3\r\n"), 'the response has different Content-Lengths: "3, 2"'),
        (head(length=b"+2"), 'the Content-Length is not a number: "+2"'),
        (head(length=b"-1"), 'the Content-Length is not a number: "-1"'),
        (head(length=b""), 'the Content-Length is not a number: ""'),
        (
            CHUNKED.replace(b"chunked", b"chunked, gzip"),
            'chunked is not the last Transfer-Encoding: "chunked, gzip"',
        ),
        (CHUNKED.replace(b"chunked", b"xchunked"), 'the Transfer-Encoding is unknown: "xchunked"'),
        (CHUNKED + b"0x2\r\nok\r\n", 'the size of a chunk is not a hexadecimal number: "0x2"'),
        (CHUNKED + b"-2\r\nok\r\n", 'the size of a chunk is not a hexadecimal number: "-2"'),
        (CHUNKED + b"0" * 20 + b"2\r\nok\r\n", "the size of a chunk has more than 15 digits"),
        (CHUNKED + b"F" * 17 + b";x\r\nok", "the size of a chunk has more than 15 digits"),
        (CHUNKED + b"2\r\nokk\r\n", "a chunk of the body is longer than its size"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "the response switches protocols (status 101), which the request did not ask for",
        ),
    ],
)
def test_ambiguous_response_is_rejected_with_a_reason(data: bytes, detail: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read(parser(), data)
    assert (caught.value.kind, caught.value.detail) == (FailureKind.PROTOCOL_ERROR, detail)


@pytest.mark.parametrize(
    "data", [b"\x15\x03\x01\x00\x02\x02\x46", b"SSH-2.0-x\r\n", b"\0\0\x12\x04\0\0\0\0\0"]
)
def test_other_protocol_is_named_when_it_arrives_in_pieces(data: bytes) -> None:
    response_parser = parser()
    with pytest.raises(ExchangeError, match="the server speaks"):  # noqa: PT012 - by one of the bytes
        for at in range(len(data)):
            response_parser.feed(data[at : at + 1])


def test_other_protocol_is_named_before_the_connection_ends() -> None:
    """Its server waits for the client, and would be reported as slow."""
    with pytest.raises(ExchangeError):
        parser().feed(b"SSH-2.0-OpenSSH_9.2\r\n")


CUT = "the peer closed the connection before the end of the body"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "the peer closed the connection without a response"),
        (
            b"HTTP/1.1 200 OK\r\nX",
            "the peer closed the connection before the end of the response head, after 18 bytes",
        ),
        (b"HTTP/1.1 100 C\r\n\r\n", "the peer closed the connection after 1 interim response"),
        (head(length=b"3"), CUT),
        (CHUNKED + b"2\r\nok\r\n", CUT),
        (CHUNKED + b"2\r\nok\r\n0\r\nX: 1\r\n", CUT),
    ],
)
def test_response_that_ends_too_early_is_rejected(data: bytes, detail: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read(parser(), data)
    assert (caught.value.kind, caught.value.detail) == (FailureKind.RESET, detail)


@pytest.mark.parametrize(
    ("method", "data", "deviations"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", []),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", []),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\nbody", [Deviation.BODY_NOT_ALLOWED]),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", []),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", []),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", [Deviation.LENGTH_WITHOUT_BODY]),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\nbody", [Deviation.BODY_NOT_ALLOWED]),
    ],
)
def test_response_without_body_ends_with_its_head(
    method: str, data: bytes, deviations: list[Deviation]
) -> None:
    seen = parser(method=method)
    seen.feed(data)
    assert (seen.is_complete, seen.body_bytes, seen.deviations) == (True, 0, deviations)


def test_framing_of_a_response_to_connect_is_ignored() -> None:
    """RFC 9110, section 9.3.6."""
    seen = parser(method="CONNECT")
    seen.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert seen.head is not None
    assert not seen.is_complete


def test_requested_upgrade_is_final() -> None:
    seen = parser(accepts_upgrade=True)
    seen.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    assert (seen.is_complete, seen.keeps_connection) == (True, False)


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: y, close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_connection_is_kept_as_the_response_requires(lines: bytes, *, is_kept: bool) -> None:
    seen = read(parser(), lines + b"Content-Length: 2\r\n\r\nok")
    assert seen.keeps_connection is is_kept


@pytest.mark.parametrize("framing", [b"gzip, chunked", b"gzip"])
def test_compressed_transfer_coding_is_reported(framing: bytes) -> None:
    packed = gzip.compress(b"ok", mtime=0)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed) if b"chunked" in framing else packed
    seen = read(parser(), CHUNKED.replace(b"chunked", framing) + body)
    assert (bytes(seen.body), seen.compressions) == (packed, ("gzip",))
    assert seen.deviations == [Deviation.ENCODING_UNASKED]


# Bounds


def _endless(data: bytes, unit: bytes) -> ExchangeError:
    """Return the error of a response whose last part is repeated endlessly."""
    response_parser = parser()
    response_parser.feed(data)
    with pytest.raises(ExchangeError) as caught:  # noqa: PT012 - one of many pieces is one too many
        for _ in range(10_000):
            response_parser.feed(unit)
            while response_parser.has_work:
                response_parser.proceed()
    return caught.value


@pytest.mark.parametrize(
    ("data", "unit", "kind", "detail"),
    [
        pytest.param(
            b"",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            FailureKind.PROTOCOL_ERROR,
            f"more than {MAX_INTERIM_RESPONSES} interim responses (status 100) before the response",
            id="interim responses",
        ),
        pytest.param(
            b"",
            b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 2000 + b"\r\n\r\n",
            FailureKind.TOO_LARGE,
            "the head of the response with 49 interim responses is larger than max_header_size (100000 bytes)",
            id="large interim responses",
        ),
        pytest.param(
            b"HTTP/1.1 200 ",
            b"x" * 1000,
            FailureKind.TOO_LARGE,
            "the head of the response is larger than max_header_size (100000 bytes)",
            id="status line",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n",
            b"X: y\r\n" * 100,
            FailureKind.TOO_LARGE,
            "the head of the response is larger than max_header_size (100000 bytes)",
            id="headers",
        ),
        pytest.param(
            b"",
            b"\r\n" * 1000,
            FailureKind.TOO_LARGE,
            "the head of the response is larger than max_header_size (100000 bytes)",
            id="empty lines",
        ),
        pytest.param(
            CHUNKED + b"0\r\n",
            b"X: y\r\n" * 100,
            FailureKind.TOO_LARGE,
            "the trailers of the response are larger than max_header_size (100000 bytes)",
            id="trailers",
        ),
        pytest.param(
            CHUNKED,
            b"1;" + b"x" * 5000 + b"\r\nx\r\n",
            FailureKind.TOO_LARGE,
            "the chunks of the body consist of extensions rather than of data",
            id="chunk extensions",
        ),
        pytest.param(
            CHUNKED + b"1;",
            b"x" * 1000,
            FailureKind.TOO_LARGE,
            "the size line of a chunk is longer than 8192 bytes",
            id="one chunk extension",
        ),
        pytest.param(
            CHUNKED,
            (b"10\r\n" + b"x" * 16 + b"\r\n") * 1000,
            FailureKind.TOO_LARGE,
            "the body is larger than 1000000 bytes",
            id="small chunks",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"x" * 1000,
            FailureKind.TOO_LARGE,
            "the body is larger than 1000000 bytes",
            id="body",
        ),
    ],
)
def test_endless_response_is_rejected(data: bytes, unit: bytes, kind: FailureKind, detail: str) -> None:
    seen = _endless(data, unit)
    assert (seen.kind, seen.detail) == (kind, detail)


def test_too_many_headers_are_rejected() -> None:
    with pytest.raises(ExchangeError, match="more than 5000 headers"):
        parser().feed(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 5001 + b"\r\n")


def test_length_beyond_the_limit_is_rejected_at_once() -> None:
    response_parser = parser(max_body_bytes=10)
    with pytest.raises(ExchangeError, match="the body is larger than 10 bytes"):
        response_parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
    assert response_parser.head is not None


def test_many_chunks_are_read_in_pieces_of_work() -> None:
    response_parser = parser()
    response_parser.feed(CHUNKED + b"1\r\nx\r\n" * 2500 + b"0\r\n\r\n")
    sizes = [response_parser.body_bytes]
    while response_parser.has_work:
        response_parser.proceed()
        sizes.append(response_parser.body_bytes)
    assert (sizes, response_parser.is_complete) == ([1000, 2000, 2500], True)


def test_only_the_beginning_is_kept_of_a_body_that_is_only_counted() -> None:
    response_parser = ResponseParser(max_body_bytes=1_000_000, kept_bytes=10)
    read(response_parser, b"HTTP/1.1 200 OK\r\n\r\n", b"123456", b"789abcdef", b"x" * 1000)
    assert (bytes(response_parser.body), response_parser.body_bytes) == (b"123456789a", 1015)


def test_incomplete_head_is_described_for_a_timeout() -> None:
    response_parser = parser()
    assert response_parser.progress_note == ""
    response_parser.feed(b"HTTP/1.1 102 Processing\r\n\r\n")
    assert response_parser.progress_note == "only 1 interim response (status 102)"
    response_parser.feed(b"HTTP/1.1")
    assert response_parser.progress_note == "only 35 bytes of an incomplete head"


@pytest.mark.parametrize("line", [b"a:\n", b"junk\n"], ids=["headers", "lines without colon"])
def test_too_many_lines_are_rejected(line: bytes) -> None:
    with pytest.raises(ExchangeError, match="more than 5000 headers"):
        parser().feed(b"HTTP/1.1 200 OK\n" + line * 10_000 + b"\n")


def test_many_folded_lines_are_joined_at_once() -> None:
    """Joined one by one, a megabyte of them took minutes."""
    response_parser = parser(max_head_bytes=1_000_000)
    response_parser.feed(b"HTTP/1.1 200 OK\r\nX: y\n" + b" a\n" * 300_000 + b"\n")
    assert response_parser.head is not None
    assert response_parser.head.headers["X"] == "y" + " a" * 300_000


def test_result_does_not_depend_on_the_pieces() -> None:
    source = random.Random(3)
    for _ in range(3000):
        data = _damaged(source)
        method = source.choice(["GET", "HEAD", "CONNECT"])
        cuts = sorted(source.sample(range(len(data)), 3))
        pieces = [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]
        assert _result(method, pieces) == _result(method, [data]), data


def _damaged(source: random.Random) -> bytes:
    data = bytearray(source.choice(_WHOLE))
    for _ in range(source.randint(0, 5)):
        at = source.randrange(len(data))
        match source.randrange(4):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                del data[at]
            case 2:
                data[at:at] = source.choice([b"\r", b"\n", b"\t", b" ", b":", b";", b",", b"0", b"\0"])
            case _:
                start = source.randrange(len(data))
                data[at:at] = data[start : start + 20]
    return bytes(data)


_WHOLE = (
    CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 404 NF\r\nContent-Length: 5, 5\r\nConnection: keep-alive\r\n x\r\n\r\nhello",
    b"\r\nhttp/1.1 999\nFoo : bar\n\nbody",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
)


def _result(method: str, pieces: Sequence[bytes]) -> object:
    """Return the result; for a rejection the reason, without the quoted bytes, which depend on the pieces."""
    response_parser = parser(method=method)
    try:
        read(response_parser, *pieces)
    except ExchangeError as error:
        return error.detail.partition('"')[0]
    return (
        response_parser.head and (response_parser.head.status, list(response_parser.head.headers.items())),
        bytes(response_parser.body),
        response_parser.is_complete,
    )


def test_bytes_of_another_protocol_after_101_are_not_a_deviation() -> None:
    seen = read(
        parser(accepts_upgrade=True), b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81\x02hi"
    )
    assert (seen.is_complete, seen.deviations, seen.keeps_connection) == (True, [], False)
