"""Responses: methods, HEAD, statuses and their fields (RFC 9110 6 to 10 and 15)."""

from .building import (
    PROBE,
    AnswerCheck,
    accepts,
    all_of,
    answers_with,
    body,
    body_lacks,
    case,
    count,
    dated,
    error_status,
    get,
    has,
    has_content,
    head,
    in_sync,
    lacks,
    names,
    nth,
    post,
    status,
)
from .harness import Answers, Case, Check, Outcome
from .origin import CONTENT_LIMIT_BYTES
from .reader import Answer


def _is_framed(answer: Answer) -> str | None:
    return None if answer.framing in {"length", "chunked"} else f"the content is framed by {answer.framing}"


def _framed_500(outcome: Outcome) -> str | None:
    if outcome.complaint is not None:
        return outcome.complaint
    if outcome.statuses() in ([500], [500, 200]):
        return None
    return f"the answers are {outcome.statuses()}"


def _same(*fields: str, may_lack: bool = False) -> Check:
    """The second response has the fields of the first; it can omit those in `may_lack`."""

    def check(outcome: Outcome) -> str | None:
        if len(outcome.answers) < 2:
            return f"{len(outcome.answers)} answers instead of 2"
        first, second = outcome.answers[:2]
        for name in fields:
            if second.values(name) != first.values(name) and not (may_lack and not second.values(name)):
                return f"{name} is {second.values(name)}, and {first.values(name)} with GET"
        return None

    return check


def _get_then_head(target: str) -> list[bytes | Answers]:
    return [get(target), Answers(1), head("HEAD", target)]


_METHODS = [
    accepts("get", "get-and-head", get(), body(b"plain\n")),
    accepts("head", "get-and-head", head("HEAD", "/plain"), body(b""), methods=("HEAD",)),
    *(
        case(
            f"head-of-{name}",
            "head-no-content",
            [head("HEAD", target), Answers(1), PROBE],
            in_sync(status(code), body(b"")),
            answers=2,
            methods=("HEAD",),
        )
        for name, target, code in (
            ("plain", "/plain", 200),
            ("json", "/json", 200),
            ("file", "/file", 200),
            ("stream", "/stream", 200),
            ("missing", "/missing", 404),
            ("nothing", "/nothing", 204),
            ("redirect", "/redirect", 302),
            ("unmodified", "/unmodified", 304),
            ("post-only", "/echo", 405),
        )
    ),
    case(
        "head-of-raising",
        "head-no-content",
        [head("HEAD", "/boom")],
        all_of(nth(0, status(500), body(b""))),
        methods=("HEAD",),
    ),
    *(
        case(
            f"head-length-{name}",
            "content-length-head",
            [*_get_then_head(target)],
            all_of(count(2), _same("Content-Length", may_lack=True)),
            answers=2,
            methods=("GET", "HEAD"),
        )
        for name, target in (
            ("plain", "/plain"),
            ("json", "/json"),
            ("file", "/file"),
            ("missing", "/missing"),
        )
    ),
    *(
        case(
            f"head-fields-{name}",
            "head-same-fields",
            [*_get_then_head(target)],
            all_of(
                count(2), _same("Content-Type", "ETag", "Last-Modified", "Location", "Accept-Ranges", "Allow")
            ),
            answers=2,
            methods=("GET", "HEAD"),
        )
        for name, target in (("plain", "/plain"), ("file", "/file"), ("redirect", "/redirect"))
    ),
    *(
        answers_with(
            f"not-allowed-{method.lower()}",
            "method-not-allowed",
            head(method, "/plain", *fields),
            status(405),
        )
        for method, fields in {
            "DELETE": (),
            "PATCH": ("Content-Length: 0",),
            "PUT": ("Content-Length: 0",),
            "POST": ("Content-Length: 0",),
        }.items()
    ),
    answers_with("not-allowed-get", "method-not-allowed", get("/echo"), status(405)),
    answers_with("not-allowed-trace", "method-not-allowed", head("TRACE", "/plain"), status(405, 501)),
    *(
        answers_with(f"allow-{name}", "allow-in-405", request, status(405), names("Allow", *methods))
        for name, request, methods in (
            ("delete", head("DELETE", "/plain"), ("GET", "HEAD")),
            ("post", post(b"hello", target="/plain"), ("GET", "HEAD")),
            ("put", head("PUT", "/items/x", "Content-Length: 0"), ("GET",)),
            ("get", get("/echo"), ("POST",)),
        )
    ),
    case(
        "allow-head",
        "allow-in-405",
        [head("HEAD", "/echo")],
        all_of(nth(0, status(405), names("Allow", "POST"))),
        methods=("HEAD",),
    ),
    answers_with(
        "options", "options-allow", head("OPTIONS", "/plain"), status(200, 204), names("Allow", "GET")
    ),
    answers_with(
        "options-post-only",
        "options-allow",
        head("OPTIONS", "/echo"),
        status(200, 204),
        names("Allow", "POST"),
    ),
    case(
        "options-in-sync",
        "options-allow",
        [head("OPTIONS", "/plain"), Answers(1), PROBE],
        in_sync(status(200, 204)),
        answers=2,
    ),
    case(
        "options-asterisk",
        "options-asterisk",
        [head("OPTIONS", "*"), Answers(1), PROBE],
        in_sync(status(200, 204)),
        answers=2,
    ),
    answers_with(
        "options-absolute-no-path",
        "options-asterisk",
        head("OPTIONS", "http://origin.test"),
        status(200, 204),
    ),
    answers_with(
        "trace-no-cookie",
        "trace-no-sensitive",
        head("TRACE", "/plain", "Cookie: secret=1", "Authorization: Basic secret"),
        body_lacks(b"secret"),
    ),
    accepts("post-not-get", "body-framed", post(b"a=b&c=d"), body(b"a=b&c=d")),
]

_DATED: tuple[tuple[str, bytes, tuple[AnswerCheck, ...]], ...] = (
    ("200", get(), (status(200),)),
    ("200-1.0", get(version="1.0"), (status(200),)),
    ("200-stream", get("/stream"), (status(200),)),
    ("200-file", get("/file"), (status(200),)),
    ("204", get("/nothing"), (status(204),)),
    ("206", get("/file", "Range: bytes=0-1"), (status(200, 206),)),
    ("302", get("/redirect"), (status(302),)),
    ("304", get("/unmodified"), (status(304),)),
    ("400-host", head("GET", "/plain", host=False), (status(400),)),
    ("400-line", b"garbage\r\n\r\n", (status(400),)),
    ("400-length", head("POST", "/echo", "Content-Length: x"), (status(400),)),
    ("400-field", get("/plain", "X-Test : a"), (status(400),)),
    ("404", get("/missing"), (status(404),)),
    ("405", head("DELETE", "/plain"), (status(405),)),
    ("412", get("/file", 'If-Match: "other"'), ()),
    ("413", post(b"x" * (CONTENT_LIMIT_BYTES + 1)), ()),
    ("414", get("/items/" + "a" * 200_000), ()),
    ("431", get("/plain", "X-Test: " + "a" * 300_000), ()),
)

_STATUSES = [
    *(
        answers_with(f"date-{name}", "date-generated", request, *checks, dated)
        for name, request, checks in _DATED
    ),
    answers_with("date-form", "date-imf-fixdate", get(), dated),
    answers_with(
        "last-modified-form",
        "date-imf-fixdate",
        get("/file"),
        has("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"),
    ),
    *(
        answers_with(f"content-type-{name}", "content-type", request, *checks)
        for name, request, checks in (
            ("text", get(), (has("Content-Type", r"text/plain(;.*)?"),)),
            ("json", get("/json"), (has("Content-Type", r"application/json(;.*)?"),)),
            ("echo", post(b"hello"), (has("Content-Type"),)),
            ("404", get("/missing"), (has("Content-Type"),)),
            ("405", head("DELETE", "/plain"), (has("Content-Type"),)),
            ("400", b"garbage\r\n\r\n", (has("Content-Type"),)),
            ("500", get("/boom"), (has("Content-Type"),)),
        )
    ),
    *(
        answers_with(
            f"length-generated-{name}", "content-length-generated", request, has("Content-Length", "[0-9]+")
        )
        for name, request in (
            ("text", get()),
            ("json", get("/json")),
            ("404", get("/missing")),
            ("file", get("/file")),
        )
    ),
    case(
        "204-no-content",
        "no-content-204",
        [get("/nothing"), Answers(1), PROBE],
        in_sync(status(204), body(b"")),
        answers=2,
    ),
    case(
        "204-no-length",
        "content-length-no-body",
        [get("/nothing")],
        all_of(nth(0, status(204), lacks("Content-Length"))),
    ),
    case(
        "204-no-coding",
        "transfer-encoding-sent",
        [get("/nothing")],
        all_of(nth(0, status(204), lacks("Transfer-Encoding"))),
    ),
    case(
        "205-no-content",
        "no-content-205",
        [get("/reset"), Answers(1), PROBE],
        in_sync(status(205), body(b"")),
        answers=2,
    ),
    case(
        "304-no-content",
        "not-modified-no-content",
        [get("/unmodified"), Answers(1), PROBE],
        in_sync(status(304), body(b"")),
        answers=2,
    ),
    answers_with(
        "304-of-application", "not-modified-fields", get("/unmodified"), has("ETag", '"fixed"'), dated
    ),
    answers_with(
        "redirect-location", "redirect-location", get("/redirect"), status(302), has("Location", ".*/plain")
    ),
    *(
        answers_with(f"error-explained-{name}", "error-representation", request, error_status, has_content)
        for name, request in (
            ("404", get("/missing")),
            ("405", head("DELETE", "/plain")),
            ("400", b"garbage\r\n\r\n"),
            ("400-host", head("GET", "/plain", host=False)),
            ("500", get("/boom")),
        )
    ),
    answers_with("error-500", "error-500", get("/boom"), status(500), body_lacks(b"Traceback")),
    case(
        "error-500-then-next",
        "response-framed",
        [get("/boom"), Answers(1), PROBE],
        _framed_500,
        answers=2,
    ),
    answers_with("response-not-ended-by-closing", "response-framed", get("/json"), _is_framed),
]


CASES: list[Case] = [*_METHODS, *_STATUSES]
