"""Request line, target, Host and fields: valid and invalid messages (RFC 9112 2 to 5)."""

from .building import (
    HOST,
    PROBE,
    accepts,
    all_of,
    answers_with,
    body,
    body_has,
    case,
    client_error,
    closed,
    count,
    either,
    error_status,
    get,
    happened,
    head,
    in_sync,
    in_sync_or_closed,
    no_failure,
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

_HEAD_IN_PIECES = {
    "method": (b"GE", b"T /plain HTTP/1.1\r\nHost: origin.test\r\n\r\n"),
    "target": (b"GET /pl", b"ain HTTP/1.1\r\nHost: origin.test\r\n\r\n"),
    "version": (b"GET /plain HTT", b"P/1.1\r\nHost: origin.test\r\n\r\n"),
    "line-end": (b"GET /plain HTTP/1.1\r", b"\nHost: origin.test\r\n\r\n"),
    "name": (b"GET /plain HTTP/1.1\r\nHo", b"st: origin.test\r\n\r\n"),
    "value": (b"GET /plain HTTP/1.1\r\nHost: orig", b"in.test\r\n\r\n"),
    "last-cr": (b"GET /plain HTTP/1.1\r\nHost: origin.test\r\n", b"\r\n"),
    "last-lf": (b"GET /plain HTTP/1.1\r\nHost: origin.test\r\n\r", b"\n"),
}

_INVALID_REQUEST_LINES = {
    "no-version": b"GET /plain",
    "no-target": b"GET HTTP/1.1",
    "only-method": b"GET",
    "leading-blank": b" GET /plain HTTP/1.1",
    "trailing-word": b"GET /plain HTTP/1.1 x",
    "version-lower-case": b"GET /plain http/1.1",
    "version-of-three": b"GET /plain HTTP/1.1.1",
    "version-one-number": b"GET /plain HTTP/1",
    "version-two-digits": b"GET /plain HTTP/1.10",
    "version-letters": b"GET /plain HTTP/a.b",
    "version-blank": b"GET /plain HTTP/ 1.1",
    "version-comma": b"GET /plain HTTP/1,1",
    "protocol-misspelt": b"GET /plain HTP/1.1",
    "protocol-other": b"GET /plain RTSP/1.0",
    "method-at-sign": b"G@T /plain HTTP/1.1",
    "method-bracket": b"GE(T /plain HTTP/1.1",
    "method-comma": b"G,ET /plain HTTP/1.1",
    "method-colon": b"GET: /plain HTTP/1.1",
    "method-non-ascii": b"G\xc9T /plain HTTP/1.1",
    "method-nul": b"G\x00T /plain HTTP/1.1",
    "target-relative": b"GET plain HTTP/1.1",
    "target-authority-path": b"GET origin.test/plain HTTP/1.1",
    "target-fragment": b"GET /plain#part HTTP/1.1",
    "target-blank": b"GET /pl ain HTTP/1.1",
    "target-non-ascii": b"GET /pl\xc3\xa4in HTTP/1.1",
    "target-control": b"GET /pl\x01ain HTTP/1.1",
    "target-nul": b"GET /pl\x00ain HTTP/1.1",
    "target-delete": b"GET /pl\x7fain HTTP/1.1",
    "target-escape-letters": b"GET /items/%zz HTTP/1.1",
    "target-escape-short": b"GET /items/%f HTTP/1.1",
    "target-escape-bare": b"GET /items/% HTTP/1.1",
    "target-port-letters": b"GET http://origin.test:port/plain HTTP/1.1",
}

_REQUEST_LINES = [
    *(
        rejects(
            f"request-line-{name}",
            "request-line",
            line + b"\r\nHost: origin.test\r\n\r\n",
            400,
            404,
            501,
            505,
        )
        if name.startswith("method")
        else rejects(
            f"request-line-{name}", "request-line", line + b"\r\nHost: origin.test\r\n\r\n", 400, 505
        )
        for name, line in _INVALID_REQUEST_LINES.items()
    ),
    *(
        case(
            f"head-split-in-{name}",
            "octets",
            [before, Pause.GAP, after, Answers(1), PROBE],
            in_sync(status(200), body(b"plain\n")),
            answers=2,
        )
        for name, (before, after) in _HEAD_IN_PIECES.items()
    ),
    case(
        "head-byte-by-byte",
        "octets",
        [*(bytes([octet]) for octet in get()), Answers(1), PROBE],
        in_sync(status(200), body(b"plain\n")),
        answers=2,
    ),
    case(
        "head-not-applied-early",
        "field-whole-section",
        [b"GET /plain HTTP/1.1\r\nHost: origin.test\r\n", Pause.GAP, b"X-Test: a\r\n", Pause.GAP, b"\r\n"],
        all_of(happened("sent", "sent", "sent", "200"), nth(0, status(200))),
    ),
    case(
        "head-cut-off",
        "field-whole-section",
        [b"GET /plain HTTP/1.1\r\nHost: origin.test\r\nX-Test: a\r\n", Pause.GAP, Pause.HALF_CLOSE],
        all_of(no_success, closed),
        closes=True,
    ),
    accepts("empty-line-before", "empty-line-before", b"\r\n" + get(), body(b"plain\n")),
    case(
        "empty-line-between",
        "empty-line-before",
        [post(b"hello") + b"\r\n" + PROBE],
        in_sync(status(200), body(b"hello")),
        answers=2,
    ),
    rejects("blank-line-of-spaces", "not-http", b"  \r\n" + get()),
    rejects("garbage-words", "not-http", b"hello world\r\n\r\n"),
    rejects("garbage-octets", "not-http", bytes(range(1, 10)) + b"\x80\xff\r\n\r\n"),
    rejects(
        "garbage-answer", "not-http", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, 405, 501, 505
    ),
    rejects("http2-preface", "not-http", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 405, 501, 505),
    case(
        "tls-client-hello",
        "not-http",
        [
            b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03"
            + bytes(32)
            + b"\x00\x00\x02\x13\x01\x01\x00\r\n\r\n"
        ],
        all_of(no_success, closed),
        closes=True,
    ),
    rejects("simple-request-0.9", "not-http", b"GET /plain\r\n\r\n", 400, 505),
]

_METHODS = [
    answers_with("method-lower-case", "method-case", head("get", "/plain"), status(400, 405, 501)),
    answers_with("method-mixed-case", "method-case", head("Get", "/plain"), status(400, 405, 501)),
    answers_with("method-prefix", "method-case", head("GETX", "/plain"), status(400, 405, 501)),
    answers_with("method-unknown", "method-unknown", head("FROB", "/plain"), status(501)),
    answers_with("method-unknown-no-resource", "method-unknown", head("FROB", "/missing"), status(501, 404)),
    answers_with(
        "method-all-token-characters", "method-unknown", head("A!#$%&'*+-.^_`|~9", "/plain"), status(501)
    ),
    answers_with("method-one-letter", "method-unknown", head("X", "/plain"), status(501)),
    answers_with("method-too-long", "method-too-long", head("A" * 300, "/plain"), status(501)),
]

_VERSIONS = [
    *(
        answers_with(f"version-{version}", "version-505", head("GET", "/plain", version=version), status(505))
        for version in ("2.0", "2.1", "3.0", "9.9")
    ),
    answers_with("version-0.9", "version-505", head("GET", "/plain", version="0.9"), status(505, 400)),
    answers_with("version-1.2", "version-minor-higher", head("GET", "/plain", version="1.2"), status(200)),
    answers_with("version-1.9", "version-minor-higher", head("GET", "/plain", version="1.9"), status(200)),
    answers_with(
        "version-answer-to-1.0",
        "version-own",
        get(version="1.0"),
        status(200),
        lambda answer: None if answer.version == "1.1" else f"the version is {answer.version}",
    ),
    *(
        answers_with(
            f"version-answered-{name}",
            "version-conformant",
            request,
            lambda answer: None if answer.version in {"1.0", "1.1"} else f"the version is {answer.version}",
        )
        for name, request in {
            "1.1": get(),
            "1.0": get(version="1.0"),
            "2.0": get(version="2.0"),
            "garbage": b"garbage\r\n\r\n",
        }.items()
    ),
    *(
        answers_with(f"status-line-{code}", "status-line", request, status(code))
        for code, request in {
            200: get(),
            404: get("/missing"),
            204: get("/nothing"),
            302: get("/redirect"),
        }.items()
    ),
]

_TARGETS = [
    accepts("target-percent-plain", "percent-equivalent", get("/%70lain"), body(b"plain\n")),
    accepts("target-percent-lower", "percent-equivalent", get("/%70%6c%61in"), body(b"plain\n")),
    accepts("target-percent-unreserved", "percent-equivalent", get("/items/a%2Db%2E%7E%5F"), body(b"a-b.~_")),
    accepts("target-percent-utf-8", "percent-equivalent", get("/items/%D0%BF"), body("п".encode())),
    accepts("target-percent-once", "percent-equivalent", get("/items/%2541"), body(b"%41")),
    accepts("target-percent-blank", "percent-equivalent", get("/items/a%20b"), body(b"a b")),
    accepts("target-plus", "percent-equivalent", get("/items/a+b"), body(b"a+b")),
    accepts("target-sub-delims", "target-origin", get("/items/a;b=c,d!$&'()*:@"), body(b"a;b=c,d!$&'()*:@")),
    accepts(
        "target-query", "target-origin", get("/target?a=b?c/d&e=%2F"), body_has(b"query=a=b?c/d&e=%2F\n")
    ),
    accepts("target-query-empty", "target-origin", get("/target?"), body_has(b"path=/target\nquery=\n")),
    accepts("target-root", "target-origin", get("/"), body(b"root\n")),
    answers_with("target-two-slashes", "target-origin", get("//origin.test/plain"), status(400, 404)),
    accepts("target-absolute", "target-absolute", get("http://origin.test/plain"), body(b"plain\n")),
    accepts("target-absolute-upper", "target-absolute", get("HTTP://ORIGIN.TEST/plain"), body(b"plain\n")),
    accepts(
        "target-absolute-port", "target-absolute", get("http://origin.test:8080/plain"), body(b"plain\n")
    ),
    accepts("target-absolute-ipv6", "target-absolute", get("http://[::1]/plain"), body(b"plain\n")),
    accepts(
        "target-absolute-query",
        "target-absolute",
        get("http://origin.test/target?a=b"),
        body_has(b"query=a=b\n"),
    ),
    accepts("target-absolute-no-path", "target-absolute", get("http://origin.test"), body(b"root\n")),
    accepts("target-absolute-only-query", "target-absolute", get("http://origin.test?a=b"), body(b"root\n")),
    answers_with(
        "target-absolute-1.0", "target-absolute", get("http://origin.test/plain", version="1.0"), status(200)
    ),
    accepts(
        "target-absolute-host-ignored",
        "target-absolute-host",
        get("http://other.test/target"),
        body_has(b"host=other.test\n"),
    ),
    accepts(
        "target-absolute-host-port-ignored",
        "target-absolute-host",
        head("GET", "http://other.test/target", "Host: origin.test:99", host=False),
        body_has(b"host=other.test\n"),
    ),
    rejects(
        "target-absolute-no-host-field", "host-required", head("GET", "http://origin.test/plain", host=False)
    ),
    rejects(
        "target-absolute-two-hosts", "host-required", get("http://origin.test/plain", "Host: other.test")
    ),
    rejects("target-absolute-empty-host", "http-empty-host", get("http:///plain")),
    rejects("target-absolute-empty-host-port", "http-empty-host", get("http://:80/plain")),
    answers_with("target-absolute-userinfo", "userinfo", get("http://a:b@origin.test/plain"), client_error),
    answers_with("target-https", "https-without-tls", get("https://origin.test/plain"), client_error),
    rejects("target-authority-get", "target-authority", get("origin.test:80")),
    rejects("target-authority-options", "target-authority", head("OPTIONS", "origin.test:80")),
    rejects("target-asterisk-get", "target-asterisk", get("*")),
    rejects("target-asterisk-post", "target-asterisk", head("POST", "*", "Content-Length: 0")),
    answers_with("connect", "connect-rejected", head("CONNECT", "origin.test:80"), error_status),
    answers_with("connect-no-port", "connect-rejected", head("CONNECT", "origin.test"), error_status),
    answers_with("connect-path", "connect-rejected", head("CONNECT", "/plain"), error_status),
    accepts("target-8000", "target-8000", get("/target?" + "a" * 7980), body_has(b"a" * 7980)),
    answers_with("request-line-8000", "request-line-8000", get("/items/" + "a" * 7970), status(200)),
    answers_with(
        "target-too-long-path", "target-too-long", get("/items/" + "a" * 200_000), status(414, 200, 404)
    ),
    answers_with(
        "target-too-long-query", "target-too-long", get("/target?" + "a" * 200_000), status(414, 200)
    ),
]

_VALID_HOSTS = {
    "port": "origin.test:8080",
    "empty-port": "origin.test:",
    "ipv4": "127.0.0.1",
    "ipv6": "[::1]:80",
    "upper-case": "ORIGIN.test",
    "underscore": "my_origin.test",
    "percent": "%6Frigin.test",
}

_INVALID_HOSTS = {
    "blank": "origin test",
    "slash": "origin.test/plain",
    "scheme": "http://origin.test",
    "userinfo": "user@origin.test",
    "port-letters": "origin.test:port",
    "two-ports": "origin.test:80:81",
    "fragment": "origin.test#x",
    "query": "origin.test?x",
    "open-bracket": "[::1",
    "after-bracket": "[::1]x",
    "quotes": 'ori"gin.test',
    "angle": "<origin.test>",
    "backslash": "origin\\test",
    "percent-invalid": "%zz.test",
    "tab": "origin\ttest",
    "non-ascii": b"Host: \xc3\xb6rigin.test",
    "list": "origin.test, other.test",
}

_HOSTS = [
    rejects("host-missing", "host-required", head("GET", "/plain", host=False)),
    rejects("host-missing-with-fields", "host-required", head("GET", "/plain", "X-Test: a", host=False)),
    rejects("host-twice-equal", "host-required", get("/plain", HOST)),
    rejects("host-twice-different", "host-required", get("/plain", "Host: other.test")),
    rejects("host-twice-other-case", "host-required", get("/plain", "hOST: other.test")),
    *(
        rejects(
            f"host-{name}",
            "host-required",
            head("GET", "/plain", value if isinstance(value, bytes) else f"Host: {value}", host=False),
        )
        for name, value in _INVALID_HOSTS.items()
    ),
    *(
        accepts(f"host-{name}", "host-required", head("GET", "/plain", f"Host: {value}", host=False))
        for name, value in _VALID_HOSTS.items()
    ),
    answers_with(
        "host-missing-1.0", "host-required", head("GET", "/plain", version="1.0", host=False), status(200)
    ),
    rejects("host-missing-options", "host-required", head("OPTIONS", "*", host=False)),
]


def _field(value: str | bytes) -> bytes:
    return get("/field", b"X-Test:" + (value if isinstance(value, bytes) else value.encode("latin-1")))


_INVALID_FIELD_LINES = {
    "no-colon": b"X-Test",
    "no-name": b": a",
    "name-blank": b"X Test: a",
    "name-bracket": b"X(Test: a",
    "name-at-sign": b"X@Test: a",
    "name-slash": b"X/Test: a",
    "name-quotes": b'"X-Test": a',
    "name-non-ascii": b"X-T\xe4st: a",
    "name-control": b"X-T\x01st: a",
    "name-nul": b"X-T\x00st: a",
    "name-delete": b"X-T\x7fst: a",
}

_FIELDS = [
    accepts("field-trimmed-none", "field-value-trim", _field("a"), body(b"[a]")),
    accepts("field-trimmed-blanks", "field-value-trim", _field("   a   "), body(b"[a]")),
    accepts("field-trimmed-tabs", "field-value-trim", _field("\t a \t"), body(b"[a]")),
    accepts("field-trimmed-empty", "field-value-trim", _field(" \t "), body(b"[]")),
    accepts("field-empty", "field-value-trim", _field(""), body(b"[]")),
    accepts("field-blank-inside", "field-value-trim", _field(" a  b"), body(b"[a  b]")),
    accepts("field-colon-inside", "field-value-trim", _field(" a:b: c"), body(b"[a:b: c]")),
    accepts("field-name-upper", "field-name-case", get("/field", "X-TEST: a"), body(b"[a]")),
    accepts("field-name-lower", "field-name-case", get("/field", "x-test: a"), body(b"[a]")),
    accepts("field-host-case", "field-name-case", head("GET", "/plain", "hOsT: origin.test", host=False)),
    accepts(
        "field-length-case",
        "field-name-case",
        head("POST", "/echo", "cONTENT-lENGTH: 5") + b"hello",
        body(b"hello"),
    ),
    accepts(
        "field-coding-case",
        "field-name-case",
        head("POST", "/echo", "tRANSFER-eNCODING: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        body(b"hello"),
    ),
    accepts(
        "field-unknown", "field-unknown", get("/plain", "X-Unknown: 1", "Frobnicate: yes"), body(b"plain\n")
    ),
    accepts("field-name-token", "field-unknown", get("/plain", "!#$%&'*+-.^_`|~9: 1"), body(b"plain\n")),
    accepts(
        "field-sixty", "field-unknown", get("/plain", *(f"X-{n}: {n}" for n in range(60))), body(b"plain\n")
    ),
    accepts("field-obs-text", "field-value-obs-text", _field(b" caf\xe9 \xff"), body_has(b"caf")),
    accepts("field-utf-8", "field-value-obs-text", _field(" caf\xc3\xa9"), body_has(b"caf")),
    accepts("field-nel-is-no-line-end", "octets", _field(b" a\xc2\x85X-Other: b"), body_has(b"X-Other")),
    accepts(
        "field-u2028-is-no-line-end", "octets", _field(b" a\xe2\x80\xa8X-Other: b"), body_has(b"X-Other")
    ),
    rejects("blank-before-colon", "blank-before-colon", get("/field", "X-Test : a")),
    rejects("tab-before-colon", "blank-before-colon", get("/field", "X-Test\t: a")),
    rejects(
        "blank-before-colon-host",
        "blank-before-colon",
        head("GET", "/plain", "Host : origin.test", host=False),
    ),
    rejects(
        "blank-before-colon-length",
        "blank-before-colon",
        head("POST", "/echo", "Content-Length : 5") + b"hello",
    ),
    rejects(
        "blank-before-colon-coding",
        "blank-before-colon",
        head("POST", "/echo", "Transfer-Encoding : chunked") + b"0\r\n\r\n",
    ),
    *(
        rejects(f"field-{name}", "field-grammar", get("/plain", line))
        for name, line in _INVALID_FIELD_LINES.items()
    ),
    rejects_or_responds(
        "blank-before-first-field",
        "blank-before-fields",
        head("GET", "/field", " X-Test: a", HOST, host=False),
        body(b"[]"),
    ),
    rejects(
        "blank-before-only-host",
        "blank-before-fields",
        head("GET", "/plain", " Host: origin.test", host=False),
    ),
    rejects_or_responds(
        "tab-before-first-field",
        "blank-before-fields",
        head("GET", "/field", "\tX-Test: a", HOST, host=False),
        body(b"[]"),
    ),
    rejects_or_responds("obs-fold", "obs-fold", get("/field", "X-Test: a\r\n b"), body_has(b" b]")),
    rejects_or_responds("obs-fold-tab", "obs-fold", get("/field", "X-Test: a\r\n\tb"), body_has(b" b]")),
    rejects_or_responds(
        "obs-fold-twice", "obs-fold", get("/field", "X-Test: a\r\n b\r\n c"), body_has(b" c]")
    ),
    rejects_or_responds("obs-fold-empty", "obs-fold", get("/field", "X-Test: a\r\n "), body_has(b"[a")),
    rejects_or_responds("obs-fold-first", "obs-fold", get("/field", "X-Test:\r\n a"), body(b"[a]")),
    rejects_or_responds(
        "obs-fold-coding",
        "obs-fold",
        head("POST", "/echo", "Transfer-Encoding:\r\n chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        body(b"hello"),
    ),
    rejects_or_responds(
        "obs-fold-length",
        "obs-fold",
        head("POST", "/echo", "Content-Length:\r\n 5") + b"hello",
        body(b"hello"),
    ),
    rejects_or_responds("bare-cr-in-value", "bare-cr", _field(" a\rb"), body(b"[a b]")),
    rejects("bare-cr-in-name", "bare-cr", get("/field", "X-T\rest: a")),
    rejects("bare-cr-in-target", "bare-cr", get("/pl\rain")),
    rejects("bare-cr-in-version", "bare-cr", b"GET /plain HTTP/1.1\r\r\nHost: origin.test\r\n\r\n", 400, 505),
    rejects_or_responds("bare-cr-before-crlf", "bare-cr", _field(" a\r")),
    rejects_or_responds(
        "bare-cr-hides-field", "bare-cr", _field(b" a\rTransfer-Encoding: chunked"), body_has(b"a Tr")
    ),
    rejects_or_responds("nul-in-value", "field-value-control", _field(" a\x00b"), body(b"[a b]")),
    rejects_or_responds("nul-alone-in-value", "field-value-control", _field(" \x00")),
    rejects("nul-in-host", "field-value-control", head("GET", "/plain", "Host: a\x00b", host=False)),
    *(
        rejects_or_responds(
            f"control-{octet:02x}-in-value", "field-value-other-control", _field(f" a{chr(octet)}b")
        )
        for octet in (0x01, 0x0B, 0x0C, 0x1C, 0x7F)
    ),
    *(
        case(
            f"bare-lf-{name}",
            "bare-lf",
            [request, Answers(1), PROBE],
            all_of(nothing_smuggled, either(rejected(400), in_sync(status(200)))),
            answers=2,
        )
        for name, request in {
            "everywhere": b"GET /plain HTTP/1.1\nHost: origin.test\n\n",
            "request-line": b"GET /plain HTTP/1.1\nHost: origin.test\r\n\r\n",
            "field": b"GET /plain HTTP/1.1\r\nHost: origin.test\nX-Test: a\r\n\r\n",
            "last-line": b"GET /plain HTTP/1.1\r\nHost: origin.test\r\n\n",
        }.items()
    ),
    answers_with(
        "field-value-too-large", "field-too-large", get("/plain", "X-Test: " + "a" * 300_000), no_failure
    ),
    answers_with(
        "fields-too-many",
        "field-too-large",
        get("/plain", *(f"X-{number}: {number}" for number in range(20_000))),
        no_failure,
    ),
    answers_with("field-name-too-large", "field-too-large", get("/plain", "X" * 300_000 + ": a"), no_failure),
    case(
        "field-length-combined",
        "content-length-repeated",
        [head("POST", "/echo", "Content-Length: 5", "Content-Length: 5") + b"hello", Answers(1), PROBE],
        all_of(nothing_smuggled, either(rejected(400), in_sync(status(200), body(b"hello")))),
        answers=2,
    ),
    case(
        "host-then-body-as-request",
        "body-framed",
        [post(b"GET / HTTP/1.1\r\n\r\n", target="/plain"), Answers(1), PROBE],
        in_sync_or_closed(status(405)),
        answers=2,
    ),
    case(
        "two-heads-one-write",
        "body-framed",
        [get() + PROBE],
        in_sync(status(200), body(b"plain\n")),
        answers=2,
    ),
    case("nothing-sent", "field-whole-section", [Pause.HALF_CLOSE], all_of(count(0), closed), closes=True),
]

CASES: list[Case] = [*_REQUEST_LINES, *_METHODS, *_VERSIONS, *_TARGETS, *_HOSTS, *_FIELDS]
