"""The end of a body: Content-Length, chunked, both, neither, and request smuggling (RFC 9112 6 to 8)."""

from .building import (
    PROBE,
    SMUGGLED,
    accepts,
    all_of,
    answers_with,
    body,
    body_has,
    case,
    chunked,
    closed,
    count,
    either,
    get,
    head,
    in_sync,
    in_sync_or_closed,
    no_success,
    nothing_smuggled,
    nth,
    post,
    rejected,
    rejects,
    rejects_or_responds,
    status,
)
from .harness import Answers, Case, Pause
from .origin import CONTENT_LIMIT_BYTES

_LARGE = bytes(range(256)) * 1200
_LAST = b"0\r\n\r\n"
_HELLO = b"5\r\nhello\r\n0\r\n\r\n"

_INVALID_LENGTHS = {
    "negative": b"-1",
    "plus": b"+5",
    "letters-after": b"5x",
    "hexadecimal": b"0x5",
    "fraction": b"5.0",
    "exponent": b"1e1",
    "underscore": b"5_0",
    "two-numbers": b"5 5",
    "empty": b"",
    "word": b"five",
    "semicolon": b"5;",
    "quoted": b'"5"',
    "list-different": b"5, 6",
    "full-width": b"\xef\xbc\x95",
    "control": b"5\x0b",
}


def _length(value: bytes | str, content: bytes = b"hello") -> bytes:
    octets = value if isinstance(value, bytes) else value.encode("ascii")
    return head("POST", "/echo", b"Content-Length: " + octets) + content


_LENGTHS = [
    accepts("length", "body-framed", post(b"hello"), body(b"hello")),
    accepts("length-zero", "body-framed", post(b""), body(b"")),
    accepts("length-leading-zeros", "body-framed", _length("005"), body(b"hello")),
    accepts("length-all-octets", "body-framed", post(bytes(range(256))), body(bytes(range(256)))),
    accepts("length-large", "body-framed", post(_LARGE), body(_LARGE)),
    accepts("length-looks-like-request", "body-framed", post(SMUGGLED), body(SMUGGLED)),
    accepts("length-put", "body-framed", post(b"hello", "Content-Type: text/plain"), body(b"hello")),
    case(
        "length-in-pieces",
        "body-framed",
        [
            head("POST", "/echo", "Content-Length: 10"),
            Pause.GAP,
            b"hello",
            Pause.GAP,
            b"world",
            Answers(1),
            PROBE,
        ],
        in_sync(status(200), body(b"helloworld")),
        answers=2,
    ),
    case(
        "length-with-next-request",
        "body-framed",
        [post(b"hello") + PROBE],
        in_sync(status(200), body(b"hello")),
        answers=2,
    ),
    case(
        "length-next-request-split",
        "body-framed",
        [post(b"hello") + PROBE[:9], Pause.GAP, PROBE[9:]],
        in_sync(status(200), body(b"hello")),
        answers=2,
    ),
    *(
        rejects(f"length-{name}", "content-length-invalid", _length(value))
        for name, value in _INVALID_LENGTHS.items()
    ),
    rejects(
        "length-twice-different",
        "content-length-invalid",
        head("POST", "/echo", "Content-Length: 5", "Content-Length: 6") + b"hello!",
    ),
    rejects(
        "length-twice-other-case",
        "content-length-invalid",
        head("POST", "/echo", "Content-Length: 0", "content-length: 5") + b"hello",
    ),
    rejects(
        "length-invalid-with-get",
        "content-length-invalid",
        get("/plain", "Content-Length: x"),
    ),
    rejects(
        "length-invalid-1.0",
        "content-length-invalid",
        head("POST", "/echo", "Content-Length: -5", version="1.0") + b"hello",
    ),
    rejects_or_responds("length-list-equal", "content-length-repeated", _length("5, 5"), body(b"hello")),
    *(
        case(
            f"length-overflow-{name}",
            "content-length-large",
            [_length(str(number)), Pause.GAP, Pause.HALF_CLOSE],
            all_of(no_success, closed),
            closes=True,
        )
        for name, number in {
            "32-bit": 2**32 + 5,
            "63-bit": 2**63 + 5,
            "64-bit": 2**64 + 5,
            "128-bit": 2**128 + 5,
            "100-digits": 10**100 + 5,
        }.items()
    ),
    case(
        "length-short",
        "content-length-short",
        [_length("10"), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "length-short-by-one",
        "content-length-short",
        [_length("6"), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "length-short-nothing",
        "content-length-short",
        [_length("6", b""), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "length-stalls",
        "content-length-short",
        [_length("10")],
        all_of(no_success, closed),
        closes=True,
        is_hasty=True,
    ),
    case(
        "no-length-post",
        "no-length-no-body",
        [head("POST", "/echo") + PROBE],
        either(in_sync(status(200), body(b"")), in_sync(status(411)), rejected(411)),
        answers=2,
    ),
    case(
        "no-length-get",
        "no-length-no-body",
        [get() + PROBE],
        in_sync(status(200), body(b"plain\n")),
        answers=2,
    ),
    case(
        "length-zero-then-garbage",
        "pipelined-error",
        [post(b"") + b"garbage\r\n\r\n"],
        all_of(count(2), nth(0, status(200), body(b"")), nth(1, status(400)), closed),
        answers=2,
        closes=True,
    ),
    case(
        "length-zero-then-request",
        "body-framed",
        [post(b"") + PROBE],
        in_sync(status(200), body(b"")),
        answers=2,
    ),
]

_UNREAD = [
    case(
        f"body-of-{name}",
        key,
        [request, Answers(1), PROBE],
        in_sync_or_closed(status(*allowed)),
        answers=2,
        methods=(request.split(b" ")[0].decode(),),
    )
    for name, key, request, allowed in (
        (
            "get",
            "get-with-content",
            head("GET", "/plain", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (200, 400),
        ),
        (
            "get-chunked",
            "get-with-content",
            head("GET", "/plain", "Transfer-Encoding: chunked")
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
            (200, 400),
        ),
        (
            "head",
            "unread-body",
            head("HEAD", "/plain", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (200, 400),
        ),
        (
            "options",
            "unread-body",
            head("OPTIONS", "/plain", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (200, 204, 400, 405),
        ),
        ("unread-post", "unread-body", post(SMUGGLED, target="/unread"), (200,)),
        (
            "unread-post-chunked",
            "unread-body",
            chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), target="/unread"),
            (200,),
        ),
        ("missing", "unread-body", post(SMUGGLED, target="/missing"), (404,)),
        ("not-allowed", "unread-body", post(SMUGGLED, target="/plain"), (405,)),
        (
            "unknown-method",
            "unread-body",
            head("FROB", "/plain", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (400, 405, 501),
        ),
        (
            "no-content",
            "unread-body",
            head("GET", "/nothing", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (204, 400),
        ),
        (
            "raising",
            "unread-body",
            head("GET", "/boom", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
            (500, 400),
        ),
        ("unread-large", "unread-body", post(SMUGGLED * 4000, target="/unread"), (200,)),
    )
]

_VALID_CHUNKED = {
    "one": (_HELLO, b"hello"),
    "none": (_LAST, b""),
    "several": (b"1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n", b"hello"),
    "upper-hexadecimal": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "lower-hexadecimal": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "leading-zeros": (b"00005\r\nhello\r\n0\r\n\r\n", b"hello"),
    "last-of-zeros": (b"5\r\nhello\r\n000\r\n\r\n", b"hello"),
    "crlf-inside": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "looks-like-request": (b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "large": (b"%x\r\n%s\r\n0\r\n\r\n" % (len(_LARGE), _LARGE), _LARGE),
    "many": (b"1\r\nx\r\n" * 2000 + _LAST, b"x" * 2000),
}

_VALID_EXTENSIONS = {
    "name": b"5;a\r\nhello\r\n0\r\n\r\n",
    "value": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "several": b"5;a=b;c;d=e\r\nhello\r\n0\r\n\r\n",
    "quoted": b'5;a="b;c \\" d"\r\nhello\r\n0\r\n\r\n',
    "last": b"5\r\nhello\r\n0;a=b\r\n\r\n",
}

_VALID_TRAILERS = {
    "one": b"X-Trailer: 1\r\n",
    "several": b"X-Trailer: 1\r\nX-Other: 2\r\nX-Third:\r\n",
    "host": b"Host: other.test\r\n",
}

_CHUNKED_IN_PIECES = {
    "size": (b"1", b"0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "size-cr": (b"10\r", b"\n0123456789abcdef\r\n0\r\n\r\n"),
    "data": (b"10\r\n0123", b"456789abcdef\r\n0\r\n\r\n"),
    "data-end": (b"10\r\n0123456789abcdef", b"\r\n0\r\n\r\n"),
    "data-cr": (b"10\r\n0123456789abcdef\r", b"\n0\r\n\r\n"),
    "last-size": (b"10\r\n0123456789abcdef\r\n", b"0\r\n\r\n"),
    "last-end": (b"10\r\n0123456789abcdef\r\n0\r\n", b"\r\n"),
    "last-lf": (b"10\r\n0123456789abcdef\r\n0\r\n\r", b"\n"),
    "trailer": (b"10\r\n0123456789abcdef\r\n0\r\nX-Tra", b"iler: 1\r\n\r\n"),
}

_INVALID_CHUNKED = {
    "size-empty": b"\r\nhello\r\n0\r\n\r\n",
    "size-letter": b"g\r\nhello\r\n0\r\n\r\n",
    "size-negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size-plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size-prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "size-blank-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "size-blank-after": b"5 \r\nhello\r\n0\r\n\r\n",
    "size-tab-after": b"5\t\r\nhello\r\n0\r\n\r\n",
    "size-two": b"5 5\r\nhello\r\n0\r\n\r\n",
    "size-nul": b"5\x00\r\nhello\r\n0\r\n\r\n",
    "size-bare-lf": b"5\nhello\r\n0\r\n\r\n",
    "size-bare-cr": b"5\rhello\r\n0\r\n\r\n",
    "size-cr-other": b"5\rXhello\r\n0\r\n\r\n",
    "data-too-long": b"5\r\nhello!\r\n0\r\n\r\n",
    "data-too-short": b"5\r\nhell\r\n0\r\n\r\n",
    "data-bare-lf": b"5\r\nhello\n0\r\n\r\n",
    "data-other-end": b"5\r\nhelloXX0\r\n\r\n",
    "data-no-end": b"5\r\nhello0\r\n\r\n",
    "extension-bare-lf": b"5;a\nhello\r\n0\r\n\r\n",
    "extension-bare-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension-nul": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "trailer-no-colon": b"5\r\nhello\r\n0\r\nX-Trailer\r\n\r\n",
    "trailer-blank-before-colon": b"5\r\nhello\r\n0\r\nX-Trailer : 1\r\n\r\n",
    "trailer-name-nul": b"5\r\nhello\r\n0\r\nX-Tr\x00iler: 1\r\n\r\n",
}

_CHUNKED = [
    *(
        accepts(f"chunked-{name}", "chunked-decoded", chunked(coded), body(content))
        for name, (coded, content) in _VALID_CHUNKED.items()
    ),
    *(
        case(
            f"chunked-split-in-{name}",
            "chunked-decoded",
            [chunked(before), Pause.GAP, after, Answers(1), PROBE],
            in_sync(status(200), body(b"0123456789abcdef")),
            answers=2,
        )
        for name, (before, after) in _CHUNKED_IN_PIECES.items()
    ),
    case(
        "chunked-with-next-request",
        "chunked-decoded",
        [chunked(_HELLO) + PROBE],
        in_sync(status(200), body(b"hello")),
        answers=2,
    ),
    *(
        accepts(f"chunk-extension-{name}", "chunk-extension-unknown", chunked(coded), body(b"hello"))
        for name, coded in _VALID_EXTENSIONS.items()
    ),
    accepts(
        "chunk-extension-blanks",
        "bad-whitespace",
        chunked(b"5 ; a = b\r\nhello\r\n0\r\n\r\n"),
        body(b"hello"),
    ),
    answers_with(
        "chunk-extension-endless",
        "chunk-extension-limit",
        chunked(b"5;" + b"a" * 300_000 + b"\r\nhello\r\n0\r\n\r\n"),
        status(400, 413, 431),
    ),
    answers_with(
        "chunk-extensions-many",
        "chunk-extension-limit",
        chunked((b"1;" + b"a" * 2000 + b"\r\nx\r\n") * 300 + _LAST),
        status(400, 413, 431),
    ),
    *(
        accepts(
            f"trailer-{name}", "trailers", chunked(b"5\r\nhello\r\n0\r\n" + fields + b"\r\n"), body(b"hello")
        )
        for name, fields in _VALID_TRAILERS.items()
    ),
    *(
        rejects_or_responds(
            f"trailer-{name}",
            "trailers",
            chunked(b"5\r\nhello\r\n0\r\n" + field + b"\r\n\r\n"),
            body(b"hello"),
        )
        for name, field in (("length", b"Content-Length: 3"), ("coding", b"Transfer-Encoding: chunked"))
    ),
    case(
        "trailer-not-in-next-request",
        "trailer-not-merged",
        [chunked(b"5\r\nhello\r\n0\r\nX-Test: evil\r\n\r\n"), Answers(1), get("/field")],
        all_of(count(2), nth(0, status(200)), nth(1, status(200), body(b"[]"))),
        answers=2,
    ),
    case(
        "trailer-not-in-fields",
        "trailer-not-merged",
        [
            head("POST", "/target", "Transfer-Encoding: chunked") + b"0\r\nHost: evil.test\r\n\r\n",
            Answers(1),
            PROBE,
        ],
        in_sync_or_closed(
            status(200, 400), lambda answer: "it is merged" if b"evil" in answer.body else None
        ),
        answers=2,
    ),
    case(
        "trailer-endless",
        "field-too-large",
        [chunked(b"5\r\nhello\r\n0\r\n" + b"X-Trailer: 1\r\n" * 30_000 + b"\r\n")],
        all_of(nth(0, status(200, 400, 413, 431))),
    ),
    *(
        case(
            f"chunked-{name}",
            "chunk-grammar",
            [chunked(coded), Pause.GAP, Pause.HALF_CLOSE],
            all_of(rejected(400)),
            closes=True,
        )
        for name, coded in _INVALID_CHUNKED.items()
    ),
    *(
        case(
            f"chunk-overflow-{name}",
            "chunk-size-overflow",
            [chunked(size + b"\r\nhello\r\n0\r\n\r\n"), Pause.GAP, Pause.HALF_CLOSE],
            all_of(no_success, closed),
            closes=True,
        )
        for name, size in {
            "32-bit": b"100000005",
            "63-bit": b"8000000000000005",
            "64-bit": b"10000000000000005",
            "all-ones": b"FFFFFFFFFFFFFFFF",
            "100-digits": b"1" + b"0" * 98 + b"5",
        }.items()
    ),
    case(
        "chunked-no-last-chunk",
        "chunked-incomplete",
        [chunked(b"5\r\nhello\r\n"), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "chunked-no-last-line",
        "chunked-incomplete",
        [chunked(b"5\r\nhello\r\n0\r\n"), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "chunked-cut-in-data",
        "chunked-incomplete",
        [chunked(b"5\r\nhel"), Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    case(
        "chunked-stalls",
        "chunked-incomplete",
        [chunked(b"5\r\nhel")],
        all_of(no_success, closed),
        closes=True,
        is_hasty=True,
    ),
]


def _coded(*fields: str | bytes, content: bytes = _HELLO, version: str = "1.1") -> bytes:
    return head("POST", "/echo", *fields, version=version) + content


_BOTH = {
    "length-first": _coded("Content-Length: 5", "Transfer-Encoding: chunked"),
    "coding-first": _coded("Transfer-Encoding: chunked", "Content-Length: 5"),
    "length-exact": _coded("Transfer-Encoding: chunked", f"Content-Length: {len(_HELLO)}"),
    "length-zero": _coded("Content-Length: 0", "Transfer-Encoding: chunked"),
    "keep-alive": _coded("Connection: keep-alive", "Content-Length: 5", "Transfer-Encoding: chunked"),
    "smuggling-cl-te": _coded(
        f"Content-Length: {5 + len(SMUGGLED)}", "Transfer-Encoding: chunked", content=_LAST + SMUGGLED
    ),
    "smuggling-te-cl": _coded(
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        content=b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    ),
}

_NOT_FINAL = {
    "chunked-then-gzip": ("Transfer-Encoding: chunked, gzip",),
    "chunked-then-identity": ("Transfer-Encoding: chunked, identity",),
    "chunked-twice": ("Transfer-Encoding: chunked, chunked",),
    "chunked-then-other-line": ("Transfer-Encoding: chunked", "Transfer-Encoding: gzip"),
    "gzip-alone": ("Transfer-Encoding: gzip",),
    "identity-alone": ("Transfer-Encoding: identity",),
    "empty": ("Transfer-Encoding:",),
}

_OBFUSCATED = {
    "prefix": (b"Transfer-Encoding: xchunked",),
    "suffix": (b"Transfer-Encoding: chunkedx",),
    "quoted": (b'Transfer-Encoding: "chunked"',),
    "parameter": (b"Transfer-Encoding: chunked;a=b",),
    "vertical-tab-before": (b"Transfer-Encoding: \x0bchunked",),
    "vertical-tab-after": (b"Transfer-Encoding: chunked\x0b",),
    "nul": (b"Transfer-Encoding: chunked\x00",),
    "cr-before": (b"Transfer-Encoding: \rchunked",),
    "non-ascii-blank": (b"Transfer-Encoding: \xa0chunked",),
    "two-lines-unknown": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
    "two-lines-identity": (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    "blank-separated": (b"Transfer-Encoding: identity chunked",),
}

_CODINGS = [
    *(
        case(
            f"both-{name}",
            "both-lengths",
            [request, Answers(1), PROBE],
            all_of(nothing_smuggled, count(1), nth(0, status(200, 400)), closed),
            closes=True,
        )
        for name, request in _BOTH.items()
    ),
    *(
        case(
            f"coding-{name}",
            "chunked-not-final",
            [_coded(*fields, content=_LAST + SMUGGLED), Pause.GAP],
            all_of(nothing_smuggled, rejected(400, 501)),
            closes=True,
        )
        for name, fields in _NOT_FINAL.items()
    ),
    *(
        case(
            f"coding-obfuscated-{name}",
            "chunked-not-final",
            [_coded(*fields, content=_LAST + SMUGGLED)],
            all_of(nothing_smuggled, rejected(400, 501)),
            closes=True,
        )
        for name, fields in _OBFUSCATED.items()
    ),
    *(
        case(
            f"coding-obfuscated-{name}-with-length",
            "both-lengths",
            [_coded("Content-Length: 5", *fields, content=_LAST + SMUGGLED)],
            all_of(nothing_smuggled, no_success, closed),
            closes=True,
        )
        for name, fields in _OBFUSCATED.items()
        if name in {"prefix", "quoted", "vertical-tab-before", "two-lines-unknown"}
    ),
    answers_with(
        "coding-unknown", "transfer-coding-unknown", _coded("Transfer-Encoding: frob, chunked"), status(501)
    ),
    answers_with(
        "coding-unknown-alone", "transfer-coding-unknown", _coded("Transfer-Encoding: frob"), status(400, 501)
    ),
    accepts(
        "coding-upper-case", "transfer-coding-case", _coded("Transfer-Encoding: CHUNKED"), body(b"hello")
    ),
    accepts(
        "coding-mixed-case", "transfer-coding-case", _coded("Transfer-Encoding: Chunked"), body(b"hello")
    ),
    accepts("coding-trimmed", "field-value-trim", _coded("Transfer-Encoding: \t chunked \t"), body(b"hello")),
    accepts(
        "coding-underscore-is-another-field",
        "body-framed",
        _coded("Content-Length: 5", "Transfer_Encoding: chunked", content=b"hello"),
        body(b"hello"),
    ),
    case(
        "coding-in-1.0",
        "transfer-encoding-1.0",
        [_coded("Transfer-Encoding: chunked", version="1.0"), Answers(1), PROBE],
        all_of(nothing_smuggled, count(1), closed),
        closes=True,
    ),
    case(
        "coding-in-1.0-keep-alive",
        "transfer-encoding-1.0",
        [
            _coded(
                "Transfer-Encoding: chunked",
                "Connection: keep-alive",
                version="1.0",
                content=_LAST + SMUGGLED,
            ),
            Answers(1),
            PROBE,
        ],
        all_of(nothing_smuggled, count(1), closed),
        closes=True,
    ),
    case(
        "coding-in-1.0-with-length",
        "transfer-encoding-1.0",
        [
            _coded(
                "Transfer-Encoding: chunked",
                "Content-Length: 5",
                "Connection: keep-alive",
                version="1.0",
                content=_LAST + SMUGGLED,
            ),
            Answers(1),
            PROBE,
        ],
        all_of(nothing_smuggled, count(1), closed),
        closes=True,
    ),
    case(
        "length-1.0",
        "body-framed",
        [post(b"hello", version="1.0")],
        all_of(nth(0, status(200), body(b"hello"))),
    ),
    case(
        "chunked-over-limit",
        "content-too-large",
        [chunked(b"10000\r\n" + b"x" * 65536 + b"\r\n")]
        + [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * (CONTENT_LIMIT_BYTES // 65536)
        + [_LAST],
        all_of(nth(0, status(413))),
    ),
    answers_with(
        "length-over-limit",
        "content-too-large",
        head("POST", "/echo", f"Content-Length: {CONTENT_LIMIT_BYTES + 1}"),
        status(413),
    ),
    answers_with(
        "target-of-chunked", "chunked-decoded", chunked(_HELLO, target="/target?a"), body_has(b"query=a\n")
    ),
]

CASES: list[Case] = [*_LENGTHS, *_UNREAD, *_CHUNKED, *_CODINGS]
