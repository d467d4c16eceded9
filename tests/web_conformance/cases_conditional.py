"""Conditional and range requests for a file (RFC 9110 8.8, 13 and 14)."""

from collections.abc import Callable

from .building import (
    AnswerCheck,
    all_of,
    answers_with,
    body,
    case,
    count,
    dated,
    get,
    has,
    head,
    imf_fixdate,
    lacks,
    nth,
    post,
    status,
)
from .harness import Answers, Case, Check, Later, Outcome
from .origin import FILE_CONTENT
from .reader import Answer

_MODIFIED = "Tue, 02 Jan 2024 03:04:05 GMT"
_EARLIER = "Mon, 01 Jan 2024 03:04:05 GMT"
_LATER = "Wed, 03 Jan 2024 03:04:05 GMT"


def _tag(answers: list[Answer]) -> str:
    return (answers[0].value("ETag") if answers else None) or '"no-entity-tag"'


def _weak(answers: list[Answer]) -> str:
    return "W/" + _tag(answers).removeprefix("W/")


def _strongly_tagged(outcome: Outcome) -> str | None:
    tag = outcome.answers[0].value("ETag") if outcome.answers else None
    return None if tag is not None and tag.startswith('"') else f"the entity tag is {tag}"


def _with_tag(
    name: str,
    key: str,
    fields: Callable[[list[Answer]], tuple[str, ...]],
    *checks: AnswerCheck,
    method: str = "GET",
    needs_strong: bool = False,
) -> Case:
    """Asks for the file, then again with fields that use its entity tag."""
    expected: list[Check] = [_strongly_tagged] if needs_strong else []
    return case(
        name,
        key,
        [get("/file"), Answers(1), Later(lambda answers: head(method, "/file", *fields(answers)))],
        all_of(*expected, count(2), nth(1, *checks)),
        answers=2,
        methods=("GET", method),
    )


_NONE_MATCH = [
    _with_tag("none-match", "if-none-match-304", lambda seen: (f"If-None-Match: {_tag(seen)}",), status(304)),
    _with_tag(
        "none-match-head",
        "if-none-match-304",
        lambda seen: (f"If-None-Match: {_tag(seen)}",),
        status(304),
        method="HEAD",
    ),
    _with_tag(
        "none-match-list",
        "if-none-match-304",
        lambda seen: (f'If-None-Match: "a", {_tag(seen)}, "b"',),
        status(304),
    ),
    _with_tag("none-match-asterisk", "if-none-match-304", lambda _seen: ("If-None-Match: *",), status(304)),
    _with_tag(
        "none-match-other",
        "if-none-match-304",
        lambda _seen: ('If-None-Match: "other"',),
        status(200),
        body(FILE_CONTENT),
    ),
    _with_tag(
        "none-match-weak", "if-none-match-weak", lambda seen: (f"If-None-Match: {_weak(seen)}",), status(304)
    ),
    _with_tag(
        "none-match-two-lines",
        "field-combined",
        lambda seen: ('If-None-Match: "a"', f"If-None-Match: {_tag(seen)}"),
        status(304),
    ),
    _with_tag(
        "none-match-empty-elements",
        "list-empty-elements",
        lambda seen: (f'If-None-Match: , ,"a",, {_tag(seen)},',),
        status(304),
    ),
    _with_tag(
        "none-match-comma-inside",
        "if-none-match-304",
        lambda seen: (f'If-None-Match: "a,b", {_tag(seen)}',),
        status(304),
    ),
    _with_tag(
        "none-match-part-of-tag",
        "if-none-match-304",
        lambda seen: (f'If-None-Match: "x{_tag(seen).strip(chr(34))}"',),
        status(200),
    ),
    _with_tag(
        "not-modified-tag",
        "not-modified-fields",
        lambda _seen: ("If-None-Match: *",),
        status(304),
        has("ETag"),
    ),
    _with_tag(
        "not-modified-date", "not-modified-fields", lambda _seen: ("If-None-Match: *",), status(304), dated
    ),
    _with_tag(
        "not-modified-empty",
        "not-modified-no-content",
        lambda seen: (f"If-None-Match: {_tag(seen)}",),
        status(304),
        body(b""),
    ),
    _with_tag(
        "not-modified-length",
        "content-length-304",
        lambda seen: (f"If-None-Match: {_tag(seen)}",),
        status(304),
        lambda answer: (
            None
            if answer.values("Content-Length") in ([], [str(len(FILE_CONTENT))])
            else f"Content-Length is {answer.values('Content-Length')}"
        ),
    ),
]

_MODIFIED_SINCE = [
    answers_with(
        "modified-since-same",
        "if-modified-since-304",
        get("/file", f"If-Modified-Since: {_MODIFIED}"),
        status(304),
    ),
    answers_with(
        "modified-since-later",
        "if-modified-since-304",
        get("/file", f"If-Modified-Since: {_LATER}"),
        status(304),
    ),
    answers_with(
        "modified-since-earlier",
        "if-modified-since-304",
        get("/file", f"If-Modified-Since: {_EARLIER}"),
        status(200),
        body(FILE_CONTENT),
    ),
    case(
        "modified-since-head",
        "if-modified-since-304",
        [head("HEAD", "/file", f"If-Modified-Since: {_LATER}")],
        all_of(nth(0, status(304))),
        methods=("HEAD",),
    ),
    *(
        answers_with(
            f"modified-since-invalid-{name}",
            "if-modified-since-ignored",
            get("/file", f"If-Modified-Since: {value}"),
            status(200),
        )
        for name, value in {
            "word": "yesterday",
            "empty": "",
            "iso": "2026-01-01T00:00:00Z",
            "number": "1900000000",
            "day": "Wed, 45 Jan 2026 03:04:05 GMT",
            "cut": "Wed, 03 Jan 2024",
        }.items()
    ),
    answers_with(
        "modified-since-post",
        "if-modified-since-ignored",
        post(b"hello", f"If-Modified-Since: {_LATER}"),
        status(200),
        body(b"hello"),
    ),
    _with_tag(
        "modified-since-with-none-match",
        "if-modified-since-ignored",
        lambda _seen: ('If-None-Match: "other"', f"If-Modified-Since: {_LATER}"),
        status(200),
    ),
    _with_tag(
        "none-match-with-modified-since",
        "if-modified-since-ignored",
        lambda seen: (f"If-None-Match: {_tag(seen)}", f"If-Modified-Since: {_EARLIER}"),
        status(304),
    ),
    *(
        answers_with(
            f"date-format-{name}", "date-formats", get("/file", f"If-Modified-Since: {value}"), status(code)
        )
        for name, value, code in (
            ("imf", _LATER, 304),
            ("rfc850", "Wednesday, 03-Jan-24 03:04:05 GMT", 304),
            ("asctime", "Wed Jan  3 03:04:05 2024", 304),
            ("rfc850-earlier", "Monday, 01-Jan-24 03:04:05 GMT", 200),
            ("asctime-earlier", "Mon Jan  1 03:04:05 2024", 200),
        )
    ),
    answers_with(
        "date-two-digits-past",
        "date-two-digits",
        get("/file", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"),
        status(200),
    ),
]

_MATCH = [
    _with_tag(
        "match", "if-match-strong", lambda seen: (f"If-Match: {_tag(seen)}",), status(200), needs_strong=True
    ),
    _with_tag(
        "match-list",
        "if-match-strong",
        lambda seen: (f'If-Match: "a", {_tag(seen)}',),
        status(200),
        needs_strong=True,
    ),
    _with_tag("match-asterisk", "if-match-not-performed", lambda _seen: ("If-Match: *",), status(200)),
    _with_tag("match-other", "if-match-not-performed", lambda _seen: ('If-Match: "other"',), status(412)),
    _with_tag(
        "match-other-head",
        "if-match-not-performed",
        lambda _seen: ('If-Match: "other"',),
        status(412),
        method="HEAD",
    ),
    _with_tag("match-weak", "if-match-strong", lambda seen: (f"If-Match: {_weak(seen)}",), status(412)),
    answers_with(
        "unmodified-since-earlier",
        "if-unmodified-since",
        get("/file", f"If-Unmodified-Since: {_EARLIER}"),
        status(412),
    ),
    answers_with(
        "unmodified-since-same",
        "if-unmodified-since",
        get("/file", f"If-Unmodified-Since: {_MODIFIED}"),
        status(200),
    ),
    answers_with(
        "unmodified-since-later",
        "if-unmodified-since",
        get("/file", f"If-Unmodified-Since: {_LATER}"),
        status(200),
    ),
    answers_with(
        "unmodified-since-invalid",
        "if-unmodified-since",
        get("/file", "If-Unmodified-Since: never"),
        status(200),
    ),
    _with_tag(
        "unmodified-since-with-match",
        "if-unmodified-since",
        lambda _seen: ("If-Match: *", f"If-Unmodified-Since: {_EARLIER}"),
        status(200),
    ),
    _with_tag(
        "precedence-match-first",
        "precedence",
        lambda seen: ('If-Match: "other"', f"If-None-Match: {_tag(seen)}"),
        status(412),
    ),
    _with_tag(
        "precedence-unmodified-first",
        "precedence",
        lambda seen: (f"If-Unmodified-Since: {_EARLIER}", f"If-None-Match: {_tag(seen)}"),
        status(412),
    ),
    _with_tag(
        "precedence-match-then-none-match",
        "precedence",
        lambda seen: ("If-Match: *", f"If-None-Match: {_tag(seen)}"),
        status(304),
    ),
    _with_tag(
        "precedence-before-range",
        "precedence",
        lambda seen: (f"If-None-Match: {_tag(seen)}", "Range: bytes=0-3"),
        status(304),
    ),
    _with_tag(
        "precedence-match-before-range",
        "precedence",
        lambda _seen: ('If-Match: "other"', "Range: bytes=0-3"),
        status(412),
    ),
    answers_with(
        "preconditions-and-404", "preconditions-last", get("/missing", "If-None-Match: *"), status(404)
    ),
    answers_with(
        "preconditions-and-404-since",
        "preconditions-last",
        get("/missing", f"If-Unmodified-Since: {_EARLIER}"),
        status(404),
    ),
    answers_with(
        "preconditions-and-405",
        "preconditions-last",
        head("DELETE", "/plain", "If-None-Match: *"),
        status(405),
    ),
    answers_with(
        "preconditions-and-302",
        "preconditions-last",
        get("/redirect", f"If-Modified-Since: {_LATER}"),
        status(302),
    ),
    answers_with(
        "preconditions-and-500", "preconditions-last", get("/boom", "If-None-Match: *"), status(500)
    ),
    answers_with(
        "preconditions-and-options",
        "preconditions-methods",
        head("OPTIONS", "/file", 'If-Match: "other"'),
        lambda answer: "the precondition was applied" if answer.status in {304, 412} else None,
    ),
]


def _ranged(name: str, value: str, first: int, last: int) -> Case:
    return answers_with(
        name,
        "range-served",
        get("/file", f"Range: {value}"),
        status(206),
        body(FILE_CONTENT[first : last + 1]),
        has("Content-Range", f"bytes {first}-{last}/{len(FILE_CONTENT)}"),
    )


def _not_multipart(answer: Answer) -> str | None:
    kind = answer.value("Content-Type") or ""
    return "it is a multipart" if kind.startswith("multipart/") else None


_END = len(FILE_CONTENT) - 1

_RANGES = [
    _ranged("range-first", "bytes=0-9", 0, 9),
    _ranged("range-one-octet", "bytes=0-0", 0, 0),
    _ranged("range-middle", "bytes=10-19", 10, 19),
    _ranged("range-open", "bytes=60-", 60, _END),
    _ranged("range-all", "bytes=0-", 0, _END),
    _ranged("range-suffix", "bytes=-5", _END - 4, _END),
    _ranged("range-suffix-longer", "bytes=-1000", 0, _END),
    _ranged("range-clipped", "bytes=60-1000", 60, _END),
    _ranged("range-large-number", "bytes=60-99999999999999999999999999", 60, _END),
    answers_with(
        "range-single-is-no-multipart",
        "partial-single",
        get("/file", "Range: bytes=0-3"),
        status(200, 206),
        _not_multipart,
    ),
    answers_with(
        "range-content-range",
        "partial-content-range",
        get("/file", "Range: bytes=4-7"),
        status(200, 206),
        lambda answer: (
            f"Content-Range is {answer.values('Content-Range')}"
            if answer.status == 206 and answer.value("Content-Range") != f"bytes 4-7/{len(FILE_CONTENT)}"
            else None
        ),
    ),
    answers_with(
        "range-tag", "partial-fields", get("/file", "Range: bytes=0-3"), status(200, 206), has("ETag")
    ),
    answers_with("range-date", "partial-fields", get("/file", "Range: bytes=0-3"), status(200, 206), dated),
    answers_with(
        "range-several",
        "partial-single",
        get("/file", "Range: bytes=0-1,10-11"),
        status(200, 206, 416),
        lambda answer: (
            "several parts share a Content-Range"
            if answer.values("Content-Range") and _not_multipart(answer)
            else None
        ),
    ),
    *(
        answers_with(
            f"range-unsatisfiable-{name}",
            "range-416",
            get("/file", f"Range: {value}"),
            status(416),
            has("Content-Range", rf"bytes \*/{len(FILE_CONTENT)}"),
        )
        for name, value in {
            "behind": f"bytes={len(FILE_CONTENT)}-",
            "far": "bytes=1000-2000",
            "suffix-zero": "bytes=-0",
            "large-number": "bytes=99999999999999999999999999-",
        }.items()
    ),
    *(
        answers_with(
            f"range-invalid-{name}", "range-invalid", get("/file", f"Range: {value}"), status(200, 400, 416)
        )
        for name, value in {
            "reversed": "bytes=5-2",
            "word": "bytes=abc",
            "empty": "bytes=",
            "dash": "bytes=-",
            "signed": "bytes=+1-5",
            "no-unit": "0-5",
        }.items()
    ),
    answers_with(
        "range-unit-unknown",
        "range-ignored",
        get("/file", "Range: items=0-1"),
        status(200),
        body(FILE_CONTENT),
    ),
    answers_with(
        "range-with-post", "range-ignored", post(b"hello", "Range: bytes=0-1"), status(200), body(b"hello")
    ),
    case(
        "range-with-head",
        "range-ignored",
        [head("HEAD", "/file", "Range: bytes=0-3")],
        all_of(nth(0, status(200), lacks("Content-Range"))),
        methods=("HEAD",),
    ),
    answers_with("range-and-404", "range-ignored", get("/missing", "Range: bytes=0-1"), status(404)),
    answers_with(
        "range-many",
        "range-invalid",
        get("/file", "Range: bytes=" + "0-0," * 500 + "1-1"),
        status(200, 206, 400, 416),
    ),
    answers_with("accept-ranges", "accept-ranges", get("/file"), has("Accept-Ranges", "bytes")),
    _with_tag(
        "if-range-tag",
        "if-range",
        lambda seen: (f"If-Range: {_tag(seen)}", "Range: bytes=0-3"),
        status(206),
        body(FILE_CONTENT[:4]),
        needs_strong=True,
    ),
    _with_tag(
        "if-range-other-tag",
        "if-range",
        lambda _seen: ('If-Range: "other"', "Range: bytes=0-3"),
        status(200),
        body(FILE_CONTENT),
    ),
    _with_tag(
        "if-range-weak-tag",
        "if-range",
        lambda seen: (f"If-Range: {_weak(seen)}", "Range: bytes=0-3"),
        status(200),
        body(FILE_CONTENT),
    ),
    _with_tag(
        "if-range-other-tag-unsatisfiable",
        "if-range",
        lambda _seen: ('If-Range: "other"', "Range: bytes=1000-"),
        status(200),
        body(FILE_CONTENT),
    ),
    answers_with(
        "if-range-date",
        "if-range",
        get("/file", f"If-Range: {_MODIFIED}", "Range: bytes=0-3"),
        status(200, 206),
    ),
    answers_with(
        "if-range-earlier-date",
        "if-range",
        get("/file", f"If-Range: {_EARLIER}", "Range: bytes=0-3"),
        status(200),
        body(FILE_CONTENT),
    ),
    answers_with(
        "if-range-later-date",
        "if-range",
        get("/file", f"If-Range: {_LATER}", "Range: bytes=0-3"),
        status(200),
        body(FILE_CONTENT),
    ),
    answers_with(
        "if-range-without-range",
        "if-range",
        get("/file", 'If-Range: "other"'),
        status(200),
        body(FILE_CONTENT),
    ),
]

_VALIDATORS = [
    answers_with("validator-tag", "validators-sent", get("/file"), status(200), has("ETag")),
    answers_with("validator-date", "validators-sent", get("/file"), status(200), has("Last-Modified")),
    answers_with(
        "validator-tag-form",
        "entity-tag-grammar",
        get("/file"),
        has("ETag", r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"'),
    ),
    answers_with(
        "validator-date-form", "last-modified-not-future", get("/file"), imf_fixdate("Last-Modified")
    ),
]

CASES: list[Case] = [*_NONE_MATCH, *_MODIFIED_SINCE, *_MATCH, *_RANGES, *_VALIDATORS]
