"""Responses: what a handler returns, checked when it is made, and its head as bytes.

`Response` holds its whole body. `StreamResponse` is written piece by piece, by the handler (`prepare`, `write`,
`write_eof`) or from an async iterator. Sending changes nothing in a `Response`, so one object can be sent many
times. Fields that frame the message belong to the framework: they are computed, and setting them by hand is an error.
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

MAX_CONTENT_TYPES = 256  # that are remembered as checked
MAX_BARE_HEADS = 256

BODILESS = frozenset({204, 304})
JOINED_BODY_BYTES = 64 * 1024  # up to here a copy is cheaper than a second write

# Whose answers look the same whatever was asked. RFC 9110 section 15.3.6: 205 has no body, whatever it is given.
_ALIKE = frozenset(status for status in REASONS if status >= 200) - BODILESS - {205}  # noqa: PLR2004 - the final ones


PLAIN_TEXT = "text/plain; charset=utf-8"
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)  # RFC 9110 section 8.3.2


class ClientGone(ConnectionResetError):  # noqa: N818 - a field, not a failure
    """The client left, or takes nothing of what is sent to it: there is nobody to answer."""


def _check_status(status: int) -> None:
    if not 200 <= status <= 599:  # noqa: PLR2004 - interim responses are the framework's
        raise ValueError(f"{status} is not the status of a final response")


class Outlet(Protocol):
    """Where a response goes: the exchange that its request belongs to."""

    @property
    def sends_body(self) -> bool: ...
    def send_whole(self, response: "Response") -> None: ...
    async def start(self, response: "StreamResponse") -> None: ...
    async def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...


class Asked(Protocol):
    """What a response needs to know of the request that it answers."""

    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> CIMultiDictProxy[str]: ...
    @property
    def exchange(self) -> Outlet: ...


class StreamResponse:
    """A response whose body is not known as a whole when it begins."""

    status = 200
    _reason: str | None = None
    _headers: Headers | None = None
    _content_type: str | None = "application/octet-stream"
    _cookies: dict[tuple[str, str, str], str] | None = None
    forces_close = False
    _is_bare = True  # nothing is sent besides what every response has
    _request: Asked | None = None
    _source: AsyncIterator[bytes] | None = None
    ends_with_server = False  # whether a server that stops ends it at once, as it has no end of its own
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
        """`body`, if given, is iterated by the framework, unless the request was HEAD."""
        self._source = body
        self._set(status, reason, headers, content_type)

    def _set(
        self, status: int, reason: str | None, headers: HeaderSource | None, content_type: str | None
    ) -> None:
        if status != 200 or reason is not None:  # noqa: PLR2004 - the default
            self.set_status(status, reason)
        if headers is not None:
            self._is_bare = False
            self._headers = Headers(headers)
            if "Content-Type" in self._headers:
                if content_type is not None:
                    raise ValueError("content_type is given twice, as an argument and among the headers")
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
            self._is_bare = False
        self.status = status
        self._reason = reason

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._is_bare = False
            self._headers = Headers()
        return self._headers

    @property
    def content_type(self) -> str | None:
        """The whole field value, parameters included; None sends no Content-Type."""
        return self._content_type

    @content_type.setter
    def content_type(self, value: str | None) -> None:
        if value is not None and value not in _content_types:
            check_field("Content-Type", value)
            if len(_content_types) < MAX_CONTENT_TYPES:
                _content_types.add(value)
        self._content_type = value

    def add_header(self, name: str, value: str) -> None:
        """Add a field beside those of the same name. Content-Type, of which there is one, is replaced."""
        if name.lower() == "content-type":
            self.content_type = value
        else:
            self.headers.add(name, value)

    def force_close(self) -> None:
        """Close the connection after this response."""
        self.forces_close = True
        self._is_bare = False

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
            self._is_bare = False
            self._cookies = {}
        self._cookies[name, domain or "", path] = cookie_field(
            name, value, max_age_s=max_age_s, path=path, domain=domain,
            secure=secure, httponly=httponly, samesite=samesite,
        )  # fmt: skip

    def del_cookie(self, name: str, *, path: str = "/", domain: str | None = None) -> None:
        self.set_cookie(name, "", max_age_s=0, path=path, domain=domain)

    def encode_head(self, length: int | None, framing: str) -> bytes:
        """Status line and fields. `framing` holds further lines that frame the message, each with its CR LF."""
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
        """Whether the head is out: then status and headers can change no more."""
        return self._request is not None

    async def prepare(self, request: Asked) -> None:
        """Send the head. May be called twice for one request."""
        if self._request is None:
            await request.exchange.start(self)
            self._request = request
        elif self._request is not request:
            raise RuntimeError("this response belongs to another request")

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; waits while the client reads too slowly. Under HEAD nothing is sent.

        Raises ClientGone when there is nobody to send to, ValueError beyond the declared content_length.
        """
        if self._request is None:
            raise RuntimeError("write() comes after prepare()")
        await self._request.exchange.write(data)

    async def write_eof(self) -> None:
        """End the body. May be called twice. Raises ValueError when less than content_length was written."""
        if self._request is None:
            raise RuntimeError("write_eof() comes after prepare()")
        self._request.exchange.finish()

    async def send(self, request: Asked) -> None:
        """Called by the framework: send all that the handler has not sent."""
        source = self._source
        try:
            await self.prepare(request)
            if source is not None and request.exchange.sends_body:
                async for piece in source:
                    await self.write(piece)
        finally:
            await close_source(source)
        await self.write_eof()


async def close_source(source: object) -> None:
    """Generators hold something until they are closed; not every iterator can be."""
    if (close := getattr(source, "aclose", None)) is not None:
        await close()


class Response(StreamResponse):
    """A response with its whole body: text, bytes or nothing."""

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
        """Text is encoded as `charset`, or as the charset that `content_type` names, or as UTF-8.

        Raises ValueError for a status, reason, content type or header that a response cannot have.
        """
        if text is not None and body is not None:
            raise ValueError("give body or text, not both")
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
            raise TypeError(f"a body is text or bytes, not {type(body).__name__}")
        if status == 200 and reason is None and headers is None and content_type in _content_types:  # noqa: PLR2004 - the default
            self._content_type = content_type
        else:
            self._set(status, reason, headers, content_type)

    def add_body(self, data: bytes | str) -> None:
        """Append to the body. Text is encoded as UTF-8, and makes a response without a type text/plain."""
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

    def encode_whole(self) -> bytes | None:
        """Head and body, for a request that does not frame the response (`Head.frames_response`).

        None if this response has a framing that `Exchange` decides about.
        """
        body, is_bare = self.body, self._is_bare
        key = self.status, self._content_type, len(body)
        if is_bare and _second_begins_s <= time() < _second_ends_s and (head := _bare_heads.get(key)):
            return head + body
        if self.status not in _ALIKE or self.forces_close or len(body) > JOINED_BODY_BYTES:
            return None
        head = self.encode_head(len(body), "")
        if is_bare and len(_bare_heads) < MAX_BARE_HEADS:
            _bare_heads[key] = head
        return head + body

    async def send(self, request: Asked) -> None:
        request.exchange.send_whole(self)

    async def prepare(self, request: Asked) -> None:  # noqa: ARG002 - refused for every one
        raise RuntimeError("a Response is returned whole; what is written in pieces is a StreamResponse")


def _encoded(text: str, content_type: str, charset: str | None) -> tuple[bytes, str]:
    """A text as bytes, and its content type with the charset. Raises ValueError where two charsets are given."""
    named = _CHARSET.search(content_type)
    if named is not None and charset is not None and named[1].lower() != charset.lower():
        raise ValueError(
            f"content_type names the charset {named[1]} and charset= says {charset}; give one of them"
        )
    encoding = named[1] if named is not None else charset or "utf-8"
    if named is None and (charset is not None or content_type.startswith("text/")):
        content_type = f"{content_type}; charset={encoding}"
    try:
        return text.encode(encoding), content_type
    except LookupError:
        raise ValueError(f"unknown charset {encoding!r}") from None


def _json_encoder() -> Callable[[Any], str]:
    """What json.dumps does by default, without building its encoder anew for each answer.

    It has no marks for circular data, which is a RecursionError then, and so no state that threads would share.
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
    if status == 200 and reason is None and headers is None and content_type in _content_types:  # noqa: PLR2004 - the default
        response = Response.__new__(Response)  # what the constructor would do
        response.body = body
        response._content_type = content_type  # noqa: SLF001 - one of ours
        return response
    return Response(body=body, status=status, reason=reason, headers=headers, content_type=content_type)


def html_response(text: str, *, status: int = 200, headers: HeaderSource | None = None) -> Response:
    return Response(text=text, status=status, headers=headers, content_type="text/html")


_content_types: set[str] = set()  # that have been checked
_bare_heads: dict[tuple[int, str | None, int], bytes] = {}  # of `encode_whole`, with the present date
_date = ""
_second_begins_s = _second_ends_s = 0.0  # those of the second that it names


def _begin_second(now_s: float) -> None:
    global _date, _second_begins_s, _second_ends_s  # noqa: PLW0603 - one value for the process
    _second_begins_s = float(int(now_s))
    _second_ends_s = _second_begins_s + 1
    _date = formatdate(now_s, usegmt=True)
    _bare_heads.clear()
