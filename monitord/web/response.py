"""Responses: what a handler returns, checked when it is made, and its head as bytes.

`Response` holds its whole body. `StreamResponse` is written piece by piece, by the handler (`prepare`, `write`,
`write_eof`) or from an async iterator. Sending changes nothing in a `Response`, so one object can be sent many
times. Fields that frame the message belong to the framework: they are computed, and setting them by hand is an error.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from .cookies import cookie_field

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}

MAX_CONTENT_TYPES = 256  # that are remembered as checked
MAX_PLAIN_HEADS = 256

BODILESS = frozenset({204, 304})
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OWNED = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"}
)


class ClientGone(ConnectionResetError):  # noqa: N818 - a fact, not a fault
    """The client left, or takes nothing of what is sent to it: there is nobody to answer."""


HeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]


def check_field(name: str, value: str) -> None:
    """Raises ValueError for what would break the head of a message, or split it in two."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header field name")
    if name.lower() in _OWNED:
        raise ValueError(
            f"{name} frames the message and is set by the framework; see force_close and content_length"
        )
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not text")
    if not _VALUE.fullmatch(value) or value != value.strip(" \t"):
        raise ValueError(f"{name}: {value!r} is not a header field value; encode it (RFC 8187)")


class Headers(CIMultiDict[str]):
    """The header fields of a response; each is checked when it is set."""

    def __init__(self, fields: HeaderSource = ()) -> None:
        super().__init__()
        self.extend(fields)

    def __setitem__(self, name: str, value: str) -> None:
        check_field(name, value)
        super().__setitem__(name, value)

    def add(self, name: str, value: str) -> None:
        check_field(name, value)
        super().add(name, value)

    def merge(self, fields: HeaderSource = (), **more: str) -> None:
        """Add what is not there yet."""
        for name, value in (*_pairs(fields), *more.items()):
            self.setdefault(name, value)

    def setdefault(self, name: str, default: str) -> str:
        check_field(name, default)
        return super().setdefault(name, default)

    def extend(self, fields: HeaderSource = (), **more: str) -> None:  # type: ignore[override]  # a narrower source
        for name, value in (*_pairs(fields), *more.items()):
            self.add(name, value)

    def update(self, fields: HeaderSource = (), **more: str) -> None:  # type: ignore[override]  # a narrower source
        pairs = (*_pairs(fields), *more.items())
        for name, value in pairs:
            check_field(name, value)
        for name in {name.lower() for name, _ in pairs}:
            self.popall(name, None)
        for name, value in pairs:
            super().add(name, value)


def _pairs(fields: HeaderSource) -> Iterable[tuple[str, str]]:
    return fields.items() if isinstance(fields, Mapping) else fields


class Outlet(Protocol):
    """Where a response goes: the exchange that its request belongs to."""

    @property
    def sends_body(self) -> bool: ...
    async def send_whole(self, response: "Response") -> None: ...
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

    _status = 200
    _reason: str | None = None
    _headers: Headers | None = None
    _content_type: str | None = "application/octet-stream"
    _cookies: dict[tuple[str, str, str], str] | None = None
    forces_close = False
    _request: Asked | None = None
    _source: AsyncIterator[bytes] | None = None
    ends_with_server = (
        False  # whether a server that stops ends this stream at once, as it has no end of its own
    )
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
        self._begin(status, reason, headers, content_type)

    def _begin(
        self, status: int, reason: str | None, headers: HeaderSource | None, content_type: str | None
    ) -> None:
        if status != 200 or reason is not None:  # noqa: PLR2004 - the default
            self.set_status(status, reason)
        if headers is not None:
            self._headers = Headers(headers)
            if "Content-Type" in self._headers:
                if content_type is not None:
                    raise ValueError("content_type is given twice, as an argument and among the headers")
                self._content_type = self._headers.popone("Content-Type")
        if content_type is not None:
            if content_type not in _content_types:
                check_field("Content-Type", content_type)
                if len(_content_types) < MAX_CONTENT_TYPES:
                    _content_types.add(content_type)
            self._content_type = content_type

    @property
    def status(self) -> int:
        return self._status

    @property
    def reason(self) -> str:
        return REASONS.get(self._status, "") if self._reason is None else self._reason

    def set_status(self, status: int, reason: str | None = None) -> None:
        if not 200 <= status <= 599:  # noqa: PLR2004 - interim responses are the framework's
            raise ValueError(f"{status} is not the status of a final response")
        if reason is not None and not _VALUE.fullmatch(reason):
            raise ValueError(f"{reason!r} is not a reason phrase")
        self._status = status
        self._reason = reason

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    @property
    def content_type(self) -> str | None:
        """The whole field value, parameters included; None sends no Content-Type."""
        return self._content_type

    @content_type.setter
    def content_type(self, value: str | None) -> None:
        if value is not None:
            check_field("Content-Type", value)
        self._content_type = value

    def force_close(self) -> None:
        """Close the connection after this response."""
        self.forces_close = True

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
            self._cookies = {}
        self._cookies[name, domain or "", path] = cookie_field(
            name,
            value,
            max_age_s=max_age_s,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    def del_cookie(self, name: str, *, path: str = "/", domain: str | None = None) -> None:
        self.set_cookie(name, "", max_age_s=0, path=path, domain=domain)

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
        await self.prepare(request)
        source = self._source
        if source is not None:
            try:
                if request.exchange.sends_body:
                    async for piece in source:
                        await self.write(piece)
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()
        await self.write_eof()


class Response(StreamResponse):
    """A response with its whole body: text, bytes or nothing."""

    _body = b""

    def __init__(
        self,
        *,
        body: bytes | str | None = None,
        text: str | None = None,
        status: int = 200,
        reason: str | None = None,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
        charset: str = "utf-8",
    ) -> None:
        if text is None and isinstance(body, str):
            text, body = body, None
        if text is not None:
            if body is not None:
                raise ValueError("give body or text, not both")
            self._body = text.encode(charset)
            self._content_type = f"text/plain; charset={charset}"
            if (
                content_type is not None
                and content_type.startswith("text/")
                and "charset" not in content_type
            ):
                content_type = f"{content_type}; charset={charset}"
        elif body is not None:
            if not isinstance(body, (bytes, bytearray, memoryview)):
                raise TypeError(f"a body is text or bytes, not {type(body).__name__}")
            self._body = bytes(body)
        else:
            self._content_type = None
        self._begin(status, reason, headers, content_type)

    @property
    def body(self) -> bytes:
        return self._body

    @property
    def text(self) -> str:
        return self._body.decode()

    def send(self, request: Asked) -> Coroutine[Any, Any, None]:
        return request.exchange.send_whole(self)

    async def prepare(self, request: Asked) -> None:  # noqa: ARG002 - refused for every one
        raise RuntimeError("a Response is returned whole; what is written in pieces is a StreamResponse")


def json_response(
    data: Any,
    *,
    status: int = 200,
    reason: str | None = None,
    headers: HeaderSource | None = None,
    content_type: str = "application/json",
    dumps: Callable[[Any], str] = json.dumps,
) -> Response:
    return Response(
        body=dumps(data).encode(), status=status, reason=reason, headers=headers, content_type=content_type
    )


def html_response(text: str, *, status: int = 200, headers: HeaderSource | None = None) -> Response:
    return Response(text=text, status=status, headers=headers, content_type="text/html")


_content_types: set[str] = set()  # that have been checked
_plain_heads: dict[tuple[int, str | None, str], bytes] = {}  # those that bear the present date
_date = (0, "")


def http_date() -> str:
    """The present moment as a Date field wants it; made once a second."""
    global _date  # noqa: PLW0603 - one value for the process, replaced whole
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True))
        _plain_heads.clear()
    return _date[1]


def encode_head(response: StreamResponse, framing: str) -> bytes:
    """Status line and fields. `framing` holds the lines that belong to the exchange, each with its CR LF."""
    date = http_date()
    if response._headers is not None or response._cookies or response._reason is not None:  # noqa: SLF001 - the properties cost a call each
        return _encode_head(response, framing, date)
    key = (response._status, response._content_type, framing)  # noqa: SLF001
    head = _plain_heads.get(key)
    if head is None:
        head = _encode_head(response, framing, date)
        if len(_plain_heads) < MAX_PLAIN_HEADS:
            _plain_heads[key] = head
    return head


def _encode_head(response: StreamResponse, framing: str, date: str) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {response.reason}\r\n"]
    if response.content_type is not None and response.status not in BODILESS:
        lines.append(f"Content-Type: {response.content_type}\r\n")
    lines.append(framing)
    if response._headers is not None:  # noqa: SLF001
        lines += [f"{name}: {value}\r\n" for name, value in response._headers.items()]  # noqa: SLF001
    if response._cookies is not None:  # noqa: SLF001
        lines += [f"Set-Cookie: {value}\r\n" for value in response._cookies.values()]  # noqa: SLF001
    if response._headers is None or "Date" not in response._headers:  # noqa: SLF001
        lines.append(f"Date: {date}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")
