"""Lifetime of a connection, order of responses, and its end (RFC 9112 9; 9110 7.8, 10.1.1)."""

from .building import (
    PROBE,
    accepts,
    all_of,
    answers_with,
    body,
    body_has,
    case,
    chunked,
    client_error,
    closed,
    closed_gracefully,
    count,
    either,
    get,
    happened,
    head,
    in_sync,
    interim_statuses,
    lacks,
    names,
    names_not,
    no_success,
    nothing_smuggled,
    nth,
    post,
    rejected,
    status,
)
from .harness import Answers, Case, Outcome, Pause
from .origin import CONTENT_LIMIT_BYTES

_HELLO = b"5\r\nhello\r\n0\r\n\r\n"
_MEGABYTE = b"x" * CONTENT_LIMIT_BYTES


def _is_seen_incomplete(outcome: Outcome) -> str | None:
    if outcome.answers:
        is_success = outcome.answers[0].status < 300
        return "the answer that failed looks complete" if is_success else None
    return closed(outcome)


_PERSISTENT = [
    accepts("persistent", "persistent-1.1", get(), body(b"plain\n"), names_not("Connection", "close")),
    accepts("persistent-keep-alive", "persistent-1.1", get("/plain", "Connection: keep-alive")),
    accepts("persistent-unknown-option", "persistent-1.1", get("/plain", "Connection: foo, X-Test")),
    accepts("persistent-similar-option", "persistent-1.1", get("/plain", "Connection: closed, not-close")),
    accepts("persistent-after-post", "persistent-1.1", post(b"hello"), body(b"hello")),
    accepts("persistent-after-stream", "persistent-1.1", get("/stream"), body(b"one\ntwo\nthree\n")),
    *(
        case(
            f"persistent-after-{name}",
            "persistent-1.1",
            [get(target), Answers(1), PROBE],
            in_sync(status(code)),
            answers=2,
        )
        for name, target, code in (
            ("404", "/missing", 404),
            ("204", "/nothing", 204),
            ("302", "/redirect", 302),
        )
    ),
    case(
        "persistent-twenty",
        "persistent-1.1",
        [step for number in range(1, 21) for step in (get(), Answers(number))],
        all_of(count(20), nth(19, status(200))),
        answers=20,
    ),
    case("1.0-closed", "not-persistent-1.0", [get(version="1.0")], all_of(count(1), closed), closes=True),
    case(
        "1.0-not-processed-further",
        "not-persistent-1.0",
        [get(version="1.0") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    case(
        "1.0-post-closed",
        "not-persistent-1.0",
        [post(b"hello", version="1.0")],
        all_of(count(1), nth(0, body(b"hello")), closed),
        closes=True,
    ),
    case(
        "1.0-keep-alive",
        "persistent-1.0",
        [get("/plain", "Connection: keep-alive", version="1.0"), Answers(1), PROBE],
        in_sync(status(200), names("Connection", "keep-alive")),
        answers=2,
    ),
    case(
        "1.0-keep-alive-case",
        "persistent-1.0",
        [get("/plain", "Connection: Keep-Alive", version="1.0"), Answers(1), PROBE],
        in_sync(status(200), names("Connection", "keep-alive")),
        answers=2,
    ),
    case(
        "1.0-close",
        "close-honoured",
        [get("/plain", "Connection: close", version="1.0") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    case(
        "1.0-stream-not-chunked",
        "transfer-encoding-sent",
        [get("/stream", version="1.0")],
        all_of(count(1), nth(0, status(200), lacks("Transfer-Encoding"), body(b"one\ntwo\nthree\n")), closed),
        closes=True,
    ),
    case(
        "1.0-stream-keep-alive-framed",
        "response-framed",
        [get("/stream", "Connection: keep-alive", version="1.0"), Answers(1), PROBE],
        either(
            in_sync(body(b"one\ntwo\nthree\n"), lacks("Transfer-Encoding")),
            all_of(count(1), nth(0, body(b"one\ntwo\nthree\n"), lacks("Transfer-Encoding")), closed),
        ),
        answers=2,
    ),
    answers_with("stream-framed", "response-framed", get("/stream"), body(b"one\ntwo\nthree\n")),
    case(
        "stream-close-framed",
        "response-framed",
        [get("/stream", "Connection: close")],
        all_of(count(1), nth(0, body(b"one\ntwo\nthree\n")), closed),
        closes=True,
    ),
    accepts("response-length-in-octets", "response-framed", get("/items/%E2%82%AC"), body("€".encode())),
    case(
        "stream-that-fails",
        "response-incomplete",
        [get("/boom-late")],
        _is_seen_incomplete,
        closes=True,
    ),
]


_CLOSING = [
    case(
        f"close-{name}" if name else "close",
        "close-honoured",
        [get("/plain", *fields) + PROBE],
        all_of(count(1), nth(0, status(200)), closed),
        closes=True,
    )
    for name, fields in {
        "": ("Connection: close",),
        "case": ("Connection: CLOSE",),
        "name-case": ("cONNECTION: close",),
        "after-keep-alive": ("Connection: keep-alive, close",),
        "before-keep-alive": ("Connection: close, keep-alive",),
        "no-blank": ("Connection: keep-alive,close",),
        "trimmed": ("Connection: \t close \t",),
    }.items()
] + [
    case(
        "close-option-mixed-case",
        "connection-case",
        [get("/plain", "Connection: Close") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    case(
        "close-among-empty-elements",
        "list-empty-elements",
        [get("/plain", "Connection: , ,close,,") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    case(
        "close-on-second-line",
        "field-combined",
        [get("/plain", "Connection: keep-alive", "Connection: close") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    case(
        "close-on-first-line",
        "field-combined",
        [get("/plain", "Connection: close", "Connection: keep-alive") + PROBE],
        all_of(count(1), closed),
        closes=True,
    ),
    *(
        case(
            f"close-after-{name}",
            "close-honoured",
            [request],
            all_of(count(1), nth(0, status(code)), closed),
            closes=True,
            methods=(request.split(b" ")[0].decode(),),
        )
        for name, request, code in (
            ("post", post(b"hello", "Connection: close"), 200),
            ("chunked", chunked(_HELLO, "Connection: close"), 200),
            ("stream", get("/stream", "Connection: close"), 200),
            ("slow", get("/slow", "Connection: close"), 200),
            ("404", get("/missing", "Connection: close"), 404),
            ("204", get("/nothing", "Connection: close"), 204),
            ("304", get("/unmodified", "Connection: close"), 304),
            ("500", get("/boom", "Connection: close"), 500),
            ("head", head("HEAD", "/plain", "Connection: close"), 200),
        )
    ),
    *(
        answers_with(f"close-sent-{name}", "close-sent", request, names("Connection", "close"))
        for name, request in (
            ("200", get("/plain", "Connection: close")),
            ("404", get("/missing", "Connection: close")),
            ("post", post(b"hello", "Connection: close")),
            ("stream", get("/stream", "Connection: close")),
        )
    ),
    *(
        answers_with(f"close-sent-with-{name}", "close-sent", request, names("Connection", "close"))
        for name, request in (
            ("400", b"GET /plain HTTP/1.1\r\n\r\n"),
            (
                "both-lengths",
                head("POST", "/echo", "Content-Length: 5", "Transfer-Encoding: chunked") + _HELLO,
            ),
            ("bad-length", head("POST", "/echo", "Content-Length: x")),
            ("bad-chunk", chunked(b"x\r\n")),
        )
    ),
    *(
        case(
            f"nothing-after-{name}",
            "close-kept",
            [request + PROBE],
            all_of(count(1), nth(0, client_error), closed),
            closes=True,
        )
        for name, request in (
            ("bad-host", get("/plain", "Host: other.test")),
            ("bad-length", head("POST", "/echo", "Content-Length: x")),
            ("bad-field", get("/plain", "X-Test : a")),
            ("bad-line", b"GET /plain HTTP/1.1 x\r\nHost: origin.test\r\n\r\n"),
            ("bad-chunk", chunked(b"x\r\nhello\r\n0\r\n\r\n")),
        )
    ),
    *(
        case(
            f"closed-gracefully-after-{name}",
            "lingering-close",
            [request],
            all_of(count(1), closed_gracefully),
            closes=True,
        )
        for name, request in (
            ("close", get("/plain", "Connection: close")),
            ("1.0", get(version="1.0")),
            ("400", b"GET /plain HTTP/1.1\r\n\r\n"),
        )
    ),
    *(
        case(
            f"answer-readable-after-{name}",
            "lingering-close",
            [
                request,
                Pause.GAP,
                _MEGABYTE[:200_000],
                Pause.GAP,
                _MEGABYTE[:200_000],
                Pause.GAP,
                Pause.LISTEN,
            ],
            all_of(nth(0, status(*allowed))),
        )
        for name, request, allowed in (
            ("404", head("POST", "/missing", "Content-Length: 400000"), (404,)),
            ("405", head("POST", "/plain", "Content-Length: 400000"), (405,)),
            ("413", head("POST", "/echo", f"Content-Length: {8 * CONTENT_LIMIT_BYTES}"), (413,)),
            ("unread", head("POST", "/unread", "Content-Length: 400000"), (200,)),
            ("400", head("POST", "/echo", "Content-Length: x"), (400,)),
            ("bad-host", head("POST", "/echo", "Host: x", "Content-Length: 400000"), (400,)),
            ("bad-line", b"GET\r\n\r\n", (400, 505)),
            ("close", get("/plain", "Connection: close"), (200,)),
        )
    ),
    *(
        case(
            f"half-close-{name}",
            "half-close",
            [request, Pause.HALF_CLOSE],
            all_of(count(number), nth(number - 1, status(200)), closed),
            answers=number,
            closes=True,
        )
        for name, request, number in (
            ("get", get(), 1),
            ("post", post(b"hello"), 1),
            ("chunked", chunked(_HELLO), 1),
            ("slow", get("/slow"), 1),
            ("stream", get("/stream"), 1),
            ("pipelined", get() + get("/slow") + get(), 3),
            ("close", get("/slow", "Connection: close"), 1),
            ("1.0", get("/slow", version="1.0"), 1),
        )
    ),
    case(
        "half-close-idle",
        "half-close",
        [get(), Answers(1), Pause.HALF_CLOSE],
        all_of(count(1), closed_gracefully),
        closes=True,
    ),
]

_PIPELINED = [
    case(
        "pipelined-two",
        "pipelined-order",
        [get("/items/1") + get("/items/2")],
        all_of(count(2), nth(0, body(b"1")), nth(1, body(b"2"))),
        answers=2,
    ),
    case(
        "pipelined-fifty",
        "pipelined-order",
        [b"".join(get(f"/items/{number}") for number in range(50))],
        all_of(count(50), *(nth(number, body(str(number).encode())) for number in range(50))),
        answers=50,
    ),
    case(
        "pipelined-slow-first",
        "response-in-order",
        [get("/slow") + get("/items/2") + get("/slow") + get("/items/4")],
        all_of(
            count(4), nth(0, body(b"slow\n")), nth(1, body(b"2")), nth(2, body(b"slow\n")), nth(3, body(b"4"))
        ),
        answers=4,
    ),
    case(
        "pipelined-stream-between",
        "pipelined-order",
        [get("/items/1") + get("/stream") + get("/items/3")],
        all_of(count(3), nth(0, body(b"1")), nth(1, body(b"one\ntwo\nthree\n")), nth(2, body(b"3"))),
        answers=3,
    ),
    case(
        "pipelined-head-between",
        "pipelined-order",
        [get("/items/1") + head("HEAD", "/items/2") + get("/items/3")],
        all_of(count(3), nth(0, body(b"1")), nth(1, status(200)), nth(2, body(b"3"))),
        answers=3,
        methods=("GET", "HEAD", "GET"),
    ),
    case(
        "pipelined-bodies",
        "pipelined-order",
        [post(b"one") + chunked(b"3\r\ntwo\r\n0\r\n\r\n") + post(b"three")],
        all_of(count(3), nth(0, body(b"one")), nth(1, body(b"two")), nth(2, body(b"three"))),
        answers=3,
    ),
    case(
        "pipelined-statuses",
        "pipelined-order",
        [get("/missing") + get("/nothing") + get("/unmodified") + get("/redirect") + get("/plain")],
        all_of(
            count(5), *(nth(number, status(code)) for number, code in enumerate((404, 204, 304, 302, 200)))
        ),
        answers=5,
    ),
    case(
        "pipelined-cut-anywhere",
        "pipelined-order",
        [get("/items/1") + get("/items/2")[:30], Pause.GAP, get("/items/2")[30:] + get("/items/3")],
        all_of(count(3), nth(0, body(b"1")), nth(1, body(b"2")), nth(2, body(b"3"))),
        answers=3,
    ),
    case(
        "pipelined-while-busy",
        "pipelined-order",
        [get("/slow"), Pause.GAP, get("/items/2"), Pause.GAP, get("/items/3")],
        all_of(count(3), nth(0, body(b"slow\n")), nth(1, body(b"2")), nth(2, body(b"3"))),
        answers=3,
    ),
    case(
        "pipelined-close-in-the-middle",
        "close-honoured",
        [get("/items/1") + get("/items/2", "Connection: close") + get("/items/3")],
        all_of(count(2), nth(0, body(b"1")), nth(1, body(b"2")), closed),
        answers=2,
        closes=True,
    ),
    *(
        case(
            f"pipelined-before-{name}",
            "pipelined-error",
            [get("/items/1") + get("/items/2") + faulty],
            all_of(count(3), nth(0, body(b"1")), nth(1, body(b"2")), nth(2, status(400, 501, 505)), closed),
            answers=3,
            closes=True,
        )
        for name, faulty in (
            ("garbage", b"garbage\r\n\r\n"),
            ("no-host", b"GET / HTTP/1.1\r\n\r\n"),
            ("bad-length", head("POST", "/echo", "Content-Length: x")),
            ("bad-chunk", chunked(b"x\r\n")),
            ("bad-field", get("/plain", "X Test: a")),
        )
    ),
    case(
        "pipelined-slow-before-garbage",
        "pipelined-error",
        [get("/slow") + b"garbage\r\n\r\n"],
        all_of(count(2), nth(0, body(b"slow\n")), nth(1, status(400)), closed),
        answers=2,
        closes=True,
    ),
]


def _not_waited(outcome: Outcome) -> str | None:
    return "nothing came before the content" if "waited" in outcome.events else None


def _expecting(*fields: str, target: str = "/echo", length: int = 5, version: str = "1.1") -> bytes:
    return head(
        "POST", target, *(fields or ("Expect: 100-continue",)), f"Content-Length: {length}", version=version
    )


_EXPECT = [
    case(
        "expect",
        "expect-100",
        [_expecting(), Pause.INTERIM, b"hello", Answers(1), PROBE],
        all_of(
            interim_statuses(100),
            happened("sent", "100", "sent", "200"),
            in_sync(status(200), body(b"hello")),
        ),
        answers=2,
    ),
    case(
        "expect-chunked",
        "expect-100",
        [
            head("POST", "/echo", "Transfer-Encoding: chunked", "Expect: 100-continue"),
            Pause.INTERIM,
            _HELLO,
            Answers(1),
            PROBE,
        ],
        all_of(
            interim_statuses(100),
            happened("sent", "100", "sent", "200"),
            in_sync(status(200), body(b"hello")),
        ),
        answers=2,
    ),
    case(
        "expect-upper-case",
        "expect-case",
        [_expecting("Expect: 100-CONTINUE"), Pause.INTERIM, b"hello"],
        all_of(interim_statuses(100), happened("100", "sent", "200"), nth(0, body(b"hello"))),
    ),
    case(
        "expect-final-follows",
        "expect-final",
        [_expecting(), Pause.INTERIM, b"hel", Pause.GAP, b"lo"],
        all_of(interim_statuses(100), nth(0, status(200), body(b"hello"))),
    ),
    case(
        "expect-on-second-request",
        "expect-100",
        [get(), Answers(1), _expecting(), Pause.GAP, Pause.GAP, b"hello"],
        all_of(interim_statuses(100), happened("200", "100", "200"), nth(1, body(b"hello"))),
        answers=2,
    ),
    *(
        case(
            f"expect-and-{name}",
            "expect-100",
            [_expecting(target=target), Pause.INTERIM],
            all_of(_not_waited),
        )
        for name, target in (("unread", "/unread"), ("missing", "/missing"), ("not-allowed", "/plain"))
    ),
    case(
        "expect-too-large-not-waited-for",
        "expect-100",
        [_expecting(length=CONTENT_LIMIT_BYTES * 2), Pause.INTERIM],
        all_of(_not_waited),
    ),
    case(
        "expect-too-large",
        "expect-indicates-close",
        [_expecting(length=CONTENT_LIMIT_BYTES * 2)],
        all_of(interim_statuses(), count(1), nth(0, status(413, 417), names("Connection", "close")), closed),
        closes=True,
    ),
    case(
        "expect-missing-body-sent-anyway",
        "unread-body",
        [
            _expecting(target="/missing", length=len(PROBE)),
            Pause.INTERIM,
            PROBE,
            Answers(1),
            get("/items/next"),
        ],
        either(
            all_of(count(2), nth(0, status(404)), nth(1, body(b"next"))),
            all_of(count(1), nth(0, status(404)), closed),
        ),
        answers=2,
    ),
    case(
        "expect-1.0",
        "expect-1.0",
        [_expecting(version="1.0"), Pause.GAP, Pause.GAP, Pause.GAP, b"hello"],
        all_of(interim_statuses(), nth(0, status(200), body(b"hello"))),
    ),
    case(
        "no-interim-1.0",
        "interim-not-1.0",
        [
            _expecting("Expect: 100-continue", "Connection: keep-alive", version="1.0"),
            Pause.GAP,
            Pause.GAP,
            b"hello",
        ],
        all_of(interim_statuses(), nth(0, status(200), body(b"hello"))),
    ),
    case(
        "expect-body-already-there",
        "expect-no-content",
        [_expecting() + b"hello", Answers(1), PROBE],
        all_of(
            lambda outcome: "more than one interim answer" if len(outcome.interim) > 1 else None,
            in_sync(status(200), body(b"hello")),
        ),
        answers=2,
    ),
    case(
        "expect-without-content",
        "expect-no-content",
        [get("/plain", "Expect: 100-continue"), Answers(1), PROBE],
        in_sync(status(200), body(b"plain\n")),
        answers=2,
    ),
    case(
        "expect-length-zero",
        "expect-no-content",
        [_expecting(length=0), Answers(1), PROBE],
        in_sync(status(200), body(b"")),
        answers=2,
    ),
    case(
        "expect-unknown",
        "expect-unknown",
        [_expecting("Expect: the-unexpected"), Pause.INTERIM, b"hello"],
        all_of(interim_statuses(), nth(0, status(200, 417))),
    ),
]

_UPGRADE = [
    accepts(
        "upgrade-websocket",
        "upgrade-ignored",
        get("/plain", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        body(b"plain\n"),
    ),
    accepts(
        "upgrade-h2c",
        "upgrade-ignored",
        get(
            "/plain",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        body(b"plain\n"),
    ),
    accepts(
        "upgrade-with-length",
        "upgrade-ignored",
        post(b"hello", "Connection: Upgrade", "Upgrade: h2c"),
        body(b"hello"),
    ),
    accepts(
        "upgrade-with-chunked",
        "upgrade-ignored",
        chunked(_HELLO, "Connection: Upgrade", "Upgrade: h2c"),
        body(b"hello"),
    ),
    case(
        "upgrade-then-pipelined",
        "upgrade-ignored",
        [get("/plain", "Connection: Upgrade", "Upgrade: h2c") + PROBE],
        all_of(interim_statuses(), in_sync(status(200), body(b"plain\n"))),
        answers=2,
    ),
    case(
        "upgrade-with-body-then-pipelined",
        "upgrade-ignored",
        [post(PROBE, "Connection: Upgrade", "Upgrade: h2c") + get("/items/next")],
        all_of(interim_statuses(), count(2), nth(0, body(PROBE)), nth(1, body(b"next"))),
        answers=2,
    ),
    case(
        "upgrade-not-in-connection",
        "upgrade-not-indicated",
        [get("/plain", "Upgrade: websocket"), Answers(1), PROBE],
        all_of(interim_statuses(), in_sync(status(200), body(b"plain\n"))),
        answers=2,
    ),
    case(
        "upgrade-1.0",
        "upgrade-in-1.0",
        [get("/plain", "Connection: Upgrade", "Upgrade: websocket", version="1.0")],
        all_of(interim_statuses(), count(1), nth(0, status(200), body(b"plain\n")), closed),
        closes=True,
    ),
    case(
        "upgrade-and-close",
        "close-honoured",
        [get("/plain", "Connection: Upgrade, close", "Upgrade: h2c") + PROBE],
        all_of(count(1), nth(0, status(200), body(b"plain\n")), closed),
        closes=True,
    ),
    answers_with(
        "connection-names-no-date",
        "connection-not-end-to-end",
        get(),
        names_not("Connection", "date"),
        body_has(b""),
    ),
    case(
        "connect-then-bytes",
        "connect-rejected",
        [head("CONNECT", "origin.test:80") + PROBE],
        all_of(
            nothing_smuggled,
            lambda outcome: (
                "CONNECT succeeded" if outcome.answers and outcome.answers[0].status < 300 else None
            ),
            nth(0, lambda answer: None),
        ),
    ),
]

_TIMES = [
    case(
        "idle-first-use", "idle-timeout", [], all_of(count(0), closed_gracefully), closes=True, is_hasty=True
    ),
    case(
        "idle-kept-alive",
        "idle-timeout",
        [get(), Answers(1)],
        all_of(count(1), closed_gracefully),
        closes=True,
        is_hasty=True,
    ),
    case(
        "head-stalls",
        "idle-timeout",
        [b"GET /plain HTTP/1.1\r\nHost: ori"],
        all_of(no_success, closed_gracefully),
        closes=True,
        is_hasty=True,
    ),
    case(
        "head-drips",
        "idle-timeout",
        [step for octet in get("/plain", "X-Test: " + "a" * 60) for step in (bytes([octet]), Pause.GAP)],
        all_of(no_success, closed),
        closes=True,
        is_hasty=True,
    ),
    case(
        "head-stalls-408",
        "timeout-408",
        [b"GET /plain HTTP/1.1\r\nHost: ori"],
        rejected(408),
        closes=True,
        is_hasty=True,
    ),
    case(
        "head-stalls-408-close",
        "timeout-408",
        [b"GET /plain HTTP/1.1\r\n"],
        all_of(nth(0, status(408), names("Connection", "close"))),
        closes=True,
        is_hasty=True,
    ),
    case(
        "content-stalls-408",
        "timeout-408",
        [head("POST", "/echo", "Content-Length: 10") + b"hello"],
        all_of(nth(0, status(408), names("Connection", "close")), closed),
        closes=True,
        is_hasty=True,
    ),
    case(
        "slow-answer-is-not-idle",
        "persistent-1.1",
        [get("/slow"), Answers(1), PROBE],
        in_sync(status(200), body(b"slow\n")),
        answers=2,
        is_hasty=True,
    ),
    case(
        "unread-body-never-comes",
        "unread-body",
        [head("POST", "/unread", "Content-Length: 10")],
        all_of(count(1), nth(0, status(200)), closed),
        closes=True,
        is_hasty=True,
    ),
]

CASES: list[Case] = [*_PERSISTENT, *_CLOSING, *_PIPELINED, *_EXPECT, *_UPGRADE, *_TIMES]
