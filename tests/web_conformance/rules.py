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
        "A server must not send a version to which it is not conformant.",
    ),
    Rule(
        "version-own",
        "9110 6.2",
        _SHOULD,
        "A server should respond with the highest version it supports whose major version is at most the request's.",
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
    Rule("field-combined", "9110 5.2", _MUST, "Field lines of one name have the combined value, in order."),
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
        "Fields larger than the server wishes to process are answered with a 4xx status.",
    ),
    Rule("field-value-trim", "9110 5.5", _MUST, "Whitespace around a field value is not part of it."),
    Rule(
        "field-value-control",
        "9110 5.5",
        _MUST,
        "CR, LF or NUL in a field value: the message is rejected or each is replaced by SP.",
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
    Rule("bad-whitespace", "9110 5.6.3", _MUST, "Bad whitespace (BWS) is parsed for and removed."),
    Rule(
        "quoted-pair",
        "9110 5.6.4",
        _MUST,
        "A quoted-pair is handled as the octet after the backslash.",
        "the framework reads quoted strings only in chunk extensions, which are discarded (chunk-extension-quoted)",
    ),
    Rule("date-formats", "9110 5.6.7", _MUST, "All three forms of HTTP-date are accepted."),
    Rule("date-imf-fixdate", "9110 5.6.7", _MUST, "Generated timestamps are IMF-fixdate."),
    Rule(
        "date-two-digits",
        "9110 5.6.7",
        _MUST,
        "A two-digit year that seems over 50 years ahead is in the past.",
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
        "A response is associated with its request by order on the connection.",
    ),
    Rule(
        "https-without-tls",
        "9110 7.4",
        _MUST,
        "A request whose scheme needs a secured connection is rejected on an unsecured connection.",
    ),
    Rule("connection-case", "9110 7.6.1", _MUST, "Connection options are case-insensitive."),
    Rule(
        "connection-not-end-to-end",
        "9110 7.6.1",
        _MUST,
        "Connection does not name a field that is meant for all recipients.",
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
        "101 and 426 carry Upgrade.",
        "the framework sends no 101; HTTPUpgradeRequired takes the protocol (tests/web/test_application.py)",
    ),
    Rule(
        "upgrade-ignored",
        "9110 7.8",
        _SHOULD,
        "A server may ignore Upgrade and respond in the current protocol.",
    ),
    Rule("content-type", "9110 8.3", _SHOULD, "A message with content carries Content-Type."),
    Rule("content-length-no-body", "9110 8.6", _MUST, "No Content-Length in 1xx and 204 responses."),
    Rule(
        "content-length-head",
        "9110 8.6",
        _MUST,
        "Content-Length of a response to HEAD is that of the response to GET.",
    ),
    Rule("content-length-304", "9110 8.6", _MUST, "Content-Length of a 304 is that of the 200 response."),
    Rule("content-length-large", "9110 8.6", _MUST, "Large decimal numerals are anticipated; no overflow."),
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
        "Last-Modified is not later than the time of origination (Date).",
    ),
    Rule("entity-tag-grammar", "9110 8.8.3", _MUST, "An entity tag is a quoted opaque tag, possibly weak."),
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
        "Content in a GET does not change its meaning, and is framed like any other.",
    ),
    Rule("head-no-content", "9110 9.3.2", _MUST, "A response to HEAD has no content."),
    Rule(
        "head-same-fields", "9110 9.3.2", _SHOULD, "A response to HEAD has the fields of the response to GET."
    ),
    Rule(
        "put-status",
        "9110 9.3.4",
        _MUST,
        "PUT is answered with 201 if it creates a resource, with 200 or 204 if it replaces a resource.",
        "the application stores; the framework has no PUT of its own",
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
        "No Content-Length and no Transfer-Encoding in a 2xx response to CONNECT.",
        "CONNECT is never answered with 2xx (connect-rejected)",
    ),
    Rule(
        "options-allow",
        "9110 9.3.7",
        _SHOULD,
        "A response to OPTIONS carries fields for optional features, such as Allow.",
    ),
    Rule("options-asterisk", "9110 9.3.7", _SHOULD, "OPTIONS * is answered for the server in general."),
    Rule(
        "trace-no-sensitive", "9110 9.3.8", _SHOULD, "TRACE does not reflect fields that hold sensitive data."
    ),
    Rule(
        "expect-100",
        "9110 10.1.1",
        _MUST,
        "100-continue with content to follow: 100 at once or a final status; the content is not waited for.",
    ),
    Rule("expect-1.0", "9110 10.1.1", _MUST, "100-continue in an HTTP/1.0 request is ignored."),
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
        "100 may be omitted if no content follows, or if part of it has already arrived.",
    ),
    Rule(
        "expect-indicates-close",
        "9110 10.1.1",
        _SHOULD,
        "A final status that is sent instead of 100 indicates whether the connection is closed or the content is read.",
    ),
    Rule("allow-in-405", "9110 15.5.6", _MUST, "405 carries Allow with the methods of the target."),
    Rule("if-match-strong", "9110 13.1.1", _MUST, "If-Match compares strongly."),
    Rule(
        "if-match-not-performed", "9110 13.1.1", _MUST, "A false If-Match: the method is not performed (412)."
    ),
    Rule("if-none-match-weak", "9110 13.1.2", _MUST, "If-None-Match compares weakly."),
    Rule("if-none-match-304", "9110 13.1.2", _MUST, "A false If-None-Match: 304 for GET and HEAD."),
    Rule(
        "if-modified-since-ignored",
        "9110 13.1.3",
        _MUST,
        "If-Modified-Since is ignored with If-None-Match, an invalid date, or a method other than GET and HEAD.",
    ),
    Rule("if-modified-since-304", "9110 13.1.3", _SHOULD, "A false If-Modified-Since: 304."),
    Rule(
        "if-unmodified-since",
        "9110 13.1.4",
        _MUST,
        "A false If-Unmodified-Since: not performed (412); ignored together with If-Match or with an invalid date.",
    ),
    Rule(
        "if-range",
        "9110 13.1.5",
        _MUST,
        "If-Range is ignored without Range; when it is false, Range is ignored; it compares strongly.",
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
    Rule("precedence", "9110 13.2.2", _MUST, "Preconditions are evaluated in the order given."),
    Rule(
        "range-ignored",
        "9110 14.2",
        _MUST,
        "Range is ignored with other methods than GET and with a unit that is not understood.",
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
    Rule("partial-content-range", "9110 15.3.7", _MUST, "206 with one part carries Content-Range."),
    Rule(
        "partial-fields",
        "9110 15.3.7",
        _MUST,
        "206 carries Date, ETag and the others that the 200 response would carry.",
    ),
    Rule(
        "partial-single",
        "9110 15.3.7.2",
        _MUST,
        "A request for one range is not answered with a multipart; several parts have no Content-Range of their own.",
    ),
    Rule("interim-not-1.0", "9110 15.2", _MUST, "No 1xx response to an HTTP/1.0 client."),
    Rule("no-content-204", "9110 15.3.5", _MUST, "204 ends with its header section."),
    Rule("no-content-205", "9110 15.3.6", _MUST, "205 has no content."),
    Rule(
        "not-modified-fields",
        "9110 15.4.5",
        _MUST,
        "304 carries Date, ETag, Vary and the others that the 200 response would carry.",
    ),
    Rule("not-modified-no-content", "9110 15.4.5", _MUST, "304 ends with its header section."),
    Rule("redirect-location", "9110 15.4", _SHOULD, "A redirection carries Location."),
    Rule(
        "unauthorized-challenge",
        "9110 15.5.2",
        _MUST,
        "401 carries WWW-Authenticate.",
        "the application that raises HTTPUnauthorized names its scheme",
    ),
    Rule("timeout-408", "9110 15.5.9", _SHOULD, "408 carries Connection: close."),
    Rule(
        "content-too-large",
        "9110 15.5.14",
        _SHOULD,
        "Content larger than the server is willing to process is answered with 413.",
    ),
    Rule(
        "error-representation",
        "9110 15.5",
        _SHOULD,
        "An error carries a representation that explains it, except for HEAD.",
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
        "A single LF may be taken as the end of a line; if not, the message is rejected.",
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
        "Whitespace between the request line and the first field: rejected, or such lines are consumed.",
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
    Rule("method-too-long", "9112 3", _SHOULD, "A method longer than any implemented is answered with 501."),
    Rule(
        "target-too-long",
        "9112 3",
        _MUST,
        "A target longer than the server wishes to parse is answered with 414.",
    ),
    Rule("request-line-8000", "9112 3", _SHOULD, "Request lines of at least 8000 octets are supported."),
    Rule(
        "host-required",
        "9112 3.2",
        _MUST,
        "An HTTP/1.1 request without Host, with more than one, or with an invalid Host is answered with 400.",
    ),
    Rule(
        "target-origin",
        "9112 3.2.1",
        _MUST,
        'The origin-form is path and query; an empty path is sent as "/".',
    ),
    Rule("target-absolute", "9112 3.2.2", _MUST, "The absolute-form is accepted."),
    Rule(
        "target-absolute-host",
        "9112 3.2.2",
        _MUST,
        "With the absolute-form, Host is ignored for the host of the target.",
    ),
    Rule("target-authority", "9112 3.2.3", _SHOULD, "The authority-form is only for CONNECT."),
    Rule("target-asterisk", "9112 3.2.4", _SHOULD, "The asterisk-form is only for OPTIONS."),
    Rule(
        "status-line", "9112 4", _MUST, "The space after the status code is sent even if the reason is empty."
    ),
    Rule(
        "blank-before-colon",
        "9112 5.1",
        _MUST,
        "Whitespace between field name and colon is answered with 400.",
    ),
    Rule("field-grammar", "9112 5", _SHOULD, "A field line that does not match the grammar is invalid: 400."),
    Rule(
        "obs-fold",
        "9112 5.2",
        _MUST,
        "A folded field line is answered with 400, or the fold is replaced by SP.",
    ),
    Rule("transfer-coding-unknown", "9112 6.1", _SHOULD, "An unknown transfer coding is answered with 501."),
    Rule("transfer-coding-case", "9112 7", _MUST, "Names of transfer codings are case-insensitive."),
    Rule(
        "transfer-encoding-sent",
        "9112 6.1",
        _MUST,
        "No Transfer-Encoding to a client below HTTP/1.1, nor in 1xx and 204 responses.",
    ),
    Rule(
        "both-lengths",
        "9112 6.1",
        _MUST,
        "Both Transfer-Encoding and Content-Length: in any case, the connection is closed after the response.",
    ),
    Rule(
        "transfer-encoding-1.0",
        "9112 6.1",
        _MUST,
        "Transfer-Encoding in HTTP/1.0: framing is faulty, the connection is closed after the response.",
    ),
    Rule(
        "chunked-not-final",
        "9112 6.3",
        _MUST,
        "Chunked is not the final coding of a request: 400 and the connection closed.",
    ),
    Rule(
        "content-length-invalid",
        "9112 6.3",
        _MUST,
        "An invalid Content-Length: 400 and the connection closed.",
    ),
    Rule(
        "content-length-short",
        "9112 6.3",
        _MUST,
        "Fewer octets than announced: the message is incomplete, the connection is closed.",
    ),
    Rule(
        "no-length-no-body",
        "9112 6.3",
        _MUST,
        "Neither Content-Length nor Transfer-Encoding: the request has no body.",
    ),
    Rule(
        "body-framed",
        "9112 6.3",
        _MUST,
        "Content-Length and chunked determine where the next request begins.",
    ),
    Rule(
        "response-framed",
        "9112 6.3",
        _MUST,
        "A response is framed by its length, by chunked, or by the end of the connection.",
    ),
    Rule("chunked-decoded", "9112 7.1", _MUST, "The chunked coding is parsed and decoded."),
    Rule("chunk-size-overflow", "9112 7.1", _MUST, "Large hexadecimal numerals do not overflow."),
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
        "A trailer section is consumed and is not part of the header section.",
    ),
    Rule(
        "chunked-incomplete", "9112 8", _MUST, "Without the zero-sized chunk a chunked message is incomplete."
    ),
    Rule(
        "pipelined-order",
        "9112 9.3.2",
        _MUST,
        "Answers to pipelined requests come in the order of the requests.",
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
        "An HTTP/1.1 connection persists unless Connection contains close.",
    ),
    Rule(
        "persistent-1.0",
        "9112 9.3",
        _SHOULD,
        "An HTTP/1.0 connection persists only with keep-alive, which is confirmed.",
    ),
    Rule(
        "not-persistent-1.0",
        "9112 9.3",
        _MUST,
        "An HTTP/1.0 connection without keep-alive is closed after the response.",
    ),
    Rule(
        "unread-body",
        "9112 9.3",
        _MUST,
        "The whole request body is read, or the connection closed after the response.",
    ),
    Rule(
        "close-honoured",
        "9112 9.6",
        _MUST,
        "After the response to a request with close the server closes, and processes nothing more.",
    ),
    Rule("close-sent", "9112 9.6", _SHOULD, "The final response to a request with close carries close."),
    Rule(
        "close-kept",
        "9112 9.6",
        _MUST,
        "A server that sends close closes after that response, and processes nothing more.",
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
        "What an application puts into a field cannot end the field line.",
        "tests/web: a header value with CR, LF or NUL is an error when it is set",
    ),
)

RULES = {rule.key: rule for rule in _ALL}

if len(RULES) != len(_ALL):
    raise ValueError("two rules share a key")
