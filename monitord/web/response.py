"""Responses of handlers, checked when they are created, and the encoding of their heads.

`Response` contains its complete body. `StreamResponse` is written in pieces, by the handler (`prepare`, `write`,
`write_eof`) or from an async iterator. Sending does not change a `Response`, so one object can be sent several
times. The framework computes the fields that frame the message; setting them is an error.
"""

import json.encoder
import re
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any, Protocol

from multidict import CIMultiDictProxy

from .cookies import cookie_field
from .headers import Headers, HeaderSource, check_field, check_text

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}

MAX_CACHED_CONTENT_TYPES = 256
MAX_DEFAULT_HEADS = 256

BODILESS = frozenset({204, 304})
JOINED_BODY_BYTES = 64 * 1024  # up to this size, copying is cheaper than a second write

# The framing of these does not depend on the status. RFC 9110 section 15.3.6: 205 never has a body.
_REGULAR_STATUSES = frozenset(status for status in REASONS if status >= 200) - BODILESS - {205}  # noqa: PLR2004 - final responses


PLAIN_TEXT = "text/plain; charset=utf-8"
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)  # RFC 9110 section 8.3.2


class ClientGone(ConnectionResetError):  # noqa: N818 - an event rather than an error
    """The client has disconnected, or does not receive the sent data."""


def _check_status(status: int) -> None:
    if not 200 <= status <= 599:  # noqa: PLR2004 - the framework sends interim responses
        raise ValueError(f"{status} is not the status of a final response; use 200 to 599")


class ResponseChannel(Protocol):
    """The exchange of a request, as its response uses it."""

    @property
    def sends_body(self) -> bool: ...
    def send_complete(self, response: "Response") -> None: ...
    async def start(self, response: "StreamResponse") -> None: ...
    async def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...


class RequestInfo(Protocol):
    """A request, as its response uses it."""

    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> CIMultiDictProxy[str]: ...
    @property
    def exchange(self) -> ResponseChannel: ...


class StreamResponse:
    """A response whose body is sent in pieces."""

    status = 200
    _reason: str | None = None
    _headers: Headers | None = None
    _content_type: str | None = "application/octet-stream"
    _cookies: dict[tuple[str, str, str], str] | None = None
    forces_close = False
    _has_default_fields = True  # no fields other than Content-Length, Content-Type and Date
    _request: RequestInfo | None = None
    _source: AsyncIterator[bytes] | None = None
    ends_with_server = False  # whether a stopping server ends it at once, because it has no end
    content_length: int | None = None

    def __init__(
        self,
        body: AsyncIterator[bytes] | None = None,
        *,
        status: int = 200,
        reason: str | None = None,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
    ) -> None:
        """Create a response whose body the framework takes from `body`, unless the request is HEAD.

        Raises ValueError for a status, reason, content type or header that a response cannot have.
        """
        self._source = body
        self._set(status, reason, headers, content_type)

    def _set(
        self, status: int, reason: str | None, headers: HeaderSource | None, content_type: str | None
    ) -> None:
        if status != 200 or reason is not None:  # noqa: PLR2004 - the default
            self.set_status(status, reason)
        if headers is not None:
            self._has_default_fields = False
            self._headers = Headers(headers)
            if "Content-Type" in self._headers:
                if content_type is not None:
                    raise ValueError("content_type is given twice; remove it from the headers")
                content_type = self._headers.popone("Content-Type")
        if content_type is not None:
            self.content_type = content_type

    @property
    def reason(self) -> str:
        return REASONS.get(self.status, "") if self._reason is None else self._reason

    def set_status(self, status: int, reason: str | None = None) -> None:
        _check_status(status)
        if reason is not None:
            check_text("a reason phrase", reason)
            self._has_default_fields = False
        self.status = status
        self._reason = reason

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._has_default_fields = False
            self._headers = Headers()
        return self._headers

    @property
    def content_type(self) -> str | None:
        """The complete field value with its parameters; with None, Content-Type is not sent."""
        return self._content_type

    @content_type.setter
    def content_type(self, value: str | None) -> None:
        if value is not None and value not in _valid_content_types:
            check_field("Content-Type", value)
            if len(_valid_content_types) < MAX_CACHED_CONTENT_TYPES:
                _valid_content_types.add(value)
        self._content_type = value

    def add_header(self, name: str, value: str) -> None:
        """Add a field, even if its name is present. Content-Type is replaced."""
        if name.lower() == "content-type":
            self.content_type = value
        else:
            self.headers.add(name, value)

    def force_close(self) -> None:
        """Close the connection after this response."""
        self.forces_close = True
        self._has_default_fields = False

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age_s: int | None = None,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = None,
    ) -> None:
        if self._cookies is None:
            self._has_default_fields = False
            self._cookies = {}
        self._cookies[name, domain or "", path] = cookie_field(
            name, value, max_age_s=max_age_s, path=path, domain=domain,
            secure=secure, httponly=httponly, samesite=samesite,
        )  # fmt: skip

    def del_cookie(self, name: str, *, path: str = "/", domain: str | None = None) -> None:
        self.set_cookie(name, "", max_age_s=0, path=path, domain=domain)

    def encode_head(self, length: int | None, framing: str) -> bytes:
        """Return status line and fields. `framing` contains more lines that frame the message, each with its CR LF."""
        now_s = time()
        if not _second_begins_s <= now_s < _second_ends_s:
            _begin_second(now_s)
        _check_status(self.status)
        fields: list[tuple[str, str]] = []
        if self.status not in BODILESS:  # RFC 9110 sections 8.6 and 15.4.5: no length of their own
            if length is not None:
                fields.append(("Content-Length", str(length)))
            if self._content_type is not None:
                fields.append(("Content-Type", self._content_type))
        if self._headers is not None:
            fields += self._headers.items()
        if self._cookies is not None:
            fields += [("Set-Cookie", value) for value in self._cookies.values()]
        if self._headers is None or "Date" not in self._headers:
            fields.append(("Date", _date))
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
        return f"HTTP/1.1 {self.status} {self.reason}\r\n{framing}{lines}\r\n".encode("latin-1")

    @property
    def prepared(self) -> bool:
        """Whether the head has been sent: status and headers can no longer change."""
        return self._request is not None

    async def prepare(self, request: RequestInfo) -> None:
        """Send the head. A second call for the same request has no effect."""
        if self._request is None:
            await request.exchange.start(self)
            self._request = request
        elif self._request is not request:
            raise RuntimeError("this response belongs to another request")

    async def write(self, data: bytes) -> None:
        """Send a piece of the body, and wait while the client receives too slowly. For HEAD, nothing is sent.

        Raises ClientGone if the client has disconnected, ValueError if `content_length` would be exceeded.
        """
        if self._request is None:
            raise RuntimeError("write() was called before prepare()")
        await self._request.exchange.write(data)

    async def write_eof(self) -> None:
        """End the body. A second call has no effect. Raises ValueError if `content_length` has not been reached."""
        if self._request is None:
            raise RuntimeError("write_eof() was called before prepare()")
        self._request.exchange.finish()

    async def send(self, request: RequestInfo) -> None:
        """Send everything that the handler has not sent. Called by the framework."""
        source = self._source
        try:
            await self.prepare(request)
            if source is not None and request.exchange.sends_body:
                async for piece in source:
                    await self.write(piece)
        finally:
            await close_iterator(source)
        await self.write_eof()


async def close_iterator(source: object) -> None:
    """Close an async generator; other iterators have no such method."""
    if (close := getattr(source, "aclose", None)) is not None:
        await close()


class Response(StreamResponse):
    """A response with its complete body: text, bytes or none."""

    def __init__(
        self,
        body: bytes | str | None = None,
        status: int = 200,
        content_type: str | None = None,
        headers: HeaderSource | None = None,
        *,
        text: str | None = None,
        reason: str | None = None,
        charset: str | None = None,
    ) -> None:
        """Create a response. Text is encoded in `charset`, in the charset of `content_type`, or in UTF-8.

        Raises ValueError for a status, reason, content type or header that a response cannot have.
        """
        if text is not None and body is not None:
            raise ValueError("body and text are both given; use one of them")
        if isinstance(body, (bytes, bytearray, memoryview)):
            self.body = bytes(body)
        elif isinstance(content := body if text is None else text, str):
            if content_type is None and charset is None and headers is None:
                self.body, self._content_type = content.encode(), PLAIN_TEXT
            else:
                if headers is not None:
                    headers = Headers(headers)
                    if content_type is None:
                        content_type = headers.popone("Content-Type", None)
                self.body, content_type = _encoded(content, content_type or "text/plain", charset)
        elif body is None:
            self.body = b""
            self._content_type = None
        else:
            raise TypeError(f"a body must be str or bytes, not {type(body).__name__}")
        if status == 200 and reason is None and headers is None and content_type in _valid_content_types:  # noqa: PLR2004 - the default
            self._content_type = content_type
        else:
            self._set(status, reason, headers, content_type)

    def add_body(self, data: bytes | str) -> None:
        """Append to the body. Text is encoded as UTF-8. A response without a content type becomes text/plain."""
        if isinstance(data, str):
            data = data.encode()
            if self._content_type is None:
                self._content_type = PLAIN_TEXT
        elif self._content_type is None:
            self.content_type = "application/octet-stream"
        self.body += data

    @property
    def text(self) -> str:
        return self.body.decode()

    def encode(self) -> bytes | None:
        """Return head and body, for a request that does not frame the response (`Head.frames_response`).

        None if `Exchange` has to determine the framing.
        """
        body = self.body
        key = self.status, self._content_type, len(body)
        if (
            self._has_default_fields
            and _second_begins_s <= time() < _second_ends_s
            and (head := _default_heads.get(key))
        ):
            return head + body
        if self.status not in _REGULAR_STATUSES or self.forces_close or len(body) > JOINED_BODY_BYTES:
            return None
        head = self.encode_head(len(body), "")
        if self._has_default_fields and len(_default_heads) < MAX_DEFAULT_HEADS:
            _default_heads[key] = head
        return head + body

    async def send(self, request: RequestInfo) -> None:
        request.exchange.send_complete(self)

    async def prepare(self, request: RequestInfo) -> None:  # noqa: ARG002 - never supported
        raise RuntimeError(
            "a Response is sent by returning it; use a StreamResponse to write a body in pieces"
        )


def _encoded(text: str, content_type: str, charset: str | None) -> tuple[bytes, str]:
    """Return the encoded text and the content type with its charset. Raises ValueError if two charsets are given."""
    named = _CHARSET.search(content_type)
    if named is not None and charset is not None and named[1].lower() != charset.lower():
        raise ValueError(
            f"content_type has the charset {named[1]}, but charset is {charset}; remove one of them"
        )
    encoding = named[1] if named is not None else charset or "utf-8"
    if named is None and (charset is not None or content_type.startswith("text/")):
        content_type = f"{content_type}; charset={encoding}"
    try:
        return text.encode(encoding), content_type
    except LookupError:
        raise ValueError(f"unknown charset {encoding!r}") from None


def _json_encoder() -> Callable[[Any], str]:
    """Return a function equal to json.dumps without options, which creates its encoder only once.

    It does not detect circular data, which raises RecursionError, and therefore has no state that threads would share.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C part
        return json.dumps
    plain, ascii_only = json.JSONEncoder(), json.encoder.encode_basestring_ascii
    encode = make(None, plain.default, ascii_only, None, ": ", ", ", False, False, True)
    join = "".join
    return lambda data: join(encode(data, 0))


_dumps = _json_encoder()


def json_response(
    data: Any,
    *,
    status: int = 200,
    reason: str | None = None,
    headers: HeaderSource | None = None,
    content_type: str = "application/json",
    dumps: Callable[[Any], str] = _dumps,
) -> Response:
    body = dumps(data).encode()
    if status == 200 and reason is None and headers is None and content_type in _valid_content_types:  # noqa: PLR2004 - the default
        response = Response.__new__(Response)  # the constructor would do the same in twice the time
        response.body = body
        response._content_type = content_type  # noqa: SLF001 - same module
        return response
    return Response(body=body, status=status, reason=reason, headers=headers, content_type=content_type)


def html_response(text: str, *, status: int = 200, headers: HeaderSource | None = None) -> Response:
    return Response(text=text, status=status, headers=headers, content_type="text/html")


_valid_content_types: set[str] = set()  # a cache of values that `check_field` has accepted
_default_heads: dict[
    tuple[int, str | None, int], bytes
] = {}  # the cache of `Response.encode`, for the current date
_date = ""
_second_begins_s = _second_ends_s = 0.0  # the second of `_date`


def _begin_second(now_s: float) -> None:
    global _date, _second_begins_s, _second_ends_s  # noqa: PLW0603 - shared by the process
    _second_begins_s = float(int(now_s))
    _second_ends_s = _second_begins_s + 1
    _date = formatdate(now_s, usegmt=True)
    _default_heads.clear()
