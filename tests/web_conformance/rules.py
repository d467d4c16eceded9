"""The requirements of RFC 9110 and RFC 9112 for an origin server without TLS, in the order of the documents.

A rule without cases has the reason in `note`: it applies to the application instead of the framework, or to a part of
HTTP that this origin does not have. Requirements for clients, proxies and caches are not listed.
"""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Rule:
    """`section` is the RFC and its section; `text` is a shortened requirement."""

    key: str
    section: str
    level: Level
    text: str
    note: str = ""


_MUST, _SHOULD = Level.MUST, Level.SHOULD

_ALL = (
    # RFC 9110, HTTP Semantics
    Rule(
        "version-conformant",
        "9110 2.5",
        _MUST,
        "A server does not send a version to which it does not conform.",
    ),
    Rule(
        "version-own",
        "9110 6.2",
        _SHOULD,
        "A server responds with the highest version that it supports whose major version is at "
        "most that of the request.",
    ),
    Rule(
        "version-minor-higher",
        "9110 2.5",
        _SHOULD,
        "A higher minor version is processed as the highest minor version known of that major version.",
    ),
    Rule("target-8000", "9110 4.1", _SHOULD, "Targets of at least 8000 octets are supported."),
    Rule("http-empty-host", "9110 4.2.1", _MUST, "An http URI with an empty host is rejected as invalid."),
    Rule(
        "userinfo",
        "9110 4.2.4",
        _SHOULD,
        "Userinfo in an http URI from an untrusted source is treated as an error.",
    ),
    Rule(
        "percent-equivalent",
        "9110 4.2.3",
        _MUST,
        "Characters other than reserved ones are equivalent to their percent-encoded octets.",
    ),
    Rule("field-name-case", "9110 5.1", _MUST, "Field names are case-insensitive."),
    Rule("field-unknown", "9110 5.1", _SHOULD, "Unrecognized fields are ignored."),
    Rule(
        "field-combined",
        "9110 5.2",
        _MUST,
        "The value of a field with several lines is the list of their values, in order.",
    ),
    Rule(
        "field-whole-section",
        "9110 5.3",
        _MUST,
        "A request is not applied before its entire header section is received.",
    ),
    Rule(
        "field-too-large",
        "9110 5.4",
        _MUST,
        "A request with a field that is too large for the server is answered with a 4xx status.",
    ),
    Rule("field-value-trim", "9110 5.5", _MUST, "Whitespace around a field value is not part of it."),
    Rule(
        "field-value-control",
        "9110 5.5",
        _MUST,
        "A message with CR, LF or NUL in a field value is rejected, or each of them is replaced by SP.",
    ),
    Rule(
        "field-value-other-control",
        "9110 5.5",
        _SHOULD,
        "Other control characters in a field value are invalid (a recipient may retain them).",
    ),
    Rule(
        "field-value-obs-text",
        "9110 5.5",
        _SHOULD,
        "Other octets in a field value (obs-text) are treated as opaque data.",
    ),
    Rule(
        "list-empty-elements",
        "9110 5.6.1.2",
        _MUST,
        "A reasonable number of empty list elements is parsed and ignored.",
    ),
    Rule("bad-whitespace", "9110 5.6.3", _MUST, "Bad whitespace (BWS) is recognized and removed."),
    Rule(
        "quoted-pair",
        "9110 5.6.4",
        _MUST,
        "A quoted-pair is handled as the octet after the backslash.",
        "the framework reads quoted strings only in chunk extensions, which are discarded (chunk-extension-quoted)",
    ),
    Rule("date-formats", "9110 5.6.7", _MUST, "All three forms of HTTP-date are accepted."),
    Rule("date-imf-fixdate", "9110 5.6.7", _MUST, "Generated timestamps have the format IMF-fixdate."),
    Rule(
        "date-two-digits",
        "9110 5.6.7",
        _MUST,
        "A two-digit year that appears to be more than 50 years in the future is in the past.",
    ),
    Rule(
        "trailer-not-merged",
        "9110 6.5.1",
        _MUST,
        "A trailer field is not merged into the header section unless its definition permits it.",
    ),
    Rule(
        "date-generated",
        "9110 6.6.1",
        _MUST,
        "A server with a clock generates Date in every 2xx, 3xx and 4xx response.",
    ),
    Rule(
        "response-in-order",
        "9110 7.5",
        _MUST,
        "Responses are sent in the order of the requests on the connection.",
    ),
    Rule(
        "https-without-tls",
        "9110 7.4",
        _MUST,
        "A request whose scheme requires a secured connection is rejected on an unsecured connection.",
    ),
    Rule("connection-case", "9110 7.6.1", _MUST, "Connection options are case-insensitive."),
    Rule(
        "connection-not-end-to-end",
        "9110 7.6.1",
        _MUST,
        "Connection does not list a field that is intended for all recipients.",
    ),
    Rule("upgrade-in-1.0", "9110 7.8", _MUST, "Upgrade in an HTTP/1.0 request is ignored."),
    Rule(
        "upgrade-not-indicated",
        "9110 7.8",
        _MUST,
        "A server does not switch to a protocol that the client did not indicate.",
    ),
    Rule(
        "upgrade-101-field",
        "9110 7.8",
        _MUST,
        "Responses with status 101 and 426 contain Upgrade.",
        "the framework sends no 101; HTTPUpgradeRequired takes the protocol (tests/web/test_application.py)",
    ),
    Rule(
        "upgrade-ignored",
        "9110 7.8",
        _SHOULD,
        "A server may ignore Upgrade and respond in the current protocol.",
    ),
    Rule("content-type", "9110 8.3", _SHOULD, "A message with content has a Content-Type."),
    Rule("content-length-no-body", "9110 8.6", _MUST, "1xx and 204 responses have no Content-Length."),
    Rule(
        "content-length-head",
        "9110 8.6",
        _MUST,
        "The Content-Length of a response to HEAD is that of the response to GET.",
    ),
    Rule(
        "content-length-304",
        "9110 8.6",
        _MUST,
        "The Content-Length of a 304 response is that of the 200 response.",
    ),
    Rule(
        "content-length-large", "9110 8.6", _MUST, "Large decimal numbers in Content-Length do not overflow."
    ),
    Rule(
        "content-length-repeated",
        "9110 8.6",
        _MUST,
        "Repeated equal lengths are rejected or treated as a single value.",
    ),
    Rule(
        "content-length-generated",
        "9110 8.6",
        _SHOULD,
        "A server sends Content-Length when the size of the content is known beforehand.",
    ),
    Rule(
        "validators-sent",
        "9110 8.8",
        _SHOULD,
        "An origin server sends a validator for a selected representation that has one.",
    ),
    Rule(
        "last-modified-not-future",
        "9110 8.8.2.1",
        _MUST,
        "Last-Modified is not later than the time at which the message was created (Date).",
    ),
    Rule(
        "entity-tag-grammar",
        "9110 8.8.3",
        _MUST,
        "An entity tag is an opaque tag in quotes, which can be marked as weak.",
    ),
    Rule("get-and-head", "9110 9.1", _MUST, "GET and HEAD are supported."),
    Rule("method-unknown", "9110 9.1", _SHOULD, "An unrecognized method is answered with 501."),
    Rule(
        "method-not-allowed",
        "9110 9.1",
        _SHOULD,
        "A method that is known and not allowed for the target is answered with 405.",
    ),
    Rule("method-case", "9110 9.1", _MUST, "Methods are case-sensitive."),
    Rule(
        "get-with-content",
        "9110 9.3.1",
        _MUST,
        "The content of a GET request does not change its meaning, and is framed like that of any other request.",
    ),
    Rule("head-no-content", "9110 9.3.2", _MUST, "A response to HEAD has no content."),
    Rule(
        "head-same-fields", "9110 9.3.2", _SHOULD, "A response to HEAD has the fields of the response to GET."
    ),
    Rule(
        "put-status",
        "9110 9.3.4",
        _MUST,
        "PUT is answered with 201 if it creates a resource, and with 200 or 204 if it replaces a resource.",
        "storing resources is up to the application; the framework itself does not implement PUT",
    ),
    Rule(
        "connect-rejected",
        "9110 9.3.6",
        _SHOULD,
        "A server that does not implement CONNECT responds with an error, never 2xx.",
    ),
    Rule(
        "connect-no-length",
        "9110 9.3.6",
        _MUST,
        "A 2xx response to CONNECT has neither Content-Length nor Transfer-Encoding.",
        "CONNECT is never answered with 2xx (connect-rejected)",
    ),
    Rule(
        "options-allow",
        "9110 9.3.7",
        _SHOULD,
        "A response to OPTIONS contains fields for optional features, such as Allow.",
    ),
    Rule("options-asterisk", "9110 9.3.7", _SHOULD, "OPTIONS * is answered for the server in general."),
    Rule(
        "trace-no-sensitive", "9110 9.3.8", _SHOULD, "TRACE does not reflect fields that hold sensitive data."
    ),
    Rule(
        "expect-100",
        "9110 10.1.1",
        _MUST,
        "A request with 100-continue whose content follows is answered with 100 at once, or with "
        "a final status, without waiting for the content.",
    ),
    Rule(
        "expect-1.0", "9110 10.1.1", _MUST, "An expectation 100-continue in an HTTP/1.0 request is ignored."
    ),
    Rule(
        "expect-final",
        "9110 10.1.1",
        _MUST,
        "A server that sent 100 sends a final status once it has processed the content.",
    ),
    Rule("expect-case", "9110 10.1.1", _MUST, "Expect is case-insensitive."),
    Rule("expect-unknown", "9110 10.1.1", _SHOULD, "An unknown expectation may be answered with 417."),
    Rule(
        "expect-no-content",
        "9110 10.1.1",
        _SHOULD,
        "A server may omit 100 if no content follows, or if part of it has already arrived.",
    ),
    Rule(
        "expect-indicates-close",
        "9110 10.1.1",
        _SHOULD,
        "A final status that is sent instead of 100 indicates whether the connection is closed or the content is read.",
    ),
    Rule(
        "allow-in-405", "9110 15.5.6", _MUST, "A 405 response contains Allow with the methods of the target."
    ),
    Rule("if-match-strong", "9110 13.1.1", _MUST, "If-Match uses the strong comparison."),
    Rule(
        "if-match-not-performed",
        "9110 13.1.1",
        _MUST,
        "If If-Match is false, the method is not performed (412).",
    ),
    Rule("if-none-match-weak", "9110 13.1.2", _MUST, "If-None-Match uses the weak comparison."),
    Rule(
        "if-none-match-304",
        "9110 13.1.2",
        _MUST,
        "If If-None-Match is false, GET and HEAD are answered with 304.",
    ),
    Rule(
        "if-modified-since-ignored",
        "9110 13.1.3",
        _MUST,
        "If-Modified-Since is ignored together with If-None-Match, with an invalid date, and with "
        "methods other than GET and HEAD.",
    ),
    Rule(
        "if-modified-since-304",
        "9110 13.1.3",
        _SHOULD,
        "If If-Modified-Since is false, the request is answered with 304.",
    ),
    Rule(
        "if-unmodified-since",
        "9110 13.1.4",
        _MUST,
        "If If-Unmodified-Since is false, the method is not performed (412). The field is ignored "
        "together with If-Match, and with an invalid date.",
    ),
    Rule(
        "if-range",
        "9110 13.1.5",
        _MUST,
        "If-Range is ignored without Range. If it is false, Range is ignored. It uses the strong comparison.",
    ),
    Rule(
        "preconditions-last",
        "9110 13.2.1",
        _MUST,
        "Preconditions are ignored when the response without them is neither 2xx nor 412.",
    ),
    Rule(
        "preconditions-methods",
        "9110 13.2.1",
        _MUST,
        "Preconditions are ignored with methods that select no representation (OPTIONS, TRACE).",
    ),
    Rule(
        "precedence", "9110 13.2.2", _MUST, "Preconditions are evaluated in the order that the RFC defines."
    ),
    Rule(
        "range-ignored",
        "9110 14.2",
        _MUST,
        "Range is ignored with methods other than GET, and with an unknown unit.",
    ),
    Rule("range-invalid", "9110 14.2", _SHOULD, "An invalid Range is ignored or rejected."),
    Rule("range-served", "9110 14.2", _SHOULD, "A satisfiable Range is answered with 206."),
    Rule(
        "accept-ranges",
        "9110 14.3",
        _SHOULD,
        "A server that supports ranges indicates this in Accept-Ranges.",
    ),
    Rule(
        "range-416",
        "9110 15.5.17",
        _SHOULD,
        "An unsatisfiable range is answered with 416 and Content-Range: bytes */length.",
    ),
    Rule(
        "partial-content-range",
        "9110 15.3.7",
        _MUST,
        "A 206 response with a single part contains Content-Range.",
    ),
    Rule(
        "partial-fields",
        "9110 15.3.7",
        _MUST,
        "A 206 response contains Date, ETag and the other fields that the 200 response would contain.",
    ),
    Rule(
        "partial-single",
        "9110 15.3.7.2",
        _MUST,
        "A request for a single range is not answered with a multipart response; a multipart "
        "response has no Content-Range in its header section.",
    ),
    Rule("interim-not-1.0", "9110 15.2", _MUST, "No 1xx response is sent to an HTTP/1.0 client."),
    Rule("no-content-204", "9110 15.3.5", _MUST, "A 204 response ends with its header section."),
    Rule("no-content-205", "9110 15.3.6", _MUST, "A 205 response has no content."),
    Rule(
        "not-modified-fields",
        "9110 15.4.5",
        _MUST,
        "A 304 response contains Date, ETag, Vary and the other fields that the RFC lists, if the "
        "200 response would contain them.",
    ),
    Rule("not-modified-no-content", "9110 15.4.5", _MUST, "A 304 response ends with its header section."),
    Rule("redirect-location", "9110 15.4", _SHOULD, "A redirect contains Location."),
    Rule(
        "unauthorized-challenge",
        "9110 15.5.2",
        _MUST,
        "A 401 response contains WWW-Authenticate.",
        "the application that raises HTTPUnauthorized sets the field",
    ),
    Rule("timeout-408", "9110 15.5.9", _SHOULD, "A 408 response contains Connection: close."),
    Rule(
        "content-too-large",
        "9110 15.5.14",
        _SHOULD,
        "A request whose content is too large for the server is answered with 413.",
    ),
    Rule(
        "error-representation",
        "9110 15.5",
        _SHOULD,
        "An error response contains an explanation, except in response to HEAD.",
    ),
    Rule("version-505", "9110 15.6.6", _SHOULD, "An unsupported major version is answered with 505."),
    Rule("error-500", "9110 15.6.1", _SHOULD, "An unexpected condition is answered with 500."),
    # RFC 9112, HTTP/1.1
    Rule("octets", "9112 2.2", _MUST, "A message is parsed as octets in a superset of US-ASCII."),
    Rule("bare-cr", "9112 2.2", _MUST, "A bare CR makes the element invalid or is replaced by SP."),
    Rule(
        "bare-lf",
        "9112 2.2",
        _SHOULD,
        "A server may accept a single LF as the end of a line; otherwise, the message is rejected.",
    ),
    Rule(
        "empty-line-before",
        "9112 2.2",
        _SHOULD,
        "At least one empty line before the request line is ignored.",
    ),
    Rule(
        "blank-before-fields",
        "9112 2.2",
        _MUST,
        "A request with whitespace between the request line and the first field is rejected, or "
        "these lines are ignored.",
    ),
    Rule(
        "not-http",
        "9112 2.2",
        _SHOULD,
        "Octets that do not match the grammar are answered with 400, and the connection is closed.",
    ),
    Rule(
        "request-line",
        "9112 3",
        _SHOULD,
        "An invalid request line is answered with 400 (or 301 with the target encoded).",
    ),
    Rule(
        "method-too-long",
        "9112 3",
        _SHOULD,
        "A request whose method is longer than all implemented methods is answered with 501.",
    ),
    Rule(
        "target-too-long",
        "9112 3",
        _MUST,
        "A request whose target is too long for the server is answered with 414.",
    ),
    Rule("request-line-8000", "9112 3", _SHOULD, "Request lines of at least 8000 octets are supported."),
    Rule(
        "host-required",
        "9112 3.2",
        _MUST,
        "An HTTP/1.1 request without Host, with more than one Host, or with an invalid Host is answered with 400.",
    ),
    Rule(
        "target-origin",
        "9112 3.2.1",
        _MUST,
        'The origin-form consists of path and query; an empty path is sent as "/".',
    ),
    Rule("target-absolute", "9112 3.2.2", _MUST, "The absolute-form is accepted."),
    Rule(
        "target-absolute-host",
        "9112 3.2.2",
        _MUST,
        "With the absolute-form, the host of the target is used, and Host is ignored.",
    ),
    Rule("target-authority", "9112 3.2.3", _SHOULD, "The authority-form is used only with CONNECT."),
    Rule("target-asterisk", "9112 3.2.4", _SHOULD, "The asterisk-form is used only with OPTIONS."),
    Rule(
        "status-line", "9112 4", _MUST, "The space after the status code is sent even if the reason is empty."
    ),
    Rule(
        "blank-before-colon",
        "9112 5.1",
        _MUST,
        "A request with whitespace between a field name and the colon is answered with 400.",
    ),
    Rule(
        "field-grammar",
        "9112 5",
        _SHOULD,
        "A request with a field line that does not match the grammar is answered with 400.",
    ),
    Rule(
        "obs-fold",
        "9112 5.2",
        _MUST,
        "A request with a folded field line is answered with 400, or the fold is replaced by SP.",
    ),
    Rule(
        "transfer-coding-unknown",
        "9112 6.1",
        _SHOULD,
        "A request with an unknown transfer coding is answered with 501.",
    ),
    Rule("transfer-coding-case", "9112 7", _MUST, "Names of transfer codings are case-insensitive."),
    Rule(
        "transfer-encoding-sent",
        "9112 6.1",
        _MUST,
        "Transfer-Encoding is sent neither to clients below HTTP/1.1 nor in 1xx and 204 responses.",
    ),
    Rule(
        "both-lengths",
        "9112 6.1",
        _MUST,
        "After a request with both Transfer-Encoding and Content-Length, the connection is closed in any case.",
    ),
    Rule(
        "transfer-encoding-1.0",
        "9112 6.1",
        _MUST,
        "After an HTTP/1.0 request with Transfer-Encoding, whose framing is faulty, the connection is closed.",
    ),
    Rule(
        "chunked-not-final",
        "9112 6.3",
        _MUST,
        "A request whose final coding is not chunked is answered with 400, and the connection is closed.",
    ),
    Rule(
        "content-length-invalid",
        "9112 6.3",
        _MUST,
        "A request with an invalid Content-Length is answered with 400, and the connection is closed.",
    ),
    Rule(
        "content-length-short",
        "9112 6.3",
        _MUST,
        "A message with fewer octets than announced is incomplete, and the connection is closed.",
    ),
    Rule(
        "no-length-no-body",
        "9112 6.3",
        _MUST,
        "A request with neither Content-Length nor Transfer-Encoding has no body.",
    ),
    Rule(
        "body-framed",
        "9112 6.3",
        _MUST,
        "Content-Length or the chunked coding determines where the next request begins.",
    ),
    Rule(
        "response-framed",
        "9112 6.3",
        _MUST,
        "A response is framed by its length, by the chunked coding, or by the end of the connection.",
    ),
    Rule("chunked-decoded", "9112 7.1", _MUST, "The chunked coding is parsed and decoded."),
    Rule("chunk-size-overflow", "9112 7.1", _MUST, "Large hexadecimal chunk sizes do not overflow."),
    Rule(
        "chunk-grammar",
        "9112 7.1",
        _SHOULD,
        "A chunk that does not match the grammar is answered with 400 (2.2), and the connection is closed.",
    ),
    Rule("chunk-extension-unknown", "9112 7.1.1", _MUST, "Unrecognized chunk extensions are ignored."),
    Rule(
        "chunk-extension-limit",
        "9112 7.1.1",
        _SHOULD,
        "The total length of chunk extensions is limited, with a 4xx response.",
    ),
    Rule(
        "trailers",
        "9112 7.1.2",
        _MUST,
        "A trailer section is read, and is not added to the header section.",
    ),
    Rule(
        "chunked-incomplete", "9112 8", _MUST, "A chunked message without a chunk of size zero is incomplete."
    ),
    Rule(
        "pipelined-order",
        "9112 9.3.2",
        _MUST,
        "Responses to pipelined requests are sent in the order of the requests.",
    ),
    Rule(
        "pipelined-error",
        "9112 9.3.2",
        _MUST,
        "Requests before a faulty request are answered before the error.",
    ),
    Rule(
        "persistent-1.1",
        "9112 9.3",
        _SHOULD,
        "An HTTP/1.1 connection persists unless Connection contains `close`.",
    ),
    Rule(
        "persistent-1.0",
        "9112 9.3",
        _SHOULD,
        "An HTTP/1.0 connection persists only if the request contains `keep-alive`, which the response confirms.",
    ),
    Rule(
        "not-persistent-1.0",
        "9112 9.3",
        _MUST,
        "An HTTP/1.0 connection without `keep-alive` is closed after the response.",
    ),
    Rule(
        "unread-body",
        "9112 9.3",
        _MUST,
        "The whole request body is read, or the connection is closed after the response.",
    ),
    Rule(
        "close-honoured",
        "9112 9.6",
        _MUST,
        "After the response to a request with `close`, the server closes the connection and "
        "processes no further requests.",
    ),
    Rule("close-sent", "9112 9.6", _SHOULD, "The final response to a request with `close` contains `close`."),
    Rule(
        "close-kept",
        "9112 9.6",
        _MUST,
        "After a response with `close`, the server closes the connection and processes no further requests.",
    ),
    Rule(
        "lingering-close",
        "9112 9.6",
        _SHOULD,
        "The server closes in stages, so that the client can read the last response.",
    ),
    Rule(
        "half-close",
        "9112 9.6",
        _SHOULD,
        "A client that half-closes after its request still gets the response.",
    ),
    Rule(
        "idle-timeout",
        "9112 9.5",
        _SHOULD,
        "An idle or stalled connection is closed gracefully after a timeout.",
    ),
    Rule(
        "response-incomplete",
        "9112 8",
        _MUST,
        "The framing of a response that fails midway shows that it is incomplete.",
    ),
    Rule(
        "response-splitting",
        "9112 11.1",
        _MUST,
        "A field value of the application cannot end the field line.",
        "tests/web: a header value with CR, LF or NUL is an error when it is set",
    ),
)

RULES = {rule.key: rule for rule in _ALL}

if len(RULES) != len(_ALL):
    raise ValueError("two rules share a key")
