"""Common parts of monitors with HTTP requests: the fields, the response data and the reason of a response."""

import codecs
import gc
import json
import re
from collections.abc import Mapping
from datetime import datetime

from monitord.conditions import (
    COUNT,
    IP_VERSION,
    LATENCY,
    Bounds,
    FieldFunction,
    FieldType,
    JsonPath,
    Unresolved,
    Vocabulary,
    parse_json_path,
)
from monitord.errors import InvalidValueError
from monitord.model import EXCERPT, FieldValue, Reason
from monitord.net import (
    MAX_REDIRECTS,
    FailureKind,
    HttpExchange,
    HttpFailure,
    HttpOutcome,
    HttpRequest,
    Phase,
)
from monitord.net.base.addressing import is_loopback
from monitord.options.http import HttpOptions, shown_location
from monitord.options.tls import (
    ONLY_WITH_TLS,
    PHASE_FIELDS,
    TLS_BOUNDS,
    TLS_FIELDS,
    fields_of_certificate,
    fields_of_tls,
)
from monitord.text import counted

FIRST_BAD_STATUS = 400
UNMET_DEFAULT = f"not met: status < {FIRST_BAD_STATUS} (default)"
MAX_BINARY_SHARE = 0.1
"""Ratio of unprintable characters above which a body is not shown."""

_CHARSET = re.compile(r'[;,\s]charset\s*=\s*"?([A-Za-z0-9_.:-]{1,40})', re.IGNORECASE)
_DECLARED_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?[\s;\"']charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})"
    rb"|\A\s*<\?xml[^>]{0,100}?\sencoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})",
    re.IGNORECASE,
)
_DECLARED_WITHIN_BYTES = 1024
"""Bytes of an HTML document that are searched, as in browsers (WHATWG HTML, section 13.2.3.2)."""
_SUPERSETS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949",
}  # fmt: skip
"""Charsets that browsers use instead (WHATWG Encoding, section 4.2): many servers declare the smaller charset."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, as it begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
"""utf-7 and other codecs decode to lone surrogates, which cannot be encoded for output."""
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined", "utf-7", "unicode-escape", "raw-unicode-escape"})
"""Python codecs that are not charsets of documents: decoding 1 MB of punycode takes half a minute."""

_EXCERPT_HEADERS = (
    "Content-Type", "Content-Encoding", "Server", "Via", "Retry-After", "WWW-Authenticate", "Allow",
)  # fmt: skip
"""Headers in the excerpt of a response that did not pass: none with cookies or credentials."""


def header_name(text: str) -> str:
    if not text or re.search(r"[\s:]", text):
        name = "-".join(text.partition(":")[0].split()) or "Name"
        raise InvalidValueError("is not the name of a header", f"write header('{name}')")
    return text


VOCABULARY = Vocabulary(
    {
        "status": FieldType.NUMBER,
        "response_time": FieldType.DURATION,
        **{f"phase.{phase.value}": FieldType.DURATION for phase in Phase},
        "redirects": FieldType.NUMBER,
        "address": FieldType.TEXT,
        "ip_version": FieldType.NUMBER,
        "http_version": FieldType.TEXT,
        "header": FieldFunction(FieldType.TEXT, header_name),
        "deviations": FieldType.TEXT,
        "body": FieldType.TEXT,
        "body.length": FieldType.SIZE,
        "json": FieldFunction(FieldType.ANY, parse_json_path),
        **TLS_FIELDS,
        "certificate.host": FieldType.TEXT,
    },
    {
        "status": Bounds(least=100, most=999, is_whole=True),
        "response_time": LATENCY,
        **{f"phase.{phase.value}": LATENCY for phase in Phase},
        "redirects": Bounds(least=0, most=MAX_REDIRECTS, is_whole=True),
        "ip_version": IP_VERSION,
        "http_version": Bounds(values=("1.0", "1.1")),
        "body.length": COUNT,
        **TLS_BOUNDS,
    },
)
BODY_FIELDS = frozenset({"body", "json"})
COMPLETE_BODY_FIELDS = BODY_FIELDS | {"body.length"}


def absent_fields_of(options: HttpOptions) -> Mapping[str, str]:
    """Return the fields that a response to this request never has, each with the reason."""
    is_plain = options.url.reveal().lower().startswith("http://") and not options.follow_redirects
    absent = dict(ONLY_WITH_TLS) if is_plain else {}
    if options.method == "HEAD":
        absent |= dict.fromkeys(BODY_FIELDS, "a response to HEAD does not have")
    if not options.read_body:
        absent |= dict.fromkeys(COMPLETE_BODY_FIELDS, "is available only with read_body = true")
    return absent


def fields_of(outcome: HttpOutcome, now: datetime) -> dict[str, FieldValue]:
    """Return the fields of an exchange or of its failure."""
    fields: dict[str, FieldValue] = {"response_time": outcome.duration_s}
    fields.update((PHASE_FIELDS[phase], seconds) for phase, seconds in outcome.phases.items())
    fields["redirects"] = outcome.redirects
    if outcome.address is not None:
        fields["address"] = outcome.address
    if outcome.ip_version is not None:
        fields["ip_version"] = outcome.ip_version
    if isinstance(outcome, HttpFailure):
        if outcome.status is not None:
            fields["status"] = outcome.status
        return fields
    fields["status"] = outcome.status
    fields["http_version"] = outcome.http_version
    if outcome.body_bytes is not None:
        fields["body.length"] = outcome.body_bytes
    fields.update(fields_of_connections(outcome, now))
    if outcome.deviations:
        fields["deviations"] = _deviations(outcome)
    return fields


def _deviations(exchange: HttpExchange) -> str:
    return ", ".join(deviation.value for deviation in exchange.deviations)


def described(outcome: HttpOutcome, shown_request: str, hint: str = "") -> tuple[str, str]:
    """Return the outcome in a few words ("HTTP 200"), and the request with its outcome. `hint`: about a failure."""
    if isinstance(outcome, HttpExchange):
        detail = f"{shown_request} {outcome.status}, {received_text(outcome)}"
        if outcome.deviations:
            detail += f", deviates from HTTP: {_deviations(outcome)}"
        return f"HTTP {outcome.status}", detail
    result = outcome.detail
    if outcome.status is not None:
        result += f" (status {outcome.status}{hint})"
    return result, f"{shown_request}: {result}"


def unread_body_hint(outcome: HttpOutcome, *, reads_body: bool) -> str:
    """Return how to check a response that does not end, if nothing reads its body."""
    is_of_body = isinstance(outcome, HttpFailure) and outcome.kind in {
        FailureKind.TIMEOUT_BODY,
        FailureKind.TOO_LARGE,
    }
    return "; read_body = false ignores the body" if is_of_body and not reads_body else ""


def shows_connectivity(request: HttpRequest, outcome: HttpOutcome) -> bool | None:
    """See `Observation.shows_connectivity`."""
    if request.proxy_target is not None:
        return False  # a proxy responds itself if it cannot reach the target: 502, 503, 504
    return True if outcome.redirects or outcome.status is not None else None


def fields_of_connections(exchange: HttpExchange, now: datetime) -> Mapping[str, FieldValue]:
    """Return `tls.*` of the last connection, and `certificate.*` of the certificate that expires first.

    Certificates of redirects count as well: a browser does not follow a redirect whose certificate is invalid.
    """
    if exchange.tls is None and not exchange.hops:
        return {}
    fields = {} if exchange.tls is None else dict(fields_of_tls(exchange.tls, now))
    links = [(exchange.target, exchange.tls), *((hop.target, hop.tls) for hop in exchange.hops)]
    certificates = [(tls.certificate, target) for target, tls in links if target and tls and tls.certificate]
    if certificates:
        first, target = min(certificates, key=lambda entry: entry[0].expires_at)
        fields |= fields_of_certificate(first, now)
        fields["certificate.host"] = target.host_header
    return fields


def stays_on_this_host(request: HttpRequest) -> bool:
    """Return whether the request stays on this host, which is not known if there is a proxy."""
    if request.proxy_target is not None:
        return False
    target = request.target
    return target.socket_path is not None or is_loopback(request.endpoint_for(target).host)


class HttpResponseData:
    """Values of a response for conditions that are not fields. The body is decoded and parsed at most once."""

    __slots__ = ("_document", "_exchange", "_has_document", "_text")

    def __init__(self, exchange: HttpExchange) -> None:
        self._exchange = exchange
        self._text: str | None = None
        self._document: object = None
        self._has_document = False

    def __call__(self, name: str, argument: object) -> object:
        exchange = self._exchange
        match name:
            case "body" | "json" if exchange.body_problem:
                return Unresolved(exchange.body_problem)
            case "body":
                if self._text is None:
                    self._text = _decoded(exchange, exchange.body or b"")
                return self._text
            case "json" if isinstance(argument, JsonPath):
                if not self._has_document:
                    self._document, self._has_document = _document(exchange), True
                document = self._document
                return document if isinstance(document, Unresolved) else argument.find(document)
            case "header":
                return header_of(exchange, str(argument))
            case "deviations":
                return ""
        return _excerpt(exchange) if name == EXCERPT else None


def _document(exchange: HttpExchange) -> object:
    try:
        # RFC 8259: no NaN, no Infinity; in the charset that the response names or shows.
        body = exchange.body or b""
        charset = _charset(exchange, body)
        try:
            # detect_encoding uses the zero bytes of ASCII characters in UTF-16 and UTF-32 (RFC 4627, section 3).
            text = body.decode(charset or json.detect_encoding(body))
        except LookupError:  # not a text codec
            text = body.decode()
        except UnicodeDecodeError:
            if charset != "cp1252":
                raise
            text = body.decode("latin-1")  # a byte that windows-1252 does not define
        # A megabyte of brackets creates a third of a million lists. Without this, the cyclic garbage collector would
        # traverse them many times, which takes most of the time.
        collects = gc.isenabled()
        gc.disable()
        try:
            return json.loads(text.removeprefix("\ufeff"), parse_constant=_reject_constant)
        finally:
            if collects:
                gc.enable()
    except (json.JSONDecodeError, UnicodeError):
        return Unresolved("the body is not JSON")
    except ValueError:
        # sys.set_int_max_str_digits(): the time to parse digits grows with the square of their number.
        return Unresolved("the JSON of the body has a number with too many digits")
    except RecursionError:
        return Unresolved("the JSON of the body is nested too deeply")


def _reject_constant(name: str) -> object:
    raise json.JSONDecodeError("not JSON", name, 0)


def _charset(exchange: HttpExchange, body: bytes) -> str | None:
    """Return the charset from the byte order mark, Content-Type or the HTML or XML declaration, in this order (WHATWG
    Encoding, section 6)."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return charset
    content_type = header_of(exchange, "Content-Type") or ""
    if named := _CHARSET.findall(content_type):
        return _usable_charset(named[-1])  # browsers go by the last Content-Type
    if "html" not in content_type.lower() and "xml" not in content_type.lower():
        return None
    declared = _DECLARED_CHARSET.search(body, 0, _DECLARED_WITHIN_BYTES)
    usable = _usable_charset((declared[1] or declared[2]).decode()) if declared else None
    # The declaration could not be read if the document were in UTF-16 or UTF-32.
    return None if usable is not None and usable.startswith(("utf-16", "utf-32")) else usable


def _usable_charset(name: str) -> str | None:
    try:
        charset = codecs.lookup(name).name
    except LookupError:
        return None
    return None if charset in _NO_CHARSETS else _SUPERSETS.get(charset, charset)


def _decoded(exchange: HttpExchange, body: bytes) -> str:
    """Return the decoded body without a byte order mark; undecodable bytes become U+FFFD."""
    try:
        text = body.decode(_charset(exchange, body) or "utf-8", errors="replace")
    except (LookupError, UnicodeError):
        # The codec is not a text codec, or raises in spite of `errors`, as "undefined" does.
        text = body.decode(errors="replace")
    return _SURROGATE.sub("\ufffd", text.removeprefix("\ufeff"))


def header_of(exchange: HttpExchange, name: str) -> str | None:
    """Return all values of a header joined by ", " (RFC 9110, section 5.3); those of Set-Cookie by newlines."""
    lower_name = name.lower()
    values = [value for key, value in exchange.headers.items() if key.lower() == lower_name]
    return ("\n" if lower_name == "set-cookie" else ", ").join(values) if values else None


def _excerpt(exchange: HttpExchange) -> str:
    """Return redirects, status line, _EXCERPT_HEADERS, and the beginning of the body if it is text."""
    lines = []
    for hop in exchange.hops:  # without paths, which may contain a secret
        certificate = hop.tls.certificate if hop.tls is not None else None
        expiry = f", certificate expires at {certificate.expires_at.isoformat()}" if certificate else ""
        lines.append(f"Redirect: {hop.status} from {hop.target.shown_origin}{expiry}")
    lines.append(f"HTTP/{exchange.http_version} {exchange.status} {exchange.reason_phrase}".rstrip())
    lines += [f"{name}: {value}" for name in _EXCERPT_HEADERS if (value := header_of(exchange, name))]
    if location := exchange.headers.get("Location"):
        lines.append(f"Location: {shown_location(location)}")
    if exchange.beginning:
        text = _decoded(exchange, exchange.beginning)
        odd = sum(not (c.isprintable() or c.isspace() or c == "\x1b") or c == "\ufffd" for c in text)
        is_text = odd <= MAX_BINARY_SHARE * len(text)
        lines += ["", text if is_text else f"({received_text(exchange)} that are not text)"]
    return "\n".join(lines)


def reason_of(outcome: HttpOutcome) -> Reason:
    if isinstance(outcome, HttpFailure):
        return Reason(outcome.kind.value)
    return Reason.OK if outcome.status < FIRST_BAD_STATUS else Reason.CONDITION_FAILED


def received_text(exchange: HttpExchange) -> str:
    count = exchange.body_bytes
    if count is None:
        return "body not read"
    return counted(count, "byte")
